"""
Where no extension is, SQL evaluates models: with the answers and the errors of the others.
"""

from collections.abc import Iterator

import numpy as np
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from sqlml.enums import ProblemType
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
    make_line,
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

CREATE = "CALL sqlml.create_model('churn', 'churned', relation => 'customers', options => %s)"


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


def test_the_worker_gains_no_rights_by_what_it_writes(connection):
    publish(connection, "line", REGRESSION)
    answer = "answer AS (SELECT session_user = current_user AS a, current_user AS prediction)"
    for written, message in (
        (answer.replace("current_user AS p", "length(current_user)::float8 AS p"), None),
        ("answer AS (SELECT count(*)::float8 AS prediction FROM sqlml.model)", None),
        ("answer AS (SELECT count(*)::float8 AS prediction FROM secret.t)", "permission denied"),
    ):
        connection.execute("CREATE SCHEMA IF NOT EXISTS secret")
        connection.execute("CREATE TABLE IF NOT EXISTS secret.t AS SELECT 1 AS a")
        connection.execute("UPDATE sqlml.version SET sql = %s", [written])
        query = "SELECT sqlml.predict('line', t, 0) FROM (SELECT 1 AS x) AS t"
        if message is None:
            connection.execute(query.encode())
        else:
            assert message in refusal(connection, query).message_primary
    connection.execute("DROP SCHEMA secret CASCADE")
