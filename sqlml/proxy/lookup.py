"""
The proxy's own question to the server: which schema holds the function of a model?

It is asked inside the client's session, with named messages, so that the client's unnamed
statement and portal live on. It reads nothing but pg_catalog.
"""

from sqlml.proxy.rewriting import ModelName
from sqlml.wire.encodings import can_encode, decode, encode
from sqlml.wire.frames import HEADER_SIZE, Frame
from sqlml.wire.messages import Backend, Field, Frontend, frame, read_fields

MAX_MODELS = 16
"""So many models are looked up for one text."""
_NAME = b"sqlml proxy: a model's function\0"
# The first on the search path, as a name without a schema means everywhere else.
_SQL = b"""
SELECT namespace.nspname
  FROM pg_catalog.pg_proc AS function
  JOIN pg_catalog.pg_namespace AS namespace
    ON namespace.oid OPERATOR(pg_catalog.=) function.pronamespace
 WHERE function.proname OPERATOR(pg_catalog.=) $1::pg_catalog.text::pg_catalog.name
   AND pg_catalog.octet_length($1::pg_catalog.text) OPERATOR(pg_catalog.<) 64
   AND function.pronargs OPERATOR(pg_catalog.=) 1
   AND function.proargtypes[0] OPERATOR(pg_catalog.=) 'pg_catalog.anyelement'::pg_catalog.regtype
   AND pg_catalog.starts_with(function.prosrc, 'SELECT sqlml.predict(')
   AND CASE WHEN $2::pg_catalog.text IS NULL
            THEN namespace.nspname OPERATOR(pg_catalog.=) ANY (pg_catalog.current_schemas(false))
            ELSE namespace.nspname OPERATOR(pg_catalog.=) $2::pg_catalog.text END
 ORDER BY pg_catalog.array_position(pg_catalog.current_schemas(false), namespace.nspname)
 LIMIT 1
"""
_SWALLOWED = (
    Backend.PARSE_COMPLETE,
    Backend.BIND_COMPLETE,
    Backend.CLOSE_COMPLETE,
    Backend.COMMAND_COMPLETE,
    Backend.DATA_ROW,
)
_ENDS_SESSION = (b"FATAL", b"PANIC")
_NULL = (-1).to_bytes(4, "big", signed=True)


class Lookup:
    """One exchange of questions and answers; over when ReadyForQuery has come."""

    def __init__(self, models: tuple[ModelName, ...], client_encoding: str):
        self._client_encoding = client_encoding
        self._models = list(filter(self._can_ask, models))[:MAX_MODELS]
        self._row: str | None = None
        self.schemas: dict[ModelName, str | None] = {}
        """What was found so far."""
        self.error: bytes | None = None
        """The server's ErrorResponse, if it did not answer."""

    def question(self) -> bytes:
        """Return the messages that ask."""
        parse = frame(Frontend.PARSE, _NAME + _SQL + b"\0\0\0")
        asked = b"".join(map(self._ask, self._models))
        # One that a failed exchange has left would be in the way.
        return _close(b"S") + parse + asked + _close(b"S") + frame(Frontend.SYNC, b"")

    def receive(self, message: Frame) -> bytes:
        """Read a reply; return what of it is for the client."""
        if message.code == Backend.DATA_ROW:
            # One column: its number, its length, its bytes.
            self._row = decode(message.raw[HEADER_SIZE + 6 :], self._client_encoding)
        elif message.code == Backend.COMMAND_COMPLETE and len(self.schemas) < len(self._models):
            self.schemas[self._models[len(self.schemas)]] = self._row
            self._row = None
        elif message.code == Backend.ERROR_RESPONSE:
            if read_fields(message.raw[HEADER_SIZE:]).get(Field.SEVERITY_NAME) in _ENDS_SESSION:
                return message.raw
            self.error = message.raw
            return b""
        return b"" if message.code in _SWALLOWED else message.raw

    def _ask(self, model: ModelName) -> bytes:
        values = self._value(f"predict_{model.name}")
        values += _NULL if model.schema is None else self._value(model.schema)
        # All formats are text, and so is the result's.
        bind = frame(Frontend.BIND, _NAME + _NAME + b"\0\0\0\2" + values + b"\0\0")
        return bind + frame(Frontend.EXECUTE, _NAME + b"\0\0\0\0") + _close(b"P")

    def _can_ask(self, model: ModelName) -> bool:
        return can_encode(f"{model.schema}.{model.name}", self._client_encoding)

    def _value(self, text: str) -> bytes:
        raw = encode(text, self._client_encoding)
        return len(raw).to_bytes(4, "big") + raw


def _close(kind: bytes) -> bytes:
    return frame(Frontend.CLOSE, kind + _NAME)
