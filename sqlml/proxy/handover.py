"""
What goes with a session when it changes hands between the relay and the event loop.

Whoever gets one of these owns its file descriptors; nobody else reads, writes or closes them.
"""

from dataclasses import dataclass, field

LOOK_BYTES = 16384
"""So much of a text the prefilter looks at; what comes behind is nobody's but the server's."""


@dataclass(frozen=True, slots=True)
class SessionState:
    """The dialogue of one session, as both sides of the hand-over keep it."""

    status: bytes = b"I"
    """What the last ReadyForQuery told: `I`, `T` or `E`."""
    client_encoding: str = "UTF8"
    standard_conforming_strings: bool = True
    is_logged_in: bool = False
    awaited: bytes = b"\0"
    """
    The codes of the client's messages whose replies are still to come, in order: Q F P B D E C S,
    `c` for CopyDone and CopyFail, zero for the start-up.
    """
    is_skipping: bool = False
    """Whether the server skips to Sync after an error."""
    is_copying_in: bool = False
    statement_index: int = 0
    """How many statements of the Query at the head of `awaited` are complete."""
    is_replication: bool = False
    """Replication sessions are never looked at."""


@dataclass(frozen=True, slots=True)
class Handover:
    """A session whose client is connected to the server."""

    session_id: int
    client_fd: int
    upstream_fd: int
    state: SessionState = field(default_factory=SessionState)
    from_client: bytes = b""
    """Read and not looked at; begins at a frame."""
    from_upstream: bytes = b""
    """Read and not looked at; begins at a frame. Empty where `upstream_passing` is not 0."""
    upstream_passing: int = 0
    """So many bytes from the server belong to a frame that was looked at already."""
    to_client: bytes = b""
    """Relayed, not written yet."""
    to_upstream: bytes = b""
    """Relayed, not written yet."""
    has_client_ended: bool = False
    """Whether the end of the client's bytes was read; what is due to the server comes first."""


@dataclass(frozen=True, slots=True)
class StartupHandover:
    """A client that is not connected to the server yet."""

    session_id: int
    client_fd: int
    data: bytes = b""
    """Read and not answered; begins at a packet."""
    declined: tuple[int, ...] = ()
    """The encryption requests (their codes) that were answered `N`."""
