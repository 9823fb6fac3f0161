"""
A connection to the stack with a schema of its own, and models put straight into the
catalogue: these tests are about prediction, not about training.
"""

import itertools
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.types.json import Jsonb

from sqlml.compile.artifact import compile_model, read_trees
from sqlml.compile.sql import ModelSql, make_sql
from sqlml.search.fitted import FittedModel
from tests.stack import Stack

Connection = psycopg.Connection[tuple[Any, ...]]
EVALUATORS = ("sqlml", "sqlml_plpython")


@pytest.fixture
def connection(stack: Stack) -> Iterator[Connection]:
    with connect(stack.dsn) as connection:
        yield connection


@pytest.fixture(params=EVALUATORS)
def evaluator(request: pytest.FixtureRequest, connection: Connection) -> str:
    """The schema whose functions predict: in C, or in PL/Python."""
    return require_evaluator(connection, request.param)


def require_evaluator(connection: Connection, name: str) -> str:
    """Skip the test where the server lacks an extension."""
    found = connection.execute("SELECT FROM pg_extension WHERE extname = %s", (name,)).fetchone()
    if found is None:
        pytest.skip(f"the server has no extension {name}")
    return name


class connect:
    """A session whose search path begins with an empty schema, gone in the end."""

    numbers = itertools.count()

    def __init__(self, dsn: str):
        self._connection = psycopg.connect(dsn, autocommit=True)
        self._schema = sql.Identifier(f"scoring {next(self.numbers)}")

    def __enter__(self) -> Connection:
        self._connection.execute(sql.SQL("CREATE SCHEMA {}").format(self._schema))
        self._connection.execute(sql.SQL("SET search_path = {}, public").format(self._schema))
        return self._connection

    def __exit__(self, *_: object) -> None:
        self._connection.execute("RESET ROLE")
        self._connection.execute("DELETE FROM sqlml.model WHERE schema_name LIKE 'scoring %'")
        self._connection.execute("SET client_min_messages = warning")
        self._connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(self._schema))
        self._connection.close()


def write_sql(model: FittedModel) -> ModelSql:
    """Write a model as SQL, its trees as an artifact has them."""
    return make_sql(model, read_trees(model))


def publish(
    connection: Connection,
    name: str,
    model: FittedModel | bytes,
    target_type: str = "text",
    golden: str = "[]",
) -> None:
    """Make a version the current one of a model, which is made where it is not there."""
    artifact = model if isinstance(model, bytes) else compile_model(model).data
    found = connection.execute(
        "SELECT model_id FROM sqlml.model WHERE (schema_name, model_name)"
        " = (current_schema(), %s::name)",
        (name,),
    ).fetchone()
    if found is None:
        found = connection.execute(
            "INSERT INTO sqlml.model (schema_name, model_name) VALUES (current_schema(), %s)"
            " RETURNING model_id",
            (name,),
        ).fetchone()
        connection.execute(
            "SELECT sqlml.make_predict_function(current_schema(), %s::name, %s)",
            (name, target_type),
        )
    assert found is not None
    version = connection.execute(
        INSERT_VERSION,
        {
            "model_id": found[0],
            "name": name,
            "artifact": artifact,
            "golden": golden,
            **_describe(model),
        },
    ).fetchone()
    assert version is not None
    connection.execute(
        "UPDATE sqlml.model SET current_version_id = %s WHERE model_id = %s",
        (version[0], found[0]),
    )


def _describe(model: FittedModel | bytes) -> dict[str, object]:
    """What the catalogue keeps beside the artifact; of mere bytes only what it must."""
    if isinstance(model, bytes):
        return {"problem": "", "problem_type": "binary", "classes": [], "sql": None, "inputs": None}
    written = write_sql(model)
    return {
        "problem_type": model.problem_type,
        "classes": list(model.classes),
        "sql": written.text,
        "problem": written.problem,
        "inputs": Jsonb(written.inputs),
    }


INSERT_VERSION = """
WITH job AS (
    INSERT INTO sqlml.job (model_id, schema_name, model_name, target, query, columns, options,
                           status)
    VALUES (%(model_id)s, current_schema(), %(name)s, 'y', '', '[]', '{}', 'succeeded')
    RETURNING job_id),
version AS (
    INSERT INTO sqlml.version (model_id, number, job_id, problem_type, classes, columns, estimator,
                               hyperparameters, metric, direction, split, train_rows, holdout_rows,
                               skipped_rows, artifact, golden, libraries, sql, sql_problem,
                               inputs)
    SELECT %(model_id)s, (SELECT count(*) + 1 FROM sqlml.version WHERE model_id = %(model_id)s),
           job_id, %(problem_type)s, %(classes)s, '{}', 'linear', '{}', 'accuracy', 'maximize',
           'none', 1, 1, 0,
           %(artifact)s, %(golden)s, '{}', %(sql)s, %(problem)s, %(inputs)s
      FROM job
    RETURNING version_id)
SELECT version_id FROM version
"""
