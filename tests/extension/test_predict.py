"""
What the functions that predict answer, and how they refuse.
"""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest

import sqlml
from sqlml.compile.artifact import compile_model
from sqlml.enums import ColumnKind, EstimatorName, ProblemType
from sqlml.extract.dataset import Column
from sqlml.search.fitted import (
    Feature,
    FeatureOp,
    FittedModel,
    LinearPart,
    NumericTerm,
)
from tests.extension.conftest import Connection, connect, publish, require_evaluator
from tests.predict.models import seal
from tests.stack import Stack


def make_line(problem_type: ProblemType, *classes: str, intercept: float = 0.0) -> FittedModel:
    """A model whose raw score is its column x plus an intercept; 0 where x is NULL."""
    outputs = len(classes) if problem_type is ProblemType.MULTICLASS else 1
    term = NumericTerm(
        feature=0,
        low=-1e300,
        high=1e300,
        mean=0.0,
        inverse_scale=1.0,
        weights=np.arange(1.0, outputs + 1.0),
        missing_weights=np.zeros(outputs),
    )
    return FittedModel(
        problem_type=problem_type,
        target=Column("y", "text", ColumnKind.CATEGORY),
        classes=classes,
        columns=(Column("x", "double precision", ColumnKind.NUMERIC),),
        features=(Feature(column="x", op=FeatureOp.VALUE),),
        parts=(
            LinearPart(
                estimator=EstimatorName.LINEAR,
                intercepts=np.full(outputs, intercept),
                terms=(term,),
            ),
        ),
    )


REGRESSION = make_line(ProblemType.REGRESSION)
BINARY = make_line(ProblemType.BINARY, "false", "true")
NUMBERED = make_line(ProblemType.MULTICLASS, "1", "2", "3")


def ask(connection: Connection, expression: str, *parameters: object) -> Any:
    """The value of an expression."""
    row = connection.execute(f"SELECT {expression}".encode(), parameters or None).fetchone()
    assert row is not None
    return row[0]


def refusal(connection: Connection, query: str) -> psycopg.errors.Diagnostic:
    """The error of a query."""
    with pytest.raises(psycopg.Error) as caught:
        connection.execute(query.encode())
    return caught.value.diag


@pytest.mark.parametrize(
    ("type_name", "x", "expected"),
    [
        ("float8", "0.1", "0.1"),
        ("float8", "1e16", "1e+16"),
        ("float4", "0.1", "0.1"),
        ("integer", "2.5", "2"),
        ("integer", "3.5", "4"),
        ("smallint", "-7.4", "-7"),
        ("bigint", "9007199254740993", "9007199254740992"),
        ("numeric", "0.1", "0.1"),
        ("text", "0.30000000000000004", "0.30000000000000004"),
        ("text", "1e16", "1e+16"),
        ("varchar", "1", "1"),
        ("interval", "90", "00:01:30"),
        ("small", "3.2", "3"),
    ],
)
def test_a_regression_comes_in_the_asked_type(connection, evaluator, type_name, x, expected):
    connection.execute("CREATE DOMAIN small AS integer CHECK (value < 10)")
    publish(connection, "line", REGRESSION)
    call = f"{evaluator}.predict('line', t, NULL::{type_name})"
    row = f"FROM (SELECT {x}::float8 AS x) AS t"
    assert ask(connection, f"{call}::text {row}") == expected
    assert ask(connection, f"pg_typeof({call})::text {row}") == ask(
        connection, f"pg_typeof(NULL::{type_name})::text"
    )


@pytest.mark.parametrize(
    ("type_name", "x", "sqlstate"),
    [
        ("integer", "1e10", "22003"),
        ("small", "10", "23514"),
        ("boolean", "5", "22P02"),
    ],
)
def test_a_value_beyond_the_asked_type_is_refused(connection, evaluator, type_name, x, sqlstate):
    connection.execute("CREATE DOMAIN small AS integer CHECK (value < 10)")
    publish(connection, "line", REGRESSION)
    query = f"SELECT {evaluator}.predict('line', t, NULL::{type_name}) FROM"
    assert refusal(connection, f"{query} (SELECT {x}::float8 AS x) AS t").sqlstate == sqlstate


