"""
Put sqlml into a database: role, schema, API and, where the server has them, the extensions.

Owns the order of the steps. What is put there stands in `sql/`. Safe to repeat.
"""

from dataclasses import dataclass
from enum import StrEnum
from importlib.resources import files
from importlib.resources.abc import Traversable

import psycopg
from psycopg import sql

from sqlml.server.record import WORKER_ROLE

# Any number of our own: two installations into one database wait for each other.
INSTALL_LOCK = 7311001
SQL_FOLDER = files("sqlml") / "sql"


class ExtensionState(StrEnum):
    """What became of an extension."""

    INSTALLED = "installed"
    NOT_AVAILABLE = "not available"
    NOT_PERMITTED = "not permitted"


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallReport:
    """What an installation found and made."""

    database: str
    server_version: int
    extension: ExtensionState
    """`sqlml`: predictions in C."""
    plpython: ExtensionState
    """`sqlml_plpython`: the same through PL/Python."""


def install(dsn: str, worker_password: str | None) -> InstallReport:
    """Install or update sqlml in the database, in one transaction."""
    with psycopg.connect(dsn, application_name="sqlml install") as connection:
        connection.execute("SET client_min_messages = warning")
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (INSTALL_LOCK,))
        for part in find_parts():
            connection.execute(part.read_bytes())
        if worker_password is not None:
            _set_worker_password(connection, worker_password)
        extension = _create_extension(connection, "sqlml")
        plpython = _create_extension(connection, "sqlml_plpython")
        for script in _find_scripts(extension, plpython):
            connection.execute((SQL_FOLDER / script).read_bytes())
        return InstallReport(
            database=connection.info.dbname,
            server_version=connection.info.server_version,
            extension=extension,
            plpython=plpython,
        )


def find_parts() -> list[Traversable]:
    """The numbered SQL files, in their order."""
    parts = [part for part in SQL_FOLDER.iterdir() if part.name[:3].isdigit()]
    return sorted(parts, key=lambda part: part.name)


def _find_scripts(extension: ExtensionState, plpython: ExtensionState) -> list[str]:
    """The files that make the functions which predict where the extension sqlml does not."""
    if extension is ExtensionState.INSTALLED:
        return ["drop_sql_only.sql"]
    if plpython is ExtensionState.INSTALLED:
        return ["drop_sql_only.sql", "plpython_only.sql"]
    return ["sql_only.sql"]


def _set_worker_password(connection: psycopg.Connection, password: str) -> None:
    # Hashed here, so that no log of the server ever shows it.
    hashed = connection.pgconn.encrypt_password(
        password.encode(), WORKER_ROLE.encode(), b"scram-sha-256"
    )
    connection.execute(
        sql.SQL("ALTER ROLE {} PASSWORD {}").format(
            sql.Identifier(WORKER_ROLE), sql.Literal(hashed.decode())
        )
    )


def _create_extension(connection: psycopg.Connection, name: str) -> ExtensionState:
    """Create or update an extension with what it requires, where its files are."""
    found = connection.execute(
        "SELECT installed_version FROM pg_available_extensions WHERE name = %s", (name,)
    ).fetchone()
    if found is None:
        return ExtensionState.NOT_AVAILABLE
    template = "CREATE EXTENSION {} CASCADE" if found[0] is None else "ALTER EXTENSION {} UPDATE"
    try:
        with connection.transaction():
            if found == (None,) and name == "sqlml":
                connection.execute((SQL_FOLDER / "drop_plpython_only.sql").read_bytes())
            connection.execute(sql.SQL(template).format(sql.Identifier(name)))
    except psycopg.errors.InsufficientPrivilege:
        return ExtensionState.NOT_PERMITTED
    except (psycopg.errors.FeatureNotSupported, psycopg.errors.UndefinedFile):
        # What it requires, such as PL/Python, is not on the server.
        return ExtensionState.NOT_AVAILABLE
    return ExtensionState.INSTALLED
