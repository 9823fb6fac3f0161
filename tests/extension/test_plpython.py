"""
PL/Python's own forms: functions with an argument for each column, and whole queries.

Both must give what the C extension and the reference predictor give, and refuse as clearly.
"""

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import psycopg
import psycopg.conninfo
import pytest

from sqlml.compile.artifact import compile_model
from sqlml.enums import ColumnKind, ProblemType
from sqlml.extract.dataset import Column
from sqlml.predict.reference import ReferencePredictor
from sqlml.search.fitted import FittedModel
from sqlml.server.install import install
from tests.extension.conftest import Connection, connect, publish, require_evaluator
from tests.extension.test_agreement import VALUES, learn, make_tables, read_dataset
from tests.extension.test_predict import BINARY, NUMBERED, REGRESSION, ask, make_line, refusal
from tests.predict.models import make_classes
from tests.stack import Stack

ROWS = "sqlml_plpython.predict_rows"
PROBA_ROWS = "sqlml_plpython.predict_proba_rows"
SUMMARY = "sqlml_plpython.predict_summary"
COLUMNS = ["größe" if "größe" in name else name.split(" ")[0] for name in VALUES]
COLUMNS[COLUMNS.index('"p')] = "p q"


@pytest.fixture
def connection(stack: Stack) -> Iterator[Connection]:
    with connect(stack.dsn) as connection:
        require_evaluator(connection, "sqlml_plpython")
        yield connection


def publish_functions(
    connection: Connection, model: FittedModel, target_type: str = "text"
) -> None:
    """Publish model m, and make the functions of its columns."""
    publish(connection, "m", model, target_type)
    connection.execute("CALL sqlml_plpython.create_function('m')")


def list_arguments(connection: Connection) -> str:
    """The columns of the table as positional arguments."""
    return ", ".join(f't."{name}"' for name in COLUMNS)


def fetch(connection: Connection, query: str) -> list[Any]:
    """The only column of a query."""
    return [row[0] for row in connection.execute(query.encode())]


def check_every_form(connection: Connection, model: FittedModel) -> None:
    """Compare the forms with the reference on every row of both tables."""
    is_regression = model.problem_type is ProblemType.REGRESSION
    publish_functions(connection, model, "float8" if is_regression else "text")
    reference = ReferencePredictor(compile_model(model).data)
    arguments = list_arguments(connection)
    cast = "::float8" if is_regression else ""
    for table in ("learnt", "asked"):
        rows = read_dataset(connection, table)[0].to_pylist()
        expected = [reference.predict(row) for row in rows]
        assert fetch(connection, f"SELECT predict_m_values({arguments}) FROM {table} t") == expected
        query = f"'SELECT * FROM {table}'"
        assert fetch(connection, f"SELECT prediction{cast} FROM {ROWS}('m', {query})") == expected
        for index, label in enumerate(make_classes(model.problem_type)):
            probabilities = [reference.probabilities(row)[index] for row in rows]
            call = f"predict_m_proba('{label}', {arguments})"
            assert fetch(connection, f"SELECT {call} FROM {table} t") == probabilities
            call = f"{PROBA_ROWS}('m', {query}, '{label}')"
            assert fetch(connection, f"SELECT probability FROM {call}") == probabilities


@pytest.mark.parametrize("kind", ["trees", "linear"])
@pytest.mark.parametrize("problem_type", ProblemType)
def test_every_form_agrees_on_every_type(connection, problem_type, kind):
    make_tables(connection)
    connection.execute("SET TimeZone = 'America/New_York'")
    check_every_form(connection, learn(connection, problem_type, kind))


@pytest.mark.parametrize(
    "setting",
    [
        "TimeZone = 'Asia/Kathmandu'",
        "DateStyle = 'German'",
        "IntervalStyle = 'iso_8601'",
        "extra_float_digits = -10",
        "client_encoding = 'LATIN1'",
        "bytea_output = 'escape'",
    ],
)
def test_settings_of_the_session_change_nothing(connection, setting):
    make_tables(connection)
    model = learn(connection, ProblemType.REGRESSION, "linear")
    publish_functions(connection, model, "float8")
    reference = ReferencePredictor(compile_model(model).data)
    rows = read_dataset(connection, "asked")[0].to_pylist()
    expected = np.array([reference.predict(row) for row in rows]).astype(">f8").tobytes()
    values = f"SELECT float8send(predict_m_values({list_arguments(connection)})) FROM asked t"
    connection.execute(f"CREATE VIEW sent (value) AS {values}".encode())
    connection.execute(f"SET {setting}".encode())
    assert b"".join(fetch(connection, "SELECT value FROM sent")) == expected
    rows_query = f"SELECT float8send(prediction::float8) FROM {ROWS}('m', 'SELECT * FROM asked')"
    assert b"".join(fetch(connection, rows_query)) == expected