@pytest.mark.parametrize(
    ("type_name", "expected"),
    [("text", "true"), ("boolean", True), ("varchar(3)", "true"), ("name", "true")],
)
def test_a_label_comes_in_the_asked_type(connection, evaluator, type_name, expected):
    publish(connection, "line", BINARY)
    call = f"{evaluator}.predict('line', t, NULL::{type_name}) FROM (SELECT 5 AS x) AS t"
    assert ask(connection, call) == expected


def test_a_model_off_the_search_path_is_told_with_its_schema(connection):
    publish(connection, "line", REGRESSION)
    schema = ask(connection, "quote_ident(current_schema())")
    connection.execute("SET search_path = public")
    for query in ("CALL sqlml.drop_model('line')", "SELECT sqlml.predict('line', '{}'::jsonb)"):
        told = refusal(connection, query)
        assert told.message_primary == 'model "line" does not exist'
        assert told.message_hint == f"There is {schema}.line: name its schema."
    assert f"{schema}.line" in refusal(connection, "CALL sqlml.drop_model('lion')").message_hint


def test_a_label_that_the_asked_type_cannot_hold_is_refused(connection, evaluator):
    publish(connection, "line", BINARY)
    query = f"SELECT {evaluator}.predict('line', t, 1) FROM (SELECT 5 AS x) AS t"
    error = refusal(connection, query)
    assert (error.sqlstate, error.message_primary) == (
        "22P02",
        'invalid input syntax for type integer: "true"',
    )


def test_predictions_and_probabilities(connection, evaluator):
    publish(connection, "line", NUMBERED)
    call = "{}.predict('line', t, 0), {}.predict_proba('line', t, '3')".format(*[evaluator] * 2)
    rows = connection.execute(f"SELECT {call} FROM (VALUES (1.0), (-1.0)) AS t (x)".encode())
    parts = [math.exp(-2), math.exp(-1), 1.0]
    assert rows.fetchall() == [(3, 1.0 / sum(parts)), (1, math.exp(-2) / sum(parts))]


def test_the_score_that_decides_nothing_is_the_first_class(connection, evaluator):
    publish(connection, "line", BINARY)
    call = f"{evaluator}.predict('line', t), {evaluator}.predict_proba('line', t, 'true')"
    row = connection.execute(f"SELECT {call} FROM (SELECT 0 AS x) AS t".encode()).fetchone()
    assert row == ("false", 0.5)


def test_the_models_own_function_has_the_type_of_the_target(connection):
    publish(connection, "line", REGRESSION, "bigint")
    assert ask(connection, "predict_line(t) FROM (SELECT 41.6::real AS x) AS t") == 42


def test_null_arguments_and_null_rows_give_null(connection, evaluator):
    publish(connection, "line", BINARY)
    connection.execute("CREATE TABLE t (id integer, x float8)")
    connection.execute("INSERT INTO t VALUES (1, 5), (2, NULL), (NULL, NULL)")
    for call in (
        f"{evaluator}.predict(NULL, t)",
        f"{evaluator}.predict('line', NULL::t)",
        f"{evaluator}.predict('line', NULL::t, false)",
        f"{evaluator}.predict('line', NULL::jsonb)",
        f"{evaluator}.predict_proba('line', t, NULL)",
        f"{evaluator}.predict_proba('line', NULL::t, 'true')",
    ):
        assert ask(connection, f"{call} FROM t") is None
    # A row of NULLs is a row; what an outer join adds is not.
    joined = f"""
        SELECT ids.id, {evaluator}.predict('line', t) FROM (VALUES (1), (2), (3)) AS ids (id)
          LEFT JOIN t ON t.id = ids.id ORDER BY 1"""
    assert connection.execute(joined.encode()).fetchall() == [(1, "true"), (2, "false"), (3, None)]
    assert ask(connection, f"{evaluator}.predict('line', t) FROM t WHERE id IS NULL") == "false"
    assert ask(connection, f"count({evaluator}.predict('line', t)) FROM t WHERE false") == 0


