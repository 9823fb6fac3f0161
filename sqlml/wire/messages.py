"""
The few messages that the proxy reads, changes or writes itself.

Texts stay bytes: which encoding they have is the session's knowledge.
"""

import struct
from collections.abc import Mapping
from enum import IntEnum

_LENGTH = struct.Struct("!i")


class Frontend(IntEnum):
    """The codes of frontend messages."""

    BIND = ord("B")
    CLOSE = ord("C")
    COPY_DONE = ord("c")
    COPY_FAIL = ord("f")
    DESCRIBE = ord("D")
    EXECUTE = ord("E")
    FUNCTION_CALL = ord("F")
    PARSE = ord("P")
    PASSWORD = ord("p")
    QUERY = ord("Q")
    SYNC = ord("S")
    TERMINATE = ord("X")


class Backend(IntEnum):
    """The codes of backend messages."""

    AUTHENTICATION = ord("R")
    BIND_COMPLETE = ord("2")
    CLOSE_COMPLETE = ord("3")
    COMMAND_COMPLETE = ord("C")
    COPY_BOTH_RESPONSE = ord("W")
    COPY_IN_RESPONSE = ord("G")
    DATA_ROW = ord("D")
    EMPTY_QUERY_RESPONSE = ord("I")
    ERROR_RESPONSE = ord("E")
    NO_DATA = ord("n")
    NOTICE_RESPONSE = ord("N")
    PARAMETER_STATUS = ord("S")
    PARSE_COMPLETE = ord("1")
    PORTAL_SUSPENDED = ord("s")
    READY_FOR_QUERY = ord("Z")
    ROW_DESCRIPTION = ord("T")


class Field(IntEnum):
    """The fields of errors and notices that the proxy knows."""

    SEVERITY = ord("S")
    SEVERITY_NAME = ord("V")
    SQLSTATE = ord("C")
    MESSAGE = ord("M")
    DETAIL = ord("D")
    HINT = ord("H")
    POSITION = ord("P")
    INTERNAL_POSITION = ord("p")
    INTERNAL_QUERY = ord("q")
    CONTEXT = ord("W")
    FILE = ord("F")
    LINE = ord("L")
    ROUTINE = ord("R")


Fields = dict[int, bytes]


def frame(code: int, payload: bytes) -> bytes:
    """Return a message with its header."""
    return bytes((code,)) + _LENGTH.pack(len(payload) + _LENGTH.size) + payload


def read_fields(payload: bytes) -> Fields:
    """Return the fields of an ErrorResponse or NoticeResponse in their order."""
    return {field[0]: field[1:] for field in payload.split(b"\0") if field}


def write_fields(fields: Mapping[int, bytes]) -> bytes:
    """Return the payload of an ErrorResponse or NoticeResponse."""
    return b"".join(bytes((code,)) + value + b"\0" for code, value in fields.items()) + b"\0"


def error_response(
    severity: str, sqlstate: str, message: str, detail: str | None = None, hint: str | None = None
) -> bytes:
    """Return an ErrorResponse with all that the protocol says is always there."""
    if len(sqlstate) != 5:
        raise ValueError(f"not an SQLSTATE: {sqlstate!r}")
    texts = {
        Field.SEVERITY: severity,
        Field.SEVERITY_NAME: severity,
        Field.SQLSTATE: sqlstate,
        Field.MESSAGE: message,
        Field.DETAIL: detail,
        Field.HINT: hint,
    }
    fields = {int(code): text.encode() for code, text in texts.items() if text is not None}
    return frame(Backend.ERROR_RESPONSE, write_fields(fields))


def read_cstring(payload: bytes, start: int = 0) -> tuple[bytes, int] | None:
    """Return the string that starts here and where the next field does; None if cut off."""
    end = payload.find(b"\0", start)
    return None if end < 0 else (payload[start:end], end + 1)
