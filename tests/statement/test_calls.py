"""
Calls of predict with a bare name: which are found, and what takes their place.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlml.proxy.rewriting import ModelName, Surroundings
from sqlml.statement.rewriter import StatementRewriter

REWRITER = StatementRewriter()
CHURN, OTHER = ModelName("churn"), ModelName("M", "My Schema")
MODELS = {CHURN: "public", OTHER: "My Schema", ModelName("gone"): None}
LEFT = [
    "SELECT predict('churn', c) FROM c",
    "SELECT predict(churn)",
    "SELECT predict(a.b.c, d), predict(churn + 1, c), predict(churn c), predict($1, c)",
    "SELECT other.predict(churn, c), other . predict(churn, c), repredict(churn, c)",
    'SELECT "predict"(churn, c), "x".predict(churn, c), predict_probable(churn, c)',
    "SELECT 'predict(churn, c)', $$predict(churn, c)$$",
    "SELECT 1 /* predict(churn, c) */ -- predict(churn, c)",
    "SELECT a -- predict\n(churn, c)",
    'SELECT xpredict(churn, c), x.sqlml.predict(churn, c), "x"predict(churn, c)',
    "SELECT E'\\'predict(churn, c)', \"predict(churn, c)\"",
    "SELECT predict(churn, *) FROM c",
    "SELECT predict(churn, c",
    "SELECT predict(churn, ; c)",
    "SELECT predict(select, c)",
    "CREATE FUNCTION predict(churn, text) RETURNS int LANGUAGE sql AS ''",
    "CREATE OR REPLACE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT predict(churn, c); END",
    "DROP FUNCTION predict(churn, text)",
    "GRANT EXECUTE ON FUNCTION predict(churn, text) TO x",
    "COMMENT ON FUNCTION predict(churn, text) IS 'x'",
    "SELECT 'open, predict(churn, c)",
]
SPLICED = {
    "SELECT predict(churn, c) FROM c": "SELECT public.predict_churn( c) FROM c",
    "select PREDICT ( Churn,c)": "select public.predict_churn(c)",
    "SELECT sqlml.predict(churn, c)": "SELECT public.predict_churn( c)",
    "SELECT sqlml . predict( churn , c)": "SELECT public.predict_churn( c)",
    'SELECT predict("My Schema"."M", c)': 'SELECT "My Schema"."predict_M"( c)',
    "SELECT predict(churn, predict(churn, c))": (
        "SELECT public.predict_churn( public.predict_churn( c))"
    ),
    "SELECT predict(churn, c, NULL::text)": "SELECT sqlml.predict('public.churn', c, NULL::text)",
    "SELECT predict(churn, ROW(1, ARRAY[2, 3]))": (
        "SELECT public.predict_churn( ROW(1, ARRAY[2, 3]))"
    ),
    "SELECT predict_proba(churn, c, 'yes')": "SELECT sqlml.predict_proba('public.churn', c, 'yes')",
    "SELECT predict(gone, c), predict(churn, ';)')": (
        "SELECT predict(gone, c), public.predict_churn( ';)')"
    ),
    "SELECT 'é' /* ( */ , predict(churn, c) -- )": (
        "SELECT 'é' /* ( */ , public.predict_churn( c) -- )"
    ),
    "SELECT 'İ', predict(churn, c)": "SELECT 'İ', public.predict_churn( c)",
    "SELECT a/*x*/,/*y*/predict(churn, c)": "SELECT a/*x*/,/*y*/public.predict_churn( c)",
    "SELECT predict(churn, (SELECT ',', 'x' FROM f(1, 2)))": (
        "SELECT public.predict_churn( (SELECT ',', 'x' FROM f(1, 2)))"
    ),
    "(SELECT predict(churn, c))": "(SELECT public.predict_churn( c))",
    "CREATE OR REPLACE TEMP VIEW v AS SELECT predict(churn, c)": (
        "CREATE OR REPLACE TEMP VIEW v AS SELECT public.predict_churn( c)"
    ),
    "/* predict(churn, c) */ WITH a AS (SELECT 'predict(churn, c)') SELECT predict(churn, a)": (
        "/* predict(churn, c) */ WITH a AS (SELECT 'predict(churn, c)')"
        " SELECT public.predict_churn( a)"
    ),
    "SHOW MODELS; SELECT predict(churn, c); DROP MODEL m": (
        "SELECT * FROM sqlml.show_models(); SELECT public.predict_churn( c); "
        "CALL sqlml.drop_model(model => 'm')"
    ),
    "SELECT predict(churn, c); DROP MODEL; SELECT predict(churn, c)": (
        "SELECT public.predict_churn( c); DROP MODEL; SELECT predict(churn, c)"
    ),
}


@pytest.mark.parametrize("text", LEFT)
def test_what_only_looks_like_a_call_is_left(text):
    assert REWRITER.rewrite(text, Surroundings(models=MODELS)) is None


@pytest.mark.parametrize(("text", "expected"), SPLICED.items())
def test_the_model_s_function_takes_the_call_s_place(text, expected):
    rewriting = REWRITER.rewrite(text, Surroundings(models=MODELS))
    assert rewriting is not None
    assert rewriting.text == expected


def test_what_nobody_has_looked_for_is_told_once():
    text = "SELECT predict(churn, c), predict(s.m, c), predict(churn, d), predict(gone, c)"
    rewriting = REWRITER.rewrite(text, Surroundings(models={ModelName("gone"): None}))
    assert rewriting is not None
    assert rewriting.text == text
    assert set(rewriting.unknown) == {CHURN, ModelName("m", "s")}
    assert len(rewriting.unknown) == 2


def test_places_in_the_new_text_are_the_user_s():
    text = "SELECT x, predict(churn, c), y"
    rewriting = REWRITER.rewrite(text, Surroundings(models=MODELS))
    assert rewriting is not None
    for letter in "xy":
        assert rewriting.original_position(rewriting.text.index(letter)) == text.index(letter)
    inside = rewriting.text.index("predict_churn")
    assert rewriting.original_position(inside) == text.index("predict")


def test_calls_in_each_other_take_no_longer_than_beside_each_other():
    text = "SELECT " + "predict(churn, " * 20_000 + "c" + ")" * 20_000
    rewriting = REWRITER.rewrite(text, Surroundings(models=MODELS))
    assert rewriting is not None
    assert len(rewriting.splices) == 20_000


WORDS = ["predict(", "churn", ",", "c", ")", "(", "'", '"', ";", "sqlml.", "SELECT ", "/*", "*/"]


@given(st.lists(st.sampled_from(WORDS), max_size=14).map("".join))
def test_any_text_is_left_or_spliced_and_the_rest_stays(tail):
    text = f"SELECT predict(churn,{tail}"
    rewriting = REWRITER.rewrite(text, Surroundings(models=MODELS))
    if rewriting is None:
        return
    new = rewriting.text
    for splice in rewriting.splices:
        start = splice.start
        assert new[start : start + len(splice.sql)] == splice.sql
        new = new[:start] + text[splice.start : splice.end] + new[start + len(splice.sql) :]
    assert new == text
