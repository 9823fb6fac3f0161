"""
predict(model, row) with a bare name: what the proxy asks the server, and what the client sees.
"""

import socket
from itertools import pairwise

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlml.proxy.handover import SessionState
from sqlml.proxy.interceptor import Interceptor
from sqlml.statement.rewriter import StatementRewriter
from sqlml.wire.messages import frame, write_fields
from tests.proxy.talk import SYNC, bind, codes, execute, once, parse, query, talk

TEXT = "SELECT predict(probe, c) FROM c"
SPLICED = "SELECT public.predict_probe( c) FROM c"
CLOSED, PARSED, BOUND = frame(ord("3"), b""), frame(ord("1"), b""), frame(ord("2"), b"")
ROW = frame(ord("D"), b"\0\1\0\0\0\6public")
DONE = frame(ord("C"), b"SELECT 1\0")
READY, BLOCK = frame(ord("Z"), b"I"), frame(ord("Z"), b"T")
FOUND = CLOSED + PARSED + BOUND + ROW + DONE + CLOSED * 2 + READY
NOT_FOUND = CLOSED + PARSED + BOUND + DONE + CLOSED * 2 + READY
NOTIFICATION = frame(ord("A"), b"\0\0\0\1channel\0payload\0")


def error(severity, sqlstate):
    fields = {ord("S"): severity, ord("V"): severity, ord("C"): sqlstate, ord("M"): b"x"}
    return frame(ord("E"), write_fields(fields))


def start(status=b"I"):
    state = SessionState(status=status, is_logged_in=True, awaited=b"")
    return Interceptor(StatementRewriter(), state)


def asked(raw):
    """Whether these are the messages of a question, and nothing else."""
    assert raw.count(b"pg_catalog.pg_proc") <= 1
    return b"predict_probe" in raw and b"pg_catalog.pg_proc" in raw and raw.endswith(SYNC)


@given(st.lists(st.integers(0, 400), max_size=8), st.lists(st.integers(0, 200), max_size=8))
def test_the_text_waits_for_the_answer_however_the_bytes_come(client_cuts, upstream_cuts):
    interceptor = start()
    behind = query("SELECT 2") + once("SELECT 3") + SYNC
    pieces = cut(query("SELECT 1") + query(TEXT) + behind, client_cuts)
    sent = b"".join(map(interceptor.from_client, pieces))
    # While the first one is not answered nothing can be asked.
    assert sent == query("SELECT 1") + query(TEXT) + behind

    interceptor = start()
    question = b"".join(map(interceptor.from_client, cut(query(TEXT) + behind, client_cuts)))
    assert asked(question)
    assert interceptor.is_asking
    assert interceptor.state() is None
    stream = CLOSED + NOTIFICATION + FOUND[len(CLOSED) :]
    received, sent = b"", b""
    for piece in cut(stream, upstream_cuts):
        assert sent == b""
        received += interceptor.from_upstream(piece)
        sent += interceptor.take_for_upstream()
    assert received == NOTIFICATION
    assert sent == query(SPLICED) + behind
    assert not interceptor.is_asking
    assert interceptor.take_for_upstream() == b""


def cut(stream, cuts):
    edges = [0, *sorted(min(place, len(stream)) for place in cuts), len(stream)]
    return [stream[a:b] for a, b in pairwise(edges) if a < b]


def test_what_is_no_model_is_left():
    interceptor = start()
    assert asked(interceptor.from_client(query(TEXT)))
    assert interceptor.from_upstream(NOT_FOUND) == b""
    assert interceptor.take_for_upstream() == query(TEXT)


def test_the_last_answer_serves_where_nothing_can_be_asked():
    interceptor = start()
    interceptor.from_client(query(TEXT))
    interceptor.from_upstream(FOUND)
    interceptor.take_for_upstream()
    assert interceptor.from_client(query(TEXT)) == query(SPLICED)
    answer = DONE + READY + DONE + READY
    assert interceptor.from_upstream(answer) == answer
    assert asked(interceptor.from_client(query(TEXT)))


def test_in_a_block_it_asks_but_not_before_set_transaction():
    interceptor = start(b"T")
    text = f"set TRANSACTION ISOLATION LEVEL SERIALIZABLE; {TEXT}"
    assert interceptor.from_client(query(text)) == query(text)
    interceptor = start(b"T")
    assert asked(interceptor.from_client(parse(TEXT, "s") + bind("", "s")))
    interceptor.from_upstream(FOUND.replace(READY, BLOCK))
    assert interceptor.take_for_upstream() == parse(SPLICED, "s") + bind("", "s")


def test_in_a_failed_block_nothing_is_asked():
    assert start(b"E").from_client(query(TEXT)) == query(TEXT)


def test_an_error_that_meets_the_question_is_the_query_s_answer():
    interceptor = start()
    assert asked(interceptor.from_client(query(TEXT) + query("SELECT 2")))
    cancelled = error(b"ERROR", b"57014")
    assert interceptor.from_upstream(CLOSED + PARSED + cancelled + READY) == cancelled + READY
    assert interceptor.take_for_upstream() == query("SELECT 2")


def test_behind_an_error_that_meets_a_parse_s_question_all_is_skipped_to_sync():
    interceptor = start()
    client = once(TEXT) + query("SELECT 2") + frame(ord("d"), b"x" * 9000)
    assert asked(interceptor.from_client(client))
    cancelled = error(b"ERROR", b"57014")
    assert interceptor.from_upstream(CLOSED + cancelled + READY) == cancelled
    assert interceptor.take_for_upstream() == b""
    assert interceptor.from_client(bind() + SYNC + query("SELECT 3")) == SYNC + query("SELECT 3")
    assert interceptor.from_upstream(READY) == READY


