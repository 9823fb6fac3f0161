"""
The same bytes to the server directly and through the proxy: the same bytes back.
"""

import pytest

from sqlml.wire.messages import frame
from tests.proxy.talk import (
    FLUSH,
    SYNC,
    bind,
    close,
    codes,
    describe,
    execute,
    once,
    parse,
    query,
    talk,
)

# Our words where they are not our statements.
TEXTS = [
    "SELECT 'CREATE MODEL m PREDICT y FROM t'",
    "SELECT 'it''s; SHOW MODELS'",
    r"SELECT E'\'; DROP MODEL m; --'",
    r"SELECT 'a\\; SHOW MODELS'",
    r"SELECT U&'\0027; SHOW MODELS'",
    "SELECT N'; SHOW MODELS'",
    "SELECT 'one'\n'; SHOW MODELS'",
    "SELECT $$; DROP MODEL m$$",
    "SELECT $a$ $b$; SHOW MODELS $b$ $a$",
    "SELECT $ä$; SHOW MODELS$ä$",
    "SELECT 1 AS a$b, 2 AS c$b -- ; SHOW MODELS",
    "SELECT 1 /* ; SHOW MODELS /* ; DROP MODEL m */ ; */ AS model",
    "-- CREATE MODEL m PREDICT y FROM t\nSELECT 1",
    "/* SHOW MODELS */ SELECT 1",
    'SELECT 1 AS "CREATE MODEL", 2 AS "; SHOW MODELS"',
    "SELECT 1 AS model, 2 AS models, 3 AS predict",
    "CREATE TEMPORARY TABLE model (model text, models text); DROP TABLE model",
    "CREATE TEMPORARY VIEW models AS SELECT 1 AS model; SELECT 1 + model FROM models",
    "BEGIN; DECLARE model CURSOR FOR SELECT 1; FETCH model; ROLLBACK",
    "PREPARE model AS SELECT 1; EXECUTE model; DEALLOCATE model",
    "DO $$ BEGIN PERFORM 'x; DROP MODEL m'; END $$",
    "CREATE FUNCTION pg_temp.model() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END; SELECT 1",
    "CREATE PROCEDURE pg_temp.theirs() LANGUAGE sql AS 'SELECT 1'; CALL pg_temp.theirs()",
    "SET model.x = 'models'; SHOW model.x",
    "SHOW model.nothing",
    "SHOW models.nothing",
    "EXPLAIN (COSTS off) SELECT 'model'",
    "SELECT 1/0 AS model",
    "SELEC model",
    "CREATE MODELS",
    "ALTER MODEL m",
    "SELECT 'open model",
    "SELECT 1 /* open model",
    "SET standard_conforming_strings = off",
    "SELECT predict('m', t) FROM t",
    "SELECT sqlml.predict('m', 'model')",
    "VALUES ('model'); ; SELECT 'model';",
    "SELECT predict(a, b) FROM (VALUES (1, 2)) AS t (a, b)",
    "SELECT 'predict(a, b)' AS predict, $$SHOW sqlml.proxy$$ /* predict(a, b) */",
    "SELECT pg_temp.predict(a, b) FROM (VALUES (1, 2)) AS t (a, b)",
    "CREATE FUNCTION pg_temp.predict(model int, int) RETURNS int LANGUAGE sql AS 'SELECT $1';"
    "SELECT pg_temp.predict(model, 2) FROM (SELECT 1 AS model) AS t",
    "BEGIN; SELECT predict(a, b) FROM (VALUES (1, 2)) AS t (a, b)",
    "SET sqlml.other = 1; SHOW sqlml.other",
    "SELECT current_setting('sqlml.proxy')",
    ";",
    "",
    "NOTIFY model, 'models'",
    "COPY (SELECT 'model') TO STDOUT",
    "SET client_encoding = 'LATIN1'; SELECT 'model'",
]
LAX = query("SET standard_conforming_strings = off; SET escape_string_warning = off")
COPY_DATA = frame(ord("d"), b"1\n") + frame(ord("d"), b"2\n")
COPY_DONE, COPY_FAIL = frame(ord("c"), b""), frame(ord("f"), b"no more\0")
TABLE = query("CREATE TEMPORARY TABLE t (model int)")

