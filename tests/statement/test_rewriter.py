"""
Model statements are found wherever a statement may begin, and nowhere else.
"""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlml.proxy.rewriting import Surroundings
from sqlml.statement.recognise import StatementKind, recognise
from sqlml.statement.rewriter import StatementRewriter

REWRITER = StatementRewriter()
WORDS = ["CREATE", "OR", "REPLACE", "MODEL", "IF", "NOT", "EXISTS", "m", '"M"', "PREDICT", "FROM"]
WORDS += ["(", ")", "SELECT", "WITH", "USING", "=", ",", "[", "]", "'x'", "1", "-", "$1", "$$", "'"]
WORDS += ["RANGE", "CHOICE"]
WORDS += ["DROP", "SHOW", "MODELS", "DESCRIBE", ".", ";", "ARRAY", "NULL", "/*", "*/", "--", "\n"]
NOT_OURS = [
    "SELECT 'x; CREATE MODEL m PREDICT y FROM t'",
    "SELECT $$; DROP MODEL m;$$; SELECT $a$; $b$ ; SHOW MODELS; $b$ $a$",
    "SELECT 1 /* ; SHOW MODELS; /* ; SHOW MODELS */ ; */; SELECT 2 -- ; DROP MODEL m",
    'SELECT 1 AS "; DROP MODEL m;"',
    "SELECT E'\\'; SHOW MODELS; --'",
    "SELECT a$b$; SHOW_MODELS; SELECT c$b$",
    "CREATE RULE model AS ON INSERT TO t DO ALSO (SELECT 1; SHOW MODELS)",
    "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SHOW MODELS; END",
    "CREATE OR REPLACE PROCEDURE model() BEGIN ATOMIC"
    " SELECT CASE WHEN true THEN 1 END; SHOW MODELS; END",
    "DO $$ BEGIN EXECUTE 'x'; DROP MODEL m; END $$",
    "PREPARE model AS SELECT 1; EXECUTE model",
    "EXPLAIN SHOW MODELS; COPY model FROM stdin",
    "SELECT * FROM models; SHOW model.x; CREATE TABLE model()",
    "SELECT 'open; DROP MODEL m",
    "SELECT 1; /* SHOW MODELS",
]


def rewrite(text, atomic=None, conforming=True):
    return REWRITER.rewrite(text, Surroundings(conforming, atomic))


@pytest.mark.parametrize("text", NOT_OURS)
def test_what_only_looks_like_ours_is_left_alone(text):
    assert rewrite(text) is None


def test_a_backslash_depends_on_the_setting():
    text = r"SELECT 'a\'; SHOW MODELS; --'"
    assert rewrite(text, conforming=True) is not None
    assert rewrite(text, conforming=False) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SHOW MODELS", "SELECT * FROM sqlml.show_models()"),
        (" SHOW MODELS ; -- end", " SELECT * FROM sqlml.show_models() ; -- end"),
        ("BEGIN;DROP MODEL m", "BEGIN;CALL sqlml.drop_model(model => 'm')"),
        (
            "SAVEPOINT x;CREATE MODEL m PREDICT y FROM t",
            "SAVEPOINT x;CALL sqlml.create_model(model => 'm', target => 'y', relation => 't', "
            "atomic => true)",
        ),
        (
            "SELECT ';' ; ; DROP MODEL a; /* c */DROP MODEL b;;",
            "SELECT ';' ; ; CALL sqlml.drop_model(model => 'a'); "
            "/* c */CALL sqlml.drop_model(model => 'b');;",
        ),
        (
            "CREATE FUNCTION atomic() RETURNS int AS 'select 1' LANGUAGE sql; SHOW MODELS",
            "CREATE FUNCTION atomic() RETURNS int AS 'select 1' LANGUAGE sql; "
            "SELECT * FROM sqlml.show_models()",
        ),
        (
            "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC; SELECT CASE 1 WHEN 1 THEN 2 END; END;"
            "SHOW MODELS",
            "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC; SELECT CASE 1 WHEN 1 THEN 2 END; END;"
            "SELECT * FROM sqlml.show_models()",
        ),
    ],
)
def test_calls_take_the_place_of_statements(text, expected):
    rewriting = rewrite(text)
    assert rewriting is not None
    assert rewriting.text == expected


