"""
The bytes of both directions, without sockets: any split, any order.
"""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlml.proxy.handover import LOOK_BYTES, SessionState
from sqlml.proxy.interceptor import MAX_STATEMENT_SIZE, Interceptor
from sqlml.statement.rewriter import StatementRewriter
from sqlml.wire.messages import Field, frame, read_fields, write_fields
from tests.proxy.talk import SYNC, bind, describe, execute, once, parse, query

CREATE = "CREATE MODEL m PREDICT y FROM t"
CALL = "CALL sqlml.create_model(model => 'm', target => 'y', relation => 't'"


def ready(status="I"):
    return frame(ord("Z"), status.encode())


def complete(tag):
    return frame(ord("C"), tag.encode() + b"\0")


def status(name, value):
    return frame(ord("S"), name.encode() + b"\0" + value.encode() + b"\0")


def response(code, **fields):
    return frame(
        ord(code), write_fields({ord(letter): text.encode() for letter, text in fields.items()})
    )


PARSED, BOUND, EMPTY = frame(ord("1"), b""), frame(ord("2"), b""), frame(ord("n"), b"")
LOGGED_IN = frame(ord("R"), b"\0\0\0\0") + status("client_encoding", "UTF8") + ready()


@pytest.fixture
def interceptor():
    return log_in()


def log_in():
    interceptor = Interceptor(StatementRewriter())
    assert interceptor.from_upstream(LOGGED_IN) == LOGGED_IN
    return interceptor


def atomic_of(raw):
    """What the rewritten text says of its transaction."""
    assert CALL.encode() in raw
    for value in (True, False):
        if f"atomic => {str(value).lower()})".encode() in raw:
            return value
    return None


def test_what_is_not_ours_is_the_same_object_s_bytes(interceptor):
    for raw in (query("SELECT 'model'"), once("SELECT 1 AS model") + SYNC, b"d\0\0\0\7abc"):
        assert interceptor.from_client(raw) == raw


def test_a_statement_alone_is_not_atomic(interceptor):
    assert atomic_of(interceptor.from_client(query(CREATE))) is False


def test_an_unnamed_parse_alone_is_not_atomic(interceptor):
    assert atomic_of(interceptor.from_client(once(CREATE) + SYNC)) is False


@pytest.mark.parametrize("block", ["T", "E"])
def test_in_a_block_it_is_atomic(interceptor, block):
    interceptor.from_client(query("BEGIN"))
    interceptor.from_upstream(complete("BEGIN") + ready(block))
    assert atomic_of(interceptor.from_client(query(CREATE))) is True
    interceptor.from_client(SYNC)
    interceptor.from_upstream(complete("CALL") + ready(block) + ready(block))
    assert atomic_of(interceptor.from_client(parse(CREATE))) is True


def test_after_another_execute_before_sync_it_is_atomic(interceptor):
    assert atomic_of(interceptor.from_client(once("BEGIN") + once(CREATE) + SYNC)) is True


def test_behind_an_unanswered_query_nothing_is_certain(interceptor):
    assert atomic_of(interceptor.from_client(query("BEGIN") + query(CREATE))) is None


def test_behind_an_unanswered_sync_nothing_is_certain(interceptor):
    assert atomic_of(interceptor.from_client(once("BEGIN") + SYNC + parse(CREATE))) is None


def test_a_named_statement_may_run_anywhere(interceptor):
    assert atomic_of(interceptor.from_client(parse(CREATE, "s1"))) is None


def test_before_login_is_over_nothing_is_certain():
    interceptor = Interceptor(StatementRewriter())
    assert atomic_of(interceptor.from_client(query(CREATE))) is None


def test_after_an_error_the_rest_up_to_sync_is_forgotten(interceptor):
    interceptor.from_client(once("SELECT 1/0") + once("SELECT 2"))
    interceptor.from_upstream(PARSED + BOUND + response("E", S="ERROR", C="22012", M="x"))
    interceptor.from_client(query("SELECT 3") + SYNC)
    interceptor.from_upstream(ready())
    assert atomic_of(interceptor.from_client(query(CREATE))) is False


def test_a_sync_sent_before_copy_data_is_forgotten(interceptor):
    interceptor.from_client(once("COPY t FROM STDIN") + SYNC)
    interceptor.from_upstream(PARSED + BOUND + EMPTY + frame(ord("G"), b"\0\0\0"))
    interceptor.from_client(SYNC + frame(ord("d"), b"1\n") + frame(ord("c"), b"") + SYNC)
    interceptor.from_upstream(complete("COPY 1") + ready())
    assert atomic_of(interceptor.from_client(query(CREATE))) is False


