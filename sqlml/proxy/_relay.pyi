from collections.abc import Callable

State = tuple[bytes, str, bool, bool, bytes, bool, bool, int, bool]
"""As SessionState."""
Startup = tuple[int, int, bytes, tuple[bool, bool]]
"""session_id, client_fd, data; whether TLS and GSS were declined."""
Given = tuple[int, int, int, State, bytes, bytes, int, bytes, bytes, bool]
"""As Handover."""
Refused = tuple[int, str | None, int, int]
"""session_id, the client's address, a Reason, how many before it were not told."""
Rules = tuple[tuple[str, str] | None, int, int, int, int, bool, bool, bool]
"""
The server's address, numeric, or a socket's path and ""; sessions in all blocks, and here;
startup_ms, connect_ms; declines_encryption, relays_unencrypted, refuses_unchallenged.
"""

class Relay:
    def __init__(
        self,
        listeners: tuple[int, ...],
        first_id: int,
        rules: Rules,
        words: tuple[bytes, bytes, bytes],
        counters: memoryview,
        own_block: int,
        decide: Callable[[bytes, str, bool], bool],
        /,
    ) -> None:
        """`words`: too many sessions, nobody was challenged, the proxy stops."""
    def run(self) -> None: ...
    def fileno(self) -> int: ...
    def take(self) -> Startup | Given | None: ...
    def take_refusal(self) -> Refused | None: ...
    def give(
        self,
        session_id: int,
        client_fd: int,
        upstream_fd: int,
        state: State,
        from_client: bytes,
        from_upstream: bytes,
        upstream_passing: int,
        to_client: bytes,
        to_upstream: bytes,
        has_client_ended: bool,
        /,
    ) -> None: ...
    def forget(self) -> None: ...
    def change_rules(self, rules: Rules, /) -> None: ...
    def drain(self) -> None: ...
    def stop(self) -> None: ...
    def count(self) -> int: ...

def may_concern_us(text: bytes, /) -> bool: ...
