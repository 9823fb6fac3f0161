"""
Predicting many rows takes the memory of predicting a few.
"""

import pytest

from sqlml.enums import ColumnKind, ProblemType
from sqlml.extract.dataset import Column
from sqlml.search.fitted import Feature, FeatureOp, FittedModel
from tests.extension.conftest import Connection, publish
from tests.predict.models import draw_linear

ROWS = 100_000
TOASTED_ROWS = 2_500
EARLY = 1_000
SLACK = 100_000
"""A leak of one byte a row would be seen."""

COLUMNS = {
    ColumnKind.NUMERIC: Column("x", "numeric", ColumnKind.NUMERIC),
    ColumnKind.CATEGORY: Column("x", "text", ColumnKind.CATEGORY),
    ColumnKind.DATETIME: Column("x", "timestamp with time zone", ColumnKind.DATETIME),
    ColumnKind.ARRAY: Column("x", "real[]", ColumnKind.ARRAY),
}
VALUES = {
    "numeric": (ColumnKind.NUMERIC, "n::numeric / 7"),
    "short numeric": (ColumnKind.NUMERIC, "(n % 1000)::numeric(10,2)"),
    "text": (ColumnKind.CATEGORY, "'a city of some length ' || n"),
    "char": (ColumnKind.CATEGORY, "('city ' || n)::char(40)"),
    "enum": (ColumnKind.CATEGORY, "(ARRAY['sad', 'happy'])[n % 2 + 1]::mood"),
    "uuid": (ColumnKind.CATEGORY, "md5(n::text)::uuid"),
    "timestamptz": (ColumnKind.DATETIME, "'2000-01-01'::timestamptz + n * interval '1 second'"),
    "date": (ColumnKind.DATETIME, "'2000-01-01'::date + n % 10000"),
    "real[]": (ColumnKind.ARRAY, "ARRAY[n, NULL, n]::real[]"),
    "double precision[]": (ColumnKind.ARRAY, "ARRAY[n, 1]::double precision[]"),
    "numeric[]": (ColumnKind.ARRAY, "ARRAY[n, NULL, n / 7.0]"),
}
TOASTED = {
    "numeric": (ColumnKind.NUMERIC, "('0.' || repeat('123456789', 1800))::numeric"),
    "text": (
        ColumnKind.CATEGORY,
        "(SELECT string_agg(md5(n::text), '') FROM generate_series(1, 500) AS n)",
    ),
    "real[]": (ColumnKind.ARRAY, "(SELECT array_agg(n::real) FROM generate_series(1, 2000) AS n)"),
    "numeric[]": (
        ColumnKind.ARRAY,
        "(SELECT array_agg(n / 7.0) FROM generate_series(1, 900) AS n)",
    ),
}


def make_model(kind: ColumnKind) -> FittedModel:
    op = FeatureOp.VALUE
    levels: tuple[str, ...] = ()
    if kind is ColumnKind.CATEGORY:
        op, levels = FeatureOp.CODE, ("a", "sad")
    elif kind is ColumnKind.DATETIME:
        op = FeatureOp.YEAR
    elif kind is ColumnKind.ARRAY:
        op = FeatureOp.MEAN
    feature = Feature(column="x", op=op, levels=levels)
    return draw_linear(ProblemType.BINARY, features=(feature,), columns=(COLUMNS[kind],))


def measure(connection: Connection, features: str, source: str, rows: int) -> None:
    """Look at the session's memory from within the query, early and at the last row."""
    query = f"""
        SELECT count(sqlml.predict('m', {features})),
               count(sqlml.predict_proba('m', {features}, 'oui')),
               max(CASE t.n WHEN {EARLY} THEN usage() END),
               max(CASE t.n WHEN {rows} THEN usage() END)
          FROM ({source}) AS t"""
    *counts, early, late = connection.execute(query.encode()).fetchone()
    assert counts == [rows, rows]
    assert late < early + SLACK


USAGE = """
CREATE FUNCTION usage() RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    RETURN (SELECT sum(total_bytes) FROM pg_backend_memory_contexts);
END $$
"""


@pytest.mark.parametrize(
    "features", ["t", "(SELECT s FROM (SELECT t.x OFFSET 0) AS s)", "to_jsonb(t)"]
)
@pytest.mark.parametrize("name", VALUES)
def test_memory_does_not_grow_with_rows(connection, name, features):
    kind, value = VALUES[name]
    connection.execute("CREATE TYPE mood AS ENUM ('sad', 'happy')")
    connection.execute(USAGE)
    publish(connection, "m", make_model(kind))
    source = f"SELECT n, {value} AS x FROM (SELECT generate_series(1, {ROWS}) AS n) AS numbers"
    measure(connection, features, source + " OFFSET 0", ROWS)


@pytest.mark.parametrize("features", ["t", "to_jsonb(t)"])
@pytest.mark.parametrize("name", TOASTED)
def test_toasted_values_are_freed(connection, name, features):
    kind, value = TOASTED[name]
    connection.execute(USAGE)
    connection.execute("CREATE TABLE toasted (x text)".replace("text", name).encode())
    connection.execute("ALTER TABLE toasted ALTER COLUMN x SET STORAGE EXTERNAL")
    connection.execute(f"INSERT INTO toasted SELECT {value}".encode())
    assert connection.execute("SELECT pg_column_size(x) > 6000 FROM toasted").fetchone() == (True,)
    publish(connection, "m", make_model(kind))
    source = (
        f"SELECT n, x FROM (SELECT generate_series(1, {TOASTED_ROWS}) AS n) AS numbers, toasted"
    )
    measure(connection, features, source + " OFFSET 0", TOASTED_ROWS)
