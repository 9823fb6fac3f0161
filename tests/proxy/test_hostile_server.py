"""
A server that is none: whatever it sends arrives, its end ends the session, and no other notices.

Each test holds both ends of the proxy itself, so that nothing happens by chance.
"""

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import pytest

from sqlml.wire.messages import frame
from tests.proxy import hostile_inputs as inputs
from tests.proxy.hostile_talk import read_to_end, reset
from tests.proxy.proxies import Proxy, proxy_before
from tests.proxy.talk import SYNC, once, query
from tests.stack import wait_until

TIMEOUT_S = 20
LOGIN = (
    frame(ord("R"), b"\0\0\0\0")
    + frame(ord("S"), b"client_encoding\0UTF8\0")
    + frame(ord("S"), b"standard_conforming_strings\0on\0")
    + frame(ord("K"), b"\0\0\0\1\0\0\0\2")
    + frame(ord("Z"), b"I")
)
DONE = frame(ord("C"), b"SELECT 1\0") + frame(ord("Z"), b"I")
FIELDS = b"SERROR\0VERROR\0C58000\0Mmodel\0\0"

# Name: what the server says to a start-up packet, before it closes.
AT_START_UP = {
    "nothing": b"",
    "an error of protocol 2": b"Ecould not fork new process for connection: model\n\0",
    "an error": frame(ord("E"), FIELDS),
    "an error without its end": frame(ord("E"), FIELDS[:-2]),
    "an error that is cut": frame(ord("E"), FIELDS)[:-5],
    "an error whose length lies": b"E\x7f\xff\xff\xff" + FIELDS,
    "a negative length": b"R\xff\xff\xff\xff\0\0\0\0",
    "a length of 0": b"R\0\0\0\0",
    "HTTP": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "a letter": b"N",
    "TLS": b"\x16\x03\x03\0\x05hello",
    "a cut header": b"R\0\0",
    "an unknown authentication": frame(ord("R"), struct.pack("!i", 99) + b"model"),
    "an authentication without a code": frame(ord("R"), b""),
    "32 bytes of key": frame(ord("R"), b"\0\0\0\0") + frame(ord("K"), b"\0\0\0\1" + b"k" * 32),
    "ready before the login": frame(ord("Z"), b"I"),
    "negotiation": frame(ord("v"), struct.pack("!ii", 0, 1) + b"_pq_.model\0") + LOGIN,
    "every code": b"".join(frame(code, b"model\0") for code in range(256)),
}
# Name: what the server says to a query, before it closes.
AFTERWARDS = {
    "nothing": b"",
    "another ready": frame(ord("Z"), b"I") * 5 + DONE,
    "ready without a state": frame(ord("Z"), b"") + DONE,
    "ready with an unknown state": frame(ord("Z"), b"?") + DONE,
    "ready with more": frame(ord("Z"), b"Imodel") + DONE,
    "completion without its end": frame(ord("C"), b"SELECT 1") + frame(ord("Z"), b"I"),
    "completion of nothing": frame(ord("C"), b"") + DONE,
    "completion of 1 MB": frame(ord("C"), b"m" * (1 << 20)) + DONE,
    "an error of 2 MB": frame(ord("E"), b"SERROR\0M" + b"m" * (2 << 20) + b"\0\0") + DONE,
    "an error without fields": frame(ord("E"), b"") + DONE,
    "an error with a field twice": frame(ord("E"), FIELDS[:-1] + FIELDS) + DONE,
    "a notice that is cut": frame(ord("N"), FIELDS)[:-5],
    "a row that is cut": frame(ord("D"), b"\0\1\0\0\0\5model")[:-2],
    "a length of 3": DONE + b"D\0\0\0\3" + DONE,
    "a negative length": DONE + b"Z\xff\xff\xff\xffI" + DONE,
    "a length of 2 GB": b"D\x7f\xff\xff\xff" + DONE,
    "a state of 2 GB": b"S\x7f\xff\xff\xffclient_encoding\0",
    "an unknown encoding": frame(ord("S"), b"client_encoding\0model\0") + DONE,
    "a setting without a value": frame(ord("S"), b"client_encoding\0") + DONE,
    "a setting without a name": frame(ord("S"), b"\0\0") + DONE,
    "a setting of nothing": frame(ord("S"), b"") + DONE,
    "a setting that is not ASCII": frame(ord("S"), b"client_encoding\0\xff\xfe\0") + DONE,
    "answers to nothing": b"".join(frame(ord(code), b"") for code in "123ns") * 5 + DONE,
    "COPY that nobody asked for": frame(ord("G"), b"\0\0\1\0\0") + frame(ord("H"), b"") + DONE,
    "COPY in both directions": frame(ord("W"), b"\0\0\0") + frame(ord("d"), b"model"),
    "authentication again": LOGIN + DONE,
    "every code": b"".join(frame(code, b"model\0") for code in range(256)),
    "the query itself": query("SELECT 'model'"),
    "random bytes": bytes((number * 7919) % 251 for number in range(5000)),
}


