"""
The table of bad inputs: what may arrive at the proxy, and what has to come back.

| where                 | bad input                                        | what has to happen    |
|-----------------------|--------------------------------------------------|-----------------------|
| before a packet       | nothing, a cut packet, then the end              | closed                |
| start-up length       | 0, 3, 4, 7, negative, 10 001, 2 GB; `GET /`      | refused               |
| encryption request    | twice; with bytes behind it (CVE-2021-23214)     | refused               |
| start-up packet       | version 0, 1, 2, 4, 3.9999, `_pq_.`; no user     | the server's answer   |
|                       | no end; 9 kB; not UTF-8; bad options             | the server's answer   |
| cancel request        | unknown, cut, too long                           | closed                |
| before authentication | Query, Terminate, random bytes                   | the server's answer   |
| frame length          | negative, 0, 3, 1 GB, 2 GB, for all codes        | the server's answer   |
| frame code            | unknown, the server's codes, NUL, 0xff           | the server's answer   |
| contents              | no NUL, two NULs, counts that lie, cut fields    | the server's answer   |
|                       | not the encoding                                 | the server's answer   |
| order                 | data without COPY, a query in COPY               | the server's answer   |
|                       | password after login, a query behind Terminate   | the server's answer   |
| arrival               | byte by byte, all at once, cut anywhere          | the same answer       |
| end                   | half-close or reset anywhere                     | no session, no file   |
| pace                  | slow-loris, stalled reader or server, storms     | flat memory           |
| the server            | garbage, cut frames, lengths that lie, silence   | its bytes arrive      |
|                       | reset                                            | its session ends      |

Refused is FATAL 08P01 and closed, without asking the server. In all rows no other session notices.
The server's answer is compared byte for byte with a direct connection to the same server.
"""

import struct
from collections.abc import Iterator

from sqlml.wire.messages import Frontend, frame
from sqlml.wire.startup import RequestCode
from tests.proxy.talk import (
    FLUSH,
    SYNC,
    TERMINATE,
    bind,
    close,
    describe,
    execute,
    once,
    parse,
    query,
)

SSL_REQUEST = struct.pack("!ii", 8, RequestCode.SSL)
GSSENC_REQUEST = struct.pack("!ii", 8, RequestCode.GSSENC)
VERSION_3 = 3 << 16
LENGTHS = (-(1 << 31), -1, 0, 3, 1 << 30, (1 << 31) - 1)
COPY_DATA, COPY_DONE = frame(ord("d"), b"1\n"), frame(Frontend.COPY_DONE, b"")
COPY_FAIL = frame(Frontend.COPY_FAIL, b"no more\0")


def packet(code: int, contents: bytes, length: int | None = None) -> bytes:
    """Return a start-up packet, whose length may lie."""
    return struct.pack("!ii", len(contents) + 8 if length is None else length, code) + contents


def startup(version: int = VERSION_3, **parameters: str) -> bytes:
    """Return a StartupMessage."""
    words = b"".join(f"{key}\0{value}\0".encode() for key, value in parameters.items())
    return packet(version, words + b"\0")


START = startup(user="postgres", database="sqlml")

REFUSED: dict[str, bytes] = {
    # PostgreSQL closes these without a word; the protocol allows one.
    "length 0": struct.pack("!i", 0),
    "length 3": struct.pack("!i", 3),
    "length 4": struct.pack("!i", 4),
    "length 7": packet(VERSION_3, b"", 7),
    "negative length": packet(VERSION_3, b"", -1),
    "length 10 001": packet(VERSION_3, b"", 10_001),
    "length 2 GB": packet(VERSION_3, b"", (1 << 31) - 1),
    "HTTP": b"GET / HTTP/1.1\r\nHost: model\r\n\r\n",
    "text": b"CREATE MODEL m PREDICT y FROM t;\n",
    "0xff": b"\xff" * 64,
    "SSLRequest with a start-up behind it": SSL_REQUEST + START,
    "GSSENCRequest with a byte behind it": GSSENC_REQUEST + b"\0",
}
"""FATAL 08P01 from the proxy itself, and the end."""

CLOSED: dict[str, bytes] = {
    "nothing": b"",
    "a cut length": b"\0\0",
    "a length alone": struct.pack("!i", 100),
    "a cut packet": START[:-3],
    "a cut SSLRequest": SSL_REQUEST[:7],
    "a cancel request that nobody waits for": packet(RequestCode.CANCEL, struct.pack("!ii", 1, 2)),
    "a cancel request with half a key": packet(RequestCode.CANCEL, struct.pack("!i", 1)),
    "a cancel request without a key": packet(RequestCode.CANCEL, b""),
    "a cancel request with 300 bytes of key": packet(RequestCode.CANCEL, b"\1" * 304),
    "a cancel request with a query behind it": packet(RequestCode.CANCEL, struct.pack("!ii", 1, 2))
    + query("SELECT 1"),
}
"""The client has sent this and ends; it gets the end and nothing else."""

