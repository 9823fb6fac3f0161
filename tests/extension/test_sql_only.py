"""
Where no extension is, SQL evaluates models: with the answers and the errors of the others.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.types.json import Jsonb

from sqlml.enums import ColumnKind
from sqlml.extract.dataset import Column
from sqlml.predict.reference import ReferencePredictor
from sqlml.search.fitted import Feature, FeatureOp, FittedModel
from sqlml.server.install import install
from tests.api.conftest import CUSTOMERS
from tests.api.workers import running_worker
from tests.extension.bare import sql_only_database
from tests.extension.conftest import Connection, connect, publish

# These ask for the fixtures below, and so for the evaluator in SQL.
from tests.extension.test_agreement import (  # noqa: F401
    test_all_evaluators_agree_on_every_type,
    test_settings_of_the_session_change_nothing,
)
from tests.extension.test_predict import (  # noqa: F401
    BINARY,
    REGRESSION,
    ask,
    refusal,
    test_a_date_beyond_timestamps_is_refused,
    test_a_label_comes_in_the_asked_type,
    test_a_label_that_the_asked_type_cannot_hold_is_refused,
    test_a_regression_comes_in_the_asked_type,
    test_a_regression_has_no_probabilities,
    test_a_replaced_model_answers_at_the_next_execution,
    test_a_value_beyond_the_asked_type_is_refused,
    test_altering_the_table_is_noticed,
    test_an_unknown_class_is_refused_with_at_most_20_known_ones,
    test_columns_are_matched_by_name,
    test_names_of_every_sort,
    test_null_arguments_and_null_rows_give_null,
    test_predictions_and_probabilities,
    test_refusals,
    test_several_models_in_one_query,
    test_the_models_own_function_has_the_type_of_the_target,
    test_the_score_that_decides_nothing_is_the_first_class,
)
from tests.stack import Stack

CREATE = """
    CALL sqlml.create_model(%s, 'churned', relation => 'customers', options => %s, atomic => false)
