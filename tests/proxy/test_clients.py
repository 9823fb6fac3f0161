"""
The habits of clients on the wire: pipelines, portions of rows, encodings, slow readers.
The clients themselves are in tests/clients.
"""

import threading
import time
from contextlib import closing

import psycopg
import pytest

from tests.proxy.talk import SYNC, bind, codes, describe, errors, execute, once, parse, query, talk

MISSPELT = "CREATE MODEL m PREDICT a FORM t"


def test_a_syntax_error_fails_the_block(talker):
    answer = talker.ask(query("BEGIN") + query(MISSPELT) + query("SHOW MODELS"), ready=3)
    assert codes(answer) == "C[BEGIN] ZT E[42601] ZE E[25P02] ZE"


def test_nothing_runs_when_a_statement_behind_it_breaks_the_grammar(talker):
    answer = talker.ask(query(f"CREATE TEMPORARY TABLE early (); {MISSPELT}"))
    assert codes(answer) == "E[42601] ZI"
    assert codes(talker.ask(query("SELECT FROM early"))) == "E[42P01] ZI"


def test_an_extended_syntax_error_skips_to_sync(talker):
    answer = talker.ask(once(MISSPELT) + once("SELECT 1") + SYNC + query("SELECT 1"), ready=2)
    assert codes(answer) == "E[42601] ZI T D C[SELECT 1] ZI"
    assert errors(answer)[0]["P"] == str(MISSPELT.index("FORM") + 1)


def test_describing(talker):
    answer = talker.ask(parse("SHOW MODELS", "s") + describe("S", "s") + SYNC)
    assert codes(answer) == "1 t T ZI"
    answer = talker.ask(parse("DROP MODEL m") + describe("S") + SYNC)
    assert codes(answer) == "1 t n ZI"


def test_rows_in_portions(talker):
    talker.ask(query("BEGIN"))
    text = "DESCRIBE MODEL nothing"
    answer = talker.ask(parse(text) + bind() + execute("", 2) + SYNC)
    assert codes(answer) == "1 2 E[42704] ZE"
    assert not {"W", "F", "L", "R"} & errors(answer)[0].keys()


def test_a_statement_runs_as_often_as_it_is_bound(talker):
    talker.ask(parse("DROP MODEL IF EXISTS nothing", "s") + SYNC)
    for _ in range(3):
        answer = talker.ask(bind("", "s") + execute() + SYNC)
        assert codes(answer) == "2 C[DROP MODEL] ZI"
    answer = talker.ask(query("DEALLOCATE ALL") + bind("", "s") + SYNC, ready=2)
    assert codes(answer) == "C[DEALLOCATE ALL] ZI E[26000] ZI"


def test_listen_and_notify(dsn, connection):
    connection.execute("LISTEN model")
    with closing(psycopg.connect(dsn, autocommit=True)) as other:
        other.execute("NOTIFY model, 'hello'")
    (notice,) = connection.notifies(timeout=10, stop_after=1)
    assert notice.payload == "hello"


def test_copy(connection):
    connection.execute("CREATE TEMPORARY TABLE model (value text)")
    with connection.cursor().copy("COPY model FROM STDIN") as copy:
        for number in range(1000):
            copy.write_row((f"; SHOW MODELS; {number}",))
    with connection.cursor().copy("COPY model TO STDOUT") as copy:
        rows = list(copy.rows())
    assert rows == [(f"; SHOW MODELS; {number}",) for number in range(1000)]


@pytest.mark.parametrize("client_encoding", ["LATIN1", "SQL_ASCII", "WIN1252"])
def test_names_in_other_encodings(proxy_dsn, client_encoding):
    with talk(proxy_dsn) as talker:
        talker.ask(query(f"SET client_encoding = '{client_encoding}'"))
        raw = "größe".encode("utf-8" if client_encoding == "SQL_ASCII" else "latin-1")
        statement = b"DESCRIBE MODEL " + raw + b"\0"
        answer = talker.ask(b"Q" + (len(statement) + 4).to_bytes(4, "big") + statement)
    assert raw in b"".join(payload for code, payload in answer if code == "E")


def test_nagle_does_not_wait(talker):
    """Sync in a second packet is answered at once, not 40 ms later."""
    best = 1.0
    for _ in range(10):
        started = time.perf_counter()
        talker.send(once("SELECT 1"))
        talker.send(SYNC)
        talker.read()
        best = min(best, time.perf_counter() - started)
    assert best < 0.03


def test_a_slow_reader_costs_no_memory_and_harms_no_other(proxy_dsn, proxy_usage):
    before = proxy_usage()[1]
    with talk(proxy_dsn) as slow, talk(proxy_dsn) as other:
        slow.send(query("SELECT repeat('x', 100000) FROM generate_series(1, 2000)"))
        time.sleep(1)
        assert codes(other.ask(query("SELECT 1"))) == "T D C[SELECT 1] ZI"
        assert proxy_usage()[1] - before < 8_000
        rows = sum(code == "D" for code, _ in slow.read())
    assert rows == 2000


def test_a_slow_server_costs_no_memory(proxy_dsn, proxy_usage):
    """The server sleeps while the client sends 100 MB of COPY data behind it."""
    before = proxy_usage()[1]
    data = b"d" + (100_004).to_bytes(4, "big") + b"x" * 99_999 + b"\n"
    with talk(proxy_dsn) as talker:
        talker.ask(query("CREATE TEMPORARY TABLE t (value text)"))
        talker.send(query("SELECT pg_sleep(1.5); COPY t FROM STDIN"))
        sender = threading.Thread(target=lambda: talker.send(data * 1000 + b"c\0\0\0\4"))
        sender.start()
        time.sleep(1)
        assert proxy_usage()[1] - before < 8_000
        assert codes(talker.read()) == "T D C[SELECT 1] G C[COPY 1000] ZI"
        sender.join()
