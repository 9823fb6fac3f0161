"""
Cut a stream of bytes into frames, whole or only as far as their reader wants them.

Does not know what a frame means. What nobody wants is passed on in the runs it arrived in.
"""

import struct
from collections.abc import Generator, Iterator
from typing import NamedTuple

from sqlml.errors import ProtocolViolation

HEADER_SIZE = 5
_LENGTH = struct.Struct("!i")


class Frame(NamedTuple):
    """One frame from its code on; when it is not whole, the rest follows as bytes."""

    code: int
    raw: bytes
    is_whole: bool


class FrameReader:
    """
    The frames of one direction of a connection.

    `wanted` maps a frame's code to the number of bytes its reader wants to see together;
    frames with other codes pass unseen. Memory is bounded by the largest number wanted.
    """

    def __init__(self, wanted: dict[int, int]):
        self._wanted = [wanted.get(code, 0) for code in range(256)]
        self._held: list[bytes] = []
        self._held_size = 0
        self._needed = HEADER_SIZE
        self._passing = 0
        self._more = 0

    @property
    def is_between_frames(self) -> bool:
        """Whether all that was fed has been given back and a frame begins next."""
        return not self._held and self._passing == 0

    def want(self, wanted: dict[int, int], otherwise: int = 0) -> None:
        """Ask from the next frame on for these sizes, and for another one of all others."""
        self._wanted[:] = [wanted.get(code, otherwise) for code in range(256)]

    def want_more(self, size: int) -> None:
        """Ask for the frame just given, which was not whole, again with up to this size."""
        self._more = size

    def feed(self, data: bytes) -> Iterator[Frame | bytes]:
        """Yield what these bytes complete, in order; in the end that is every byte fed."""
        if self._held:
            self._held.append(data)
            self._held_size += len(data)
            if self._held_size < self._needed:
                return
            data = self.release()
        yield from self._cut(data)

    def release(self) -> bytes:
        """Give up the bytes that wait for more, as after a violation."""
        held = b"".join(self._held)
        self._held.clear()
        return held

    def _cut(self, data: bytes) -> Iterator[Frame | bytes]:
        unpack_length, wanted = _LENGTH.unpack_from, self._wanted
        size = len(data)
        start, position = 0, min(size, self._passing)
        self._passing -= position
        while size - position >= HEADER_SIZE:
            (length,) = unpack_length(data, position + 1)
            if length < HEADER_SIZE - 1:
                self._hold(data[start:], 0)
                raise ProtocolViolation(f"invalid message length {length}")
            end = position + length + 1
            if want := wanted[data[position]]:
                if start < position:
                    yield data[start:position]
                if end <= size and length < want:
                    self._needed = HEADER_SIZE
                    yield Frame(data[position], data[position:end], True)
                    start = end
                else:
                    start = yield from self._cut_frame(data, position, end)
                    if start == position:
                        return
            position = min(end, size)
            self._passing = end - position
        if start < position:
            yield data[start:position]
        if position < size:
            self._hold(data[position:], HEADER_SIZE)

    def _cut_frame(self, data: bytes, start: int, end: int) -> Generator[Frame, None, int]:
        """Yield a long frame; return where it was cut, or its start if more must come."""
        want = min(end - start, max(self._wanted[data[start]], self._needed))
        self._needed = HEADER_SIZE
        while True:
            if len(data) - start < want:
                self._hold(data[start:], want)
                return start
            self._more = 0
            yield Frame(data[start], data[start : start + want], start + want == end)
            if start + want == end or self._more <= want:
                return start + want
            want = min(end - start, self._more)

    def _hold(self, data: bytes, needed: int) -> None:
        self._held = [data]
        self._held_size = len(data)
        self._needed = needed
