"""
What the load generator replays: exact bytes, and which message ends the answer.

`load/script.c` reads what `Script.write` writes.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sqlml.wire.messages import Backend, Frontend, frame

ACCOUNT_COUNT = 100_000
WIDE_ROW_COUNT = 20_000
BLOB_SIZE = 100_000
BLOB_COUNT = 500
HUGE_SIZE = 300_000_000
# libpq fills a buffer of this size before it writes.
BUFFER_SIZE = 8192
WHOLE = 1 << 30

_PATCH = b"0000000"
_POINT_QUERY = "SELECT abalance FROM pgbench_accounts WHERE aid = "
_COPY_DATA = ord("d")
_DESCRIBE_PORTAL = frame(Frontend.DESCRIBE, b"P\0")
_EXECUTE = frame(Frontend.EXECUTE, b"\0" + struct.pack("!i", 0))
_SYNC = frame(Frontend.SYNC, b"")


@dataclass(frozen=True, slots=True)
class Step:
    """Bytes to send and the code of the message that ends their answer."""

    data: bytes
    awaited: int = Backend.READY_FOR_QUERY
    chunk: int = WHOLE
    """Bytes of one write at most."""

    def write(self, phase: str) -> bytes:
        """The step as the generator reads it."""
        patch = self.data.find(_PATCH)
        head = f"{phase} {chr(self.awaited)} {self.chunk} {patch} {len(self.data)}\n"
        return head.encode() + self.data


@dataclass(frozen=True, slots=True)
class Script:
    """What a connection does at its beginning, before each slice, and repeatedly in it."""

    repeated: tuple[Step, ...]
    setup: tuple[Step, ...] = ()
    before: tuple[Step, ...] = ()

    def write(self, path: Path) -> None:
        """Write it to a file for the generator."""
        phases = {"s": self.setup, "b": self.before, "r": self.repeated}
        steps = (step.write(phase) for phase, steps in phases.items() for step in steps)
        path.write_bytes(b"%d\n" % ACCOUNT_COUNT + b"".join(steps))


def make_simple() -> Script:
    """pgbench -S -M simple: the number stands in the text."""
    return Script((_query(_POINT_QUERY + _PATCH.decode()),))


def make_extended() -> Script:
    """pgbench -S -M extended: parsed for every execution, as PQsendQueryParams does."""
    messages = _parse(b""), _bind(b""), _DESCRIBE_PORTAL, _EXECUTE, _SYNC
    return Script((Step(b"".join(messages)),))


def make_prepared() -> Script:
    """pgbench -S -M prepared: parsed once, as PQsendQueryPrepared executes."""
    messages = _bind(b"point"), _DESCRIBE_PORTAL, _EXECUTE, _SYNC
    return Script((Step(b"".join(messages)),), setup=(Step(_parse(b"point") + _SYNC),))


def make_blobs() -> Script:
    """A stream of large values."""
    return Script(
        (_query(f"SELECT repeat('x', {BLOB_SIZE}) FROM generate_series(1, {BLOB_COUNT})"),)
    )


def make_select() -> Script:
    """Many rows of ten columns."""
    return Script((_query("SELECT * FROM wide"),))


def make_copy_out() -> Script:
    """The same rows by COPY."""
    return Script((_query("COPY wide TO STDOUT"),))


def make_copy_in_rows(rows: list[bytes]) -> Script:
    """A frame for each row, as drivers send them."""
    return _copy_in(b"".join(frame(_COPY_DATA, row) for row in rows))


def make_copy_in_frames(rows: list[bytes]) -> Script:
    """Frames of 8 KB, as psql sends them."""
    data = b"".join(rows)
    pieces = (data[start : start + BUFFER_SIZE] for start in range(0, len(data), BUFFER_SIZE))
    return _copy_in(b"".join(frame(_COPY_DATA, piece) for piece in pieces))


def make_huge() -> Script:
    """One Query message with a literal of 300 MB."""
    return Script((_query(f"SELECT length('{'x' * HUGE_SIZE}')"),))


TRANSACTIONS: dict[str, Callable[[], Script]] = {
    "simple": make_simple,
    "extended": make_extended,
    "prepared": make_prepared,
}


def _copy_in(frames: bytes) -> Script:
    copy = _query("COPY sink FROM STDIN", awaited=Backend.COPY_IN_RESPONSE)
    return Script(
        (copy, Step(frames + frame(Frontend.COPY_DONE, b""), chunk=BUFFER_SIZE)),
        setup=(_query("CREATE TEMP TABLE sink (LIKE wide)"),),
        before=(_query("TRUNCATE sink"),),
    )


def _query(text: str, awaited: int = Backend.READY_FOR_QUERY) -> Step:
    return Step(frame(Frontend.QUERY, text.encode() + b"\0"), awaited)


def _parse(name: bytes) -> bytes:
    text = _POINT_QUERY.encode() + b"$1\0"
    return frame(Frontend.PARSE, name + b"\0" + text + struct.pack("!h", 0))


def _bind(name: bytes) -> bytes:
    value = struct.pack("!hhi", 0, 1, len(_PATCH)) + _PATCH
    return frame(Frontend.BIND, b"\0" + name + b"\0" + value + struct.pack("!h", 0))