def test_a_database_in_another_encoding(stack: Stack):
    with psycopg.connect(stack.dsn, autocommit=True) as admin:
        admin.execute("CREATE DATABASE latin_rows ENCODING LATIN1 LOCALE 'C' TEMPLATE template0")
    try:
        dsn = psycopg.conninfo.make_conninfo(stack.dsn, dbname="latin_rows", client_encoding="utf8")
        install(dsn, None)
        with connect(dsn) as connection:
            require_evaluator(connection, "sqlml_plpython")
            check_latin(connection)
    finally:
        with psycopg.connect(stack.dsn, autocommit=True) as admin:
            admin.execute("DROP DATABASE latin_rows WITH (FORCE)")


def check_latin(connection: Connection) -> None:
    """Names, keys and labels beyond ASCII are converted both ways."""
    connection.execute('CREATE TABLE asked ("größe" float8, "schlüssel" text)')
    connection.execute("INSERT INTO asked VALUES (1, 'Köln'), (-1, 'Ärger')")
    model = replace(
        make_line(ProblemType.BINARY, "não", "ja"),
        columns=(Column("größe", "double precision", ColumnKind.NUMERIC),),
        features=(replace(BINARY.features[0], column="größe"),),
    )
    publish_functions(connection, model)
    assert fetch(connection, 'SELECT predict_m_values("größe") FROM asked') == ["ja", "não"]
    assert fetch(connection, "SELECT predict_m_proba('não', \"größe\" => 0)") == [0.5]
    query = f"SELECT * FROM {ROWS}('m', 'SELECT * FROM asked', 'schlüssel')"
    assert connection.execute(query.encode()).fetchall() == [("Köln", "ja"), ("Ärger", "não")]
    error = refusal(connection, f"SELECT * FROM {ROWS}('m', 'SELECT 1 AS ü')")
    assert error.message_primary == 'the query has no column "größe"'


def test_arguments_by_name_and_in_the_targets_type(connection):
    publish_functions(connection, REGRESSION, "bigint")
    assert ask(connection, "predict_m_values(x => 41.6::real)") == 42
    assert ask(connection, "predict_m_values(41.6)") == 42
    assert ask(connection, "predict_m_values()") == 0
    assert ask(connection, "pg_typeof(predict_m_values(1))::text") == "bigint"
    publish(connection, "n", BINARY, "boolean")
    connection.execute("CALL sqlml_plpython.create_function('n')")
    assert ask(connection, "predict_n_values(5)") is True


def test_the_functions_are_inlined_and_belong_to_the_models_owner(connection):
    publish_functions(connection, BINARY)
    connection.execute("CREATE TABLE t AS SELECT 1::float8 AS x")
    plan = connection.execute("EXPLAIN (VERBOSE) SELECT predict_m_values(x) FROM t").fetchall()
    assert any("sqlml_plpython.score_label" in row[0] for row in plan)
    owners = "array_agg(DISTINCT proowner = (SELECT owner FROM sqlml.model WHERE model_name = 'm'))"
    assert ask(connection, f"{owners} FROM pg_proc WHERE proname ^@ 'predict_m_'") == [True]


def test_a_column_called_class_gives_the_class_another_name(connection):
    model = replace(
        BINARY,
        columns=(Column("class", "double precision", ColumnKind.NUMERIC),),
        features=(replace(BINARY.features[0], column="class"),),
    )
    publish_functions(connection, model)
    assert ask(connection, "predict_m_proba(class_ => 'true', class => 0)") == 0.5