def test_columns_are_matched_by_name(connection, evaluator):
    publish(connection, "line", REGRESSION)
    for source in (
        "(SELECT 'a' AS a, 5 AS x, now() AS b) AS t",
        "(VALUES (5::smallint, 'a')) AS t (x, z)",
        "(SELECT to_jsonb(r) AS j FROM (SELECT 5 AS x) AS r) AS s, LATERAL (SELECT s.j) AS u (t)",
        '(SELECT \'{"x": 5, "z": {}}\'::json AS t) AS s',
    ):
        assert ask(connection, f"{evaluator}.predict('line', t, NULL::float8) FROM {source}") == 5


def test_altering_the_table_is_noticed(connection, evaluator):
    publish(connection, "line", REGRESSION)
    connection.execute("CREATE TABLE t (a text, x float8)")
    connection.execute("INSERT INTO t VALUES ('a', 5)")
    call = f"{evaluator}.predict('line', t, NULL::float8) FROM t"
    assert ask(connection, call) == 5
    connection.execute("ALTER TABLE t DROP COLUMN a, ADD COLUMN b text DEFAULT 'b'")
    assert ask(connection, call) == 5
    connection.execute("ALTER TABLE t ALTER COLUMN x TYPE numeric")
    assert ask(connection, call) == 5
    connection.execute("ALTER TABLE t RENAME COLUMN x TO y")
    assert refusal(connection, f"SELECT {call}").sqlstate == "42703"
    connection.execute("ALTER TABLE t ADD COLUMN x integer DEFAULT 6")
    assert ask(connection, call) == 6


@pytest.mark.parametrize(
    ("query", "sqlstate", "message", "hint"),
    [
        ("predict('line', t) FROM (SELECT 1 AS y) AS t", "42703", 'no column "x"', "trained with"),
        (
            "predict('line', t) FROM (SELECT 1 AS \"X\") AS t",
            "42703",
            'the row has no column "x"',
            'Model "line" was trained',
        ),
        ("predict('line', 5)", "42804", "features must be a row or a JSON object", None),
        ("predict('line', '[]'::jsonb)", "42804", "not an array", None),
        ("predict('line', '{\"x\": \"a\"}'::jsonb)", "42804", "is a string, but model", None),
        ("predict('line', '{\"x\": 1e400}'::jsonb)", "22003", "out of range for type double", None),
        ("predict('nope', t) FROM (SELECT 1 AS x) AS t", "42704", '"nope" does not exist', "line"),
        ("predict('', t) FROM (SELECT 1 AS x) AS t", "42704", '"" does not exist', None),
        ("predict_proba('line', t, 'a') FROM (SELECT 1 AS x) AS t", "22023", "no class", None),
    ],
)
def test_refusals(connection, evaluator, query, sqlstate, message, hint):
    publish(connection, "line", BINARY)
    error = refusal(connection, f"SELECT {evaluator}.{query}")
    assert error.sqlstate == sqlstate
    assert message in error.message_primary
    assert "Traceback" not in f"{error.message_primary}{error.message_detail}{error.context}"
    if hint is not None:
        assert hint in error.message_hint


def test_a_column_of_another_kind_is_refused(connection):
    publish(connection, "line", BINARY)
    error = refusal(connection, "SELECT sqlml.predict('line', t) FROM (SELECT 'a'::text AS x) AS t")
    assert (error.sqlstate, error.message_primary) == (
        "42804",
        'column "x" of the row has type text, but model "line" expects double precision',
    )
    assert error.message_hint == "Pass the row of a query that casts the column."


