"""
Datasets for tests: from the real tables, or from Python values.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sqlml.enums import ColumnKind
from sqlml.extract.dataset import Column, Dataset, Roles
from sqlml.search.calendar import DAYS_1970_TO_2000, MICROS_PER_DAY
from tests.data import TABLES, read_part

TYPE_NAMES = {
    ColumnKind.NUMERIC: "double precision",
    ColumnKind.BOOLEAN: "boolean",
    ColumnKind.CATEGORY: "text",
    ColumnKind.DATETIME: "timestamp without time zone",
}


def read_table(name: str, part: str = "train") -> Dataset:
    """Read a part of a real table as a dataset."""
    return make_dataset(read_part(name, part), TABLES[name].target)


def dataset_of(target: str, **columns: Any) -> Dataset:
    """Make a dataset from lists of Python values."""
    return make_dataset(pa.table(columns), target)


def make_dataset(table: pa.Table, target: str) -> Dataset:
    """Make a dataset from an Arrow table, whose types decide the kinds."""
    columns = []
    arrays = []
    for field in table.schema:
        kind, values = _as_kind(table.column(field.name))
        is_integer = pa.types.is_integer(field.type)
        columns.append(Column(field.name, "bigint" if is_integer else TYPE_NAMES[kind], kind))
        arrays.append(values)
    return Dataset(
        table=pa.table(arrays, names=table.column_names),
        columns=tuple(column for column in columns if column.name != target),
        target=next(column for column in columns if column.name == target),
    )


def with_columns(dataset: Dataset, **columns: np.ndarray) -> Dataset:
    """Add numeric columns to a dataset."""
    table = dataset.table
    added = []
    for name, values in columns.items():
        table = table.append_column(name, pa.chunked_array([pa.array(values, pa.float64())]))
        added.append(Column(name, "double precision", ColumnKind.NUMERIC))
    return Dataset(table=table, columns=(*dataset.columns, *added), target=dataset.target)


def with_roles(dataset: Dataset, **names: str) -> Dataset:
    """Give columns a role; they are no features then."""
    found = {each.name: each for each in dataset.columns}
    return replace(
        dataset,
        columns=tuple(each for each in dataset.columns if each.name not in names.values()),
        roles=Roles(**{role: found[name] for role, name in names.items()}),
    )


def _as_kind(values: pa.ChunkedArray) -> tuple[ColumnKind, pa.ChunkedArray]:
    """Cast a column to its kind's Arrow type."""
    kind = values.type
    if pa.types.is_boolean(kind):
        return ColumnKind.BOOLEAN, values
    if pa.types.is_temporal(kind):
        micros = pc.cast(pc.cast(values, pa.timestamp("us"), safe=False), pa.int64())
        return ColumnKind.DATETIME, pc.subtract(micros, DAYS_1970_TO_2000 * MICROS_PER_DAY)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return ColumnKind.NUMERIC, pc.cast(values, pa.float64())
    return ColumnKind.CATEGORY, pc.cast(values, pa.string())