def test_tags_of_our_calls_and_of_no_others(interceptor):
    text = f"CALL theirs(); {CREATE}; SHOW MODELS; DROP MODEL m; CALL theirs()"
    interceptor.from_client(query(text))
    calls = complete("CALL") * 2 + complete("SELECT 2") + complete("CALL") * 2 + ready()
    assert interceptor.from_upstream(calls) == (
        complete("CALL")
        + complete("CREATE MODEL")
        + complete("SELECT 2")
        + complete("DROP MODEL")
        + complete("CALL")
        + ready()
    )
    interceptor.from_client(query("CALL theirs()"))
    assert interceptor.from_upstream(complete("CALL") + ready()) == complete("CALL") + ready()


def test_a_prepared_statement_is_known_by_its_name(interceptor):
    interceptor.from_client(parse(CREATE, "ours") + parse("CALL x()", "theirs") + SYNC)
    interceptor.from_upstream(PARSED + PARSED + ready())
    for name, tag in (("ours", "CREATE MODEL"), ("theirs", "CALL"), ("ours", "CREATE MODEL")):
        interceptor.from_client(bind("p", name) + execute("p") + SYNC)
        answer = interceptor.from_upstream(BOUND + complete("CALL") + ready())
        assert answer == BOUND + complete(tag) + ready()


def test_a_name_that_could_not_be_taken_keeps_its_meaning(interceptor):
    interceptor.from_client(parse(CREATE, "s") + SYNC)
    interceptor.from_upstream(PARSED + ready())
    interceptor.from_client(parse("CALL x()", "s") + SYNC)
    interceptor.from_upstream(response("E", S="ERROR", C="42P05", M="exists") + ready())
    interceptor.from_client(bind("", "s") + execute() + SYNC)
    answer = interceptor.from_upstream(BOUND + complete("CALL") + ready())
    assert answer == BOUND + complete("CREATE MODEL") + ready()


def test_the_inside_of_our_call_is_not_told(interceptor):
    inner = {"S": "ERROR", "V": "ERROR", "C": "42501", "M": "no", "D": "d", "H": "h"}
    outer = {"P": "3", "p": "9", "q": "SELECT 1", "W": "PL/pgSQL", "F": "a.c", "L": "1", "R": "r"}
    interceptor.from_client(query(CREATE))
    for code in ("N", "E"):
        answer = interceptor.from_upstream(response(code, **inner, **outer))
        assert answer == response(code, **inner)
    interceptor.from_upstream(ready())
    interceptor.from_client(query("SELECT x"))
    theirs = response("E", **inner, **outer)
    assert interceptor.from_upstream(theirs) == theirs


def test_an_error_in_the_training_query_is_shown_in_it(interceptor):
    text = "CREATE MODEL m PREDICT y FROM (SELECT wrong FROM t)"
    interceptor.from_client(query(text))
    inner = "SELECT * FROM (SELECT wrong FROM t) AS source"
    raw = response("E", S="ERROR", C="42703", M="x", p=str(inner.index("wrong") + 1), q=inner)
    fields = read_fields(interceptor.from_upstream(raw)[5:])
    assert int(fields[Field.POSITION]) == text.index("wrong") + 1


def test_positions_behind_a_call_are_the_user_s(interceptor):
    text = "SHOW MODELS; SELECT oops"
    sent = interceptor.from_client(query(text))
    place = sent[5:].index(b"oops") + 1
    answer = interceptor.from_upstream(response("E", S="ERROR", C="42703", M="x", P=str(place)))
    assert int(read_fields(answer[5:])[Field.POSITION]) == text.index("oops") + 1


def test_a_refused_text_goes_on_and_its_error_comes_back_in_our_words(interceptor):
    text = "CREATE MODEL m FORM t"
    assert interceptor.from_client(query(text)) == query(text)
    theirs = response("E", S="FEHLER", V="ERROR", C="42601", M="Syntaxfehler", P="8", F="scan.l")
    ours = response(
        "E",
        S="FEHLER",
        V="ERROR",
        C="42601",
        M='syntax error at or near "FORM"',
        H="Did you mean FROM?",
        P="16",
    )
    assert interceptor.from_upstream(theirs + ready()) == ours + ready()


def test_another_statement_s_syntax_error_stays_the_server_s(interceptor):
    interceptor.from_client(query("SELEC 1; CREATE MODEL m FORM t"))
    theirs = response("E", S="ERROR", C="42601", M='syntax error at or near "SELEC"', P="1")
    assert interceptor.from_upstream(theirs) == theirs


def test_names_in_the_client_s_encoding(interceptor):
    interceptor.from_upstream(status("client_encoding", "LATIN1"))
    sent = interceptor.from_client(frame(ord("Q"), "DROP MODEL größe\0".encode("latin-1")))
    assert "'\"größe\"'".encode("latin-1") in sent


