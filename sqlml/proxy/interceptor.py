"""
The bytes of one side of a session → the bytes for the other.

Looks at as few frames as it can: Query and Parse for model statements, a few more to know which
reply is whose. Pure: knows no socket, so any split of the bytes can be tried.
"""

import logging
from collections.abc import Callable, Iterator

from sqlml.errors import ProtocolViolation
from sqlml.proxy.conversation import Awaited, AwaitedKind, Conversation
from sqlml.proxy.handover import SessionState
from sqlml.proxy.replies import edit_fields, edit_tag
from sqlml.proxy.rewriting import Rewriter, Rewriting, Surroundings
from sqlml.wire.encodings import decode, decode_head, encode
from sqlml.wire.frames import HEADER_SIZE, Frame, FrameReader
from sqlml.wire.messages import (
    Backend,
    Frontend,
    frame,
    read_cstring,
    read_fields,
    write_fields,
)

log = logging.getLogger(__name__)

MAX_TEXT_SIZE = 1 << 20
"""Longer texts are looked at only if they begin with a model statement."""
MAX_STATEMENT_SIZE = 64 << 20
"""Longer model statements are not recognised."""
_MAX_REPLY_SIZE = 1 << 20
_NAMES_SIZE = 512

_PLAIN: dict[int, Awaited] = {
    Frontend.QUERY: Awaited(AwaitedKind.QUERY),
    Frontend.BIND: Awaited(AwaitedKind.BIND),
    Frontend.EXECUTE: Awaited(AwaitedKind.EXECUTE),
    Frontend.SYNC: Awaited(AwaitedKind.SYNC),
    Frontend.FUNCTION_CALL: Awaited(AwaitedKind.FUNCTION_CALL),
    Frontend.COPY_DONE: Awaited(AwaitedKind.COPY_END),
    Frontend.COPY_FAIL: Awaited(AwaitedKind.COPY_END),
}


