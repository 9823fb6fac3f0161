"""
Load the sample tables into a database.
"""

import logging

import psycopg
from psycopg import sql

from sqlml.samples.tables import SampleTable, read_sample_tables

logger = logging.getLogger(__name__)

SCHEMA = "public"


def load_samples(dsn: str) -> None:
    """Load the sample tables that are not there yet; what is there stays as it is."""
    with psycopg.connect(dsn, application_name="sqlml samples") as connection:
        for table in read_sample_tables():
            with connection.transaction():
                if _exists(connection, table.name):
                    continue
                _load(connection, table)
            logger.info("loaded the sample table %s, %d rows", table.name, len(table.rows))


def _exists(connection: psycopg.Connection, name: str) -> bool:
    found = connection.execute("SELECT to_regclass(%s)", (f"{SCHEMA}.{name}",)).fetchone()
    return found != (None,)


def _load(connection: psycopg.Connection, table: SampleTable) -> None:
    name = sql.Identifier(SCHEMA, table.name)
    columns = sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(column), sql.SQL(type_name))
        for column, type_name in table.columns
    )
    connection.execute(sql.SQL("CREATE TABLE {} ({})").format(name, columns))
    connection.execute(
        sql.SQL("COMMENT ON TABLE {} IS {}").format(name, sql.Literal(table.description))
    )
    with (
        connection.cursor() as cursor,
        cursor.copy(sql.SQL("COPY {} FROM STDIN").format(name)) as copy,
    ):
        for row in table.rows:
            copy.write_row(row)
    connection.execute(sql.SQL("ANALYZE {}").format(name))