def test_a_text_that_is_not_of_its_encoding_goes_on(interceptor):
    raw = frame(ord("Q"), b"DROP MODEL \xff\0")
    assert interceptor.from_client(raw) == raw


def test_a_character_that_the_encoding_lacks_goes_on_as_it_was_written(interceptor):
    interceptor.from_upstream(status("client_encoding", "LATIN1"))
    call, statement = 'SELECT predict(U&"\\4e2d", c)', 'DROP MODEL U&"\\4e2d"'
    assert interceptor.from_client(query(call)).endswith(SYNC)
    assert interceptor.from_upstream(ready()) == b""
    assert interceptor.take_for_upstream() == query(call)
    assert interceptor.from_client(query(statement)) == query(statement)


def test_string_parsing_follows_the_session(interceptor):
    interceptor.from_upstream(status("standard_conforming_strings", "off"))
    raw = query(r"SELECT 'a\'; SHOW MODELS; --'")
    assert interceptor.from_client(raw) == raw


def test_a_long_model_statement_is_still_one(interceptor):
    text = f"CREATE MODEL m PREDICT y FROM (SELECT '{'x' * 100 * LOOK_BYTES}' AS y)"
    raw = query(text)
    pieces = [raw[start : start + 65536] for start in range(0, len(raw), 65536)]
    sent = [interceptor.from_client(piece) for piece in pieces]
    assert not any(sent[:-1])
    assert b"CALL sqlml.create_model(" in sent[-1][:100]


@pytest.mark.parametrize("text", ["SELECT ", "CREATE MODEL m PREDICT y FROM (SELECT "])
def test_what_is_held_is_bounded(interceptor, text):
    size = MAX_STATEMENT_SIZE + (1 << 20)
    raw = frame(ord("Q"), text.encode() + b"1" * size + b"\0")
    sent, held, most = 0, 0, 0
    for start in range(0, len(raw), 1 << 18):
        piece = raw[start : start + (1 << 18)]
        came = interceptor.from_client(piece)
        held += len(piece) - len(came)
        most, sent = max(most, held), sent + len(came)
    assert sent == len(raw)
    assert most <= (MAX_STATEMENT_SIZE if "MODEL" in text else 2 * LOOK_BYTES)


def test_a_stranger_s_long_text_is_not_held():
    interceptor = Interceptor(StatementRewriter())
    raw = frame(ord("Q"), b"CREATE MODEL m PREDICT y FROM (SELECT " + b"1" * (2 << 20))
    assert interceptor.from_client(raw[:-1]) == raw[:-1]


def test_impossible_lengths_are_the_server_s_to_judge(interceptor):
    raw = query("SELECT 1") + b"Q\0\0\0\1rest" + query("SHOW MODELS")
    assert interceptor.from_client(raw) == raw
    assert interceptor.from_client(query("SHOW MODELS")) == query("SHOW MODELS")


def test_a_describe_that_fails_before_a_query_without_sync(interceptor):
    """The Query is skipped; what is awaited then is the answer to Sync and no more."""
    interceptor.from_client(describe("S", "none") + query(CREATE) + SYNC)
    interceptor.from_upstream(response("E", S="ERROR", C="26000", M="x") + ready())
    assert interceptor.is_idle
    interceptor.from_client(query("CALL theirs()"))
    answer = complete("CALL") + ready()
    assert interceptor.from_upstream(answer) == answer


def test_a_describe_that_works_before_a_query_that_fails(interceptor):
    interceptor.from_client(describe("S", "s") + query("SELECT 1/0"))
    answer = frame(ord("t"), b"\0\0") + frame(ord("T"), b"\0\0")
    interceptor.from_upstream(answer + response("E", S="ERROR", C="22012", M="x"))
    interceptor.from_upstream(ready())
    assert interceptor.is_idle


def test_only_the_head_of_a_text_is_looked_at(interceptor):
    for blank, is_seen in ((LOOK_BYTES - 100, True), (LOOK_BYTES, False)):
        text = f"SELECT 1;{' ' * blank}SHOW MODELS;{' ' * LOOK_BYTES}DROP MODEL m"
        sent = interceptor.from_client(query(text) + SYNC)
        assert (b"sqlml.show_models()" in sent) == is_seen
        assert (b"sqlml.drop_model(" in sent) == is_seen
        assert sent.endswith(SYNC)
        interceptor.from_upstream(complete("SELECT 1") + ready() + ready())


