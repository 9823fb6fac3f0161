"""
A database of its own for each test module, with sqlml installed, and workers to kill.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from sqlml.server.install import install
from tests.api.workers import WorkerProcess, running_worker
from tests.stack import Stack

CUSTOMERS = """
CREATE TABLE customers AS
SELECT 18 + (g * 7) % 60 AS age,
       (g * 37) % 100 / 10.0::float8 AS spend,
       (ARRAY['basic', 'plus', 'pro'])[1 + g % 3] AS plan,
       timestamp '2024-01-01' + g * interval '1 day' AS since,
       ((g * 37) % 100 > 60) <> (g % 11 = 0) AS churned,
       '{}'::json AS extra
  FROM generate_series(1, 300) AS g
"""


@pytest.fixture(scope="module")
def database(stack: Stack, request: pytest.FixtureRequest) -> Iterator[str]:
    """The DSN of a fresh database with sqlml and the table `customers`, without a worker."""
    name = f"test_{request.module.__name__.rpartition('.')[2]}_{os.getpid()}"
    with closing(psycopg.connect(stack.dsn, autocommit=True)) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        database_dsn = make_conninfo(stack.dsn, dbname=name)
        install(database_dsn, None)
        with psycopg.connect(database_dsn, autocommit=True) as fresh:
            fresh.execute(CUSTOMERS)
        yield database_dsn
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def connection(database: str) -> Iterator[psycopg.Connection]:
    """A session of the superuser in the test's database."""
    with closing(psycopg.connect(database, autocommit=True)) as session:
        yield session


@pytest.fixture(scope="session")
def worker_dsn_of(stack: Stack) -> Callable[[str], str]:
    """Turn a database's DSN into the one of the role sqlml_worker."""
    record = stack.folder.read_record()
    assert record is not None
    password = record.worker_password
    return lambda database: make_conninfo(database, user="sqlml_worker", password=password)


@pytest.fixture
def worker_session(
    database: str, worker_dsn_of: Callable[[str], str]
) -> Iterator[psycopg.Connection]:
    """A session of the role sqlml_worker, in autocommit mode as a runner has it."""
    with closing(psycopg.connect(worker_dsn_of(database), autocommit=True)) as session:
        yield session


@pytest.fixture
def start_worker(
    database: str, worker_dsn_of: Callable[[str], str]
) -> Iterator[Callable[[], WorkerProcess]]:
    """Start workers for the test's database; all are gone after the test."""
    with ExitStack() as workers:
        yield lambda: workers.enter_context(running_worker(database, worker_dsn_of(database)))


@pytest.fixture
def worker(start_worker: Callable[[], WorkerProcess]) -> WorkerProcess:
    """One running worker."""
    return start_worker()


@pytest.fixture(scope="module")
def module_worker(database: str, worker_dsn_of: Callable[[str], str]) -> Iterator[WorkerProcess]:
    """One worker for all tests of a module."""
    with running_worker(database, worker_dsn_of(database)) as worker:
        yield worker