def test_the_class_decides_nothing_when_it_is_null_and_is_named_when_unknown(connection):
    publish_functions(connection, BINARY)
    assert ask(connection, "predict_m_proba(NULL, 5)") is None
    assert ask(connection, f"count(*) FROM {PROBA_ROWS}('m', 'SELECT 5 AS x', NULL)") == 0
    for query in (
        "SELECT predict_m_proba('maybe', 5)",
        f"SELECT * FROM {PROBA_ROWS}('m', 'SELECT 5 AS x', 'maybe')",
    ):
        error = refusal(connection, query)
        assert (error.sqlstate, error.message_primary, error.message_detail) == (
            "22023",
            'model "m" has no class "maybe"',
            "The classes are: false, true.",
        )
    publish_functions(connection, REGRESSION)
    query = f"SELECT * FROM {PROBA_ROWS}('m', 'SELECT 5 AS x', 'true')"
    assert refusal(connection, query).sqlstate == "42809"
    assert ask(connection, "count(*) FROM pg_proc WHERE proname = 'predict_m_proba'") == 0


@pytest.mark.parametrize(
    ("model", "sqlstate", "message"),
    [
        ("nope", "42704", 'model "nope" does not exist'),
        ("untrained", "55000", 'model "untrained" cannot predict yet'),
        ("a" * 49, "42622", "is too long for functions of its columns"),
        ("wide", "54023", 'model "wide" has too many columns for functions of them'),
    ],
)
def test_functions_that_cannot_be_made(connection, model, sqlstate, message):
    names = [f"x{number}" for number in range(100)]
    wide = replace(
        BINARY,
        columns=tuple(Column(name, "double precision", ColumnKind.NUMERIC) for name in names),
        features=(replace(BINARY.features[0], column="x0"),),
    )
    publish(connection, "a" * 49, BINARY)
    publish(connection, "wide", wide)
    publish(connection, "untrained", BINARY)
    connection.execute(
        "UPDATE sqlml.model SET current_version_id = NULL WHERE model_name = 'untrained'"
    )
    error = refusal(connection, f"CALL sqlml_plpython.create_function('{model}')")
    assert error.sqlstate == sqlstate
    assert message in error.message_primary
    assert error.message_hint


def test_a_replaced_model_answers_in_every_form(connection, stack):
    publish_functions(connection, REGRESSION, "float8")
    schema = ask(connection, "current_schema()")
    connection.execute("PREPARE ask AS SELECT predict_m_values(x => 7)")
    connection.execute("SET plan_cache_mode = force_generic_plan")
    rows = f"prediction FROM {ROWS}('m', 'SELECT 7 AS x')"
    with connection.transaction():
        assert connection.execute("EXECUTE ask").fetchall() == [(7.0,)]
        assert ask(connection, rows) == "7"
        with psycopg.connect(stack.dsn, autocommit=True) as other:
            other.execute(f'SET search_path = "{schema}"'.encode())
            publish(other, "m", make_line(ProblemType.REGRESSION, intercept=100.0))
        assert connection.execute("EXECUTE ask").fetchall() == [(107.0,)]
        assert ask(connection, rows) == "107"
        # What the transaction itself has changed, and what of that it takes back.
        with connection.transaction(force_rollback=True):
            publish(connection, "m", make_line(ProblemType.REGRESSION, intercept=200.0))
            assert connection.execute("EXECUTE ask").fetchall() == [(207.0,)]
        assert connection.execute("EXECUTE ask").fetchall() == [(107.0,)]


def test_a_version_of_other_columns_asks_for_new_functions(connection):
    publish_functions(connection, REGRESSION, "float8")
    column = Column("z", "double precision", ColumnKind.NUMERIC)
    both = replace(REGRESSION, columns=(column, *REGRESSION.columns))
    publish(connection, "m", both)
    error = refusal(connection, "SELECT predict_m_values(7)")
    assert (error.sqlstate, error.message_primary) == (
        "42703",
        'the function has no argument for column "z"',
    )
    assert "create_function" in error.message_hint
    connection.execute("CALL sqlml_plpython.create_function('m')")
    assert ask(connection, "predict_m_values(x => 7, z => 1)") == 7
    # Fewer columns than the function has are no error.
    publish(connection, "m", REGRESSION)
    assert ask(connection, "predict_m_values(x => 8)") == 8


