"""
The cache of models survives what happens to sessions: errors, cancellation, limits, many models.
"""

import json
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from sqlml.compile.artifact import compile_model
from sqlml.enums import ProblemType
from sqlml.search.fitted import FittedModel
from tests.extension.conftest import Connection, publish
from tests.extension.regress_models import make_line
from tests.predict.models import fit_trees, seal

LINE = make_line(ProblemType.REGRESSION, 1.0)
ROW = "FROM (SELECT 7 AS x) AS t"


def ask(connection: Connection, expression: str) -> Any:
    return connection.execute(f"SELECT {expression}".encode()).fetchone()[0]


def count_models(connection: Connection) -> int:
    """The models that the session has in memory."""
    return int(ask(connection, COUNT))


COUNT = "count(*) FROM pg_backend_memory_contexts WHERE name = 'sqlml model'"
USAGE = "sum(total_bytes) FROM pg_backend_memory_contexts"


def check_nothing_is_pinned(connection: Connection) -> None:
    """A model that something still holds would stay whatever the limit is."""
    connection.execute("SET sqlml.cache_size = 0")
    publish(connection, "last", LINE)
    assert ask(connection, f"sqlml.predict('last', t) {ROW}") == "7"
    assert count_models(connection) == 0
    connection.execute("RESET sqlml.cache_size")


def make_large(seed: int = 0) -> FittedModel:
    """A model of some hundred kilobytes."""
    return fit_trees(ProblemType.BINARY, seed, rounds=100, num_leaves=31)


def test_many_models_stay_within_the_limit(connection):
    data = compile_model(make_large()).data
    limit = 20 * len(data)
    connection.execute(f"SET sqlml.cache_size = '{limit // 1024}kB'".encode())
    for number in range(60):
        publish(connection, f"m{number}", data)
    rng = random.Random(0)
    for _ in range(300):
        connection.execute(f"SELECT sqlml.predict('m{rng.randrange(60)}', '{{}}'::jsonb)".encode())
        size, count = connection.execute(
            "SELECT sum(total_bytes), count(*) FROM pg_backend_memory_contexts"
            " WHERE name = 'sqlml model'"
        ).fetchone()
        assert 1 <= count <= 60
        assert size <= limit
    check_nothing_is_pinned(connection)


def test_discard_all_between_uses(connection):
    publish(connection, "line", LINE)
    path = ask(connection, "current_setting('search_path')")
    for _ in range(5):
        assert ask(connection, f"sqlml.predict('line', t) {ROW}") == "7"
        connection.execute("DISCARD ALL")
        assert ask(connection, "current_setting('sqlml.cache_size')") == "64MB"
        connection.execute(f"SET search_path = {path}".encode())
    check_nothing_is_pinned(connection)


def make_unloadable() -> dict[str, tuple[bytes, str]]:
    """Artifacts and golden rows whose loading ends in an error, early and late."""
    data = compile_model(make_large()).data
    late = bytearray(data)
    late[-1] = 0x7F
    late[-2] = 0xF8
    wrong = json.dumps([{"row": {}, "raw": [17.0]}])
    return {
        "early": (data[:-1], "[]"),
        "late": (seal(data[:-8]), "[]"),
        "golden": (data, wrong),
        "golden damaged": (data, '[{"row": {"amount": "x"}, "raw": [1]}]'),
    }


@pytest.mark.parametrize("name", make_unloadable())
def test_an_error_while_loading_leaves_nothing(connection, name):
    data, golden = make_unloadable()[name]
    publish(connection, "m", data, golden=golden)
    publish(connection, "line", LINE)
    call = "sqlml.predict('m', '{}'::jsonb)"

    def fail() -> None:
        with pytest.raises(psycopg.errors.DataCorrupted):
            ask(connection, call)

    fail()
    before = ask(connection, USAGE)
    for _ in range(100):
        fail()
    assert ask(connection, USAGE) < before + len(data)
    assert count_models(connection) == 0
    # In one transaction, with a subtransaction for each.
    connection.execute(
        f"""
        DO $$
        DECLARE
            before bigint;
            failures integer := 0;
        BEGIN
            FOR number IN 1 .. 100 LOOP
                BEGIN
                    PERFORM {call};
                EXCEPTION WHEN data_corrupted THEN
                    failures := failures + 1;
                END;
                ASSERT sqlml.predict('line', t) = '7' {ROW};
                IF number = 10 THEN
                    before := {USAGE};
                END IF;
            END LOOP;
            ASSERT failures = 100;
            ASSERT ({USAGE}) < before + 2 * {len(data)}, 'memory grew';
        END $$""".replace(f"ASSERT ({USAGE})", f"ASSERT (SELECT {USAGE})").encode()
    )
    check_nothing_is_pinned(connection)


