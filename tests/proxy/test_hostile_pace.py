"""
Too slow, too much, too often: memory stays flat and the other sessions go on.
"""

import select
import socket
import struct
import threading
from contextlib import ExitStack, closing, suppress

import psycopg
import pytest

from sqlml.wire.messages import frame
from tests.proxy import hostile_inputs as inputs
from tests.proxy.hostile_talk import read_to_end, reset, send_all
from tests.proxy.proxies import proxy_before
from tests.proxy.talk import codes, open_socket, query, talk
from tests.stack import wait_until

MEMORY_KB = 16_000
"""What a proxy may grow by, whatever comes; the inputs here are several times as large."""
PIECE = b"x" * (1 << 20)


def test_a_message_of_a_gigabyte_is_not_held(own_dsn, own_proxy, canary):
    before = own_proxy.usage().memory_kb
    with ExitStack() as stack:
        for code in b"QPBdF":
            talker = stack.enter_context(talk(own_dsn))
            talker.send(bytes((code,)) + struct.pack("!i", (1 << 30) - 2))
            for _ in range(10):
                # The server refuses some at once.
                send_all(talker, PIECE)
        assert own_proxy.usage().memory_kb - before < MEMORY_KB


def test_many_long_texts_at_once(own_dsn, own_proxy, canary):
    before = own_proxy.usage().memory_kb
    with ExitStack() as stack:
        for number in range(40):
            talker = stack.enter_context(talk(own_dsn))
            code, name = (b"Q", b"") if number % 2 else (b"P", b"s\0")
            # Each stops one byte before the text would be whole.
            head = code + struct.pack("!i", len(PIECE) + len(name) + 5) + name
            talker.send(head + b"SELECT 1 -- model " + PIECE[18:])
        assert own_proxy.usage().memory_kb - before < 40 * 1100 + MEMORY_KB
        assert canary.execute("SELECT 1").fetchone() == (1,)
    wait_until(lambda: own_proxy.usage().memory_kb - before < 40 * 1100)


def test_slow_loris(own_dsn, own_proxy, canary):
    before = own_proxy.usage().files
    with ExitStack() as stack:
        talkers = [stack.enter_context(open_socket(own_dsn)) for _ in range(200)]
        for place in range(8):
            for talker in talkers:
                talker.send(inputs.START[place : place + 1])
            assert canary.execute("SELECT %s", (place,)).fetchone() == (place,)
            with closing(psycopg.connect(own_dsn)) as other:
                assert other.execute("SELECT 1").fetchone() == (1,)
    wait_until(lambda: own_proxy.usage().files <= before)


@pytest.mark.parametrize("is_reset", [False, True])
def test_a_storm_of_connections_that_send_nothing(own_dsn, own_proxy, canary, is_reset):
    before = own_proxy.usage().files
    for number in range(500):
        with open_socket(own_dsn) as talker:
            if is_reset:
                reset(talker.socket)
        if number % 100 == 0:
            assert canary.execute("SELECT 1").fetchone() == (1,)
    wait_until(lambda: own_proxy.usage().files <= before)


def test_a_storm_of_start_ups_that_nobody_waits_for(own_dsn, own_proxy, canary):
    before = own_proxy.usage().files
    for number in range(60):
        with open_socket(own_dsn) as talker:
            talker.send(inputs.START)
            if number % 2:
                reset(talker.socket)
    assert canary.execute("SELECT 1").fetchone() == (1,)
    wait_until(lambda: own_proxy.usage().files <= before)


def test_a_storm_of_cancel_requests(own_dsn, own_proxy, canary):
    before = own_proxy.usage().files
    with ExitStack() as stack:
        for number in range(60):
            talker = stack.enter_context(open_socket(own_dsn))
            talker.send(inputs.packet(80877102, struct.pack("!ii", number, 7)))
        assert canary.execute("SELECT 1").fetchone() == (1,)
    wait_until(lambda: own_proxy.usage().files <= before)


def test_more_sessions_than_the_server_takes(dsn, own_dsn, own_proxy, canary):
    """The server's own words arrive, whoever speaks them; afterwards all is as before."""
    before = own_proxy.usage().files
    with ExitStack() as stack, closing(psycopg.connect(dsn)) as admin:
        limit = int(admin.execute("SHOW max_connections").fetchone()[0])
        refusals = set()
        for _ in range(limit + 5):
            try:
                stack.enter_context(closing(psycopg.connect(own_dsn)))
            except psycopg.OperationalError as error:
                refusals.add(str(error).split("FATAL: ")[-1].strip())
        assert refusals == {"sorry, too many clients already"}
    wait_until(lambda: own_proxy.usage().files <= before)
    wait_until(lambda: _takes(dsn))


def _takes(dsn):
    with suppress(psycopg.OperationalError), closing(psycopg.connect(dsn)):
        return True
    return False


