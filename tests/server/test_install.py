"""
Installing into a database: repeatable, in one transaction, and least rights for the worker.
"""

import secrets

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from sqlml.server.install import SQL_FOLDER, ExtensionState, find_parts, install
from tests.stack import run_sqlml


@pytest.fixture
def database(stack):
    """An empty database of the session's server."""
    name = f"install_{secrets.token_hex(4)}"
    with psycopg.connect(stack.dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        yield make_conninfo(stack.dsn, dbname=name)
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def describe(dsn):
    """Names and definitions of all functions, and all columns, of our schemas."""
    with psycopg.connect(dsn) as connection:
        functions = connection.execute(
            "SELECT oid::regprocedure::text, md5(prosrc) FROM pg_proc"
            " WHERE pronamespace::regnamespace::text LIKE 'sqlml%' ORDER BY 1"
        ).fetchall()
        columns = connection.execute(
            "SELECT table_schema, table_name, column_name, data_type"
            " FROM information_schema.columns WHERE table_schema LIKE 'sqlml%' ORDER BY 1, 2, 3"
        ).fetchall()
    return functions, columns


def test_installing_twice_changes_nothing(database):
    first = install(database, None)
    before = describe(database)
    assert install(database, None) == first
    assert describe(database) == before
    assert len(before[0]) > 5


def test_command_reports_what_it_found(database):
    done = run_sqlml("install", "--dsn", database)
    assert done.returncode == 0, done.stderr
    assert "extension sqlml (predictions in C)   installed" in done.stdout


def test_a_failed_installation_leaves_nothing(database):
    with psycopg.connect(database, autocommit=True) as connection:
        # A table in the way of one of ours, with other columns.
        connection.execute("CREATE SCHEMA sqlml; CREATE TABLE sqlml.option (wrong integer)")
    before = describe(database)
    done = run_sqlml("install", "--dsn", database)
    assert done.returncode == 1
    assert done.stderr.startswith("sqlml: ")
    assert "Traceback" not in done.stderr
    assert describe(database) == before


def predict_language(dsn):
    with psycopg.connect(dsn) as connection:
        return connection.execute(
            "SELECT lanname FROM pg_proc JOIN pg_language ON pg_language.oid = prolang"
            " WHERE pg_proc.oid = 'sqlml.predict(text, anyelement)'::regprocedure"
        ).fetchone()


def test_extension_replaces_what_plpython_stood_in_for(database):
    if install(database, None).plpython is not ExtensionState.INSTALLED:
        pytest.skip("this PostgreSQL has no PL/Python")
    with psycopg.connect(database) as connection:
        connection.execute("DROP EXTENSION sqlml")
        connection.execute((SQL_FOLDER / "plpython_only.sql").read_bytes())
    assert predict_language(database) == ("sql",)
    install(database, None)
    assert predict_language(database) == ("c",)


def test_worker_has_no_rights_beyond_the_catalogue(stack):
    with psycopg.connect(stack.dsn) as connection:
        role = connection.execute(
            "SELECT rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls"
            " FROM pg_roles WHERE rolname = 'sqlml_worker'"
        ).fetchone()
        reads = connection.execute(
            "SELECT has_table_privilege('sqlml_worker', 'public.wine', 'SELECT')"
        ).fetchone()
    assert role == (False,) * 5
    assert reads == (False,)


def test_worker_password_is_set_from_the_environment(database, stack):
    record = stack.record
    done = run_sqlml("install", "--dsn", database, SQLML_WORKER_PASSWORD=record.worker_password)
    assert done.returncode == 0, done.stderr
    worker = make_conninfo(database, user="sqlml_worker", password=record.worker_password)
    with psycopg.connect(worker) as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("sqlml_worker",)


def test_a_worker_says_where_sqlml_is_missing(database):
    done = run_sqlml("worker", "--dsn", database)
    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == 'sqlml: schema "sqlml" does not exist'
    assert "sqlml install" in done.stderr


def test_parts_are_in_order():
    names = [part.name for part in find_parts()]
    assert names == sorted(names)
    assert names[0] == "000_role.sql"
    assert len({name[:3] for name in names}) == len(names)


def test_unreachable_server_is_an_error_of_one_line_and_a_hint():
    done = run_sqlml("install", "--dsn", "postgresql://postgres@127.0.0.1:1/nowhere")
    assert done.returncode == 1
    first, hint = done.stderr.splitlines()
    assert first.startswith("sqlml: ")
    assert "port 1 failed" in first
    assert hint.startswith("hint: ")
    assert "Traceback" not in done.stderr
