"""
The bytes of one side of a session → the bytes for the other.

Looks at as few frames as it can: Query and Parse for what is ours, a few more to know which
reply is whose. Pure: knows no socket, so any split of the bytes can be tried.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

from sqlml.proxy.conversation import Awaited, AwaitedKind, Conversation, TransactionStatus
from sqlml.proxy.direction import Direction
from sqlml.proxy.handover import LOOK_BYTES, SessionState
from sqlml.proxy.lookup import Lookup
from sqlml.proxy.prefilter import may_concern_us
from sqlml.proxy.replies import edit
from sqlml.proxy.rewriting import ModelName, Rewriter, Rewriting, Surroundings
from sqlml.wire.encodings import can_encode, decode, encode
from sqlml.wire.frames import HEADER_SIZE, Frame
from sqlml.wire.messages import (
    Backend,
    Field,
    Frontend,
    frame,
    read_cstring,
    read_fields,
)

MAX_STATEMENT_SIZE = 64 << 20
"""Longer texts are not rewritten."""
_MAX_REPLY_SIZE = 1 << 20
_NAMES_SIZE = 512
_MAX_ANSWERS = 256

_PLAIN: dict[int, Awaited] = {
    kind: Awaited(kind) for kind in AwaitedKind if kind is not AwaitedKind.STARTUP
}
_PLAIN[Frontend.COPY_FAIL] = _PLAIN[Frontend.COPY_DONE]


class Interceptor:
    """What one session's bytes go through, in both directions."""

    def __init__(self, rewriter: Rewriter, state: SessionState | None = None):
        """Begin with the start-up, or where another has left the session: at frames."""
        self._rewriter = rewriter
        self._conversation = Conversation(state)
        self._client = Direction(
            {
                Frontend.QUERY: (HEADER_SIZE + LOOK_BYTES, self._on_query),
                Frontend.PARSE: (HEADER_SIZE + LOOK_BYTES, self._on_parse),
                Frontend.BIND: (_NAMES_SIZE, self._on_named),
                Frontend.DESCRIBE: (_NAMES_SIZE, self._on_named),
                Frontend.EXECUTE: (_NAMES_SIZE, self._on_named),
                Frontend.CLOSE: (_NAMES_SIZE, self._on_named),
                Frontend.SYNC: (HEADER_SIZE, self._on_plain),
                Frontend.FUNCTION_CALL: (HEADER_SIZE, self._on_plain),
                Frontend.COPY_DONE: (HEADER_SIZE, self._on_plain),
                Frontend.COPY_FAIL: (HEADER_SIZE, self._on_plain),
            }
        )
        self._upstream = Direction(
            {
                Backend.READY_FOR_QUERY: (HEADER_SIZE + 1, self._on_ready),
                Backend.COMMAND_COMPLETE: (_NAMES_SIZE, self._on_complete),
                Backend.ERROR_RESPONSE: (_MAX_REPLY_SIZE, self._on_error),
                Backend.NOTICE_RESPONSE: (_MAX_REPLY_SIZE, self._on_notice),
                Backend.PARAMETER_STATUS: (_NAMES_SIZE, self._on_parameter),
                Backend.EMPTY_QUERY_RESPONSE: (HEADER_SIZE, self._on_step),
                Backend.PARSE_COMPLETE: (HEADER_SIZE, self._on_step),
                Backend.BIND_COMPLETE: (HEADER_SIZE, self._on_step),
                Backend.CLOSE_COMPLETE: (HEADER_SIZE, self._on_step),
                Backend.ROW_DESCRIPTION: (HEADER_SIZE, self._on_step),
                Backend.NO_DATA: (HEADER_SIZE, self._on_step),
                Backend.PORTAL_SUSPENDED: (HEADER_SIZE, self._on_step),
                Backend.COPY_IN_RESPONSE: (HEADER_SIZE, self._on_step),
                Backend.COPY_BOTH_RESPONSE: (HEADER_SIZE, self._on_step),
            }
        )
        self._client_encoding = "UTF8" if state is None else state.client_encoding
        self._standard_conforming_strings = state is None or state.standard_conforming_strings
        self._lookup: Lookup | None = None
        self._has_asked = False
        self._schemas: dict[ModelName, str | None] = {}
        self._for_upstream: list[bytes] = []

    @property
    def is_idle(self) -> bool:
        """Whether no statement and no transaction is under way."""
        conversation = self._conversation
        is_outside = conversation.status is TransactionStatus.IDLE
        return is_outside and conversation.is_idle() and not self.is_asking

    @property
    def is_between_replies(self) -> bool:
        """Whether a message of the proxy's own may go to the client now."""
        return self._upstream.is_still

    @property
    def is_asking(self) -> bool:
        """Whether the client's bytes wait for an answer to a question of ours."""
        return self._lookup is not None

    def state(self) -> SessionState | None:
        """Return what another needs to go on from here; None: the session must stay."""
        conversation = self._conversation
        is_still = self._client.is_still and self._upstream.is_still and not self.is_asking
        if not is_still or not conversation.is_idle() or not conversation.names.is_empty():
            return None
        return SessionState(
            status=conversation.status.value,
            client_encoding=self._client_encoding,
            standard_conforming_strings=self._standard_conforming_strings,
            is_logged_in=True,
            awaited=b"",
        )

    def from_client(self, data: bytes) -> bytes:
        """Return the bytes to send to the server."""
        return self._client.forward(data)

    def from_upstream(self, data: bytes) -> bytes:
        """Return the bytes to send to the client; see also `take_for_upstream`."""
        return self._upstream.forward(data)

    def end_of_client(self) -> bytes:
        """Return the last bytes to send to the server, once the client has ended."""
        return self._client.end()

    def end_of_upstream(self) -> bytes:
        """Return the last bytes to send to the client, once the server has ended."""
        return self._upstream.end()

    def take_for_upstream(self) -> bytes:
        """Return the bytes for the server that a reply has made ready."""
        data = b"".join(self._for_upstream)
        self._for_upstream.clear()
        return data

    def _on_plain(self, message: Frame) -> bytes:
        self._conversation.sent(_PLAIN[message.code])
        return message.raw

    def _on_named(self, message: Frame) -> bytes:
        is_read = self._conversation.names_matter
        awaited = _READ_NAMES[message.code](message.raw) if is_read else None
        self._conversation.sent(awaited or _PLAIN[message.code])
        return message.raw

    def _on_query(self, message: Frame) -> bytes | None:
        if not message.is_whole and self._is_worth_waiting(message.raw, HEADER_SIZE):
            return None
        rewriting = self._rewrite(message, HEADER_SIZE, len(message.raw), is_reusable=False)
        if self._lookup is not None:
            return self._lookup.question()
        if rewriting is None:
            self._conversation.sent(_PLAIN[Frontend.QUERY])
            return message.raw
        self._conversation.sent(Awaited(AwaitedKind.QUERY, rewriting))
        text = encode(rewriting.text, self._client_encoding)
        return frame(Frontend.QUERY, text + b"\0")

    def _on_parse(self, message: Frame) -> bytes | None:
        raw = message.raw
        named = read_cstring(raw, HEADER_SIZE)
        if named is None:
            self._conversation.sent(_PLAIN[Frontend.PARSE])
            return raw
        name, start = named
        if not message.is_whole and self._is_worth_waiting(raw, start):
            return None
        end = raw.find(b"\0", start) + 1
        rewriting = self._rewrite(message, start, end, is_reusable=name != b"")
        if self._lookup is not None:
            return self._lookup.question()
        self._conversation.sent(Awaited(AwaitedKind.PARSE, rewriting, statement=name))
        if rewriting is None:
            return raw
        text = encode(rewriting.text, self._client_encoding)
        return frame(Frontend.PARSE, raw[HEADER_SIZE:start] + text + b"\0" + raw[end:])

    def _is_worth_waiting(self, raw: bytes, start: int) -> bool:
        """Ask for the rest of a long text if its head may hold something of ours."""
        # Nobody unknown may make the proxy hold that much.
        if len(raw) >= MAX_STATEMENT_SIZE or not self._conversation.is_logged_in:
            return False
        head = raw[start : start + LOOK_BYTES]
        if not may_concern_us(head) or not self._rewriter.decide(
            head, self._client_encoding, self._standard_conforming_strings
        ):
            return False
        self._client.want_more(MAX_STATEMENT_SIZE)
        return True

    def _rewrite(
        self, message: Frame, start: int, end: int, *, is_reusable: bool
    ) -> Rewriting | None:
        """Read the text at this place; may ask the server first, and then pauses."""
        head = message.raw[start : min(start + LOOK_BYTES, end - 1)]
        if not message.is_whole or end <= start or not self._is_worth_reading(head):
            return None
        text = decode(message.raw[start : end - 1], self._client_encoding)
        if text is None:
            return None
        may_ask = self._may_ask(head)
        surroundings = Surroundings(
            self._standard_conforming_strings,
            # A named statement may run again where the answer is another one.
            None if is_reusable else self._conversation.is_atomic(),
            {} if may_ask else self._schemas,
            self._conversation.names_matter,
        )
        rewriting = self._rewriter.rewrite(text, surroundings)
        # What is still on its way may change how the server reads backslashes.
        if "\\" in text and not self._conversation.is_idle():
            is_on = not surroundings.standard_conforming_strings
            other = replace(surroundings, standard_conforming_strings=is_on)
            if not _are_alike(rewriting, self._rewriter.rewrite(text, other)):
                return None
        if rewriting is None or not can_encode(rewriting.text, self._client_encoding):
            return None
        if may_ask and rewriting.unknown:
            self._lookup = Lookup(rewriting.unknown, self._client_encoding)
            self._client.pause(message)
            self._upstream.take_all(_MAX_REPLY_SIZE, self._on_answer)
        return rewriting

    def _is_worth_reading(self, head: bytes) -> bool:
        if may_concern_us(head):
            return True
        return self._conversation.names_matter and b"deallocate" in head.lower()

    def _may_ask(self, head: bytes) -> bool:
        """Say whether a question to the server would change nothing but the answer."""
        status = self._conversation.status
        if self._has_asked or not self._conversation.is_idle():
            return False
        # SET TRANSACTION must come before any query of its transaction.
        is_first = head.lstrip()[:3].lower() == b"set"
        return status is TransactionStatus.IDLE or (
            status is TransactionStatus.BLOCK and not is_first
        )

    def _on_answer(self, message: Frame) -> bytes:
        lookup = self._lookup
        assert lookup is not None
        if message.code == Backend.PARAMETER_STATUS:
            return self._on_parameter(message)
        if message.code != Backend.READY_FOR_QUERY:
            return lookup.receive(message)
        self._lookup = None
        self._upstream.take_usual()
        self._conversation.ready(message.raw[HEADER_SIZE:])
        if lookup.error is None:
            self._go_on(lookup.schemas)
            return b""
        return self._refuse(lookup.error, message.raw)

    def _go_on(self, schemas: Mapping[ModelName, str | None]) -> None:
        """Send the text that waited, with what is now known of its models."""
        if len(self._schemas) > _MAX_ANSWERS:
            self._schemas.clear()
        self._schemas.update(schemas)
        self._has_asked = True
        self._for_upstream.append(self._client.resume())
        self._has_asked = False

    def _refuse(self, error: bytes, ready: bytes) -> bytes:
        """Answer the text that waited with the error that met our question, a cancel perhaps."""
        if self._client.skip_paused() == Frontend.PARSE:
            self._client.drop_to(Frontend.SYNC)
            ready = b""
        self._for_upstream.append(self._client.catch_up())
        return error + ready

    def _on_ready(self, message: Frame) -> bytes:
        self._conversation.ready(message.raw[HEADER_SIZE:])
        return message.raw

    def _on_step(self, message: Frame) -> bytes:
        self._conversation.received(message.code)
        return message.raw

    def _on_notice(self, message: Frame) -> bytes:
        current = self._conversation.current()
        return message.raw if current is None else edit(message, *current, self._client_encoding)

    def _on_complete(self, message: Frame) -> bytes:
        raw, current = message.raw, self._conversation.current()
        if current is not None:
            raw = edit(message, *current, self._client_encoding)
            name = current[0].find_deallocation(current[1])
            if name is not None:
                self._conversation.names.end_statement(encode(name, self._client_encoding))
        self._conversation.completed(message.raw[HEADER_SIZE:-1])
        return raw

    def _on_error(self, message: Frame) -> bytes:
        raw = self._on_notice(message)
        sqlstate = read_fields(message.raw[HEADER_SIZE:]).get(Field.SQLSTATE, b"")
        self._conversation.failed(sqlstate)
        return raw

    def _on_parameter(self, message: Frame) -> bytes:
        name, value = (*message.raw[HEADER_SIZE:].split(b"\0"), b"")[:2]
        if name == b"client_encoding":
            self._client_encoding = value.decode("ascii", "replace")
        elif name == b"standard_conforming_strings":
            self._standard_conforming_strings = value == b"on"
        return message.raw


