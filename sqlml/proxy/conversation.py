"""
Which reply of the server belongs to which message of the client.

Keeps the messages whose replies are still to come, in the order the server works on them, and
the transaction status of the last ReadyForQuery. Follows the protocol's rules for errors
(skip to Sync) and for COPY (Sync is ignored while data comes in). Reads no text.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, IntEnum

from sqlml.proxy.handover import SessionState
from sqlml.proxy.names import Names
from sqlml.proxy.rewriting import Rewriting
from sqlml.wire.messages import Backend, Frontend


class AwaitedKind(IntEnum):
    """What the client waits for, by the code of its message. Flush needs no tracking."""

    STARTUP = 0
    QUERY = Frontend.QUERY
    FUNCTION_CALL = Frontend.FUNCTION_CALL
    SYNC = Frontend.SYNC
    PARSE = Frontend.PARSE
    BIND = Frontend.BIND
    DESCRIBE = Frontend.DESCRIBE
    EXECUTE = Frontend.EXECUTE
    CLOSE = Frontend.CLOSE
    COPY_END = Frontend.COPY_DONE


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
    statement: bytes | None = None
    """The prepared statement that it names."""
    portal: bytes | None = None
    """The portal that it names."""


# Tuples: looking into a set would call Python to hash a member.
_ENDED_BY_READY = (
    AwaitedKind.QUERY,
    AwaitedKind.SYNC,
    AwaitedKind.FUNCTION_CALL,
    AwaitedKind.STARTUP,
)
_SKIPPED_AFTER_ERROR = (
    AwaitedKind.PARSE,
    AwaitedKind.BIND,
    AwaitedKind.DESCRIBE,
    AwaitedKind.EXECUTE,
    AwaitedKind.CLOSE,
)
_STATUSES = {status.value: status for status in TransactionStatus}
_UNKNOWN_STATEMENT = b"26000"
_UNKNOWN_PORTAL = b"34000"


class Conversation:
    """The state of one session's dialogue, from its start or from where another has left it."""

    def __init__(self, state: SessionState | None = None) -> None:
        codes = bytes((AwaitedKind.STARTUP,)) if state is None else state.awaited
        self._awaited = deque(Awaited(AwaitedKind(code)) for code in codes)
        self._status = TransactionStatus.IDLE if state is None else _STATUSES[state.status]
        self._is_skipping = state is not None and state.is_skipping
        self._is_copying_in = state is not None and state.is_copying_in
        self._statement_index = 0 if state is None else state.statement_index
        self.names = Names()
        self.is_logged_in = state is not None and state.is_logged_in
        self.names_matter = False
        """Whether a statement of ours is or will be prepared, so that names must be read."""

    @property
    def status(self) -> TransactionStatus:
        """The transaction status of the last ReadyForQuery."""
        return self._status

    def is_idle(self) -> bool:
        """Say whether the server has worked on all that it was sent."""
        is_still = not self._is_copying_in and not self._is_skipping
        return is_still and self.is_logged_in and self._head() is None

    def is_atomic(self) -> bool | None:
        """Say whether the next message runs in a transaction block; None: not certain."""
        if self.is_idle():
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
        elif kind is AwaitedKind.COPY_END and self._is_copying_in:
            self._is_copying_in = False
            return
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
        rewriting = awaited.rewriting
        if awaited.statement is not None and awaited.kind is not AwaitedKind.PARSE:
            rewriting = self.names.statement(awaited.statement)
        elif awaited.portal is not None:
            rewriting = self.names.portal(awaited.portal)
        return None if rewriting is None else (rewriting, self._statement_index)

    def ready(self, status: bytes) -> None:
        """Take note of ReadyForQuery and the transaction status that it tells."""
        self.is_logged_in = True
        self._is_copying_in = False
        self._status = _STATUSES.get(status, self._status)
        self._statement_index = 0
        # It answers a Sync, perhaps one thought to be lost in data that COPY no longer wanted.
        self._is_skipping = False
        while self._awaited:
            kind = self._awaited.popleft().kind
            if kind is AwaitedKind.QUERY:
                self.names.query_ended()
            if kind in _ENDED_BY_READY:
                break
        if self._status is TransactionStatus.IDLE:
            self.names.transaction_ended()
        if self.names_matter and not self._awaited:
            self.names_matter = not self.names.is_empty()

    def completed(self, tag: bytes) -> None:
        """Take note of CommandComplete."""
        self.names.completed(tag)
        self.received(Backend.COMMAND_COMPLETE)

    def failed(self, sqlstate: bytes) -> None:
        """Take note of ErrorResponse."""
        self._is_copying_in = False
        head = self._head()
        if head is None or head.kind not in _SKIPPED_AFTER_ERROR:
            return
        if head.kind is AwaitedKind.PARSE and head.statement is not None:
            self.names.parse_failed(head.statement)
        elif sqlstate == _UNKNOWN_STATEMENT and head.statement is not None:
            self.names.end_statement(head.statement)
        elif sqlstate == _UNKNOWN_PORTAL and head.portal is not None:
            self.names.end_portal(head.portal)
        while self._awaited and self._awaited[0].kind is not AwaitedKind.SYNC:
            self._awaited.popleft()
        self._is_skipping = not self._awaited

    def received(self, code: int) -> None:
        """Take note of any other reply."""
        head = self._head()
        if head is not None and (move := _MOVES.get(code)) is not None:
            move(self, head)

    def _head(self) -> Awaited | None:
        # The end of data that no COPY asked for is ignored.
        while self._awaited and self._awaited[0].kind is AwaitedKind.COPY_END:
            self._awaited.popleft()
        return self._awaited[0] if self._awaited else None

    def _parsed(self, head: Awaited) -> None:
        if head.kind is AwaitedKind.PARSE:
            if head.statement is not None:
                self.names.parsed(head.statement, head.rewriting)
            self._awaited.popleft()

    def _bound(self, head: Awaited) -> None:
        if head.kind is AwaitedKind.BIND:
            if head.portal is not None and head.statement is not None:
                self.names.bound(head.portal, head.statement)
            self._awaited.popleft()

    def _described(self, head: Awaited) -> None:
        if head.kind is AwaitedKind.DESCRIBE:
            self._awaited.popleft()

    def _closed(self, head: Awaited) -> None:
        if head.kind is AwaitedKind.CLOSE:
            if head.statement is not None:
                self.names.end_statement(head.statement)
            elif head.portal is not None:
                self.names.end_portal(head.portal)
            self._awaited.popleft()

    def _executed(self, head: Awaited) -> None:
        if head.kind is AwaitedKind.EXECUTE:
            self._awaited.popleft()

    def _complete(self, head: Awaited) -> None:
        self._is_copying_in = False
        self._executed(head)
        if head.kind is AwaitedKind.QUERY:
            self.names.query_ran()
            self._statement_index += 1

    def _copy_in(self, head: Awaited) -> None:
        """The server now ignores every Sync up to the end of the data."""
        self._awaited.popleft()
        while self._awaited and self._awaited[0].kind is AwaitedKind.SYNC:
            self._awaited.popleft()
        if self._awaited and self._awaited[0].kind is AwaitedKind.COPY_END:
            self._awaited.popleft()
        else:
            self._is_copying_in = not self._awaited
        self._awaited.appendleft(head)


_MOVES: dict[int, Callable[[Conversation, Awaited], None]] = {
    Backend.PARSE_COMPLETE: Conversation._parsed,
    Backend.BIND_COMPLETE: Conversation._bound,
    Backend.CLOSE_COMPLETE: Conversation._closed,
    Backend.ROW_DESCRIPTION: Conversation._described,
    Backend.NO_DATA: Conversation._described,
    Backend.COMMAND_COMPLETE: Conversation._complete,
    Backend.EMPTY_QUERY_RESPONSE: Conversation._executed,
    Backend.PORTAL_SUSPENDED: Conversation._executed,
    Backend.COPY_IN_RESPONSE: Conversation._copy_in,
    Backend.COPY_BOTH_RESPONSE: Conversation._copy_in,
}
