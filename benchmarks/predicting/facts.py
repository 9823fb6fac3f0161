"""
What is not measured in rounds: bit-equal rows, memory of connections, parallel workers.
"""

import math
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import adbc_driver_postgresql.dbapi as adbc
import numpy as np
from numpy.typing import NDArray

from benchmarks.predicting import calls
from benchmarks.predicting.models import Boosted, Linear
from benchmarks.predicting.server import Session
from benchmarks.predicting.subject import Subject
from benchmarks.predicting.table import FLOOR_COLUMN, NUMBERS, Rows, make_dataset
from sqlml.search.encoder import encode
from sqlml.search.fitted import Feature, FeatureOp

CONNECTIONS = 100
PARITY_ROWS = {"a": 1_000_000, "b": 200_000}
PARALLEL_SETTINGS = {
    "parallel_setup_cost": "0",
    "parallel_tuple_cost": "0",
    "min_parallel_table_scan_size": "0",
    # With the leader at work one worker would be two processes.
    "parallel_leader_participation": "off",
}

Facts = dict[str, float]


def check_parity(
    dsn: str, boosted: dict[str, Boosted], linear: Linear, rows: Rows, row_count: int
) -> Facts:
    """The share of rows whose answers are LightGBM's own to the last bit."""
    facts: Facts = {}
    for name, wanted in PARITY_ROWS.items():
        count = min(wanted, row_count)
        matrix = boosted[name].matrix(rows, count)
        raw = np.asarray(boosted[name].booster.predict(matrix, raw_score=True, num_threads=1))
        actual = fetch(dsn, calls.predict_raw(name), count)
        facts[f"bit-equal raw scores, {name}"] = share_of_equal(actual, raw)
        expected = np.array([1 / (1 + math.exp(-score)) for score in raw.tolist()])
        actual = fetch(dsn, calls.predict(name), count)
        facts[f"bit-equal probabilities, {name}"] = share_of_equal(actual, expected)
    facts["largest difference from scikit-learn, c"] = compare_linear(dsn, linear, rows, row_count)
    return facts


def share_of_equal(left: NDArray[np.float64], right: NDArray[np.float64]) -> float:
    """Equal as bytes."""
    return float((left.view(np.int64) == right.view(np.int64)).mean())


def compare_linear(dsn: str, linear: Linear, rows: Rows, row_count: int) -> float:
    """The largest absolute difference of a probability."""
    features = [
        Feature(column=name, op=FeatureOp.VALUE, fill=fill)
        for name, fill in zip(NUMBERS, linear.fills, strict=True)
    ]
    matrix = encode(features, make_dataset(rows, NUMBERS))
    expected = linear.probabilities(matrix)
    return float(np.abs(fetch(dsn, calls.predict("c"), row_count) - expected).max())


def fetch(dsn: str, expression: str, count: int) -> NDArray[np.float64]:
    """The values of an expression for the first rows, in their order."""
    query = f"SELECT id, {expression} AS answer FROM customers AS t WHERE id < {count}"
    with adbc.connect(dsn, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute(query)
        answers = cursor.fetch_arrow_table()
    values = np.empty(count)
    values[answers.column("id").to_numpy()] = answers.column("answer").to_numpy()
    return values


def make_first_calls(dsn: str) -> list[Subject]:
    """The first prediction of a new connection, less nothing: library, catalogue and model."""
    return [
        Subject(f"first call, {name}", 1, partial(call_first, dsn, name)) for name in ("a", "b")
    ]


def call_first(dsn: str, model: str) -> float:
    """The CPU time of the first query of a connection."""
    session = Session(dsn)
    with session.connection:
        return session.spend(f"SELECT {calls.predict(model)} FROM customers AS t LIMIT 1")


def measure_memory(dsn: str, boosted: Boosted) -> Facts:
    """
    Private memory that connections have more than after a plain query: once they have
    predicted with c, whose model is tiny, and once also with a.
    """
    with ExitStack() as stack:
        sessions = [Session(dsn) for _ in range(CONNECTIONS)]
        for session in sessions:
            stack.enter_context(session.connection)

        def measure(expression: str) -> float:
            for session in sessions:
                session.spend(f"SELECT {expression} FROM customers AS t LIMIT 1")
            return sum(read_private_bytes(session.pid) for session in sessions) / CONNECTIONS

        plain = measure(f"t.{FLOOR_COLUMN}")
        with_c = measure(calls.predict("c")) - plain
        with_a = measure(calls.predict("a")) - plain
    text_bytes = len(boosted.text.encode())
    return {
        "bytes a connection, c": with_c,
        "bytes a connection, c and a": with_a,
        "artifact bytes, a": len(boosted.artifact),
        "lightgbm text bytes, a": text_bytes,
        "memory by artifact, a": with_a / len(boosted.artifact),
        "memory by lightgbm text, a": with_a / text_bytes,
    }


def read_private_bytes(pid: int) -> int:
    """Memory that the process shares with none."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return 1024 * sum(
        int(line.split()[1])
        for line in lines
        if line.startswith(("Private_Clean", "Private_Dirty"))
    )


def measure_parallel(session: Session, rounds: int) -> Facts:
    """Wall time of one worker by that of two, best of the rounds."""
    for name, value in PARALLEL_SETTINGS.items():
        session.run(f"SET {name} = '{value}'")
    query = f"SELECT count(*), sum({calls.predict('a')}) FROM customers AS t"
    best = {1: math.inf, 2: math.inf}
    for _ in range(rounds + 1):
        for workers in best:
            session.run(f"SET max_parallel_workers_per_gather = {workers}")
            started = time.monotonic()
            session.spend(query)
            best[workers] = min(best[workers], time.monotonic() - started)
    for name in (*PARALLEL_SETTINGS, "max_parallel_workers_per_gather"):
        session.run(f"RESET {name}")
    return {"two parallel workers by one": best[1] / best[2]}