def test_the_search_path_decides_which_model_answers(connection):
    publish(connection, "m", REGRESSION)
    schema = ask(connection, "current_schema()")
    connection.execute('CREATE SCHEMA "scoring other"')
    try:
        connection.execute('SET search_path = "scoring other", public')
        publish(connection, "m", make_line(ProblemType.REGRESSION, intercept=100.0))
        call = f"prediction FROM {ROWS}('m', 'SELECT 7 AS x')"
        for path, expected in ((schema, "7"), ("scoring other", "107"), (schema, "7")):
            connection.execute(f'SET search_path = "{path}", public'.encode())
            assert ask(connection, call) == expected
            assert ask(connection, "sqlml_plpython.predict('m', '{\"x\": 7}'::jsonb)") == expected
    finally:
        connection.execute("DELETE FROM sqlml.model WHERE schema_name = 'scoring other'")
        connection.execute("SET client_min_messages = warning")
        connection.execute('DROP SCHEMA "scoring other" CASCADE')


def test_keys_come_with_their_predictions(connection):
    publish(connection, "m", BINARY)
    connection.execute("CREATE TABLE t (id text, x float8)")
    keys = ["a", None, "", "NULL", 'say "no"', "back\\slash", "{a,b}", "東京", " "]
    connection.cursor().executemany(
        "INSERT INTO t VALUES (%s, %s)", [(key, i % 2) for i, key in enumerate(keys)]
    )
    query = f"SELECT key, prediction FROM {ROWS}('m', 'SELECT * FROM t', 'id')"
    labels = ["true" if i % 2 else "false" for i in range(len(keys))]
    assert connection.execute(query.encode()).fetchall() == list(zip(keys, labels, strict=True))
    query = f"SELECT key, probability FROM {PROBA_ROWS}('m', 'SELECT * FROM t', 'true', 'x')"
    assert connection.execute(query.encode()).fetchall()[:2] == [
        ("0", 0.5),
        ("1", 1 / (1 + math.exp(-1))),
    ]
    assert ask(connection, f"count(key) FROM {ROWS}('m', 'SELECT * FROM t')") == 0


@pytest.mark.parametrize("count", [0, 1, 999, 1000, 1001, 3000])
def test_no_row_is_lost_between_batches(connection, count):
    publish(connection, "m", REGRESSION)
    query = f"SELECT n AS x FROM generate_series(1, {count}) AS n"
    assert fetch(connection, f"SELECT prediction FROM {ROWS}('m', '{query}')") == [
        str(number) for number in range(1, count + 1)
    ]


def test_a_summary_counts_and_averages(connection):
    publish(connection, "m", NUMBERED)
    query = "'SELECT x FROM (VALUES (1.0), (-1.0), (2.0)) AS t (x)'"
    parts = {x: [math.exp(k * x) for k in (1, 2, 3)] for x in (1.0, -1.0, 2.0)}
    summary = connection.execute(f"SELECT * FROM {SUMMARY}('m', {query})".encode()).fetchall()
    assert [row[:2] for row in summary] == [("1", 1), ("2", 0), ("3", 2)]
    for k, row in enumerate(summary):
        chances = [values[k] / sum(values) for values in parts.values()]
        assert row[2:] == pytest.approx((sum(chances) / 3, min(chances), max(chances)))
    publish(connection, "m", BINARY)
    summary = connection.execute(f"SELECT * FROM {SUMMARY}('m', {query})".encode()).fetchall()
    assert [row[:2] for row in summary] == [("false", 1), ("true", 2)]
    assert summary[0][2] + summary[1][2] == pytest.approx(1)
    publish(connection, "m", REGRESSION)
    summary = connection.execute(f"SELECT * FROM {SUMMARY}('m', {query})".encode()).fetchall()
    assert summary == [(None, 3, pytest.approx(2 / 3), -1.0, 2.0)]
    empty = f"SELECT * FROM {SUMMARY}('m', 'SELECT 1 AS x WHERE false')"
    assert connection.execute(empty.encode()).fetchall() == [(None, 0, None, None, None)]
    for call in (f"{SUMMARY}(NULL, 'SELECT 1')", f"{SUMMARY}('m', NULL)", f"{ROWS}(NULL, '')"):
        assert ask(connection, f"count(*) FROM {call}") == 0