@pytest.mark.parametrize("row", ["ROW(1)", "t) FROM (SELECT ROW(1) AS t OFFSET 0) AS s (t"])
def test_a_row_without_names_is_told_how_to_get_them(connection, row):
    publish(connection, "line", BINARY)
    error = refusal(connection, f"SELECT sqlml.predict('line', {row})")
    assert error.message_primary == 'the row has no column "x"'
    assert error.message_hint.startswith("The columns of ROW(...) are called f1, f2 and so on")


def test_two_columns_of_one_name_are_refused(connection):
    publish(connection, "line", BINARY)
    query = "SELECT sqlml.predict('line', t) FROM (SELECT 1 AS x, 2 AS x) AS t"
    error = refusal(connection, query)
    assert (error.sqlstate, error.message_primary) == ("42702", 'the row has two columns "x"')


def test_a_regression_has_no_probabilities(connection, evaluator):
    publish(connection, "line", REGRESSION)
    query = f"SELECT {evaluator}.predict_proba('line', t, 'a') FROM (SELECT 1 AS x) AS t"
    error = refusal(connection, query)
    assert error.sqlstate == "42809"
    assert error.message_primary == 'model "line" is a regression and has no probabilities'


def test_an_unknown_class_is_refused_with_at_most_20_known_ones(connection, evaluator):
    labels = [f"c{number:02}" for number in range(25)]
    publish(connection, "line", make_line(ProblemType.MULTICLASS, *labels))
    query = f"SELECT {evaluator}.predict_proba('line', t, 'é') FROM (SELECT 1 AS x) AS t"
    error = refusal(connection, query)
    assert error.message_primary == 'model "line" has no class "é"'
    assert error.message_detail == f"The classes are: {', '.join(labels[:20])}, ..."


def test_a_date_beyond_timestamps_is_refused(connection, evaluator):
    model = replace(
        REGRESSION,
        columns=(Column("x", "date", ColumnKind.DATETIME),),
        features=(Feature(column="x", op=FeatureOp.YEAR),),
    )
    publish(connection, "line", model)
    call = f"{evaluator}.predict('line', t, 0) FROM (SELECT %s::date AS x) AS t"
    assert ask(connection, call.replace("%s", "'2024-12-31'")) == 2024
    assert ask(connection, call.replace("%s", "'infinity'")) == 0
    error = refusal(connection, "SELECT " + call.replace("%s", "'5874897-12-31'"))
    assert error.sqlstate == "22008"


def test_names_of_every_sort(connection, evaluator):
    for name in ("My Model", "modèle", 'a "quoted" one', "select"):
        publish(connection, name, REGRESSION)
        quoted = '"' + name.replace('"', '""') + '"'
        for argument in (quoted, name):
            call = f"{evaluator}.predict(%s, t, 0) FROM (SELECT 7 AS x) AS t"
            assert ask(connection, call, argument) == 7


def test_a_replaced_model_answers_at_the_next_execution(connection, evaluator):
    publish(connection, "line", REGRESSION)
    connection.execute(
        f"PREPARE ask AS SELECT {evaluator}.predict('line', t, 0) FROM (SELECT 7 AS x) AS t"
    )
    connection.execute("SET plan_cache_mode = force_generic_plan")
    assert connection.execute("EXECUTE ask").fetchall() == [(7,)]
    publish(connection, "line", make_line(ProblemType.REGRESSION, intercept=100.0))
    assert connection.execute("EXECUTE ask").fetchall() == [(107,)]