@dataclass
class Session:
    """Both ends of one session through the proxy."""

    client: socket.socket
    server: socket.socket


@pytest.fixture(scope="module")
def listener() -> Iterator[socket.socket]:
    """The server's place."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        listener.settimeout(TIMEOUT_S)
        yield listener


@pytest.fixture(scope="module", params=[(), ("--no-relay",)], ids=["relay", "python"])
def proxy(request: pytest.FixtureRequest, listener: socket.socket) -> Iterator[Proxy]:
    with proxy_before("127.0.0.1", listener.getsockname()[1], *request.param) as proxy:
        yield proxy


@pytest.fixture
def session(listener: socket.socket, proxy: Proxy) -> Iterator[Session]:
    with open_session(listener, proxy) as session:
        yield session


def receive(sock: socket.socket, size: int) -> bytes:
    received = b""
    while len(received) < size and (data := sock.recv(size - len(received))):
        received += data
    return received


@contextmanager
def open_session(listener: socket.socket, proxy: Proxy) -> Iterator[Session]:
    """A session whose start-up packet has arrived, and which has not been answered."""
    with proxy.connect() as client:
        client.sendall(inputs.START)
        with listener.accept()[0] as server:
            server.settimeout(TIMEOUT_S)
            assert receive(server, len(inputs.START)) == inputs.START
            yield Session(client, server)


def log_in(session: Session) -> None:
    session.server.sendall(LOGIN)
    assert receive(session.client, len(LOGIN)) == LOGIN


def send(sock: socket.socket, data: bytes, piece_size: int | None) -> None:
    for start in range(0, len(data), piece_size or len(data) or 1):
        sock.sendall(data[start : start + (piece_size or len(data))])


@pytest.mark.parametrize("name", AT_START_UP)
def test_what_the_server_says_at_start_up(session, name):
    session.server.sendall(AT_START_UP[name])
    session.server.close()
    assert read_to_end(session.client) == AT_START_UP[name]


@pytest.mark.parametrize("piece_size", [None, 1])
@pytest.mark.parametrize("name", AFTERWARDS)
def test_what_the_server_says_afterwards(session, name, piece_size):
    log_in(session)
    asked = query("SELECT 'model'") + once("SELECT 1") + SYNC
    session.client.sendall(asked)
    assert receive(session.server, len(asked)) == asked
    data = AFTERWARDS[name]
    send(session.server, data, 4099 if piece_size and len(data) > 10_000 else piece_size)
    session.server.close()
    assert read_to_end(session.client) == data


@pytest.mark.parametrize("is_logged_in", [False, True])
def test_a_server_that_is_reset(session, is_logged_in):
    if is_logged_in:
        log_in(session)
    session.client.sendall(query("SELECT 1"))
    assert receive(session.server, 1) == b"Q"
    reset(session.server)
    assert read_to_end(session.client) == b""


def test_a_server_that_is_silent_keeps_nobody(session, proxy):
    before = proxy.usage().files
    session.client.close()
    assert read_to_end(session.server) == b""
    session.server.close()
    wait_until(lambda: proxy.usage().files < before)


def test_a_server_that_speaks_before_it_is_asked(listener, proxy):
    with proxy.connect() as client:
        client.sendall(inputs.START[:4])
        client.sendall(inputs.START[4:])
        with listener.accept()[0] as server:
            server.sendall(LOGIN)
            assert receive(client, len(LOGIN)) == LOGIN
            assert receive(server, len(inputs.START)) == inputs.START


def test_a_server_that_hears_no_more_but_speaks_on(session):
    """Half a connection: the server's answers still arrive."""
    log_in(session)
    session.client.shutdown(socket.SHUT_WR)
    assert read_to_end(session.server) == b""
    session.server.sendall(DONE)
    assert receive(session.client, len(DONE)) == DONE
    session.server.close()
    assert read_to_end(session.client) == b""


def test_others_do_not_notice(listener, proxy):
    """A well-behaved session stays between all the broken ones."""
    with open_session(listener, proxy) as canary:
        log_in(canary)
        for number, data in enumerate((*AT_START_UP.values(), *AFTERWARDS.values())):
            with open_session(listener, proxy) as other:
                other.server.sendall(data)
                if number % 2:
                    reset(other.server)
                question = query(f"SELECT 'model {number}'")
                canary.client.sendall(question)
                assert receive(canary.server, len(question)) == question
                canary.server.sendall(DONE)
                assert receive(canary.client, len(DONE)) == DONE


def test_a_server_that_does_not_read(session, proxy):
    """The client has to wait, and the proxy holds little of what it sent."""
    log_in(session)
    before = proxy.usage().memory_kb
    session.client.settimeout(0.5)
    item, sent = frame(ord("d"), b"x" * 1_000_000), bytearray()
    with suppress(TimeoutError):
        while len(sent) < 100 << 20:
            sent += item[: session.client.send(item)]
    assert len(sent) < 100 << 20
    assert proxy.usage().memory_kb - before < 16_000