class Interceptor:
    """What one session's bytes go through, in both directions."""

    def __init__(self, rewriter: Rewriter, state: SessionState | None = None):
        self._rewriter = rewriter
        self._conversation = Conversation()
        self._client = _Direction(
            {
                Frontend.QUERY: (MAX_TEXT_SIZE, self._on_query),
                Frontend.PARSE: (MAX_TEXT_SIZE, self._on_parse),
                Frontend.BIND: (_NAMES_SIZE, self._on_bind),
                Frontend.EXECUTE: (_NAMES_SIZE, self._on_execute),
                Frontend.SYNC: (HEADER_SIZE, self._on_plain),
                Frontend.FUNCTION_CALL: (HEADER_SIZE, self._on_plain),
                Frontend.COPY_DONE: (HEADER_SIZE, self._on_plain),
                Frontend.COPY_FAIL: (HEADER_SIZE, self._on_plain),
            }
        )
        self._upstream = _Direction(
            {
                Backend.READY_FOR_QUERY: (HEADER_SIZE + 1, self._on_ready),
                Backend.COMMAND_COMPLETE: (_NAMES_SIZE, self._on_words),
                Backend.ERROR_RESPONSE: (_MAX_REPLY_SIZE, self._on_words),
                Backend.NOTICE_RESPONSE: (_MAX_REPLY_SIZE, self._on_words),
                Backend.PARAMETER_STATUS: (_NAMES_SIZE, self._on_parameter),
                Backend.EMPTY_QUERY_RESPONSE: (HEADER_SIZE, self._on_step),
                Backend.PARSE_COMPLETE: (HEADER_SIZE, self._on_step),
                Backend.BIND_COMPLETE: (HEADER_SIZE, self._on_step),
                Backend.PORTAL_SUSPENDED: (HEADER_SIZE, self._on_step),
                Backend.COPY_IN_RESPONSE: (HEADER_SIZE, self._on_step),
                Backend.COPY_BOTH_RESPONSE: (HEADER_SIZE, self._on_step),
            }
        )
        self._client_encoding = "UTF8"
        self._standard_conforming_strings = True

    @property
    def is_idle(self) -> bool:
        """Whether no statement and no transaction is under way."""
        return self._conversation.is_idle

    def state(self) -> SessionState | None:
        return None

    def from_client(self, data: bytes) -> bytes:
        """Return the bytes to send to the server."""
        return b"".join(self._client.forward(data))

    def from_upstream(self, data: bytes) -> bytes:
        """Return the bytes to send to the client."""
        return b"".join(self._upstream.forward(data))

    def _on_plain(self, message: Frame) -> bytes:
        self._conversation.sent(_PLAIN[message.code])
        return message.raw

    def _on_bind(self, message: Frame) -> bytes:
        if not self._conversation.names_matter:
            return self._on_plain(message)
        self._conversation.sent(_read_bind(message.raw))
        return message.raw

    def _on_execute(self, message: Frame) -> bytes:
        if not self._conversation.names_matter:
            return self._on_plain(message)
        self._conversation.sent(_read_execute(message.raw))
        return message.raw

    def _on_query(self, message: Frame) -> bytes | None:
        if not message.is_whole and self._is_worth_waiting(message.raw, HEADER_SIZE):
            return None
        rewriting = self._rewrite(message, HEADER_SIZE, len(message.raw), is_reusable=False)
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
            self._conversation.sent(Awaited(AwaitedKind.PARSE))
            return raw
        name, start = named
        if not message.is_whole and self._is_worth_waiting(raw, start):
            return None
        end = raw.find(b"\0", start) + 1
        rewriting = self._rewrite(message, start, end, is_reusable=name != b"")
        self._conversation.sent(Awaited(AwaitedKind.PARSE, rewriting, statement=name))
        if rewriting is None:
            return raw
        text = encode(rewriting.text, self._client_encoding)
        return frame(Frontend.PARSE, raw[HEADER_SIZE:start] + text + b"\0" + raw[end:])

    def _is_worth_waiting(self, raw: bytes, start: int) -> bool:
        """Ask for the rest of a long text if it begins with a model statement."""
        # Nobody unknown may make the proxy hold that much.
        if len(raw) >= MAX_STATEMENT_SIZE or not self._conversation.is_logged_in:
            return False
        head = decode_head(raw[start:], self._client_encoding)
        if not self._rewriter.may_begin_statement(head):
            return False
        self._client.reader.want_more(MAX_STATEMENT_SIZE)
        return True

    def _rewrite(
        self, message: Frame, start: int, end: int, *, is_reusable: bool
    ) -> Rewriting | None:
        raw = message.raw[start : end - 1]
        if not message.is_whole or end <= start or not self._rewriter.may_hold_statement(raw):
            return None
        text = decode(raw, self._client_encoding)
        if text is None:
            return None
        # A named statement may run again where the answer is another one.
        atomic = None if is_reusable else self._conversation.is_atomic()
        return self._rewriter.rewrite(text, Surroundings(self._standard_conforming_strings, atomic))

    def _on_ready(self, message: Frame) -> bytes:
        self._conversation.ready(message.raw[HEADER_SIZE:])
        return message.raw

    def _on_step(self, message: Frame) -> bytes:
        self._conversation.received(message.code)
        return message.raw

    def _on_words(self, message: Frame) -> bytes:
        raw = self._edit(message)
        self._conversation.received(message.code)
        return raw

    def _on_parameter(self, message: Frame) -> bytes:
        name, value = (*message.raw[HEADER_SIZE:].split(b"\0"), b"")[:2]
        if name == b"client_encoding":
            self._client_encoding = value.decode("ascii", "replace")
        elif name == b"standard_conforming_strings":
            self._standard_conforming_strings = value == b"on"
        return message.raw

    def _edit(self, message: Frame) -> bytes:
        """Return a reply as it is, or in our words if it is one to a model statement."""
        current = self._conversation.current()
        if current is None or not message.is_whole:
            return message.raw
        rewriting, index = current
        payload = message.raw[HEADER_SIZE:]
        if message.code == Backend.COMMAND_COMPLETE:
            payload = edit_tag(payload[:-1], rewriting, index) + b"\0"
        else:
            fields = read_fields(payload)
            payload = write_fields(edit_fields(fields, rewriting, index, self._client_encoding))
        return frame(message.code, payload)


class _Direction:
    """One direction of the session: frames out of a stream, and bytes into the next."""

    def __init__(self, wanted: dict[int, tuple[int, Callable[[Frame], bytes | None]]]):
        self.reader = FrameReader({code: size for code, (size, _) in wanted.items()})
        self._actions = {code: action for code, (_, action) in wanted.items()}
        self._is_broken = False

    def forward(self, data: bytes) -> Iterator[bytes]:
        if self._is_broken:
            yield data
            return
        try:
            for item in self.reader.feed(data):
                if isinstance(item, bytes):
                    yield item
                elif (raw := self._actions[item.code](item)) is not None:
                    yield raw
        except ProtocolViolation as violation:
            # The other side knows best how to answer to this; from here on it gets the bytes.
            log.warning("forwarding blindly: %s", violation.message)
            self._is_broken = True
            yield self.reader.release()


def _read_bind(raw: bytes) -> Awaited:
    portal = read_cstring(raw, HEADER_SIZE)
    statement = portal and read_cstring(raw, portal[1])
    if portal is None or statement is None:
        return _PLAIN[Frontend.BIND]
    return Awaited(AwaitedKind.BIND, statement=statement[0], portal=portal[0])


def _read_execute(raw: bytes) -> Awaited:
    portal = read_cstring(raw, HEADER_SIZE)
    return Awaited(AwaitedKind.EXECUTE, portal=portal[0] if portal else b"")
