"""
From the first byte of a connection to its last: encryption requests, refusals, cancelling,
half-open connections, and nothing left behind.
"""

import gc
import socket
import struct
import threading
import time
from contextlib import closing

import psycopg
import pytest

from sqlml.proxy.address import UpstreamAddress
from sqlml.proxy.limits import Limits
from sqlml.proxy.settings import ProxySettings
from sqlml.wire.startup import RequestCode
from tests.proxy.talk import (
    GSSENC_REQUEST,
    SSL_REQUEST,
    TERMINATE,
    address,
    codes,
    errors,
    open_socket,
    query,
    startup,
    talk,
)
from tests.stack import wait_until

START = startup(user="postgres", database="sqlml")


@pytest.mark.parametrize(
    "requests",
    [(), (SSL_REQUEST,), (GSSENC_REQUEST,), (GSSENC_REQUEST, SSL_REQUEST)],
    ids=["none", "ssl", "gss", "both"],
)
def test_encryption_is_declined_and_the_session_goes_on(proxy_dsn, requests):
    with open_socket(proxy_dsn) as talker:
        for request in requests:
            talker.send(request, piece_size=1)
            assert talker.socket.recv(1) == b"N"
        talker.send(START, piece_size=1)
        message = talker.read_message()
        assert message is not None
        assert message[0] == "R"


@pytest.mark.parametrize("rest", [START, b"x"])
@pytest.mark.parametrize("request_", [SSL_REQUEST, GSSENC_REQUEST])
def test_bytes_behind_an_encryption_request_are_refused(proxy_dsn, request_, rest):
    with open_socket(proxy_dsn) as talker:
        talker.send(request_ + rest)
        answer = talker.read()
        assert codes(answer) == "E[08P01]"
        assert errors(answer)[0]["S"] == "FATAL"


@pytest.mark.parametrize(
    "packet",
    [b"\0\0\0\3", b"\xff\xff\xff\xff", struct.pack("!i", 20_000), b"GET / HTTP/1.1\r\n\r\n"],
)
def test_garbage_is_refused_at_once(proxy_dsn, packet):
    with open_socket(proxy_dsn) as talker:
        talker.send(packet)
        assert codes(talker.read()) == "E[08P01]"


@pytest.mark.parametrize("before", [b"", SSL_REQUEST])
@pytest.mark.parametrize("piece_size", [1, 100])
def test_a_client_that_only_says_goodbye_is_told_nothing(dsn, proxy_dsn, before, piece_size):
    """As direct: a node client that is ended before it is connected sends Terminate alone."""
    for target in (dsn, proxy_dsn):
        with open_socket(target) as talker:
            if before:
                talker.send(before)
                assert talker.socket.recv(1) == b"N"
            # The whole message would make the server reset the connection.
            talker.send(TERMINATE[:4], piece_size)
            assert talker.read() == []


def test_direct_tls_is_closed(proxy_dsn):
    with open_socket(proxy_dsn) as talker:
        talker.send(b"\x16\x03\x01\x02\x00\x01")
        assert talker.read_message() is None


@pytest.mark.parametrize("version", [0x00020000, 0x00030002, 0x0003270F, 0x00040000])
def test_other_protocol_versions_are_the_server_s_matter(dsn, proxy_dsn, version):
    first = []
    for target in (dsn, proxy_dsn):
        with open_socket(target) as talker:
            talker.send(startup(version, user="postgres", database="sqlml"))
            first.append(talker.socket.recv(1))
    assert first[0] == first[1] != b""


def test_a_wrong_password_is_told_in_the_server_s_words(dsn, proxy_dsn):
    told = []
    for target in (dsn, proxy_dsn):
        with pytest.raises(psycopg.OperationalError) as caught:
            psycopg.connect(target, password="wrong")
        told.append(str(caught.value).split("failed: ")[-1])
    assert told[0] == told[1]


def test_the_server_is_asked_again_by_a_replication_client(proxy_dsn):
    with talk(f"{proxy_dsn}?replication=database") as talker:
        assert codes(talker.ask(query("IDENTIFY_SYSTEM"))).startswith("T D C[IDENTIFY_SYSTEM]")
        # Nothing is intercepted: the replication grammar is not ours.
        assert codes(talker.ask(query("SHOW MODELS"))).startswith("E[42704]")


def test_an_answer_arrives_after_the_client_stopped_sending(proxy_dsn):
    with talk(proxy_dsn) as talker:
        talker.send(query("SELECT pg_sleep(0.3), 'answer'"))
        talker.socket.shutdown(socket.SHUT_WR)
        messages = talker.read()
        assert codes(messages) == "T D C[SELECT 1] ZI"
        assert talker.read_message() is None


