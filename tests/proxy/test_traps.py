"""
The traps that a PostgreSQL proxy meets on the bytes' way (T21, T22, T25, T28-T30, T34, T36).
"""

import ctypes
import os
import random
import re
import socket
from contextlib import closing

import psutil
import psycopg
import pytest

from sqlml.wire.messages import frame
from tests.proxy import hostile_inputs as inputs
from tests.proxy.hostile_talk import Outcome, directly, go_on_with
from tests.proxy.talk import FLUSH, SYNC, bind, codes, describe, execute, once, parse, query, talk

TABLE = query("CREATE TEMPORARY TABLE t (a int, model text)")
ROWS = b"".join(frame(ord("d"), b"%d\tmodel %d\n" % (n, n)) for n in range(500))
# Expressions, because the description of a column names its table by number.
ALL_ROWS = query("SELECT a + 0, model || '' FROM t ORDER BY a")
LO_CREATE, LO_OPEN, LO_WRITE, LO_READ = 715, 952, 955, 954


def both(dsn: str, own_dsn: str, data: bytes, piece_size: int | None = None) -> Outcome:
    """The outcome through the proxy, which has to be the server's own."""
    direct = directly(dsn, data)
    assert go_on_with(own_dsn, data, piece_size) == direct
    return direct


def function_call(oid: int, *arguments: bytes) -> bytes:
    """Return a FunctionCall with binary arguments and a binary result."""
    items = b"".join(len(item).to_bytes(4, "big") + item for item in arguments)
    formats = b"\0\1\0\1"
    count = len(arguments).to_bytes(2, "big")
    return frame(ord("F"), oid.to_bytes(4, "big") + formats + count + items + b"\0\1")


def steal_file(pid: int, number: int) -> int:
    """Return a duplicate of another process's open file: Linux's pidfd_getfd."""
    pidfd_getfd = 438
    libc = ctypes.CDLL(None, use_errno=True)
    process = os.pidfd_open(pid)
    try:
        copy: int = libc.syscall(pidfd_getfd, process, number, 0)
    finally:
        os.close(process)
    if copy < 0:
        pytest.skip(f"may not look into the proxy: {os.strerror(ctypes.get_errno())}")
    return copy


def test_small_messages_are_sent_at_once(own_dsn, own_proxy):
    """T21: with Nagle's algorithm on either side, Sync in a write of its own waits for 40 ms."""
    with talk(own_dsn) as talker:
        assert codes(talker.ask(query("SELECT 1"))) == "T D C[SELECT 1] ZI"
        process = psutil.Process(own_proxy.pid)
        ours = (process, *process.children(recursive=True))
        connections = [
            (member.pid, connection.fd)
            for member in ours
            for connection in member.net_connections("tcp")
            if connection.status == psutil.CONN_ESTABLISHED
        ]
        assert len(connections) >= 2
        for pid, number in connections:
            with socket.socket(fileno=steal_file(pid, number)) as sock:
                assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.parametrize("seed", range(8))
def test_any_cut_of_the_stream(dsn, own_dsn, seed):
    """T22: pieces of any size, with pauses where the kernel takes them."""
    generator = random.Random(seed)
    data = b"".join(inputs.every_kind_of_message()) + ALL_ROWS + query("SELECT 'model'") * 3
    both(dsn, own_dsn, data, generator.randint(1, 40))


@pytest.mark.parametrize("last", [b"", SYNC, FLUSH, b"Q\0\0", once("SELECT 'model'")])
def test_the_answers_arrive_after_a_half_close(dsn, own_dsn, last):
    """T25: whatever was asked before the client's end is answered."""
    outcome = both(dsn, own_dsn, query("SELECT pg_sleep(0.1), 'model'") * 2 + last)
    assert codes(outcome.messages).startswith("T D C[SELECT 1] ZI T D C[SELECT 1] ZI")


@pytest.mark.parametrize("piece_size", [None, 1])
def test_a_half_close_while_the_proxy_asks_about_a_name(own_dsn, piece_size):
    """T25: what waited for the proxy's own question is answered too."""
    asked = query("SELECT predict(nothing, 1)")
    data = asked + query("SELECT 1") + asked + once("SELECT 'model'") + SYNC
    outcome = go_on_with(own_dsn, data, piece_size)
    answer = codes(outcome.messages)
    assert re.fullmatch(
        r"E\[\w+\] ZI T D C\[SELECT 1\] ZI E\[\w+\] ZI 1 2 T D C\[SELECT 1\] ZI", answer
    ), answer
    assert outcome.rest == b""