BAD_QUERIES = [
    ("SELECT 1 AS y", "42703", 'the query has no column "x"', "was trained with that column"),
    ("SELECT 1 AS x, 2 AS x", "42702", 'the query has two columns "x"', None),
    (
        "SELECT 'a'::text AS x",
        "42804",
        'column "x" of the query has type text, but model "m" expects double precision',
        None,
    ),
    ("SELEC 1 AS x", "42601", 'syntax error at or near "SELEC"', None),
    ("", "42P11", "cannot open multi-query plan as cursor", None),
    ("SELECT 1 AS x; SELECT 2 AS x", "42P11", "cannot open multi-query plan as cursor", None),
    ("INSERT INTO t VALUES (1)", "42P11", "cannot open INSERT query as cursor", None),
    (
        "WITH w AS (INSERT INTO t VALUES (1) RETURNING x) SELECT * FROM w",
        "0A000",
        "not allowed in a non-volatile function",
        None,
    ),
    ("SELECT * FROM nope", "42P01", 'relation "nope" does not exist', None),
    ("SELECT 1 / (2000 - n) AS x FROM generate_series(1, 3000) n", "22012", "division by", None),
    ("SELECT $1::float8 AS x", "42P02", "there is no parameter $1", None),
    ("SELECT 1e400::numeric AS x", "22003", "out of range for type double precision", None),
]


@pytest.mark.parametrize(("query", "sqlstate", "message", "hint"), BAD_QUERIES)
def test_bad_queries_are_refused_and_leave_the_session_usable(
    connection, query, sqlstate, message, hint
):
    publish(connection, "m", REGRESSION)
    connection.execute("CREATE TABLE t (x float8)")
    quoted = query.replace("'", "''")
    for call in (f"{ROWS}('m', '{quoted}')", f"{SUMMARY}('m', '{quoted}')"):
        with connection.transaction():
            with pytest.raises(psycopg.Error) as caught, connection.transaction():
                connection.execute(f"SELECT * FROM {call}".encode())
            error = caught.value.diag
            assert error.sqlstate == sqlstate
            assert message in error.message_primary
            assert "Traceback" not in f"{error.message_primary}{error.message_detail}"
            assert hint is None or hint in error.message_hint
            assert ask(connection, f"prediction FROM {ROWS}('m', 'SELECT 5 AS x')") == "5"
            assert ask(connection, "count(*) FROM pg_cursors WHERE name ~ 'unnamed portal'") <= 1
    assert ask(connection, "count(*) FROM t") == 0


def test_a_key_that_is_no_column_is_refused(connection):
    publish(connection, "m", REGRESSION)
    error = refusal(connection, f"SELECT * FROM {ROWS}('m', 'SELECT 1 AS x', 'id')")
    assert (error.sqlstate, error.message_primary) == ("42703", 'the query has no column "id"')
    assert error.message_hint == "The key must be a column of the query."


def test_a_query_may_call_predict_itself_and_fail_within(connection):
    publish_functions(connection, REGRESSION, "float8")
    inner = "SELECT predict_m_values(n) + 1 AS x FROM generate_series(1, 2500) AS n"
    assert ask(connection, f"sum(prediction::float8) FROM {ROWS}('m', '{inner}')") == sum(
        range(2, 2502)
    )
    nested = f"SELECT prediction::float8 AS x FROM {ROWS}(''m'', ''SELECT 1 AS x'')"
    assert ask(connection, f"prediction FROM {ROWS}('m', '{nested}')") == "1"
    failing = f"SELECT prediction::float8 AS x FROM {ROWS}(''m'', ''SELECT 1 AS y'')"
    error = refusal(connection, f"SELECT * FROM {ROWS}('m', '{failing}')")
    assert (error.sqlstate, error.message_primary) == ("42703", 'the query has no column "x"')


def test_errors_are_caught_within_plpgsql(connection):
    publish_functions(connection, REGRESSION, "float8")
    block = f"""
        DO $$
        DECLARE
            answer float8;
        BEGIN
            FOR number IN 1 .. 6 LOOP
                BEGIN
                    SELECT sum(prediction::float8) INTO answer FROM {ROWS}('m', format(
                        'SELECT 6 / (%s %% 2) AS x FROM generate_series(1, 1500)', number));
                    ASSERT number % 2 = 1 AND answer = 9000;
                    ASSERT predict_m_values(number) = number;
                EXCEPTION WHEN division_by_zero THEN
                    ASSERT number % 2 = 0;
                END;
            END LOOP;
        END $$"""
    connection.execute(block.encode())