def test_a_subtransaction_that_ends_while_predicting(connection):
    publish(connection, "line", LINE)
    connection.execute(
        "CREATE TABLE t AS SELECT number AS x FROM generate_series(1, 100) AS number"
    )
    connection.execute("SET sqlml.cache_size = 0")
    connection.execute("""
        DO $$
        DECLARE
            found record;
            failures integer := 0;
        BEGIN
            FOR number IN 1 .. 200 LOOP
                BEGIN
                    FOR found IN SELECT sqlml.predict('line', t, 0) AS y FROM t LOOP
                        IF found.y = number THEN
                            PERFORM 1 / (number % 2);
                        END IF;
                    END LOOP;
                EXCEPTION WHEN division_by_zero THEN
                    failures := failures + 1;
                END;
            END LOOP;
            ASSERT failures = 50;
        END $$""")
    assert count_models(connection) == 0
    with connection.transaction(force_rollback=True):
        connection.execute("SAVEPOINT a")
        connection.execute("DECLARE held CURSOR FOR SELECT sqlml.predict('line', t, 0) FROM t")
        assert connection.execute("FETCH held").fetchone() == (1,)
        assert count_models(connection) == 1
        connection.execute("ROLLBACK TO a")
        assert ask(connection, "sqlml.predict('line', t, 0) FROM t") == 1
    check_nothing_is_pinned(connection)


@contextmanager
def interrupting(pid: int) -> Iterator[None]:
    """Send SIGINT to a backend again and again, at any moment."""
    is_over = threading.Event()
    rng = random.Random(0)

    def send() -> None:
        while not is_over.is_set():
            os.kill(pid, signal.SIGINT)
            time.sleep(rng.random() * 0.02)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may signal the server's processes")
def test_a_storm_of_cancel_requests(connection):
    publish(connection, "large", make_large())
    publish(connection, "line", LINE)
    pid = ask(connection, "pg_backend_pid()")
    connection.execute("SET sqlml.cache_size = 0")
    long = (
        "SELECT count(sqlml.predict('{}', t)) FROM (SELECT x FROM generate_series(1, {}) AS x) AS t"
    )
    queries = [
        long.format("line", 10**8),
        long.format("line", 1000),
        "SELECT count(sqlml.predict('large', jsonb_build_object('amount', x)))"
        " FROM generate_series(1, 100000000) AS x",
        "SELECT sqlml.predict('large', '{}'::jsonb)",
    ]
    cancelled = 0
    with interrupting(pid):
        for number in range(60):
            try:
                connection.execute(queries[number % 4].encode())
            except psycopg.errors.QueryCanceled:
                cancelled += 1
    assert cancelled >= 30
    # The last one may still be under way.
    for _ in range(2):
        try:
            connection.execute("SELECT pg_sleep(0.1)")
        except psycopg.errors.QueryCanceled:
            continue
    assert ask(connection, "pg_backend_pid()") == pid
    check_nothing_is_pinned(connection)


def test_statement_timeout_ends_a_long_prediction(connection):
    publish(connection, "line", LINE)
    connection.execute("SET statement_timeout = '200ms'")
    for rows in ("t", "to_jsonb(t)"):
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute(
                f"SELECT count(sqlml.predict('line', {rows}))"
                " FROM (SELECT generate_series(1, 1000000000) AS x) AS t".encode()
            )
    connection.execute("RESET statement_timeout")
    check_nothing_is_pinned(connection)
