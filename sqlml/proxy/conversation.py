"""
Which reply of the server belongs to which message of the client.

Keeps the messages whose replies are still to come, in the order the server works on them, and
the transaction status of the last ReadyForQuery. Follows the protocol's rules for errors
(skip to Sync) and for COPY (Sync is ignored while data comes in). Reads no text.
"""

from collections import deque
from collections.abc import Callable
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


# Tuples: looking into a set would call Python to hash a member.
_ENDED_BY_READY = (
    AwaitedKind.QUERY,
    AwaitedKind.SYNC,
    AwaitedKind.FUNCTION_CALL,
    AwaitedKind.STARTUP,
)
_STATUSES = {status.value: status for status in TransactionStatus}
_SKIPPED_AFTER_ERROR = (AwaitedKind.PARSE, AwaitedKind.BIND, AwaitedKind.EXECUTE)


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
        self.is_logged_in = False
        self.names_matter = False
        """Whether a statement of ours was ever prepared, so that Bind must be looked into."""

    @property
    def is_idle(self) -> bool:
        """Whether no statement and no transaction is under way."""
        return (
            not self._awaited
            and not self._is_copying_in
            and not self._is_skipping
            and self._status is TransactionStatus.IDLE
        )

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

    def ready(self, status: bytes) -> None:
        """Take note of ReadyForQuery and the transaction status that it tells."""
        self.is_logged_in = True
        self._status = _STATUSES.get(status, self._status)
        self._statement_index = 0
        while self._awaited and self._awaited.popleft().kind not in _ENDED_BY_READY:
            pass

    def received(self, code: int) -> None:
        """Take note of any other reply."""
        head = self._head()
        if head is not None and (move := _MOVES.get(code)) is not None:
            move(self, head)

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

    def _parsed(self, head: Awaited) -> None:
        if head.kind is AwaitedKind.PARSE:
            self._remember(self._statements, head.statement, head.rewriting)
            self._awaited.popleft()

    def _bound(self, head: Awaited) -> None:
        if head.kind is AwaitedKind.BIND:
            self._remember(self._portals, head.portal, self._statements.get(head.statement))
            self._awaited.popleft()

    def _complete(self, head: Awaited) -> None:
        self._is_copying_in = False
        if head.kind is AwaitedKind.EXECUTE:
            self._awaited.popleft()
        elif head.kind is AwaitedKind.QUERY:
            self._statement_index += 1

    def _copy_in(self, head: Awaited) -> None:
        """The server now ignores every Sync up to the end of the data."""
        self._awaited.popleft()
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


_MOVES: dict[int, Callable[[Conversation, Awaited], None]] = {
    Backend.PARSE_COMPLETE: Conversation._parsed,
    Backend.BIND_COMPLETE: Conversation._bound,
    Backend.COMMAND_COMPLETE: Conversation._complete,
    Backend.EMPTY_QUERY_RESPONSE: Conversation._complete,
    Backend.PORTAL_SUSPENDED: Conversation._complete,
    Backend.COPY_IN_RESPONSE: Conversation._copy_in,
    Backend.COPY_BOTH_RESPONSE: Conversation._copy_in,
    Backend.ERROR_RESPONSE: Conversation._fail,
}