def test_a_part_of_the_rows_may_be_taken(connection):
    publish(connection, "m", REGRESSION)
    query = "SELECT n AS x FROM generate_series(1, 5000) AS n"
    for _ in range(3):
        assert fetch(connection, f"SELECT prediction FROM {ROWS}('m', '{query}') LIMIT 2") == [
            "1",
            "2",
        ]
        assert (
            ask(
                connection,
                f"(sqlml_plpython.score_query('m', '{query}', NULL, NULL)).answers LIMIT 1",
            )
            is not None
        )
    with connection.transaction():
        ask(connection, f"(sqlml_plpython.score_query('m', '{query}', NULL, NULL)).answers LIMIT 1")
        names = "array_agg(statement) FROM pg_cursors WHERE statement ~ 'generate_series'"
        assert ask(connection, names) is None


def test_an_error_that_nobody_comes_to_is_forgotten(connection):
    publish_functions(connection, BINARY)
    query = "SELECT 1 / (2500 - n) AS x FROM generate_series(1, 3000) AS n"
    assert ask(connection, f"prediction FROM {ROWS}('m', '{query}') LIMIT 1") == "false"
    assert ask(connection, "predict_m_proba(NULL, 5)") is None
    assert ask(connection, f"prediction FROM {ROWS}('m', 'SELECT 5 AS x')") == "true"


def test_a_timeout_ends_the_query(connection):
    publish(connection, "m", REGRESSION)
    for query in (
        "SELECT pg_sleep(60) IS NULL, 1 AS x",
        "SELECT 1 AS x FROM generate_series(1, 1000000000)",
    ):
        for call in (ROWS, SUMMARY):
            connection.execute("SET statement_timeout = 300")
            error = refusal(connection, f"SELECT count(*) FROM {call}('m', '{query}')")
            connection.execute("RESET statement_timeout")
            assert error.sqlstate == "57014"
    assert ask(connection, f"prediction FROM {ROWS}('m', 'SELECT 5 AS x')") == "5"


def test_a_role_without_privilege_is_refused_also_what_the_session_has_cached(connection):
    publish_functions(connection, REGRESSION, "float8")
    connection.execute("CREATE TABLE t AS SELECT 7 AS x")
    schema = ask(connection, "current_schema()")
    calls = ("predict_m_values(7)", f"prediction::float8 FROM {ROWS}('m', 'SELECT 7 AS x')")
    secret = f"SELECT * FROM {ROWS}('m', 'SELECT * FROM t')"
    assert [ask(connection, call) for call in calls] == [7, 7]
    connection.execute("CREATE ROLE scoring_stranger")
    try:
        connection.execute(f'GRANT USAGE ON SCHEMA "{schema}" TO scoring_stranger'.encode())
        connection.execute("SET ROLE scoring_stranger")
        for call in calls:
            error = refusal(connection, f"SELECT {call}")
            assert (error.sqlstate, error.message_primary) == (
                "42501",
                'permission denied for model "m"',
            )
        error = refusal(connection, "CALL sqlml_plpython.create_function('m')")
        assert error.sqlstate == "42501"
        connection.execute("RESET ROLE")
        connection.execute("GRANT EXECUTE ON FUNCTION predict_m TO scoring_stranger")
        connection.execute("SET ROLE scoring_stranger")
        assert [ask(connection, call) for call in calls] == [7, 7]
        assert refusal(connection, secret).message_primary == "permission denied for table t"
    finally:
        connection.execute("RESET ROLE")
        connection.execute("DROP OWNED BY scoring_stranger")
        connection.execute("DROP ROLE scoring_stranger")


def test_dropping_the_model_drops_its_functions_and_no_others(connection):
    publish_functions(connection, BINARY)
    connection.execute("CREATE FUNCTION predict_m_values(text) RETURNS text RETURN 'mine'")
    connection.execute("CALL sqlml.drop_model('m')")
    made = "array_agg(oid::regprocedure::text) FROM pg_proc WHERE proname ^@ 'predict_m_'"
    assert ask(connection, made) == ["predict_m_values(text)"]