def test_the_end_of_the_session_is_told_while_it_asks():
    interceptor = start()
    interceptor.from_client(query(TEXT))
    fatal = error(b"FATAL", b"57P01")
    assert interceptor.from_upstream(fatal) == fatal


def test_an_error_then_another_question():
    interceptor = start()
    assert asked(interceptor.from_client(query(TEXT) + query(TEXT)))
    cancelled = error(b"ERROR", b"57014")
    interceptor.from_upstream(CLOSED + cancelled + READY)
    assert asked(interceptor.take_for_upstream())
    assert interceptor.from_upstream(FOUND) == b""
    assert interceptor.take_for_upstream() == query(SPLICED)


@pytest.fixture(scope="module")
def probe(dsn):
    """What CREATE MODEL makes for `predict`, without a training."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("SELECT sqlml.make_predict_function('public', 'probe', 'text')")
        yield
        connection.execute("DROP FUNCTION public.predict_probe CASCADE")


def test_the_server_sees_the_typed_function(probe, connection):
    connection.execute(
        "CREATE TEMP VIEW probed AS SELECT predict(probe, w), sqlml.predict(public.probe, w, ''),"
        " predict_proba(probe, w, 'barolo') FROM wine AS w"
    )
    [view] = connection.execute("SELECT pg_get_viewdef('probed'::regclass)").fetchone()
    assert "predict_probe(w.*)" in view
    assert " predict('public.probe'::text, w.*" in view
    assert "predict_proba('public.probe'::text" in view


def test_positions_are_the_user_s(probe, connection):
    for text, word in (
        ("SELECT predict(probe, oops) FROM wine", "oops"),
        ("SELECT predict(probe, w), oops FROM wine AS w", "oops"),
        ("SELECT predict(probe, w) || ARRAY[1] FROM wine AS w", "||"),
        ("SELECT predict(absent, w) FROM wine AS w", "absent"),
    ):
        with pytest.raises(psycopg.Error) as caught:
            connection.execute(text)
        assert int(caught.value.diag.statement_position or 0) == text.index(word) + 1


@pytest.mark.parametrize("name", ["absent", "public.absent"])
def test_a_name_that_is_no_model_s_is_told(connection, name):
    with pytest.raises(psycopg.Error) as caught:
        connection.execute(f"SELECT predict({name}, w) FROM wine AS w")
    assert "no model of this name" in str(caught.value.diag.message_hint)


def test_the_question_leaves_no_trace(probe, proxy_dsn):
    with talk(proxy_dsn) as talker:
        before = parse("SELECT 'unnamed'") + bind() + SYNC
        assert codes(talker.ask(query("BEGIN") + before, ready=2)) == "C[BEGIN] ZT 1 2 ZT"
        # A named Parse asks; the client's unnamed statement and portal live on.
        assert codes(talker.ask(parse("SELECT predict(probe, 1)", "s") + SYNC)) == "1 ZT"
        assert codes(talker.ask(execute() + bind() + execute() + SYNC)) == (
            "D C[SELECT 1] 2 D C[SELECT 1] ZT"
        )
        left = "SELECT count(*) FROM pg_prepared_statements WHERE name ~ 'proxy'"
        answer = talker.ask(query(f"{left} UNION ALL SELECT count(*) FROM pg_cursors"))
        assert [payload[-1:] for code, payload in answer if code == "D"] == [b"0", b"0"]


def test_a_model_wins_over_a_column(probe, connection):
    connection.execute(
        "CREATE TEMP VIEW won AS SELECT predict(probe, w) FROM (SELECT 1 AS probe) AS w"
    )
    [view] = connection.execute("SELECT pg_get_viewdef('won'::regclass)").fetchone()
    assert "predict_probe(w.*)" in view


def test_a_half_closed_client_gets_its_answer(probe, proxy_dsn):
    with talk(proxy_dsn) as talker:
        talker.send(query("SELECT predict(probe, NULL::wine)"))
        talker.socket.shutdown(socket.SHUT_WR)
        assert codes(talker.read()) == "T D C[SELECT 1] ZI"


def test_without_sqlml_the_text_is_left_and_a_statement_says_what_is_missing(proxy_dsn):
    with psycopg.connect(proxy_dsn, dbname="postgres", autocommit=True) as connection:
        with pytest.raises(psycopg.errors.UndefinedColumn):
            connection.execute("SELECT predict(probe, c) FROM pg_class AS c")
        for text in ("SHOW MODELS", "CREATE MODEL m PREDICT y FROM t", "DROP MODEL m"):
            with pytest.raises(psycopg.errors.InvalidSchemaName) as caught:
                connection.execute(text)
            diag = caught.value.diag
            assert diag.message_primary == "sqlml is not installed in this database"
            assert "sqlml install" in str(diag.message_hint)
            assert diag.statement_position is None


def test_the_proxy_s_counters(connection):
    cursor = connection.execute("SHOW sqlml.proxy")
    assert cursor.statusmessage == "SHOW"
    assert dict(cursor.fetchall())["sessions"] >= 1
    with pytest.raises(psycopg.errors.UndefinedObject):
        connection.execute("SHOW sqlml.proxies")


def test_errors_of_a_failed_block_are_the_server_s(probe, talker):
    answer = talker.ask(query("BEGIN") + query("SELECT 1/0") + query(TEXT), ready=3)
    assert codes(answer) == "C[BEGIN] ZT E[22012] ZE E[25P02] ZE"
