"""
The way around the database: read out with ADBC, predict, write back. And the same job inside.
"""

import time

import adbc_driver_postgresql.dbapi as adbc
import lightgbm as lgb
import numpy as np
import pyarrow as pa

from benchmarks.predicting import calls
from benchmarks.predicting.models import Boosted
from benchmarks.predicting.server import Session, read_cpu_s
from benchmarks.predicting.subject import Subject
from benchmarks.predicting.table import TYPES_OF_CUSTOMERS, take_first
from sqlml.search.encoder import encode

ROWS = {"a": 100_000, "b": 20_000}


def make_roundtrips(
    session: Session, dsn: str, boosted: dict[str, Boosted], row_count: int
) -> list[Subject]:
    """Both jobs for both models; each writes id and score into an empty table."""
    session.run("CREATE TABLE prediction (id bigint, score float8)")
    connection = adbc.connect(dsn, autocommit=True)
    subjects: list[Subject] = []
    for model, rows in ROWS.items():
        count = min(rows, row_count)
        table = take_first(dsn, count)
        outside = Outside(session, connection, boosted[model], table)
        insert = Inside(
            session, f"INSERT INTO prediction SELECT id, {calls.predict(model)} FROM {table} AS t"
        )
        subjects.append(Subject(f"round trip, {model}", count, outside.spend))
        subjects.append(Subject(f"insert inside, {model}", count, insert.spend))
    return subjects


class Inside:
    """Predict and write within the server; its CPU time is all there is."""

    def __init__(self, session: Session, insert: str):
        self._session = session
        self._insert = insert

    def spend(self) -> float:
        """Do the whole job once."""
        self._session.run("TRUNCATE prediction")
        before = self._session.cpu_s()
        self._session.run(self._insert)
        return self._session.cpu_s() - before


class Outside:
    """Read, predict with one thread, write; CPU time of client and server."""

    def __init__(self, session: Session, connection: adbc.Connection, boosted: Boosted, table: str):
        self._session = session
        self._connection = connection
        self._booster: lgb.Booster = boosted.booster
        self._features = boosted.features
        self._query = f"SELECT id, {', '.join(TYPES_OF_CUSTOMERS)} FROM {table}"
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            self._pid = int(cursor.fetchone()[0])

    def spend(self) -> float:
        """Do the whole job once."""
        self._session.run("TRUNCATE prediction")
        before = time.process_time() + read_cpu_s(self._pid)
        with self._connection.cursor() as cursor:
            cursor.execute(self._query)
            rows = cursor.fetch_arrow_table()
            matrix = encode(self._features, rows)
            scores = np.asarray(self._booster.predict(matrix, num_threads=1))
            written = pa.table({"id": rows.column("id"), "score": scores})
            cursor.adbc_ingest("prediction", written, mode="append")
        return time.process_time() + read_cpu_s(self._pid) - before