def _are_alike(one: Rewriting | None, other: Rewriting | None) -> bool:
    """Say whether the same pieces of the text are ours either way."""
    if one is None or other is None:
        return one is other
    return [(piece.start, piece.end) for piece in one.splices] == [
        (piece.start, piece.end) for piece in other.splices
    ]


def _read_bind(raw: bytes) -> Awaited | None:
    portal = read_cstring(raw, HEADER_SIZE)
    statement = portal and read_cstring(raw, portal[1])
    if portal is None or statement is None:
        return None
    return Awaited(AwaitedKind.BIND, statement=statement[0], portal=portal[0])


def _read_execute(raw: bytes) -> Awaited | None:
    portal = read_cstring(raw, HEADER_SIZE)
    return portal and Awaited(AwaitedKind.EXECUTE, portal=portal[0])


def _read_object(raw: bytes) -> Awaited | None:
    """Read what a Describe or a Close is about: a letter for its kind, and its name."""
    name = read_cstring(raw, HEADER_SIZE + 1)
    if name is None:
        return None
    kind = AwaitedKind(raw[0])
    if raw[HEADER_SIZE] == ord("S"):
        return Awaited(kind, statement=name[0])
    return Awaited(kind, portal=name[0])


_READ_NAMES: dict[int, Callable[[bytes], Awaited | None]] = {
    Frontend.BIND: _read_bind,
    Frontend.EXECUTE: _read_execute,
    Frontend.DESCRIBE: _read_object,
    Frontend.CLOSE: _read_object,
}
