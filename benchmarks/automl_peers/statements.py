"""
One run of sqlml: a stack of its own, COPY, CREATE MODEL through the proxy, predictions by SQL.
"""

import subprocess
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
from psycopg import sql
from psycopg.rows import dict_row

import sqlml
from benchmarks.automl_peers.runs import Key, Outcome
from benchmarks.automl_peers.scoring import F64, score
from benchmarks.automl_peers.tables import BenchmarkTable
from tests.clients.tables import copy_table
from tests.stack import temporary_stack

SYSTEMS = {
    "sqlml": "",
    "sqlml-unlimited": ", predict_cost = none",
}
"""Its variants, by what they add to the options of the statement."""

PATIENCE = 3
"""A statement that takes so many times its limit is cancelled."""
SETTLING_S = 6
"""At first and after a job the worker starts its next process, with imports that take seconds of
the core that we measure on; those of the peers do not count either."""
BATCH_ROWS = 10_000
"""Rows whose prediction is timed, as for the peers."""

CREATE = (
    "CREATE MODEL {model} PREDICT {target} FROM {model}_train"
    " WITH (time_limit = {seconds}, seed = {seed}, processes = {cores}{more})"
)
TRIALS = "SELECT state, count(*) FROM sqlml.trials WHERE model = %s GROUP BY 1 ORDER BY 1"
FACTS = (
    *("estimator", "score", "score_low", "score_high", "baseline_score", "split"),
    *("predict_us", "ensemble", "size_bytes"),
)
"""Of `sqlml.models`."""


def find_version() -> str:
    """The version, and the commit that it was made from."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=Path(sqlml.__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    return f"{sqlml.__version__}+{commit}" if commit else sqlml.__version__


def run_sqlml(key: Key, table: BenchmarkTable) -> Outcome:
    """Train and predict; a failure is an outcome like others."""
    with (
        temporary_stack() as stack,
        closing(psycopg.connect(stack.proxy_dsn, autocommit=True)) as connection,
    ):
        for part in ("train", "test"):
            copy_table(connection, f"{table.name}_{part}", table.read(part))
        time.sleep(SETTLING_S)
        connection.execute("SET max_parallel_workers_per_gather = 0")
        started = time.perf_counter()
        try:
            _create(connection, key, table)
            fit_s = time.perf_counter() - started
            time.sleep(SETTLING_S)
            return _judge(connection, table, fit_s)
        except psycopg.errors.QueryCanceled:
            spent_s = time.perf_counter() - started
            return Outcome(failure=f"ended after {spent_s:.0f} s", fit_s=spent_s)
        except (psycopg.Error, ValueError) as error:
            return Outcome(failure=f"{type(error).__name__}: {error}".splitlines()[0])


def _create(connection: psycopg.Connection, key: Key, table: BenchmarkTable) -> None:
    limit_ms = int(PATIENCE * key.seconds * 1000)
    connection.execute(f"SET statement_timeout = {limit_ms}".encode())
    statement = CREATE.format(
        model=table.name,
        target=sql.Identifier(table.target).as_string(connection),
        seconds=key.seconds,
        seed=key.seed,
        cores=key.cores,
        more=SYSTEMS[key.system],
    )
    connection.execute(statement.encode())
    connection.execute("RESET statement_timeout")


def _judge(connection: psycopg.Connection, table: BenchmarkTable, fit_s: float) -> Outcome:
    facts = _read_facts(connection, table.name)
    classes = [] if table.metric == "rmse" else facts["classes"]
    truth, predictions = _predict(connection, table, classes)
    return Outcome(
        score=score(table.metric, truth, predictions, classes),
        fit_s=fit_s,
        predict_us=_measure_prediction(connection, table),
        facts={name: facts[name] for name in (*FACTS, "trials") if name in facts},
    )


def _read_facts(connection: psycopg.Connection, model: str) -> dict[str, Any]:
    with connection.cursor(row_factory=dict_row) as cursor:
        facts = cursor.execute("SELECT * FROM sqlml.models WHERE model = %s", [model]).fetchone()
    assert facts is not None
    return facts | {"trials": dict(connection.execute(TRIALS, [model]).fetchall())}


def _predict(
    connection: psycopg.Connection, table: BenchmarkTable, classes: list[str]
) -> tuple[list[Any], F64]:
    """The target and the prediction of each row of the test part, read together."""
    model = sql.Literal(table.name)
    answer: sql.Composable = sql.SQL("sqlml.predict({}, t, NULL::double precision)").format(model)
    if classes:
        shares = [
            sql.SQL("sqlml.predict_proba({}, t, {})").format(model, sql.Literal(name))
            for name in classes
        ]
        answer = sql.SQL("ARRAY[{}]").format(sql.SQL(", ").join(shares))
    query = sql.SQL("SELECT {}, {} FROM {} AS t").format(
        sql.Identifier(table.target), answer, sql.Identifier(f"{table.name}_test")
    )
    rows = connection.execute(query).fetchall()
    return [row[0] for row in rows], np.array([row[1] for row in rows], dtype=np.float64)


def _measure_prediction(connection: psycopg.Connection, table: BenchmarkTable) -> float:
    """Microseconds a row of a query that predicts a batch and counts, the better of two."""
    rows = len(table.read_target("test"))
    times = -(-BATCH_ROWS // rows)
    query = sql.SQL("SELECT count({}(t)) FROM {} AS t, generate_series(1, {}) AS time").format(
        sql.Identifier(f"predict_{table.name}"),
        sql.Identifier(f"{table.name}_test"),
        sql.Literal(times),
    )
    seconds = []
    for _ in range(2):
        started = time.perf_counter()
        connection.execute(query)
        seconds.append(time.perf_counter() - started)
    return min(seconds) / (rows * times) * 1e6
