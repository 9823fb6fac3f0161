"""
The real tables of the test data, loaded into PostgreSQL with COPY and nothing else.
"""

import io

import psycopg
import pyarrow as pa
import pyarrow.csv
from psycopg import sql

from tests.data import TABLES, read_part

SQL_TYPES = {
    pa.int64(): "bigint",
    pa.float64(): "double precision",
    pa.large_string(): "text",
    pa.timestamp("ns"): "timestamp",
}


def load_table(connection: psycopg.Connection, name: str) -> None:
    """Create `<name>_train` and `<name>_test` from the data files."""
    assert name in TABLES
    for part in ("train", "test"):
        copy_table(connection, f"{name}_{part}", read_part(name, part))


def copy_table(connection: psycopg.Connection, name: str, table: pa.Table) -> None:
    relation = sql.Identifier(name)
    columns = sql.SQL(", ").join(
        sql.SQL("{} " + SQL_TYPES[field.type]).format(sql.Identifier(field.name))
        for field in table.schema
    )
    connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(relation))
    connection.execute(sql.SQL("CREATE TABLE {} ({})").format(relation, columns))
    buffer = io.BytesIO()
    pa.csv.write_csv(table, buffer, pa.csv.WriteOptions(include_header=False))
    statement = sql.SQL("COPY {} FROM STDIN (FORMAT csv)").format(relation)
    with connection.cursor().copy(statement) as copy:
        copy.write(buffer.getvalue())