# Name: the bytes, and how many ReadyForQuery come back.
CONVERSATIONS = {
    "simple": (query("SELECT 1"), 1),
    "two queries in one packet": (query("SELECT 1") + query("SELECT 2"), 2),
    "several statements": (query("SELECT 1; SELECT 2 AS model; SELECT 3"), 1),
    "an error among several": (query("SELECT 1; SELECT 1/0; SELECT 3"), 1),
    "extended": (once("SELECT 1 AS model") + SYNC, 1),
    "pipeline": (once("SELECT 1") + SYNC + once("SELECT 2") + SYNC, 2),
    "flush": (parse("SELECT 1") + describe("S") + FLUSH + bind() + execute() + SYNC, 1),
    "an error skips to Sync": (
        once("SELECT 1/0") + once("SELECT 2") + query("SELECT 3") + SYNC + once("SELECT 4") + SYNC,
        2,
    ),
    "a query without Sync before it": (once("SELECT 1") + query("SELECT 2"), 1),
    "parameters": (
        parse("SELECT $1::text", oids=(25,)) + bind(values=(b"model",)) + execute() + SYNC,
        1,
    ),
    "portals": (
        query("BEGIN")
        + parse("SELECT generate_series(1, 5)", "s")
        + (bind("p", "s") + execute("p", 2) + SYNC)
        + (execute("p", 2) + SYNC + close("P", "p") + close("S", "s") + SYNC)
        + query("ROLLBACK"),
        5,
    ),
    "COPY in": (
        TABLE
        + query("COPY t FROM STDIN")
        + COPY_DATA
        + COPY_DONE
        + query("SELECT model || '' FROM t"),
        3,
    ),
    "COPY in, extended": (
        TABLE
        + once("COPY t FROM STDIN")
        + COPY_DATA
        + COPY_DONE
        + SYNC
        + query("SELECT model || '' FROM t"),
        3,
    ),
    "COPY in, with an early Sync": (
        TABLE
        + once("COPY t FROM STDIN")
        + SYNC
        + COPY_DATA
        + COPY_DONE
        + SYNC
        + query("SELECT model || '' FROM t"),
        3,
    ),
    "COPY in fails": (TABLE + query("COPY t FROM STDIN") + COPY_DATA + COPY_FAIL, 2),
    "COPY in with bad data": (
        TABLE
        + query("COPY t FROM STDIN")
        + frame(ord("d"), b"x\n")
        + COPY_DONE
        + query("SELECT model || '' FROM t"),
        3,
    ),
    "COPY data that looks like messages": (
        query("CREATE TEMPORARY TABLE t (model text)")
        + query("COPY t FROM STDIN")
        + frame(ord("d"), b"Q\nZ\nSHOW MODELS;\n")
        + COPY_DONE
        + query("SELECT model || '' FROM t"),
        3,
    ),
    "COPY among several": (TABLE + query("SELECT 1; COPY t TO STDOUT; SELECT 2"), 2),
    "a function call": (
        frame(ord("F"), (2108).to_bytes(4, "big") + b"\0\0\0\0\0\0"),
        1,
    ),
    "a call that may be a model's": (
        query("BEGIN")
        + (once("SELECT predict(a, 2) FROM (SELECT 1 AS a) AS t") + query("SELECT 1") + SYNC)
        + query("SELECT predict(a, 2)")
        + query("ROLLBACK")
        + parse("SELECT 1 AS kept")
        + parse("SELECT predict(a, 2) FROM (SELECT 1 AS a) AS t", "named")
        + SYNC
        + (bind() + execute() + SYNC),
        6,
    ),
    "a Describe that fails, then a query without Sync": (
        describe("S", "none") + query("SELECT 1") + SYNC + query("SELECT 'model'"),
        2,
    ),
    "failed block": (query("BEGIN") + query("SELECT 1/0") + query("SELECT 'model'"), 3),
    "NUL in the text": (frame(ord("Q"), b"SELECT 'model\0'\0"), 1),
    "text without its end": (frame(ord("Q"), b"SELECT 'model'"), 1),
    "empty Query": (frame(ord("Q"), b""), 1),
    "a Parse that is cut": (frame(ord("P"), b"model") + SYNC, 1),
    "a Bind that is cut": (frame(ord("B"), b"model") + SYNC, 1),
}

# The server ends these sessions, so what is sent later may or may not meet a closed socket.
ENDS = {
    "a query during COPY in": (TABLE + query("COPY t FROM STDIN") + query("SELECT 'model'"), 9),
    "an unknown message": (frame(ord("G") + 100, b"model"), 9),
    "an impossible length": (query("SELECT 1") + b"Q\0\0\0\1model" + query("SELECT 2"), 9),
    "garbage": (b"GET /model HTTP/1.1\r\n\r\n", 9),
}


def answers(dsn, *questions, piece_size=None):
    with talk(dsn) as talker:
        return [talker.ask(data, ready, piece_size) for data, ready in questions]


@pytest.mark.parametrize("text", TEXTS)
def test_texts(dsn, proxy_dsn, text):
    questions = [(query(text), 1), (once(text) + SYNC, 1), (LAX, 1), (query(text), 1)]
    through = answers(proxy_dsn, *questions)
    assert through == answers(dsn, *questions)


@pytest.mark.parametrize("piece_size", [None, 1])
@pytest.mark.parametrize("name", CONVERSATIONS)
def test_conversations(dsn, proxy_dsn, name, piece_size):
    data, ready = CONVERSATIONS[name]
    direct = answers(dsn, (data, ready))
    assert answers(proxy_dsn, (data, ready), piece_size=piece_size) == direct
    assert codes(direct[0])


@pytest.mark.parametrize("name", ENDS)
def test_conversations_that_the_server_ends(dsn, proxy_dsn, name):
    direct = answers(dsn, ENDS[name])
    assert answers(proxy_dsn, ENDS[name]) == direct
    assert codes(direct[0])


@pytest.mark.slow
def test_a_text_longer_than_what_is_held(proxy_dsn):
    text = "SELECT length('" + "model;" * (20 << 20) + "')"
    with talk(proxy_dsn) as talker:
        answer = talker.ask(query(text))
    assert codes(answer) == "T D C[SELECT 1] ZI"
    assert str(6 * (20 << 20)).encode() in answer[1][1]