def test_a_backslash_behind_an_unanswered_set_is_not_certain(interceptor):
    text = r"SELECT 'a\'; SHOW MODELS; --'"
    assert b"sqlml." in interceptor.from_client(query(text))
    assert interceptor.from_client(query(text)) == query(text)
    alike = r"SELECT 'a\b'; SHOW MODELS"
    assert b"sqlml." in interceptor.from_client(query(alike))


def test_a_deallocated_name_is_the_client_s_again(interceptor):
    interceptor.from_client(parse("DROP MODEL m", "s1") + SYNC)
    interceptor.from_upstream(PARSED + ready())
    assert interceptor.state() is None
    interceptor.from_client(query('SELECT 1; deallocate PREPARE "s1"'))
    interceptor.from_upstream(complete("SELECT 1") + complete("DEALLOCATE") + ready())
    assert interceptor.state() is not None
    interceptor.from_client(bind("", "s1") + execute() + SYNC)
    answer = BOUND + complete("CALL") + ready()
    assert interceptor.from_upstream(answer) == answer


def test_a_session_can_go_when_nothing_of_ours_is_left(interceptor):
    """And whoever goes on knows what this one knew."""
    assert interceptor.state() is not None
    interceptor.from_upstream(status("client_encoding", "LATIN1"))
    interceptor.from_client(query("BEGIN")[:3])
    assert interceptor.state() is None
    interceptor.from_client(query("BEGIN")[3:])
    assert interceptor.state() is None
    interceptor.from_upstream(complete("BEGIN") + ready("T")[:3])
    assert interceptor.state() is None
    interceptor.from_upstream(ready("T")[3:])
    state = interceptor.state()
    assert state == SessionState(b"T", "LATIN1", is_logged_in=True, awaited=b"")
    assert atomic_of(Interceptor(StatementRewriter(), state).from_client(query(CREATE))) is True


def test_a_session_stays_while_names_of_ours_live(interceptor):
    interceptor.from_client(once("SHOW MODELS") + SYNC)
    rows = frame(ord("T"), b"\0\0")
    interceptor.from_upstream(PARSED + BOUND + rows + complete("SELECT 0") + ready())
    # The unnamed statement can be bound again.
    assert interceptor.is_idle
    assert interceptor.state() is None
    interceptor.from_client(query("SELECT 1"))
    interceptor.from_upstream(complete("SELECT 1") + ready())
    assert interceptor.state() is not None


def test_a_session_that_is_not_understood_stays(interceptor):
    interceptor.from_client(b"Q\0\0\0\1")
    assert interceptor.state() is None


def test_a_session_taken_over_in_the_middle():
    state = SessionState(is_logged_in=True, awaited=b"PBDESQ")
    interceptor = Interceptor(StatementRewriter(), state)
    assert atomic_of(interceptor.from_client(query(CREATE))) is None
    theirs = PARSED + BOUND + EMPTY + complete("CALL") + ready() + complete("CALL") + ready()
    assert interceptor.from_upstream(theirs) == theirs
    assert interceptor.from_upstream(complete("CALL")) == complete("CREATE MODEL")


FROM_CLIENT = (
    query("SELECT 1")
    + once(CREATE)
    + SYNC
    + parse("SHOW MODELS", "s")
    + bind("", "s")
    + describe("P")
    + execute()
    + SYNC
    + query(f"BEGIN; {CREATE}; COMMIT")
)
FROM_UPSTREAM = (
    complete("SELECT 1")
    + ready()
    + (PARSED + BOUND + EMPTY + response("N", S="NOTICE", M="trial", W="x") + complete("CALL"))
    + ready()
    + (PARSED + BOUND + frame(ord("T"), b"\0\0") + frame(ord("D"), b"Z\0\0\0\5I"))
    + complete("SELECT 1")
    + ready()
    + (complete("BEGIN") + complete("CALL") + complete("COMMIT") + ready())
)


@given(
    st.lists(st.integers(0, len(FROM_CLIENT)), max_size=10),
    st.lists(st.integers(0, len(FROM_UPSTREAM)), max_size=10),
)
def test_splits_change_nothing(client_cuts, upstream_cuts):
    def forward(client_cuts, upstream_cuts):
        interceptor = log_in()
        sent = b"".join(map(interceptor.from_client, cut(FROM_CLIENT, client_cuts)))
        return sent, b"".join(map(interceptor.from_upstream, cut(FROM_UPSTREAM, upstream_cuts)))

    def cut(stream, cuts):
        edges = [0, *sorted(cuts), len(stream)]
        return [stream[a:b] for a, b in pairwise(edges)]

    sent, received = forward(client_cuts, upstream_cuts)
    assert (sent, received) == forward([], [])
    assert sent.count(b"CALL sqlml.create_model") == 2
    assert received.count(b"CREATE MODEL\0") == 2
    assert b"Wx" not in received