def test_a_replaced_model_answers_within_a_function_and_a_transaction(connection, evaluator, stack):
    publish(connection, "line", REGRESSION)
    schema = ask(connection, "current_schema()")
    connection.execute(
        f"""
        CREATE FUNCTION ask() RETURNS integer LANGUAGE plpgsql AS $$
        DECLARE
            t record;
        BEGIN
            SELECT 7 AS x INTO t;
            RETURN {evaluator}.predict('line', t, 0);
        END $$""".encode()
    )
    with connection.transaction():
        assert ask(connection, "ask()") == 7
        with psycopg.connect(stack.dsn, autocommit=True) as other:
            other.execute(f'SET search_path = "{schema}"'.encode())
            publish(other, "line", make_line(ProblemType.REGRESSION, intercept=100.0))
        assert ask(connection, "ask()") == 107
    connection.execute("SET sqlml.cache_size = 0")
    ask(connection, "ask()")
    assert count_kept_models(connection) == 0


def test_one_query_sees_one_version(connection, stack):
    publish(connection, "line", REGRESSION)
    schema = ask(connection, "current_schema()")
    with connection.transaction(), connection.cursor("portal") as cursor:
        cursor.itersize = 1
        cursor.execute(
            "SELECT sqlml.predict('line', t, 0) FROM (SELECT generate_series(1, 500) AS x) AS t"
        )
        assert cursor.fetchone() == (1,)
        with psycopg.connect(stack.dsn, autocommit=True) as other:
            other.execute(f'SET search_path = "{schema}"'.encode())
            publish(other, "line", make_line(ProblemType.REGRESSION, intercept=1000.0))
        assert [row[0] for row in cursor] == list(range(2, 501))


def test_several_models_in_one_query(connection, evaluator):
    publish(connection, "one", REGRESSION)
    publish(connection, "two", make_line(ProblemType.REGRESSION, intercept=100.0))
    names = "(VALUES ('one', 1), ('two', 2), ('one', 3)) AS t (model, x)"
    query = f"SELECT {evaluator}.predict(t.model, t, 0) FROM {names}"
    connection.execute("SET sqlml.cache_size = 0")
    assert connection.execute(query.encode()).fetchall() == [(1,), (102,), (3,)]
    assert count_kept_models(connection) == 0


def test_parallel_workers_predict(connection):
    publish(connection, "line", REGRESSION)
    connection.execute("CREATE TABLE t AS SELECT generate_series(1, 20000)::float8 AS x")
    connection.execute("ANALYZE t")
    for setting in (
        "parallel_setup_cost = 0",
        "parallel_tuple_cost = 0",
        "min_parallel_table_scan_size = 0",
        "max_parallel_workers_per_gather = 2",
    ):
        connection.execute(f"SET {setting}".encode())
    query = "SELECT sum(sqlml.predict('line', t, 0::float8)) FROM t"
    plan = connection.execute(f"EXPLAIN (ANALYZE) {query}".encode()).fetchall()
    assert any("Workers Launched: 2" in row[0] for row in plan)
    assert connection.execute(query.encode()).fetchall() == [(20000 * 20001 / 2,)]


def test_models_beyond_the_cache_size_still_predict(connection):
    connection.execute("SET sqlml.cache_size = 0")
    for number in range(5):
        publish(connection, f"m{number}", make_line(ProblemType.REGRESSION, intercept=number))
    row = "FROM (SELECT 0 AS x) AS t"
    for _ in range(2):
        for number in range(5):
            assert ask(connection, f"sqlml.predict('m{number}', t, 0) {row}") == number
    calls = " + ".join(f"sqlml.predict('m{number}', t, 0)" for number in range(5))
    assert ask(connection, f"{calls} {row}") == 10
    # What a query uses stays until its end, and no longer.
    kept = "(SELECT count(*) FROM pg_backend_memory_contexts WHERE name = 'sqlml model'"
    query = f"SELECT {calls}, {kept} AND t.x = 0) {row}"
    assert connection.execute(query.encode()).fetchone() == (10, 5)
    assert count_kept_models(connection) == 0


