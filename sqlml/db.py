"""
Connections to PostgreSQL, and the named queries of `sql/queries`.

Owns how sqlml connects. Does not know what the queries mean.
"""

import re
from functools import cache
from importlib import resources

import psycopg
from psycopg.abc import QueryNoTemplate
from psycopg.conninfo import make_conninfo

_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)

KEEPALIVES = {"keepalives": 1, "keepalives_idle": 30, "keepalives_interval": 10}


def connect(dsn: str, application_name: str) -> psycopg.Connection:
    """Connect in autocommit mode, so that nothing is ever left idle in a transaction."""
    conninfo = make_conninfo(dsn, application_name=application_name, **KEEPALIVES)
    return psycopg.connect(conninfo, autocommit=True)


@cache
def read_queries(module: str) -> dict[str, bytes]:
    """Read `sql/queries/<module>.sql`: query texts by name."""
    text = resources.files("sqlml").joinpath("sql", "queries", f"{module}.sql").read_text("utf-8")
    parts = _NAME.split(text)
    return {
        name: _without_comments(body).encode()
        for name, body in zip(parts[1::2], parts[2::2], strict=True)
    }


def get_query(module: str, name: str) -> QueryNoTemplate:
    """Return one named query for psycopg's `execute`."""
    return read_queries(module)[name]


def _without_comments(text: str) -> str:
    # psycopg would take a % in a comment for a placeholder.
    lines = [line for line in text.splitlines() if not line.startswith("--")]
    return "\n".join(lines).strip()
