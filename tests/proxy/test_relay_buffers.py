"""
How much of a stream may wait inside the relay and its sockets, over the loopback.
"""

import fcntl
import select
import socket
import struct
import termios
import threading
from contextlib import closing

import pytest

from sqlml.wire.messages import Backend, frame
from tests.proxy.talk import startup

pytest.importorskip("sqlml.proxy._relay")

from tests.proxy.test_relay import RULES, TIMEOUT_S, ready, receive, running_relay

ROWS = frame(ord("D"), bytes(100_000)) * 10
LOGGED_IN = frame(Backend.AUTHENTICATION, bytes(4)) + ready(b"I")
WARM_UP = 60
"""Times ROWS: the kernel lets buffers grow to megabytes while a stream is fast."""
STILL_S = 0.5
"""Who can write no byte for so long is refused."""
HELD_MAX = 2_000_000
"""Two sockets of 512 KB each as the kernel counts, 256 KB unsent and the read that went beyond."""


@pytest.fixture
def ends():
    """A client and a server with nothing but the relay between them, over TCP."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        host, port = server.getsockname()
        rules = ((host, str(port)), *RULES[1:3], 20_000, 20_000, True, True, False)
        with running_relay(listeners=(listener.fileno(),), rules=rules):
            client = socket.create_connection(listener.getsockname(), TIMEOUT_S)
            client.sendall(startup(user="somebody"))
            upstream, _ = server.accept()
            upstream.settimeout(TIMEOUT_S)
            with closing(client), closing(upstream):
                receive(upstream, len(startup(user="somebody")))
                upstream.sendall(LOGGED_IN)
                receive(client, len(LOGGED_IN))
                yield client, upstream


def waiting(sock, request):
    """The bytes that a socket holds, unread or not yet acknowledged."""
    return struct.unpack("i", fcntl.ioctl(sock, request, bytes(4)))[0]


def fill(sock):
    """Send as much as the other end takes; the number of bytes."""
    sent = 0
    sock.setblocking(False)
    while select.select([], [sock], [], STILL_S)[1]:
        sent += sock.send(ROWS)
    return sent


def receive_fast(sock, size):
    """Read and throw away; the number of bytes."""
    scratch = bytearray(1 << 20)
    received = 0
    while received < size and (count := sock.recv_into(scratch)):
        received += count
    return received


def test_a_reader_that_stalls_finds_little_waiting(ends):
    client, upstream = ends
    sender = threading.Thread(target=lambda: [upstream.sendall(ROWS) for _ in range(WARM_UP)])
    sender.start()
    assert receive_fast(client, WARM_UP * len(ROWS)) == WARM_UP * len(ROWS)
    sender.join()
    sent = fill(upstream)
    outside = waiting(upstream, termios.TIOCOUTQ) + waiting(client, termios.FIONREAD)
    # Without limits the sockets hold 8 to 20 MB by now.
    assert 0 < sent - outside < HELD_MAX