COPIES = {
    "a frame a row": TABLE + query("COPY t FROM STDIN") + ROWS + inputs.COPY_DONE + ALL_ROWS,
    "rows cut anywhere": TABLE
    + query("COPY t FROM STDIN")
    + b"".join(frame(ord("d"), b"1\tmo%b" % tail) for tail in (b"d", b"", b"el\n"))[:-9]
    + frame(ord("d"), b"el\n2\tx\n")
    + inputs.COPY_DONE
    + ALL_ROWS,
    "empty frames": TABLE
    + query("COPY t FROM STDIN")
    + frame(ord("d"), b"") * 50
    + inputs.COPY_DONE
    + ALL_ROWS,
    "no frames": TABLE + query("COPY t FROM STDIN") + inputs.COPY_DONE + ALL_ROWS,
    "an end within the data": TABLE
    + query("COPY t FROM STDIN")
    + frame(ord("d"), b"1\tx\n\\.\n2\ty\n")
    + inputs.COPY_DONE
    + ALL_ROWS,
    "an error, and data behind it": TABLE
    + query("COPY t FROM STDIN")
    + frame(ord("d"), b"no number\n")
    + ROWS
    + inputs.COPY_DONE
    + ALL_ROWS,
    "an error in the extended protocol": TABLE
    + once("COPY t FROM STDIN")
    + frame(ord("d"), b"no number\n")
    + ROWS
    + inputs.COPY_DONE
    + SYNC
    + ALL_ROWS,
    "a failure told by the client": TABLE
    + once("COPY t FROM STDIN")
    + ROWS
    + inputs.COPY_FAIL
    + SYNC
    + ALL_ROWS,
    "several in one query": TABLE
    + query("COPY t FROM STDIN; SELECT 'model'; COPY t FROM STDIN; COPY t TO STDOUT")
    + ROWS
    + inputs.COPY_DONE
    + frame(ord("d"), b"9999\tmodel\n")
    + inputs.COPY_DONE
    + ALL_ROWS,
    "binary out": query("COPY (SELECT 1, 'model') TO STDOUT (FORMAT binary)"),
    "in a pipeline": TABLE
    + once("COPY t FROM STDIN")
    + ROWS
    + inputs.COPY_DONE
    + once("SELECT 'model'")
    + SYNC
    + ALL_ROWS,
    "in a pipeline behind an error": TABLE
    + once("SELECT 1/0")
    + once("COPY t FROM STDIN")
    + SYNC
    + ALL_ROWS,
    "in a failed block": query("BEGIN; SELECT 1/0") + query("COPY t FROM STDIN") + ALL_ROWS,
}


@pytest.mark.parametrize("piece_size", [None, 7])
@pytest.mark.parametrize("name", COPIES)
def test_copy(dsn, own_dsn, name, piece_size):
    """T28."""
    both(dsn, own_dsn, COPIES[name], piece_size)


def test_copy_fails_on_the_server_while_data_come_in(dsn, own_dsn):
    """T28, T24: the server stops reading rows only when the client has sent them all."""
    data = TABLE + query("COPY t FROM STDIN") + frame(ord("d"), b"no number\n")
    many = frame(ord("d"), b"1\tmodel\n" * 10_000) * 200
    outcome = both(dsn, own_dsn, data + many + inputs.COPY_DONE + query("SELECT 'model'"))
    assert codes(outcome.messages).endswith("G E[22P02] ZI T D C[SELECT 1] ZI")


REPLICATION = [
    "IDENTIFY_SYSTEM",
    "SHOW MODELS",
    "CREATE MODEL m PREDICT y FROM t",
    "SELECT 'model'",
]


@pytest.mark.parametrize("value", ["database", "true", "on", "1"])
def test_replication_sessions_are_never_read(dsn, own_dsn, value):
    """T29."""
    told = []
    for target in (dsn, own_dsn):
        try:
            with talk(f"{target}?replication={value}") as talker:
                # The codes only, because the position in the log moves on.
                told.append([codes(talker.ask(query(text))) for text in REPLICATION])
        except psycopg.OperationalError as error:
            # The stack's pg_hba.conf lets in no one who asks for all databases.
            told.append([str(error).split("failed: ")[-1]])
    assert told[0] == told[1]
    assert (len(told[0]) > 1) == (value == "database")