STARTUPS: dict[str, bytes] = {
    "version 0": startup(0, user="postgres"),
    "version 1": startup(1 << 16, user="postgres"),
    "version 2": packet(2 << 16, b"sqlml".ljust(64, b"\0") + b"postgres".ljust(224, b"\0")),
    "version 4": startup(4 << 16, user="postgres"),
    "version 3.2": startup(VERSION_3 + 2, user="postgres", database="sqlml"),
    "version 3.9999": startup(VERSION_3 + 9999, user="postgres", database="sqlml"),
    "an unknown protocol extension": packet(
        VERSION_3, b"user\0postgres\0database\0sqlml\0_pq_.model\01\0\0"
    ),
    "no user": startup(database="sqlml"),
    "no parameters": packet(VERSION_3, b"\0"),
    "no contents": packet(VERSION_3, b""),
    "no terminator": packet(VERSION_3, b"user\0postgres\0database\0sqlml\0"),
    "no NUL": packet(VERSION_3, b"user"),
    "a name without a value": packet(VERSION_3, b"user\0postgres\0database\0"),
    "an empty user": startup(user="", database="sqlml"),
    "a user of 9 kB": startup(user="u" * 9000, database="sqlml"),
    "exactly 10 000 bytes": startup(user="u" * (10_000 - len(startup(user="")))),
    "bytes behind the terminator": packet(VERSION_3, b"user\0postgres\0\0model\0"),
    "not UTF-8": packet(VERSION_3, b"user\0\xff\xfe\0database\0\xc3\0\0"),
    "another database": startup(user="postgres", database="nothing"),
    "another role": startup(user="nobody", database="sqlml"),
    "an unknown setting": startup(user="postgres", database="sqlml", nothing="1"),
    "options": startup(user="postgres", database="sqlml", options="-c nothing=1"),
    "options that are none": startup(user="postgres", database="sqlml", options="--\\ -x model"),
    "an unknown encoding": startup(user="postgres", database="sqlml", client_encoding="model"),
    "replication is nonsense": startup(user="postgres", database="sqlml", replication="model"),
    "a query behind it": START + query("SELECT 1"),
    "Terminate behind it": START + TERMINATE,
    "garbage behind it": START + b"\xff\0\0\0\4\1\2\3",
    "2 GB behind it": START + b"p\x7f\xff\xff\xffmodel",
    "another start-up behind it": START + START,
}
"""What the server says before it knows who it is; the client ends its side at once."""


def _lying(code: str, length: int) -> bytes:
    return code.encode("latin-1") + struct.pack("!i", length)


