"""
Point queries by primary key, with a prediction and without, in a loop as pgbench's.
"""

import time
from collections.abc import Callable

import numpy as np
from psycopg import pq

from benchmarks.predicting import calls
from benchmarks.predicting.server import Session
from benchmarks.predicting.subject import Subject
from benchmarks.predicting.table import FLOOR_COLUMN, SEED

QUERIES = 2_000
TARGETS = {"without": f"t.{FLOOR_COLUMN}", "with": calls.predict("a")}


def make_points(session: Session, row_count: int) -> list[Subject]:
    """Loops of simple and of prepared queries, straight through libpq."""
    ids = np.random.default_rng(SEED).integers(0, row_count, QUERIES).tolist()
    libpq = session.connection.pgconn
    subjects = []
    for word, target in TARGETS.items():
        query = f"SELECT {target} FROM customers AS t WHERE id = "
        simple = [f"{query}{number}".encode() for number in ids]
        statement = f"point_{word}".encode()
        check(libpq.prepare(statement, f"{query}$1::bigint".encode()))
        values = [[str(number).encode()] for number in ids]

        def run_simple(queries: list[bytes] = simple) -> None:
            for one in queries:
                check(libpq.exec_(one))

        def run_prepared(name: bytes = statement, values: list[list[bytes]] = values) -> None:
            for one in values:
                check(libpq.exec_prepared(name, one))

        for kind, run in (("simple", run_simple), ("prepared", run_prepared)):
            name = f"point query, {kind}, {word}"
            subjects.append(Subject(name, QUERIES, Loop(session, run, with_client=True)))
            subjects.append(
                Subject(f"{name}, server only", QUERIES, Loop(session, run, with_client=False))
            )
    return subjects


def check(result: pq.abc.PGresult) -> None:
    """Stop at a query that failed."""
    if result.status not in (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK):
        raise SystemExit(result.error_message.decode())


class Loop:
    """A loop of queries; its CPU time, with that of the client or without."""

    def __init__(self, session: Session, run: Callable[[], None], *, with_client: bool):
        self._session = session
        self._run = run
        self._with_client = with_client

    def __call__(self) -> float:
        before = self._clock()
        self._run()
        return self._clock() - before

    def _clock(self) -> float:
        client = time.process_time() if self._with_client else 0.0
        return client + self._session.cpu_s()
