"""
The bytes of an artifact: little-endian numbers, texts, sections, header.

Owns the encoding. Does not know what the numbers mean.
"""

import math
import struct
import zlib
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from sqlml.errors import NotCompilable

MAGIC = b"SQLMLART"
FORMAT_VERSION = 3


class Writer:
    """Collects the bytes of one section."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def u32(self, value: int) -> None:
        """Write an unsigned number."""
        self._parts.append(struct.pack("<I", value))

    def f64(self, value: float) -> None:
        """Write a double that may be NaN."""
        self._parts.append(struct.pack("<d", value))

    def finite(self, value: float) -> None:
        """Write a double that must be finite."""
        if not math.isfinite(value):
            raise NotCompilable("the model holds a number that is not finite")
        self.f64(value)

    def doubles(self, values: NDArray[np.float64]) -> None:
        """Write doubles that must be finite, row by row."""
        if not np.isfinite(values).all():
            raise NotCompilable("the model holds a number that is not finite")
        self._parts.append(np.ascontiguousarray(values, dtype="<f8").tobytes())

    def floats(self, values: NDArray[np.float32]) -> None:
        """Write single-precision numbers that must be finite, row by row."""
        if not np.isfinite(values).all():
            raise NotCompilable("the model holds a number that is not finite")
        self._parts.append(np.ascontiguousarray(values, dtype="<f4").tobytes())

    def words(self, values: Sequence[int]) -> None:
        """Write unsigned numbers."""
        self._parts.append(struct.pack(f"<{len(values)}I", *values))

    def raw(self, data: bytes) -> None:
        """Write bytes as they are."""
        self._parts.append(data)

    def text(self, value: str) -> None:
        """Write the size of a text, then the text in UTF-8."""
        encoded = value.encode()
        if b"\0" in encoded:
            raise NotCompilable("the model holds a text with a zero byte")
        self.u32(len(encoded))
        self._parts.append(encoded)

    def texts(self, values: Sequence[str]) -> None:
        """Write how many texts there are, then each."""
        self.u32(len(values))
        for value in values:
            self.text(value)

    def take(self) -> bytes:
        """The bytes written so far."""
        return b"".join(self._parts)


def make_file(sections: Iterable[tuple[int, bytes]]) -> tuple[bytes, int]:
    """Join sections behind a header; also return the checksum."""
    body = b"".join(
        struct.pack("<IIQ", kind, 0, len(payload)) + payload for kind, payload in sections
    )
    crc32 = zlib.crc32(body)
    header = struct.pack("<8sIIQQ", MAGIC, FORMAT_VERSION, crc32, 32 + len(body), 0)
    return header + body, crc32