def count_kept_models(connection: Connection) -> Any:
    """The models that the session has in memory."""
    return ask(connection, "count(*) FROM pg_backend_memory_contexts WHERE name = 'sqlml model'")


def test_the_least_recently_used_models_are_forgotten(connection):
    for number in range(4):
        publish(connection, f"m{number}", make_line(ProblemType.REGRESSION, intercept=number))

    def use(*numbers: int) -> None:
        for number in numbers:
            call = f"sqlml.predict('m{number}', t, 0) FROM (SELECT 0 AS x) AS t"
            assert ask(connection, call) == number

    use(0, 1, 2, 3)
    assert count_kept_models(connection) == 4
    used = ask(
        connection,
        "sum(total_bytes) FROM pg_backend_memory_contexts WHERE name = 'sqlml model'",
    )
    connection.execute(f"SET sqlml.cache_size = '{int(str(used)) // 2048}kB'".encode())
    use(0)
    assert count_kept_models(connection) == 2
    connection.execute("SET sqlml.cache_size = 0")
    use(1)
    assert count_kept_models(connection) == 0


def test_models_are_forgotten_when_the_table_of_versions_goes(connection):
    publish(connection, "line", REGRESSION)
    assert ask(connection, "sqlml.predict('line', t, 0) FROM (SELECT 1 AS x) AS t") == 1
    assert count_kept_models(connection) == 1
    with connection.transaction(force_rollback=True):
        connection.execute("ALTER TABLE sqlml.version RENAME TO other")
        connection.execute("ALTER TABLE sqlml.other RENAME TO version")
    publish(connection, "other", REGRESSION)
    assert ask(connection, "sqlml.predict('other', t, 0) FROM (SELECT 1 AS x) AS t") == 1
    assert count_kept_models(connection) == 1


def test_rows_of_several_types_in_one_query(connection):
    publish(connection, "line", REGRESSION)
    connection.execute("CREATE TABLE one AS SELECT 1::float8 AS x")
    connection.execute("CREATE TABLE two AS SELECT 'a'::text AS a, 2::numeric AS x")
    connection.execute("""
        CREATE FUNCTION pick(number integer) RETURNS record LANGUAGE plpgsql AS $$
        BEGIN
            IF number % 2 = 1 THEN RETURN (SELECT one FROM one); END IF;
            RETURN (SELECT two FROM two);
        END $$""")
    query = "SELECT sqlml.predict('line', pick(number), 0) FROM generate_series(1, 4) AS number"
    assert connection.execute(query).fetchall() == [(1,), (2,), (1,), (2,)]


def test_several_classes_in_one_query(connection, evaluator):
    publish(connection, "line", BINARY)
    rows = "(VALUES (0, 'true'), (1, 'true'), (1, 'false')) AS t (x, class)"
    query = f"SELECT {evaluator}.predict_proba('line', t, t.class) FROM {rows}"
    positive = 1 / (1 + math.exp(-1))
    assert connection.execute(query.encode()).fetchall() == [(0.5,), (positive,), (1 - positive,)]


def test_memory_does_not_grow_with_rows(connection):
    publish(connection, "line", BINARY)
    query = """
        SELECT count(sqlml.predict('line', t)), count(sqlml.predict('line', to_jsonb(t)))
          FROM (SELECT number::numeric / 7 AS x FROM generate_series(1, %s) AS number) AS t"""
    usage = "SELECT sum(total_bytes) FROM pg_backend_memory_contexts"
    connection.execute(query.replace("%s", "100").encode())
    before = connection.execute(usage.encode()).fetchone()
    connection.execute(query.replace("%s", "50000").encode())
    after = connection.execute(usage.encode()).fetchone()
    assert before is not None
    assert after is not None
    assert after[0] < before[0] + 1_000_000


