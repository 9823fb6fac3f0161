"""
Model statements in the middle of a session's life, on the real server.
"""

import threading
from contextlib import closing

import psycopg
import pytest

from sqlml.proxy.handover import LOOK_BYTES
from sqlml.wire.messages import frame
from tests.proxy.talk import (
    FLUSH,
    SYNC,
    bind,
    close,
    codes,
    describe,
    errors,
    execute,
    once,
    parse,
    query,
    talk,
)
from tests.stack import wait_until

# Its training goes on for as long as these tests may take, and begins at once.
LONG = "CREATE MODEL long_probe PREDICT cultivar FROM wine WITH (time_limit = '60 s')"
LATER = "CREATE MODEL later_probe PREDICT cultivar FROM wine WITH (trials = 1)"


@pytest.fixture
def other(dsn):
    """Another session of the server, to look and to interfere; removes the models again."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        yield connection
        for model in ("long_probe", "later_probe"):
            connection.execute("CALL sqlml.drop_model(%s, if_exists => true)", (model,))


def backend_of(talker):
    [row] = [
        payload for code, payload in talker.ask(query("SELECT pg_backend_pid()")) if code == "D"
    ]
    return int(row[6:])


def wait_for_training(connection, pid):
    """Until that backend waits for its own job: a deserted one may be there for a while."""
    query = (
        "SELECT FROM pg_locks WHERE pid = %s"
        " AND locktype = 'advisory' AND classid = sqlml.attendance_class()::oid"
    )
    wait_until(lambda: connection.execute(query, (pid,)).rowcount > 0, 10)


def test_a_statement_behind_the_head_of_its_text_is_a_syntax_error(own_dsn):
    early = "CREATE TEMPORARY TABLE early AS SELECT 1"
    text = f"{early}; SELECT '{'x' * LOOK_BYTES}'; {LATER}"
    with talk(own_dsn) as talker:
        answer = talker.ask(query(text))
        assert codes(answer) == "E[42601] ZI"
        [error] = errors(answer)
        assert (error["M"], int(error["P"])) == (
            'syntax error at or near "MODEL"',
            text.index("MODEL") + 1,
        )
        # The server reads a text to its end before it does anything.
        assert codes(talker.ask(query("SELECT FROM early"))) == "E[42P01] ZI"
        # Behind a statement of ours the whole text is read.
        answer = talker.ask(query(f"SHOW MODELS; SELECT '{'x' * LOOK_BYTES}'; DROP MODEL nothing"))
        assert codes(answer).endswith("E[42704] ZI")


def test_an_earlier_part_of_the_query_is_rolled_back(talker):
    text = "CREATE TEMPORARY TABLE early AS SELECT 1; SHOW MODELS; DROP MODEL nothing; SELECT 2"
    answer = talker.ask(query(text))
    assert codes(answer).endswith("E[42704] ZI")
    assert codes(talker.ask(query("SELECT FROM early"))) == "E[42P01] ZI"


def test_parts_are_answered_in_their_order(talker):
    text = "BEGIN; DROP MODEL IF EXISTS nothing; SELECT 1; DROP MODEL IF EXISTS nothing; ROLLBACK"
    assert codes(talker.ask(query(text))) == (
        "C[BEGIN] C[DROP MODEL] T D C[SELECT 1] C[DROP MODEL] C[ROLLBACK] ZI"
    )


def test_string_parsing_that_changes_in_a_pipeline(talker):
    r"""Behind a SET that is not answered yet, 'a\'; … stays the string that the server sees."""
    text = r"SELECT 'a\'; SHOW MODELS; --'"
    set_off = "SET standard_conforming_strings = off"
    answer = talker.ask(query(set_off) + query(text), ready=2)
    assert codes(answer) == "C[SET] S ZI T D C[SELECT 1] ZI"
    assert b"a'; SHOW MODELS; --" in dict(answer)["D"]


@pytest.mark.parametrize("name", ["", "named"])
def test_describe_before_and_after_bind(talker, name):
    data = parse("SHOW MODELS", name) + describe("S", name) + FLUSH
    data += bind("", name) + describe("P") + execute() + SYNC
    words = codes(talker.ask(data))
    assert words.startswith("1 t T 2 T ")
    assert words.endswith("ZI")
    data = parse("DROP MODEL IF EXISTS nothing", name and "other") + describe("S", name and "other")
    data += bind("", name and "other") + describe("P") + execute() + SYNC
    assert codes(talker.ask(data)) == "1 t n 2 n C[DROP MODEL] ZI"


def test_a_name_is_taken_and_given_free(talker):
    drop = parse("DROP MODEL IF EXISTS nothing", "s")
    assert codes(talker.ask(drop + SYNC)) == "1 ZI"
    assert codes(talker.ask(drop + SYNC)) == "E[42P05] ZI"
    assert codes(talker.ask(bind("", "s") + execute() + SYNC)) == "2 C[DROP MODEL] ZI"
    assert codes(talker.ask(close("S", "s") + bind("", "s") + SYNC)) == "3 E[26000] ZI"
    # The same name, now for a call of the client's own.
    theirs = "CALL sqlml.drop_model('nothing', if_exists => true)"
    assert codes(talker.ask(parse(theirs, "s") + bind("", "s") + execute() + SYNC)) == (
        "1 2 C[CALL] ZI"
    )
    assert codes(talker.ask(query("DEALLOCATE s"))) == "C[DEALLOCATE] ZI"
    prepare = "PREPARE s AS SELECT 1"
    assert codes(talker.ask(query(prepare) + bind("", "s") + execute() + SYNC, ready=2)) == (
        "C[PREPARE] ZI 2 D C[SELECT 1] ZI"
    )


