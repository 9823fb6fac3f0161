"""
The words of the server's replies to model statements.

The server answers the SQL call; the client asked for a model statement. Tags, positions and
contexts are put right, and nothing else.
"""

from sqlml.proxy.rewriting import Refusal, Rewriting, Splice
from sqlml.wire.encodings import decode, encode_message
from sqlml.wire.frames import HEADER_SIZE, Frame
from sqlml.wire.messages import Backend, Field, Fields, frame, read_fields, write_fields

_TAGS_OF_CALLS = (b"CALL", b"SELECT")
_SYNTAX_ERROR = b"42601"
_UNKNOWN_SETTING = b"42704"
_UNKNOWN_SCHEMA_OR_FUNCTION = (b"3F000", b"42883")
_UNKNOWN_COLUMN_OR_TABLE = (b"42703", b"42P01")
_NO_MODEL = b"There is no model of this name either: SHOW MODELS lists them."
# They tell of the call and of the inside of the SQL API.
_OF_THE_CALL = (
    Field.POSITION,
    Field.INTERNAL_POSITION,
    Field.INTERNAL_QUERY,
    Field.CONTEXT,
    Field.FILE,
    Field.LINE,
    Field.ROUTINE,
)


def edit(message: Frame, rewriting: Rewriting, index: int, client_encoding: str) -> bytes:
    """Return a reply to this statement of a text as the client shall read it."""
    if not message.is_whole:
        return message.raw
    payload = message.raw[HEADER_SIZE:]
    if message.code == Backend.COMMAND_COMPLETE:
        payload = edit_tag(payload[:-1], rewriting, index) + b"\0"
    else:
        fields = edit_fields(read_fields(payload), rewriting, index, client_encoding)
        payload = write_fields(fields)
    return frame(message.code, payload)


def edit_tag(tag: bytes, rewriting: Rewriting, statement_index: int) -> bytes:
    """Return the command tag that the client shall read."""
    splice = rewriting.find_splice(statement_index)
    is_of_call = tag.partition(b" ")[0] in _TAGS_OF_CALLS
    if is_of_call and splice is not None and splice.tag is not None:
        return splice.tag.encode()
    return tag


def edit_fields(
    fields: Fields, rewriting: Rewriting, statement_index: int, client_encoding: str
) -> Fields:
    """Return the fields of an error or notice as the client shall read them."""
    place = _read_position(fields.get(Field.POSITION))
    original = None if place is None else rewriting.original_position(place)
    refusal = rewriting.refusal
    if refusal is not None and _is_of(refusal, fields, original, statement_index):
        return _refused(fields, refusal, client_encoding)
    if original is not None:
        edited = {**fields, Field.POSITION: b"%d" % (original + 1)}
        if original in rewriting.absent and fields.get(Field.SQLSTATE) in _UNKNOWN_COLUMN_OR_TABLE:
            edited.setdefault(Field.HINT, _NO_MODEL)
        return edited
    splice = rewriting.find_splice(statement_index)
    if splice is None:
        return fields
    return _of_splice(fields, splice, client_encoding)


def _is_of(refusal: Refusal, fields: Fields, original: int | None, statement_index: int) -> bool:
    """Say whether this is the error that the server raises for the refused statement."""
    sqlstate = fields.get(Field.SQLSTATE)
    if original is not None:
        in_statement = refusal.start <= original < refusal.error.position
        return sqlstate == _SYNTAX_ERROR and in_statement
    # SHOW MODEL without a name is the one refused statement that PostgreSQL can parse.
    return sqlstate == _UNKNOWN_SETTING and statement_index == refusal.statement_index


def _refused(fields: Fields, refusal: Refusal, client_encoding: str) -> Fields:
    error = refusal.error
    kept = (Field.SEVERITY, Field.SEVERITY_NAME)
    edited: Fields = {code: fields[code] for code in kept if code in fields}
    edited[Field.SQLSTATE] = error.sqlstate.encode()
    edited[Field.MESSAGE] = encode_message(error.message, client_encoding)
    if error.detail is not None:
        edited[Field.DETAIL] = encode_message(error.detail, client_encoding)
    if error.hint is not None:
        edited[Field.HINT] = encode_message(error.hint, client_encoding)
    edited[Field.POSITION] = b"%d" % error.position
    return edited


def _of_splice(fields: Fields, splice: Splice, client_encoding: str) -> Fields:
    edited = {code: value for code, value in fields.items() if code not in _OF_THE_CALL}
    if _is_not_installed(fields):
        edited[Field.DETAIL] = fields[Field.MESSAGE]
        edited[Field.MESSAGE] = b"sqlml is not installed in this database"
        edited[Field.HINT] = b'Put it into this database with "sqlml install".'
    position = _position_in_query(fields, splice, client_encoding)
    if position is not None:
        edited[Field.POSITION] = b"%d" % (position + 1)
    return edited


def _is_not_installed(fields: Fields) -> bool:
    """Say whether the call itself is unknown; what is inside it has a context."""
    is_unknown = fields.get(Field.SQLSTATE) in _UNKNOWN_SCHEMA_OR_FUNCTION
    is_ours = b"sqlml" in fields.get(Field.MESSAGE, b"")
    return is_unknown and is_ours and Field.CONTEXT not in fields


def _position_in_query(fields: Fields, splice: Splice, client_encoding: str) -> int | None:
    """Find the place of an error inside the training query in the user's own text."""
    internal = _read_position(fields.get(Field.INTERNAL_POSITION))
    if internal is None or not splice.query:
        return None
    text = decode(fields.get(Field.INTERNAL_QUERY, b""), client_encoding)
    start = -1 if text is None else text.find(splice.query)
    if start < 0 or not start <= internal <= start + len(splice.query):
        return None
    return splice.query_start + internal - start


def _read_position(value: bytes | None) -> int | None:
    """Return a position counted from 0."""
    return int(value) - 1 if value is not None and value.isdigit() else None