@pytest.mark.parametrize("change", ["cut", "flip", "newer", "empty"])
def test_a_damaged_artifact_is_an_error(connection, evaluator, change):
    data = compile_model(REGRESSION).data
    damaged = {
        "cut": seal(data[:-3]),
        "flip": data[:50] + b"\xff" + data[51:],
        "newer": data[:8] + b"\x04" + data[9:],
        "empty": b"",
    }[change]
    publish(connection, "line", damaged)
    query = f"SELECT {evaluator}.predict('line', t) FROM (SELECT 1 AS x) AS t"
    for _ in range(2):
        error = refusal(connection, query)
        assert error.sqlstate == ("0A000" if change == "newer" else "XX001")
        assert error.message_primary.startswith('artifact of model "line" ')
        assert error.message_hint
    publish(connection, "line", data)
    assert ask(connection, query.removeprefix("SELECT ")) == "1"


def test_a_role_without_privilege_is_refused_also_what_the_session_has_cached(
    connection, evaluator
):
    publish(connection, "line", REGRESSION)
    schema = ask(connection, "current_schema()")
    call = f"{evaluator}.predict('line', t, 0) FROM (SELECT 7 AS x) AS t"
    assert ask(connection, call) == 7
    connection.execute("CREATE ROLE scoring_stranger")
    try:
        connection.execute(f'GRANT USAGE ON SCHEMA "{schema}" TO scoring_stranger'.encode())
        connection.execute("SET ROLE scoring_stranger")
        assert refusal(connection, f"SELECT {call}").sqlstate == "42501"
        connection.execute("RESET ROLE")
        connection.execute("GRANT EXECUTE ON FUNCTION predict_line TO scoring_stranger")
        connection.execute("SET ROLE scoring_stranger")
        assert ask(connection, call) == 7
    finally:
        connection.execute("RESET ROLE")
        connection.execute("DROP OWNED BY scoring_stranger")
        connection.execute("DROP ROLE scoring_stranger")


def test_in_transaction_block(connection, evaluator):
    assert ask(connection, f"{evaluator}.in_transaction_block()") is False
    with connection.transaction():
        assert ask(connection, f"{evaluator}.in_transaction_block()") is True


def test_errors_leave_the_session_usable(connection, evaluator):
    publish(connection, "line", REGRESSION)
    block = f"""
        DO $$
        DECLARE
            t record;
            answer integer;
        BEGIN
            FOR number IN 1 .. 4 LOOP
                BEGIN
                    IF number % 2 = 0 THEN SELECT number AS x INTO t;
                    ELSE SELECT number AS y INTO t; END IF;
                    answer := {evaluator}.predict(
                        CASE WHEN number = 3 THEN 'nope' ELSE 'line' END, t, 0);
                    ASSERT number % 2 = 0 AND answer = number;
                EXCEPTION WHEN undefined_column OR undefined_object THEN
                    ASSERT number % 2 = 1;
                END;
            END LOOP;
        END $$"""
    connection.execute(block.encode())


def test_plpython_alone_serves_the_same_functions(stack: Stack):
    """A server without the library: the wrappers take the extension's place."""
    with connect(stack.dsn) as connection, connection.transaction(force_rollback=True):
        require_evaluator(connection, "sqlml_plpython")
        connection.execute("DROP EXTENSION sqlml CASCADE")
        only = (
            Path(sqlml.__file__)
            .with_name("sql")
            .joinpath("plpython_only.sql")
            .read_text(encoding="utf-8")
        )
        connection.execute(only.encode())
        publish(connection, "line", BINARY)
        row = "FROM (SELECT 5 AS x) AS t"
        assert ask(connection, f"predict_line(t) {row}") == "true"
        assert ask(connection, f"sqlml.predict('line', t) {row}") == "true"
        assert ask(connection, f"sqlml.predict('line', t, NULL::boolean) {row}") is True
        assert ask(connection, f"sqlml.predict_proba('line', t, 'false') {row}") < 0.01
        assert ask(connection, "sqlml.in_transaction_block()") is True