STARTUP_SETTINGS = [
    "application_name=model",
    "options=-c%20geqo%3Doff%20-c%20work_mem%3D7MB",
    "options=--search_path%3Dmodel",
    "options=-c%20application_name%3Dmy%5C%20model",
    "client_encoding=LATIN1",
    "client_encoding=SQL_ASCII&application_name=models",
    "options=-c%20standard_conforming_strings%3Doff",
    "options=-c%20default_transaction_read_only%3Don",
    "fallback_application_name=sqlml",
]


@pytest.mark.parametrize("setting", STARTUP_SETTINGS)
def test_start_up_parameters_reach_the_server(dsn, own_dsn, setting):
    """T30: and what the server tells of them reaches the client."""
    query_text = (
        "SELECT name, setting, source FROM pg_settings"
        " WHERE source IN ('client', 'override') ORDER BY 1"
    )
    told = []
    for target in (dsn, own_dsn):
        with closing(psycopg.connect(f"{target}?{setting}")) as connection:
            names = (b"application_name", b"client_encoding", b"is_superuser", b"DateStyle")
            status = [connection.pgconn.parameter_status(name) for name in names]
            told.append((status, connection.execute(query_text).fetchall()))
    assert told[0] == told[1]


@pytest.mark.parametrize(
    "wanted", ["any", "read-write", "read-only", "primary", "standby", "prefer-standby"]
)
def test_the_wanted_kind_of_server_is_found(dsn, own_dsn, wanted):
    """T34: libpq asks and may go away again."""
    told: list[object] = []
    for target in (dsn, own_dsn):
        try:
            with closing(psycopg.connect(f"{target}?target_session_attrs={wanted}")) as connection:
                told.append(connection.execute("SELECT pg_is_in_recovery()").fetchone())
        except psycopg.OperationalError as error:
            told.append(str(error).split("failed: ")[-1])
    assert told[0] == told[1]


def test_function_calls_and_large_objects(dsn, own_dsn):
    """T36: the old protocol for functions, which large objects still use."""
    number = 424_242
    oid, descriptor = number.to_bytes(4, "big"), bytes(4)
    outcome = both(
        dsn,
        own_dsn,
        query("BEGIN")
        + function_call(LO_CREATE, oid)
        + function_call(LO_OPEN, oid, (0x60000).to_bytes(4, "big"))
        + function_call(LO_WRITE, descriptor, b"CREATE MODEL m" * 500)
        + query(f"SELECT length(lo_get({number})), 'model'")
        + function_call(LO_READ, descriptor, b"\0\0\0\5")
        + function_call(LO_READ, b"\0\0\0\7", b"\0\0\0\5")
        + query("ROLLBACK"),
    )
    assert "E[42704]" in codes(outcome.messages)


def test_function_call_in_a_pipeline(dsn, own_dsn):
    """T36, T17: it is skipped behind an error, and ends in ReadyForQuery of its own."""
    call = function_call(LO_READ, b"\0\0\0\7", b"\0\0\0\5")
    both(dsn, own_dsn, once("SELECT 1/0") + call + SYNC + query("SELECT 'model'") + call + SYNC)


def test_flush_gives_what_is_there(dsn, own_dsn):
    """T36: the answers come with Flush, and ReadyForQuery with Sync only."""
    outcomes = []
    for target in (dsn, own_dsn):
        with talk(target) as talker:
            talker.send(parse("SELECT $1::int, 'model'", "s") + describe("S", "s") + FLUSH)
            first = [talker.read_message() for _ in range(3)]
            talker.send(bind("p", "s", (b"7",)) + FLUSH)
            second = [talker.read_message()]
            talker.send(execute("p") + FLUSH)
            third = [talker.read_message() for _ in range(2)]
            outcomes.append((first, second, third, talker.ask(SYNC)))
    assert outcomes[0] == outcomes[1]
    assert [message[0] for message in outcomes[0][0]] == ["1", "t", "T"]


def test_notifications_arrive_in_idle_sessions(dsn, own_dsn):
    """T31: nobody asked, and nothing may wait for a question."""
    with talk(own_dsn) as talker, closing(psycopg.connect(dsn, autocommit=True)) as other:
        talker.ask(query("LISTEN model"))
        for number in range(3):
            other.execute("SELECT pg_notify('model', %s)", (f"CREATE MODEL {number}",))
            code, payload = talker.read_message()
            assert code == "A"
            assert payload[4:] == b"model\0CREATE MODEL %d\0" % number
