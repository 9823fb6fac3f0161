"""
The habits of real clients: psycopg in all its modes, psql, slow readers.
"""

import os
import re
import subprocess
import threading
import time
from contextlib import closing

import psycopg
import pytest

from tests.proxy.talk import SYNC, bind, codes, describe, errors, execute, once, parse, query, talk

CREATE = "CREATE MODEL protocol_probe PREDICT cultivar FROM wine WITH (trials = 1, wait = false)"
STARTS_LATER = re.compile("starts when this transaction commits")
MISSPELT = "CREATE MODEL m PREDICT a FORM t"


def run_psql(dsn, script):
    done = subprocess.run(
        ["psql", "-X", "-v", "ON_ERROR_STOP=0", dsn],
        input=script,
        capture_output=True,
        text=True,
        timeout=60,
        env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
    )
    return done.stdout + done.stderr


@pytest.fixture
def notices(connection):
    found = []
    connection.add_notice_handler(lambda notice: found.append(notice.message_primary or ""))
    return found


def test_psql_points_at_the_word(proxy_dsn):
    output = run_psql(proxy_dsn, f"SELECT 1 \\;\n{MISSPELT};\n")
    _, line, caret, *_ = output[output.index("ERROR") :].splitlines()
    assert line[caret.index("^") :].startswith("FORM t")
    assert "HINT:  Did you mean FROM?" in output


def test_psql_describes_without_running(proxy_dsn):
    output = run_psql(proxy_dsn, "SHOW MODELS \\gdesc\n")
    assert re.search(r"model +\| (name|text)", output)


def test_psql_transactions(proxy_dsn):
    script = (
        f"\\set ON_ERROR_ROLLBACK on\nBEGIN;\n{CREATE};\n{MISSPELT};\nSHOW MODELS;\nROLLBACK;\n"
    )
    output = run_psql(proxy_dsn, script)
    assert STARTS_LATER.search(output)
    assert "CREATE MODEL\n" in output
    assert "protocol_probe" in output
    assert "25P02" not in output
    assert "ROLLBACK" in output


@pytest.mark.parametrize(
    "text",
    [f"BEGIN;{CREATE}", f"BEGIN;SAVEPOINT _EXEC_SVP_0x1;{CREATE}", f"BEGIN; SELECT 1; {CREATE};"],
)
def test_several_statements_in_one_query(connection, notices, text):
    """As ODBC sends them."""
    connection.execute(text)
    assert STARTS_LATER.search(notices[-1])
    connection.execute("ROLLBACK")


def test_psycopg_s_own_transaction(proxy_dsn):
    found: list[str] = []
    with closing(psycopg.connect(proxy_dsn)) as connection:
        connection.add_notice_handler(lambda notice: found.append(notice.message_primary or ""))
        cursor = connection.execute(CREATE)
        assert cursor.statusmessage == "CREATE MODEL"
        assert cursor.description is None
        connection.rollback()
    assert STARTS_LATER.search(found[-1])


def test_psycopg_s_pipeline(connection, notices):
    with connection.pipeline() as pipeline:
        connection.execute("SELECT 1")
        connection.execute(CREATE)
        connection.execute("SELECT 1/0")
        with pytest.raises(psycopg.errors.DivisionByZero):
            pipeline.sync()
    assert STARTS_LATER.search(notices[-1])
    probe = "SELECT count(*) FROM sqlml.models WHERE model = 'protocol_probe'"
    assert connection.execute(probe).fetchone() == (0,)


def test_psycopg_s_prepared_statements(connection):
    for _ in range(7):
        rows = connection.execute("SHOW MODELS", prepare=True).fetchall()
        assert isinstance(rows, list)
    cursor = connection.cursor(binary=True)
    description = cursor.execute("SHOW MODELS").description
    assert description is not None
    assert description[1].name == "model"


@pytest.mark.parametrize("prepare", [False, True])
def test_errors_arrive_at_parse(connection, prepare):
    with pytest.raises(psycopg.errors.SyntaxError) as caught:
        connection.execute(MISSPELT, prepare=prepare)
    diagnostic = caught.value.diag
    assert diagnostic.message_primary == 'syntax error at or near "FORM"'
    assert diagnostic.statement_position == str(MISSPELT.index("FORM") + 1)
    assert diagnostic.message_hint == "Did you mean FROM?"
    assert connection.execute("SELECT 1").fetchone() == (1,)


def test_parameters_are_refused(connection):
    with pytest.raises(psycopg.errors.UndefinedParameter, match="there is no parameter"):
        connection.execute("CREATE MODEL m PREDICT y FROM (SELECT %s AS y)", ("x",))


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