SHORT_COPY = query("CREATE TEMPORARY TABLE t (model int)") + query("COPY t FROM STDIN")
BROKEN_PARSE = frame(Frontend.PARSE, b"s\0SELECT $1\0" + struct.pack("!h", 3) + b"\0\0\0\x17")
BROKEN: dict[str, bytes] = {
    **{
        f"{code!r} with length {length}": _lying(code, length) + b"model\0"
        for code in "QPBEDCSHFdcfXp\0\xff"
        for length in LENGTHS
    },
    **{
        f"the code {code!r}": frame(ord(code), b"model\0")
        for code in "\0\1 09AGIJKLMNORTUVWYZabeghijklmnoqrstuvwxyz~\x7f\x80\xff"
    },
    "text without its end": frame(Frontend.QUERY, b"SELECT 'model'"),
    "NUL in the text": frame(Frontend.QUERY, b"SELECT 'model\0'\0"),
    "text behind the text": frame(Frontend.QUERY, b"SELECT 1\0SHOW MODELS\0"),
    "no text": frame(Frontend.QUERY, b""),
    "not the encoding": frame(Frontend.QUERY, b"SELECT 'model \xff\xc3'\0"),
    "half a character": frame(Frontend.QUERY, b"SELECT 'model \xc3\0"),
    "a model statement that is not the encoding": frame(Frontend.QUERY, b"SHOW MODEL \xff\0"),
    "a Parse of nothing": frame(Frontend.PARSE, b"") + SYNC,
    "a Parse without text": frame(Frontend.PARSE, b"model\0") + SYNC,
    "a Parse without types": frame(Frontend.PARSE, b"\0SELECT 'model'\0") + SYNC,
    "a Parse with too few types": BROKEN_PARSE + SYNC,
    "a Parse with -1 types": frame(Frontend.PARSE, b"\0SELECT 1\0\xff\xff") + SYNC,
    "a Parse with too much": frame(Frontend.PARSE, b"\0SELECT 'model'\0\0\0model\0") + SYNC,
    "a Parse with an unknown type": parse("SELECT $1", oids=(4_000_000_000,)) + SYNC,
    "a Bind of nothing": parse("SELECT 1") + frame(Frontend.BIND, b"") + SYNC,
    "a Bind with one name": parse("SELECT 1") + frame(Frontend.BIND, b"model\0") + SYNC,
    "a Bind with names of 2 kB": parse("SELECT 1") + bind("p" * 2000, "s" * 2000) + SYNC,
    "a Bind with 32 767 formats": parse("SELECT 1")
    + frame(Frontend.BIND, b"\0\0\x7f\xff\0\0\0\0")
    + SYNC,
    "a Bind with format 7": parse("SELECT 1")
    + frame(Frontend.BIND, b"\0\0\0\1\0\7\0\0\0\0")
    + SYNC,
    "a Bind with a value of 2 GB": parse("SELECT $1::text")
    + frame(Frontend.BIND, b"\0\0\0\0\0\1\x7f\xff\xff\xffmodel\0\0")
    + SYNC,
    "a Bind with a value of -2 bytes": parse("SELECT $1::text")
    + frame(Frontend.BIND, b"\0\0\0\0\0\1\xff\xff\xff\xfe\0\0")
    + SYNC,
    "a Bind with too few values": parse("SELECT $1::text") + bind() + SYNC,
    "a Bind of an unknown statement": bind(name="model") + execute() + SYNC,
    "an Execute of an unknown portal": execute("model") + SYNC,
    "an Execute without a limit": parse("SELECT 1")
    + bind()
    + frame(Frontend.EXECUTE, b"\0")
    + SYNC,
    "an Execute of -1 rows": parse("SELECT 1") + bind() + execute(max_rows=0xFFFFFFFF) + SYNC,
    "a Describe of X": describe("X") + SYNC,
    "a Describe of nothing": frame(Frontend.DESCRIBE, b"") + SYNC,
    "a Describe of an unknown statement": describe("S", "model") + SYNC,
    "a Close of X": close("X") + SYNC,
    "a Close of an unknown statement": close("S", "model") + close("P", "model") + SYNC,
    "a Sync with contents": frame(Frontend.SYNC, b"model") + query("SELECT 'model'"),
    "a Flush with contents": frame(ord("H"), b"model") + query("SELECT 'model'"),
    "a Terminate with contents": frame(ord("X"), b"model"),
    "a function call of nothing": frame(Frontend.FUNCTION_CALL, b""),
    "a function call that is cut": frame(Frontend.FUNCTION_CALL, b"\0\0\x08\x3c\0\1"),
    "a call of an unknown function": frame(Frontend.FUNCTION_CALL, b"\7\7\7\7\0\0\0\0\0\0"),
    "CopyData without COPY": COPY_DATA + query("SELECT 'model'"),
    "CopyDone without COPY": COPY_DONE + query("SELECT 'model'"),
    "CopyFail without COPY": COPY_FAIL + query("SELECT 'model'"),
    "a query during COPY": SHORT_COPY + query("SELECT 'model'"),
    "a Parse during COPY": SHORT_COPY + once("SELECT 'model'") + SYNC,
    "Terminate during COPY": SHORT_COPY + COPY_DATA + TERMINATE,
    "a CopyFail without its end": SHORT_COPY + frame(Frontend.COPY_FAIL, b"model"),
    "CopyDone twice": SHORT_COPY + COPY_DONE + COPY_DONE + query("SELECT 'model'"),
    "Sync and Flush during COPY": SHORT_COPY
    + (SYNC + FLUSH + COPY_DATA + COPY_DONE)
    + query("SELECT model + 0 FROM t"),
    "a password after login": frame(ord("p"), b"model\0") + query("SELECT 'model'"),
    "an SSLRequest after login": SSL_REQUEST,
    "a start-up packet after login": START,
    "HTTP after login": b"GET /model HTTP/1.1\r\n\r\n",
    "a query behind Terminate": query("SELECT 'model'") + TERMINATE + query("SELECT 2"),
    "a frame cut in its header": query("SELECT 'model'") + b"Q\0\0",
    "a frame cut in its text": query("SELECT 'model'") + query("SELECT 'model'")[:-4],
    "a model statement cut in its text": query("SELECT 1") + query("SHOW MODELS")[:-4],
    "a Parse cut in its name": _lying("P", 100) + b"mod",
}
"""After login, byte for byte as the server answers; the client ends its side behind it."""


def every_kind_of_message() -> Iterator[bytes]:
    """Each message that a client may send, so that a session may be cut at any byte of it."""
    yield query("SELECT 'model'")
    yield parse("SELECT $1::text AS model", "s", (25,)) + bind("p", "s", (b"model",))
    yield describe("S", "s") + describe("P", "p") + execute("p", 1) + FLUSH
    yield close("P", "p") + SYNC + frame(Frontend.FUNCTION_CALL, b"\0\0\x08\x3c\0\0\0\0\0\0")
    yield SHORT_COPY + COPY_DATA + COPY_DONE
