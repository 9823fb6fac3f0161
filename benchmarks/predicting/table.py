"""
The generated table: 20 numeric and 8 text columns as users type them, some values NULL.

`customers` has the texts, `coded` integer codes in their place; both have the same rows.
"""

import adbc_driver_postgresql.dbapi as adbc
import numpy as np
import psycopg
import pyarrow as pa
from numpy.typing import NDArray

from sqlml.enums import ColumnKind
from sqlml.extract.dataset import Column

SEED = 20261121
ARROW_TYPES = {
    "double precision": pa.float64(),
    "real": pa.float32(),
    "integer": pa.int32(),
    "bigint": pa.int64(),
    "text": pa.string(),
}
TYPES = {
    "x": "double precision",
    "r": "real",
    "i": "integer",
    "b": "bigint",
    "t": "text",
    "c": "integer",
}
"""By the first letter of a column's name."""
ORDER = (
    *("x1", "t1", "x2", "i1", "b1", "t2", "x3", "r1", "i2", "t3", "x4", "b2", "i3", "t4"),
    *("x5", "r2", "t5", "i4", "x6", "t6", "r3", "x7", "b3", "t7", "i5", "r4", "t8", "x8"),
)
"""Texts between numbers, as in tables that have grown."""
FLOOR_COLUMN = "x7"
"""What the scan floor sums: the 22nd of 28 columns, so that a scan must find its way there."""
LEVEL_COUNTS = {"t1": 3, "t2": 5, "t3": 8, "t4": 12, "t5": 30, "t6": 100, "t7": 300, "t8": 1000}
"""The text columns and how many different values each has; the frequent ones come first."""
TYPES_OF_CUSTOMERS = {name: TYPES[name[0]] for name in ORDER}
TYPES_OF_CODED = {name: TYPES[name[0]] for name in (column.replace("t", "c") for column in ORDER)}
NUMBERS = {name: type_ for name, type_ in TYPES_OF_CUSTOMERS.items() if type_ != "text"}
EVERY_THIRD_HAS_NULLS = 3
NULL_SHARE = 0.05

Rows = dict[str, pa.Array]


def make_rows(row_count: int) -> tuple[Rows, NDArray[np.int64]]:
    """Draw the columns of both tables, and a label to learn."""
    rng = np.random.default_rng(SEED)
    signal = np.zeros(row_count)
    rows: Rows = {"id": pa.array(np.arange(row_count), pa.int64())}
    for place, (name, type_name) in enumerate(NUMBERS.items()):
        numbers = _draw_numbers(rng, type_name, place, row_count)
        scaled = (numbers - numbers.mean()) / numbers.std()
        signal += scaled * rng.normal() * 0.4 + (np.sin(2 * scaled) if place % 2 else 0)
        rows[name] = _make_array(rng, numbers, type_name, place)
    for place, (name, level_count) in enumerate(LEVEL_COUNTS.items()):
        codes = _draw_codes(rng, level_count, row_count)
        signal += rng.normal(size=level_count)[codes] * 0.5
        texts = np.array([f"{name} {code:x}" for code in range(level_count)], dtype=object)
        is_null = _draw_nulls(rng, place, row_count)
        rows[name] = pa.array(texts[codes], pa.string(), mask=is_null)
        rows[name.replace("t", "c")] = pa.array(codes, pa.int32(), mask=is_null)
    label = (signal + rng.logistic(size=row_count) > np.median(signal)).astype(np.int64)
    return rows, label


def _draw_numbers(
    rng: np.random.Generator, type_name: str, place: int, row_count: int
) -> NDArray[np.float64]:
    if type_name in ("integer", "bigint"):
        return rng.integers(0, 10 ** (1 + place % 6), row_count).astype(np.float64)
    if place % 2:
        return np.round(rng.lognormal(3, 1, row_count), 2)
    return rng.normal(size=row_count)


def _draw_codes(rng: np.random.Generator, level_count: int, row_count: int) -> NDArray[np.int64]:
    shares = 1 / np.arange(1, level_count + 1)
    return rng.choice(level_count, row_count, p=shares / shares.sum())


def _draw_nulls(rng: np.random.Generator, place: int, row_count: int) -> NDArray[np.bool_]:
    share = 0.0 if place % EVERY_THIRD_HAS_NULLS else NULL_SHARE
    return rng.random(row_count) < share


def _make_array(
    rng: np.random.Generator, numbers: NDArray[np.float64], type_name: str, place: int
) -> pa.Array:
    is_null = _draw_nulls(rng, place, len(numbers))
    values = numbers.astype(ARROW_TYPES[type_name].to_pandas_dtype())
    return pa.array(values, ARROW_TYPES[type_name], mask=is_null)


def load(dsn: str, rows: Rows) -> None:
    """Make both tables and fill them; every page is then visible to all."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        for table, types in (("customers", TYPES_OF_CUSTOMERS), ("coded", TYPES_OF_CODED)):
            declared = "".join(f", {name} {type_name}" for name, type_name in types.items())
            connection.execute(f"CREATE TABLE {table} (id bigint PRIMARY KEY{declared})".encode())
            _ingest(dsn, table, pa.table({name: rows[name] for name in ("id", *types)}))
            connection.execute(f"VACUUM (FREEZE, ANALYZE) {table}".encode())


def _ingest(dsn: str, table: str, rows: pa.Table) -> None:
    with adbc.connect(dsn, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.adbc_ingest(table, rows, mode="append")


def take_first(dsn: str, row_count: int) -> str:
    """Make a table of the first rows of `customers`, for what is too slow for all of them."""
    table = f"customers_{row_count}"
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(f"CREATE TABLE IF NOT EXISTS {table} (LIKE customers)".encode())
        connection.execute(f"TRUNCATE {table}".encode())
        first = f"SELECT * FROM customers WHERE id < {row_count} ORDER BY id"
        connection.execute(f"INSERT INTO {table} {first}".encode())
        connection.execute(f"VACUUM (FREEZE, ANALYZE) {table}".encode())
    return table


def make_columns(types: dict[str, str]) -> tuple[Column, ...]:
    """Describe columns as the extraction does."""
    return tuple(
        Column(
            name,
            type_name,
            ColumnKind.CATEGORY if type_name == "text" else ColumnKind.NUMERIC,
        )
        for name, type_name in types.items()
    )


def make_dataset(rows: Rows, types: dict[str, str], row_count: int | None = None) -> pa.Table:
    """The columns as a dataset has them: numbers as float64."""
    return pa.table(
        {
            name: rows[name].slice(0, row_count).cast(pa.float64())
            if type_name != "text"
            else rows[name].slice(0, row_count)
            for name, type_name in types.items()
        }
    )