@pytest.mark.parametrize("atomic", [True, False, None])
def test_a_statement_alone_runs_as_its_session_does(atomic):
    text = "/* c */ CREATE MODEL m PREDICT y FROM t; ;"
    rewriting = rewrite(text, atomic)
    assert rewriting is not None
    said = {True: ", atomic => true", False: ", atomic => false", None: ""}[atomic]
    assert f"relation => 't'{said})" in rewriting.text


def test_the_index_counts_statements_that_are_not_empty():
    rewriting = rewrite(";; SELECT 1;; SHOW MODELS; SELECT 2; DROP MODEL m")
    assert rewriting is not None
    assert [(s.statement_index, s.tag) for s in rewriting.splices] == [(1, None), (3, "DROP MODEL")]


def test_a_refused_statement_stays_and_those_before_it_are_rewritten():
    rewriting = rewrite("SHOW MODELS; DROP MODEL; DROP MODEL b")
    assert rewriting is not None
    assert rewriting.text == "SELECT * FROM sqlml.show_models(); DROP MODEL; DROP MODEL b"
    assert rewriting.refusal is not None
    assert (rewriting.refusal.statement_index, rewriting.refusal.start) == (1, 13)


@given(st.integers(0, 3), st.integers(0, 3))
def test_positions_are_mapped_back(before, after):
    head, tail = "ab;" * before, ";cd" * after
    text = f"{head}SHOW MODELS{tail}"
    rewriting = rewrite(text)
    assert rewriting is not None
    for index, letter in enumerate(rewriting.text):
        original = rewriting.original_position(index)
        if len(head) <= index < len(rewriting.text) - len(tail):
            assert original is None
        else:
            assert original is not None
            assert text[original] == letter


@given(st.lists(st.sampled_from(WORDS), max_size=16).map(" ".join))
def test_any_text_is_rewritten_or_refused_and_the_rest_stays(tail):
    for text in (tail, f"CREATE MODEL m {tail}", f"SHOW MODELS; {tail}; SELECT 1"):
        rewriting = rewrite(text)
        if rewriting is None:
            continue
        assert rewriting.splices or rewriting.refusal
        new = rewriting.text
        for splice in reversed(rewriting.splices):
            place = new.rindex(splice.sql)
            new = new[:place] + text[splice.start : splice.end] + new[place + len(splice.sql) :]
        assert new == text
        if rewriting.refusal is not None:
            assert rewriting.refusal.start < rewriting.refusal.error.position <= len(text) + 1


def test_recognition_does_not_read_on():
    text = "CREATE MODEL m PREDICT y FROM (SELECT '" + "x" * 20_000_000 + "')"
    other = f"x{text}"
    started = time.perf_counter()
    for _ in range(1000):
        assert recognise(text) is StatementKind.CREATE_MODEL
        assert recognise(other) is None
    assert time.perf_counter() - started < 20


@pytest.mark.parametrize("text", ["create MoDeL m", "BEGIN; ShOw MODELS", "describe/**/mOdel x"])
def test_the_relay_is_told_what_is_ours(text):
    assert REWRITER.decide(text.encode(), "UTF8", True)
    assert REWRITER.decide(text.encode() + b" ;select '\xc3", "UTF8", True)


@pytest.mark.parametrize("text", [*NOT_OURS, "SHOW sqlml.proxy", "", ";", "\0"])
def test_the_relay_keeps_what_is_not_ours(text):
    assert not REWRITER.decide(text.encode(), "UTF8", True)