def test_cancelling(proxy_dsn):
    with closing(psycopg.connect(proxy_dsn, autocommit=True)) as connection:
        timer = threading.Timer(0.3, connection.cancel)
        timer.start()
        started = time.monotonic()
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute("SELECT pg_sleep(30)")
        assert time.monotonic() - started < 10
        timer.join()
        assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize("version", ["3.0", "3.2", "latest"])
def test_cancelling_with_short_and_long_keys(matrix_stack, version):
    """PostgreSQL 18 has protocol 3.2, whose keys are 32 bytes long; the others say no to it."""
    dsn = matrix_stack.proxy_dsn
    with psycopg.connect(dsn, autocommit=True, max_protocol_version=version) as connection:
        timer = threading.Timer(0.2, connection.cancel_safe)
        timer.start()
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute("SELECT pg_sleep(20)")
        timer.join()


def test_a_wrong_cancel_key_does_nothing(proxy_dsn):
    with open_socket(proxy_dsn) as talker:
        talker.send(struct.pack("!iiii", 16, RequestCode.CANCEL, 1, 2))
        assert talker.read_message() is None


def test_a_session_that_the_server_ends_ends_for_the_client(dsn, proxy_dsn):
    with talk(proxy_dsn) as talker, closing(psycopg.connect(dsn, autocommit=True)) as admin:
        pid = int(talker.ask(query("SELECT pg_backend_pid()"))[1][1][6:])
        admin.execute("SELECT pg_terminate_backend(%s)", (pid,))
        assert codes(talker.read()) == "E[57P01]"
        assert talker.read_message() is None


@pytest.mark.parametrize("is_reset", [False, True])
def test_a_client_that_vanishes_leaves_no_server_session(dsn, proxy_dsn, is_reset):
    with closing(psycopg.connect(dsn, autocommit=True)) as admin:
        with talk(proxy_dsn) as talker:
            pid = int(talker.ask(query("SELECT pg_backend_pid()"))[1][1][6:])
            if is_reset:
                linger = struct.pack("ii", 1, 0)
                talker.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        wait_until(
            lambda: (
                admin.execute("SELECT 1 FROM pg_stat_activity WHERE pid = %s", (pid,)).fetchone()
                is None
            )
        )


def test_no_file_is_left_open(proxy_dsn, proxy_usage):
    wait_until(lambda: proxy_usage()[0] < 40)
    before = proxy_usage()[0]
    for number in range(100):
        with open_socket(proxy_dsn) as talker:
            if number % 4 == 1:
                talker.send(SSL_REQUEST)
            elif number % 4 == 2:
                talker.send(START)
            elif number % 4 == 3:
                talker.send(b"GET / HTTP/1.1")
    with closing(psycopg.connect(proxy_dsn)) as connection:
        connection.execute("SELECT 1")
    wait_until(lambda: proxy_usage()[0] <= before)


@pytest.mark.parametrize(
    "upstream", [UpstreamAddress("127.0.0.1", 1), UpstreamAddress("/nonexistent", 5432)]
)
def test_a_server_that_is_away(proxy_of, upstream):
    with open_socket(proxy_of(upstream)) as talker:
        talker.send(START)
        answer = talker.read()
        assert codes(answer) == "E[08006]"
        error = errors(answer)[0]
        assert error["S"] == error["V"] == "FATAL"
        assert str(upstream) in error["M"]
        assert error["H"]
        assert talker.read_message() is None


def test_a_client_that_says_nothing_is_sent_away(proxy_of, dsn):
    settings = ProxySettings(limits=Limits(start_s=0.2))
    with open_socket(proxy_of(UpstreamAddress(*address(dsn)), settings)) as talker:
        talker.send(b"\0\0")
        assert talker.read_message() is None


def test_stopping_ends_the_sessions(proxy_of, dsn):
    target = proxy_of(UpstreamAddress(*address(dsn)))
    with open_socket(target) as talker:
        talker.send(START)
        assert talker.read_message() is not None
        # The fixture's end waits for the thread, which waits for this session.


@pytest.fixture
def client():
    """A socket that is open until the proxy has stopped."""
    with socket.socket() as sock:
        yield sock
        # What the proxy has not closed makes a warning, and warnings are errors.
        gc.collect()
        while sock.recv(1000):
            pass


def test_stopping_closes_a_client_that_stays(client, monkeypatch, proxy_of, dsn):
    monkeypatch.setattr("sqlml.proxy.worker._LAST_WORDS_S", 0.1)
    target = proxy_of(UpstreamAddress(*address(dsn)), ProxySettings(uses_relay=False))
    client.settimeout(10)
    client.connect(address(target))
    client.sendall(START)
    assert client.recv(1) == b"R"
