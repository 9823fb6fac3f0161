"""
Models in a dump: restored into an empty database, they answer as before.
"""

import subprocess
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from sqlml.server.install import ExtensionState, install
from tests.extension.conftest import publish
from tests.extension.test_predict import BINARY, REGRESSION
from tests.stack import Stack

DATABASES = ("dumped", "restored")
ANSWERS = """
    SELECT array_agg(predict_line(t) ORDER BY x), array_agg(p ORDER BY x), (SELECT sum(y) FROM seen)
      FROM (SELECT *, sqlml.predict_proba('"Wahr?"', t, 'true') AS p FROM t) AS t"""


@pytest.fixture
def databases(matrix_stack: Stack) -> Iterator[list[str]]:
    """Two empty databases of one server."""
    with psycopg.connect(matrix_stack.dsn, autocommit=True) as connection:
        for name in DATABASES:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        yield [make_conninfo(matrix_stack.proxy_dsn, dbname=name) for name in DATABASES]
        for name in DATABASES:
            connection.execute(
                sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
            )


def test_a_dump_holds_the_models(matrix_stack, databases):
    dumped, restored = databases
    report = install(dumped, None)
    with psycopg.connect(dumped, autocommit=True) as connection:
        publish(connection, "line", REGRESSION, "float8")
        publish(connection, "Wahr?", BINARY)
        connection.execute("CREATE TABLE t AS SELECT x FROM generate_series(-3, 3) AS x")
        connection.execute("CREATE MATERIALIZED VIEW seen AS SELECT predict_line(t) AS y FROM t")
        if report.plpython is ExtensionState.INSTALLED:
            connection.execute("CALL sqlml_plpython.create_function('line')")
        before = connection.execute(ANSWERS).fetchone()
    dump = subprocess.run(
        [matrix_stack.bin_dir / "pg_dump", "--format=custom", dumped],
        capture_output=True,
        check=True,
    )
    done = subprocess.run(
        [matrix_stack.bin_dir / "pg_restore", "--exit-on-error", f"--dbname={restored}"],
        input=dump.stdout,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    with psycopg.connect(restored, autocommit=True) as connection:
        assert connection.execute(ANSWERS).fetchone() == before
        if report.plpython is ExtensionState.INSTALLED:
            answer = connection.execute("SELECT predict_line_values(2)").fetchone()
            assert answer == (2.0,)
        connection.execute("DROP MATERIALIZED VIEW seen")
        connection.execute("CALL sqlml.drop_model('line')")
