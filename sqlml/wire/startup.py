"""
The packets that come before the first frame: length, code, contents.

Reads one packet at a time. Does not decide what the answer is.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum

from sqlml.errors import ProtocolViolation

MAX_STARTUP_SIZE = 10_000
TLS_HANDSHAKE = 0x16
_HEAD = struct.Struct("!ii")
_MIN_STARTUP_SIZE = _HEAD.size


class RequestCode(IntEnum):
    """The codes that stand where a StartupMessage has its protocol version."""

    CANCEL = 80877102
    SSL = 80877103
    GSSENC = 80877104


@dataclass(frozen=True, slots=True)
class StartupPacket:
    """One packet, and what arrived behind it."""

    code: int
    raw: bytes
    rest: bytes

    @property
    def major_version(self) -> int:
        return self.code >> 16

    def parameters(self) -> dict[bytes, bytes]:
        """Return the parameters of a StartupMessage, such as user and replication."""
        words = self.raw[_HEAD.size :].split(b"\0")
        return dict(zip(words[0::2], words[1::2], strict=False))


def read_startup(data: bytes) -> StartupPacket | None:
    """Return the first packet of these bytes, or None if it is not whole yet."""
    if len(data) < 4:
        return None
    size = int.from_bytes(data[:4], "big", signed=True)
    if not _MIN_STARTUP_SIZE <= size <= MAX_STARTUP_SIZE:
        raise ProtocolViolation("invalid length of startup packet")
    if len(data) < size:
        return None
    code = _HEAD.unpack_from(data)[1]
    return StartupPacket(code, data[:size], data[size:])


def is_replication(packet: StartupPacket) -> bool:
    """Say whether the session will speak the replication commands."""
    value = packet.parameters().get(b"replication", b"false").lower()
    return value not in (b"", b"false", b"off", b"no", b"0")