def test_rows_of_ours_in_portions(talker, other):
    talker.ask(query("BEGIN"))
    data = parse("SHOW sqlml.proxy") + bind("p") + execute("p", 2) + SYNC
    assert codes(talker.ask(data)) == "1 2 D D s ZT"
    assert codes(talker.ask(execute("p", 1) + SYNC)) == "D s ZT"
    assert codes(talker.ask(execute("p") + SYNC)).endswith("C[SHOW] ZT")


def test_behind_an_error_nothing_of_ours_runs(talker, other):
    answer = talker.ask(once("SELECT 1/0") + once(LATER) + query(LATER) + SYNC)
    assert codes(answer) == "1 E[22012] ZI"
    assert other.execute(
        "SELECT count(*) FROM sqlml.model WHERE model_name = 'later_probe'"
    ).fetchone() == (0,)


def test_a_failed_describe_then_a_query_without_sync(talker):
    """The Query gets no answer, and what comes behind Sync is still told from it."""
    answer = talker.ask(describe("S", "none") + query("SHOW MODELS") + SYNC)
    assert codes(answer) == "E[26000] ZI"
    answer = talker.ask(query("CALL sqlml.drop_model('nothing', if_exists => true)"))
    assert codes(answer) == "C[CALL] ZI"
    assert codes(talker.ask(query("DROP MODEL IF EXISTS nothing"))) == "C[DROP MODEL] ZI"


def test_a_statement_timeout_ends_the_waiting(talker, other):
    talker.ask(query("SET statement_timeout = '700ms'"))
    answer = talker.ask(query(LONG))
    assert codes(answer) == "E[57014] ZI"
    assert "statement timeout" in errors(answer)[0]["M"]
    assert codes(talker.ask(query("SELECT 1"))) == "T D C[SELECT 1] ZI"


def test_the_backend_is_killed_during_the_training(talker, other):
    pid = backend_of(talker)
    talker.send(query(LONG))
    wait_for_training(other, pid)
    other.execute("SELECT pg_terminate_backend(%s)", (pid,))
    answer = talker.read()
    assert codes(answer) == "E[57P01]"


def test_notifications_and_notices_come_whole_during_the_training(talker, other):
    pid = backend_of(talker)
    talker.ask(query("LISTEN model"))
    talker.send(query(LONG))
    wait_for_training(other, pid)
    other.execute("NOTIFY model, 'CREATE MODEL'")
    other.execute("SELECT pg_cancel_backend(%s)", (pid,))
    answer = talker.read()
    assert codes(answer).replace("A ", "") in ("E[57014] ZI",)
    assert codes(answer + talker.ask(query("SELECT 1"))).count("A") == 1


def test_notices_follow_the_client_s_wish(talker, other):
    found = {}
    for level in ("notice", "error"):
        talker.ask(query(f"SET client_min_messages = {level}"))
        answer = talker.ask(query(f"BEGIN; {LATER}; ROLLBACK"))
        assert codes(answer) == "C[BEGIN] C[CREATE MODEL] C[ROLLBACK] ZI"
        found[level] = [code for code, _ in answer].count("N")
    assert found["notice"] > 0 == found["error"]


@pytest.mark.parametrize(
    ("client_encoding", "codec"),
    [("SJIS", "cp932"), ("BIG5", "big5"), ("GBK", "gbk"), ("UHC", "cp949"), ("GB18030", "gb18030")],
)
def test_second_bytes_that_look_like_ascii(proxy_dsn, client_encoding, codec):
    r"""0x5c (a backslash) and other ASCII bytes end characters in these encodings."""
    word = {"SJIS": "表ソ", "BIG5": "功許", "GBK": "誠乗", "UHC": "가갂", "GB18030": "誠乗"}[
        client_encoding
    ]
    with talk(proxy_dsn) as talker:
        talker.ask(query(f"SET client_encoding = '{client_encoding}'"))
        raw = f"SELECT E'{word}', '{word}'; DROP MODEL \"{word}\"".encode(codec) + b"\0"
        answer = talker.ask(frame(ord("Q"), raw))
    assert codes(answer) == "T D C[SELECT 1] E[42704] ZI"
    assert dict(answer)["D"].count(word.encode(codec)) == 2
    [payload] = [payload for code, payload in answer if code == "E"]
    assert word.encode(codec) in payload


def test_two_sessions_and_a_cancel(proxy_dsn, other):
    """Ctrl-C while the training runs: through the proxy, on a connection of its own."""
    with closing(psycopg.connect(proxy_dsn, autocommit=True)) as connection:

        def cancel():
            wait_for_training(other, connection.info.backend_pid)
            connection.cancel()

        canceller = threading.Thread(target=cancel)
        canceller.start()
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute(LONG)
        canceller.join()
        assert connection.execute("SELECT 1").fetchone() == (1,)