@pytest.mark.parametrize(
    ("golden", "sqlstate"),
    [
        ([{"row": {"x": 2}, "raw": [2]}, {"row": {"x": None}, "raw": [0]}], None),
        ([{"row": {"x": "NaN"}, "raw": [0]}, {"row": {"x": "-Infinity"}, "raw": [-1e300]}], None),
        ([{"row": {"x": 2}, "raw": [2.000000002]}], None),
        ([{"row": {"x": 2}, "raw": [2]}, {"row": {"x": 2}, "raw": [2.00000001]}], "XX001"),
        ([{"row": {"x": 2}, "raw": [2, 2]}], "XX001"),
        ([{"row": {"x": 2}, "raw": ["NaN"]}], "XX001"),
    ],
)
def test_golden_rows_are_checked_at_the_first_load(connection, golden, sqlstate):
    publish(connection, "m", BINARY)
    connection.execute(
        "UPDATE sqlml.version SET golden = %s WHERE version_id ="
        " (SELECT current_version_id FROM sqlml.model WHERE model_name = 'm')",
        (json.dumps(golden),),
    )
    query = f"SELECT prediction FROM {ROWS}('m', 'SELECT 5 AS x')"
    if sqlstate is None:
        assert fetch(connection, query) == ["true"]
        return
    for _ in range(2):
        error = refusal(connection, query)
        assert (error.sqlstate, error.message_primary) == (
            sqlstate,
            'model "m" does not give the answers it was published with',
        )


@pytest.mark.parametrize(
    "golden",
    [
        [{"row": {"x": 2}}],
        [{"raw": [2]}],
        [7],
        [{"row": {"x": "two"}, "raw": [2]}],
        [{"row": [], "raw": [2]}],
        [{"row": {"x": 2}, "raw": ["two"]}],
        [{"row": {"x": 2}, "raw": 2}],
        [{"row": None, "raw": [2]}],
    ],
)
def test_damaged_golden_rows_are_an_error(connection, golden):
    publish(connection, "m", REGRESSION)
    connection.execute(
        "UPDATE sqlml.version SET golden = %s WHERE version_id ="
        " (SELECT current_version_id FROM sqlml.model WHERE model_name = 'm')",
        (json.dumps(golden),),
    )
    error = refusal(connection, f"SELECT prediction FROM {ROWS}('m', 'SELECT 5 AS x')")
    assert (error.sqlstate, error.message_primary) == (
        "XX001",
        'golden rows of model "m" are damaged',
    )
    assert error.message_detail.startswith("Row 1: ")


def test_names_with_dots_and_capitals_are_named_in_errors(connection):
    for name in ("My Model", "a.b", 'a "quoted" one'):
        publish(connection, name, REGRESSION)
        quoted = '"' + name.replace('"', '""') + '"'
        error = refusal(connection, f"SELECT * FROM {ROWS}('{quoted}', 'SELECT true AS x')")
        assert f'but model "{name}" expects' in error.message_primary
        error = refusal(
            connection, f"SELECT sqlml_plpython.predict('{quoted}', t) FROM (SELECT 1 y) t"
        )
        assert error.message_hint.startswith(f'Model "{name}" was trained')


def test_models_beyond_the_cache_size_still_predict(connection):
    for number in range(4):
        publish(connection, f"m{number}", make_line(ProblemType.REGRESSION, intercept=number))
    for size in ("0", "64MB"):
        connection.execute(f"SET sqlml.cache_size = '{size}'".encode())
        calls = [f"sqlml_plpython.predict('m{number}', t, 0)" for number in range(4)]
        row = "FROM (SELECT 0 AS x FROM generate_series(1, 2)) AS t"
        assert ask(connection, f"{' + '.join(calls)} {row}") == 6


def test_memory_does_not_grow_with_rows(connection):
    publish_functions(connection, BINARY)
    query = f"""
        SELECT (SELECT count(predict_m_values(n)) FROM generate_series(1, %s) AS n),
               (SELECT count(key) FROM {ROWS}('m',
                   'SELECT n::numeric AS x FROM generate_series(1, %s * 3) AS n', 'x')),
               (SELECT sum(row_count) FROM {SUMMARY}('m',
                   'SELECT n::numeric AS x FROM generate_series(1, %s * 3) AS n'))"""

    def measure(count: int) -> tuple[int, int]:
        connection.execute(query.replace("%s", str(count)).encode())
        with open(f"/proc/{connection.info.backend_pid}/status") as status:
            resident = next(line for line in status if line.startswith("RssAnon:"))
        used = ask(connection, "sum(total_bytes) FROM pg_backend_memory_contexts")
        return int(used), int(resident.split()[1]) * 1024

    # Large enough that what the executor keeps has reached work_mem.
    measure(120_000)
    before = measure(120_000)
    after = measure(350_000)
    assert after[0] < before[0] + 1_000_000
    assert after[1] < before[1] + 8_000_000
