"""
Which reply of the server belongs to which message of the client.

Keeps the messages whose replies are still to come, in the order the server works on them, and
the transaction status of the last ReadyForQuery. Follows the protocol's rules for errors
(skip to Sync) and for COPY (Sync is ignored while data comes in). Reads no text.
"""

from collections import deque
from dataclasses import dataclass
from enum import Enum, auto

from sqlml.proxy.rewriting import Rewriting
from sqlml.wire.messages import Backend


class AwaitedKind(Enum):
    """What the client waits for. Describe, Close and Flush need no tracking."""

    STARTUP = auto()
    QUERY = auto()
    FUNCTION_CALL = auto()
    SYNC = auto()
    PARSE = auto()
    BIND = auto()
    EXECUTE = auto()
    COPY_END = auto()


class TransactionStatus(Enum):
    """The states that ReadyForQuery tells."""

    IDLE = b"I"
    BLOCK = b"T"
    FAILED = b"E"


@dataclass(frozen=True, slots=True)
class Awaited:
    """One message of the client, as far as its reply concerns us."""

    kind: AwaitedKind
    rewriting: Rewriting | None = None
    """What was made of its text, if it was ours."""
    statement: bytes = b""
    """The prepared statement that a Parse or a Bind names."""
    portal: bytes = b""
    """The portal that a Bind or an Execute names."""


_ENDED_BY_READY = {
    AwaitedKind.STARTUP,
    AwaitedKind.QUERY,
    AwaitedKind.FUNCTION_CALL,
    AwaitedKind.SYNC,
}
_SKIPPED_AFTER_ERROR = {AwaitedKind.PARSE, AwaitedKind.BIND, AwaitedKind.EXECUTE}


class Conversation:
    """The state of one session's dialogue."""

    def __init__(self) -> None:
        self._awaited: deque[Awaited] = deque([Awaited(AwaitedKind.STARTUP)])
        self._status = TransactionStatus.IDLE
        self._is_skipping = False
        self._is_copying_in = False
        self._statement_index = 0
        self._statements: dict[bytes, Rewriting] = {}
        self._portals: dict[bytes, Rewriting] = {}
        self.names_matter = False
        """Whether a statement of ours was ever prepared, so that Bind must be looked into."""

    def is_atomic(self) -> bool | None:
        """Say whether the next message runs in a transaction block; None: not certain."""
        if not self._awaited and not self._is_copying_in and not self._is_skipping:
            return self._status is not TransactionStatus.IDLE
        for awaited in reversed(self._awaited):
            if awaited.kind is AwaitedKind.EXECUTE:
                return True
            if awaited.kind in _ENDED_BY_READY:
                break
        return None

    def sent(self, awaited: Awaited) -> None:
        """Take note of a message that goes to the server."""
        kind = awaited.kind
        if kind is AwaitedKind.SYNC:
            if self._is_copying_in:
                return
            self._is_skipping = False
        elif kind is AwaitedKind.COPY_END:
            self._is_copying_in = False
        if self._is_skipping:
            return
        if kind is AwaitedKind.PARSE and awaited.rewriting is not None:
            self.names_matter = True
        self._awaited.append(awaited)

    def current(self) -> tuple[Rewriting, int] | None:
        """Return the rewriting that the server works on and the index of the statement in it."""
        awaited = self._head()
        if awaited is None:
            return None
        if awaited.kind is AwaitedKind.EXECUTE:
            rewriting = self._portals.get(awaited.portal)
        elif awaited.kind is AwaitedKind.BIND:
            rewriting = self._statements.get(awaited.statement)
        else:
            rewriting = awaited.rewriting
        return None if rewriting is None else (rewriting, self._statement_index)

    def received(self, code: int, status: bytes = b"") -> None:
        """Take note of a reply; of ReadyForQuery with its transaction status."""
        if code == Backend.READY_FOR_QUERY:
            self._ready(TransactionStatus(status))
            return
        head = self._head()
        if head is None:
            return
        match code:
            case Backend.PARSE_COMPLETE if head.kind is AwaitedKind.PARSE:
                self._remember(self._statements, head.statement, head.rewriting)
                self._awaited.popleft()
            case Backend.BIND_COMPLETE if head.kind is AwaitedKind.BIND:
                bound = self._statements.get(head.statement)
                self._remember(self._portals, head.portal, bound)
                self._awaited.popleft()
            case Backend.COMMAND_COMPLETE | Backend.EMPTY_QUERY_RESPONSE | Backend.PORTAL_SUSPENDED:
                self._complete(head)
            case Backend.COPY_IN_RESPONSE | Backend.COPY_BOTH_RESPONSE:
                self._copy_in()
            case Backend.ERROR_RESPONSE:
                self._fail(head)

    def _head(self) -> Awaited | None:
        while self._awaited and self._awaited[0].kind is AwaitedKind.COPY_END:
            self._awaited.popleft()
        return self._awaited[0] if self._awaited else None

    @staticmethod
    def _remember(names: dict[bytes, Rewriting], name: bytes, rewriting: Rewriting | None) -> None:
        if rewriting is None:
            names.pop(name, None)
        else:
            names[name] = rewriting

    def _ready(self, status: TransactionStatus) -> None:
        self._status = status
        self._statement_index = 0
        while self._awaited and self._awaited.popleft().kind not in _ENDED_BY_READY:
            pass

    def _complete(self, head: Awaited) -> None:
        self._is_copying_in = False
        if head.kind is AwaitedKind.EXECUTE:
            self._awaited.popleft()
        elif head.kind is AwaitedKind.QUERY:
            self._statement_index += 1

    def _copy_in(self) -> None:
        """The server now ignores every Sync up to the end of the data."""
        head = self._awaited.popleft()
        while self._awaited and self._awaited[0].kind is AwaitedKind.SYNC:
            self._awaited.popleft()
        self._is_copying_in = not self._awaited
        self._awaited.appendleft(head)

    def _fail(self, head: Awaited) -> None:
        self._is_copying_in = False
        if head.kind not in _SKIPPED_AFTER_ERROR:
            return
        while self._awaited and self._awaited[0].kind is not AwaitedKind.SYNC:
            self._awaited.popleft()
        self._is_skipping = not self._awaited
