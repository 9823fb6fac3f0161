"""
Send anything, read everything: what a connection said until its end.
"""

import socket
import struct
from contextlib import suppress
from functools import cache
from typing import NamedTuple

from tests.proxy.talk import Talker, open_socket, talk

_RESET = struct.pack("ii", 1, 0)
_MASKED = {"K", "A"}
"""BackendKeyData and NotificationResponse name a process."""


class Outcome(NamedTuple):
    """All that came back, the process numbers left out."""

    messages: list[tuple[str, bytes]]
    rest: bytes


def send_all(talker: Talker, data: bytes, piece_size: int | None = None) -> None:
    """Send as far as the other side takes it."""
    with suppress(ConnectionError):
        talker.send(data, piece_size)


def read_to_end(sock: socket.socket) -> bytes:
    """Read until the connection has ended, in whatever way."""
    received = bytearray()
    with suppress(ConnectionError):
        while data := sock.recv(65536):
            received += data
    return bytes(received)


def read_outcome(sock: socket.socket) -> Outcome:
    """Read to the end and cut into messages; what is none is the rest."""
    data, messages, position = read_to_end(sock), [], 0
    while len(data) - position >= 5:
        end = position + 1 + int.from_bytes(data[position + 1 : position + 5], "big", signed=True)
        if not position + 5 <= end <= len(data):
            break
        code = chr(data[position])
        messages.append((code, b"" if code in _MASKED else data[position + 5 : end]))
        position = end
    return Outcome(messages, data[position:])


def start_with(dsn: str, data: bytes, piece_size: int | None = None) -> Outcome:
    """The outcome of a connection that begins with these bytes and sends no more."""
    with open_socket(dsn) as talker:
        if data:
            send_all(talker, data, piece_size)
        with suppress(OSError):
            talker.socket.shutdown(socket.SHUT_WR)
        return read_outcome(talker.socket)


def go_on_with(dsn: str, data: bytes, piece_size: int | None = None) -> Outcome:
    """The outcome of these bytes after login, with the client's end behind them."""
    with talk(dsn) as talker:
        send_all(talker, data, piece_size)
        with suppress(OSError):
            talker.socket.shutdown(socket.SHUT_WR)
        return read_outcome(talker.socket)


@cache
def directly(dsn: str, data: bytes) -> Outcome:
    """The outcome of these bytes after login, without a proxy."""
    return go_on_with(dsn, data)


def reset(sock: socket.socket) -> None:
    """Close so that the other side gets a reset instead of an end."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    sock.close()