def test_a_reader_that_stalls(own_dsn, own_proxy, canary):
    size, rows = 1 << 20, 120
    with talk(own_dsn) as talker:
        before = own_proxy.usage().memory_kb
        talker.send(query(f"SELECT repeat('m', {size}) FROM generate_series(1, {rows})"))
        select.select([talker.socket], [], [], 10)
        for number in range(20):
            assert canary.execute("SELECT %s", (number,)).fetchone() == (number,)
        assert own_proxy.usage().memory_kb - before < MEMORY_KB
        messages = talker.read()
    assert codes(messages[-2:]) == f"C[SELECT {rows}] ZI"
    assert [len(payload) for code, payload in messages if code == "D"] == [size + 6] * rows


def test_a_reader_that_stalls_and_vanishes(dsn, own_dsn, own_proxy, canary):
    before = own_proxy.usage().files
    with talk(own_dsn) as talker:
        pid = int(talker.ask(query("SELECT pg_backend_pid()"))[1][1][6:])
        talker.send(query("SELECT repeat('m', 1000000) FROM generate_series(1, 200)"))
        select.select([talker.socket], [], [], 10)
        reset(talker.socket)
    wait_until(lambda: own_proxy.usage().files <= before)
    with closing(psycopg.connect(dsn, autocommit=True)) as admin:
        alive = "SELECT 1 FROM pg_stat_activity WHERE pid = %s"
        wait_until(lambda: admin.execute(alive, (pid,)).fetchone() is None)


def test_both_directions_stall_at_once():
    """A client that sends without reading what comes back, as in a long pipeline."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        proxy = stack.enter_context(proxy_before("127.0.0.1", listener.getsockname()[1]))
        client = stack.enter_context(proxy.connect())
        client.sendall(inputs.START)
        server = stack.enter_context(listener.accept()[0])
        assert server.recv(65536) == inputs.START
        before = proxy.usage().memory_kb
        for side in (client, server):
            side.setblocking(False)
        item = frame(ord("d"), PIECE)
        sent = {client: bytearray(), server: bytearray()}
        for side, taken in sent.items():
            _fill(side, item, taken)
        assert all(len(taken) < (64 << 20) for taken in sent.values())
        assert proxy.usage().memory_kb - before < MEMORY_KB
        # Each side reads again, and gets what was taken from the other.
        for side, other in ((client, server), (server, client)):
            assert _drain(side, len(sent[other])) == sent[other]


def _fill(side: socket.socket, item: bytes, taken: bytearray) -> None:
    """Send until nobody takes any more for a while."""
    data = item
    while select.select([], [side], [], 0.5)[1] and len(taken) < (64 << 20):
        with suppress(BlockingIOError):
            size = side.send(data)
            taken += data[:size]
            data = data[size:] or item


def _drain(side: socket.socket, size: int) -> bytearray:
    received = bytearray()
    while len(received) < size and select.select([side], [], [], 10)[0]:
        received += side.recv(1 << 20)
    return received


def test_sessions_do_not_mix(own_dsn):
    """Many at once, each with its own answers, some torn away in the middle."""
    failures = []

    def work(number):
        try:
            for turn in range(10):
                with talk(own_dsn) as talker:
                    word = f"{number}-{turn}-model"
                    talker.send(query(f"SELECT repeat('{word};', 3000)") * 3)
                    if turn % 3 == 2:
                        reset(talker.socket)
                        continue
                    for code, payload in talker.read(3):
                        if code == "D" and payload[6:] != f"{word};".encode() * 3000:
                            failures.append(word)
        except Exception as error:
            failures.append(repr(error))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


@pytest.mark.slow
def test_a_query_of_300_megabytes(own_dsn, own_proxy, canary):
    before = own_proxy.usage().memory_kb
    size = 300 << 20
    with talk(own_dsn) as talker:
        talker.send(query("SELECT length('" + "m" * size + "')"))
        assert own_proxy.usage().memory_kb - before < MEMORY_KB
        talker.socket.settimeout(120)
        answer = talker.read()
    assert codes(answer) == "T D C[SELECT 1] ZI"
    assert answer[1][1][6:] == str(size).encode()


def test_an_answer_is_read_after_the_server_has_gone():
    """What the server sent before its end arrives, however late the client reads it."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        proxy = stack.enter_context(proxy_before("127.0.0.1", listener.getsockname()[1]))
        client = stack.enter_context(proxy.connect())
        client.sendall(inputs.START)
        server = listener.accept()[0]
        assert server.recv(65536) == inputs.START
        item = frame(ord("d"), PIECE)

        def answer():
            with server:
                server.sendall(item * 12)

        sender = threading.Thread(target=answer)
        sender.start()
        select.select([client], [], [], 10)
        for _ in range(5):
            with closing(proxy.connect()) as other:
                other.sendall(b"\0\0\0\3")
                assert read_to_end(other)[:1] == b"E"
        assert read_to_end(client) == item * 12
        sender.join()