"""


@pytest.fixture(scope="module")
def database(stack: Stack) -> Iterator[str]:
    with sql_only_database(stack.dsn) as database:
        yield database


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    with connect(database) as connection:
        yield connection


@pytest.fixture
def evaluator() -> str:
    return "sqlml"


def publish_text(connection: Connection, text: str) -> None:
    """Put a text where the SQL of the only version stands."""
    connection.execute("UPDATE sqlml.version SET sql = %s", [text])


def test_what_the_worker_writes_has_no_rights(connection):
    publish(connection, "line", REGRESSION)
    query = "SELECT sqlml.predict('line', t) FROM (SELECT 1 AS x) AS t"
    publish_text(connection, "answer AS (SELECT length(current_user)::float8 AS prediction)")
    assert connection.execute(query.encode()).fetchone() == (str(len("sqlml_evaluator")),)
    for source in ("pg_authid", "sqlml.version"):
        text = f"answer AS (SELECT count(*)::float8 AS prediction FROM {source})"
        publish_text(connection, text)
        if source == "pg_authid":
            assert refusal(connection, query).sqlstate == "42501"
        else:
            # Row-level security shows the evaluator no version.
            assert connection.execute(query.encode()).fetchone() == ("0",)


def test_a_prepared_statement_of_the_same_name_is_not_trusted(connection):
    publish(connection, "line", REGRESSION)
    version = ask(connection, "version_id FROM sqlml.version")
    name = f'"sqlml version {version}"'
    connection.execute(f"PREPARE {name} (jsonb) AS SELECT 666 AS a".encode())
    assert ask(connection, "sqlml.predict('line', t) FROM (SELECT 7 AS x) AS t") == "7"


def test_a_model_that_is_not_granted_stays_private(connection):
    publish(connection, "line", REGRESSION)
    schema = ask(connection, "quote_ident(current_schema())")
    connection.execute(f"GRANT USAGE ON SCHEMA {schema} TO pg_monitor".encode())
    connection.execute("SET ROLE pg_monitor")
    for call in ("predict('line', '{}'::jsonb)", "model_sql('line')"):
        error = refusal(connection, f"SELECT sqlml.{call}")
        assert (error.sqlstate, error.message_primary) == (
            "42501",
            'permission denied for model "line"',
        )
    assert ask(connection, "count(*) FROM sqlml.version") == 0


def test_a_version_without_sql_is_refused(connection):
    publish(connection, "line", BINARY)
    connection.execute("UPDATE sqlml.version SET sql = NULL, sql_problem = 'it has 9 leaves'")
    error = refusal(connection, "SELECT sqlml.predict('line', '{}'::jsonb)")
    assert (error.sqlstate, error.message_detail) == ("0A000", "Version 1: it has 9 leaves.")


@pytest.mark.parametrize(
    ("value", "sqlstate"),
    [
        ("yesterday", "22007"),
        ("2024-13-01", "22008"),
        ("0000-01-01", "22007"),
        ("2024-01-01T25:00:00", "22008"),
        ("300000-01-01", "22008"),
    ],
)
def test_texts_that_are_no_dates_are_refused(connection, value, sqlstate):
    publish(connection, "line", make_calendar())
    features = f"jsonb_build_object('x', '{value}')"
    assert refusal(connection, f"SELECT sqlml.predict('line', {features})").sqlstate == sqlstate


@pytest.mark.parametrize(
    ("value", "year"),
    [
        ("2024-12-31", "2024"),
        ("2024-12-31T23:30:00-01:00", "2025"),
        ("2024-12-31 23:59:59.999999Z", "2024"),
        ("0001-01-01 BC", "0"),
        ("294276-12-31", "294276"),
        ("-infinity", "0"),
    ],
)
def test_dates_of_json_are_read_in_utc(connection, value, year):
    publish(connection, "line", make_calendar())
    connection.execute("SET TimeZone = 'Asia/Kathmandu'")
    assert ask(connection, f"sqlml.predict('line', jsonb_build_object('x', '{value}'))") == year


def make_calendar() -> FittedModel:
    """A model that gives the year of its column x, 0 where it is missing."""
    return replace(
        REGRESSION,
        columns=(Column("x", "timestamp without time zone", ColumnKind.DATETIME),),
        features=(Feature(column="x", op=FeatureOp.YEAR),),
    )


@pytest.mark.parametrize(
    ("value", "real"),
    [
        ("1e39", math.inf),
        ("-3.4028236e38", -math.inf),
        ("3.4028235e38", 3.4028234663852886e38),
        ("1e-46", 0.0),
        ("1e-45", 1.401298464324817e-45),
        ("0.1", 0.10000000149011612),
    ],
)
def test_numbers_of_json_are_rounded_to_real(connection, value, real):
    assert ask(connection, f"sqlml.round_to_real('{value}')") == real


@contextmanager
def trained_database(dsn: str, worker_dsn: str) -> Iterator[Connection]:
    """A database that only SQL can predict in, with a table and a worker."""
    with sql_only_database(dsn) as database:
        worker = make_conninfo(worker_dsn, dbname=conninfo_to_dict(database)["dbname"])
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute(CUSTOMERS)
            with running_worker(database, worker):
                yield connection


def test_a_model_is_trained_and_predicts_without_extensions(matrix_stack: Stack):
    worker_dsn = make_conninfo(
        matrix_stack.dsn, user="sqlml_worker", password=matrix_stack.record.worker_password
    )
    with trained_database(matrix_stack.dsn, worker_dsn) as connection:
        options = '{"trials": 4, "estimators": ["lightgbm"], "time_limit": 30}'
        connection.execute(CREATE, ["churn", options])
        query = ask(connection, "sqlml.model_sql('churn', 'customers')")
        expected = connection.execute(
            "SELECT predict_churn(c), sqlml.predict_proba('churn', c, 'true') FROM customers AS c"
        ).fetchall()
        answers = f"SELECT prediction::boolean, probabilities[2] FROM ({query}) AS answers"
        assert connection.execute(answers.encode()).fetchall() == expected
        assert len({row[1] for row in expected}) > 10
        check_golden(connection)
        options = '{"num_trees": 2001, "num_leaves": 2, "trials": 1, "estimators": ["lightgbm"]}'
        with pytest.raises(psycopg.Error) as caught:
            connection.execute(CREATE, ["big", options])
        assert caught.value.diag.sqlstate == "0A000"
        assert "it has 2001 trees, and SQL can hold 2000" in caught.value.diag.message_detail
        assert "num_trees" in caught.value.diag.message_hint


def check_golden(connection: Connection) -> None:
    """Compare SQL with the artifact of the version that was published."""
    artifact, golden = connection.execute("SELECT artifact, golden FROM sqlml.version").fetchone()
    reference = ReferencePredictor(artifact)
    for pair in golden:
        row = pair["row"]
        for index, label in enumerate(("false", "true")):
            probability = connection.execute(
                "SELECT sqlml.predict_proba('churn', %s::jsonb, %s)",
                (Jsonb({**row, "since": None}), label),
            ).fetchone()
            assert probability == (reference.probabilities({**row, "since": None})[index],)


def test_installing_finds_out_what_evaluates(stack: Stack):
    with sql_only_database(stack.dsn) as database:
        install(database, None)
        with psycopg.connect(database) as connection:
            assert ask(connection, "to_regproc('sqlml.run_model_sql')") is None
            assert ask(connection, "to_regproc('sqlml.evaluate')") is None
            publish(connection, "line", REGRESSION)
            assert ask(connection, "sqlml.predict('line', t) FROM (SELECT 7 AS x) AS t") == "7"
