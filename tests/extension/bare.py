"""
Databases without the extensions: some with sqlml, where SQL evaluates models, some with nothing.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from sqlml.server.install import SQL_FOLDER, find_parts


@contextmanager
def empty_database(dsn: str) -> Iterator[str]:
    """A database of its own on a server, gone in the end."""
    name = f"bare_{secrets.token_hex(4)}"
    with psycopg.connect(dsn, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            yield make_conninfo(dsn, dbname=name)
        finally:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@contextmanager
def sql_only_database(dsn: str) -> Iterator[str]:
    """A database as `sqlml install` makes it where the server has no extension of sqlml."""
    with empty_database(dsn) as database:
        with psycopg.connect(database) as connection:
            for part in (*find_parts(), SQL_FOLDER / "sql_only.sql"):
                connection.execute(part.read_bytes())
        yield database
