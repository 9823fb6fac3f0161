"""
What extraction hands on: columns with their kinds, and the values as Arrow.
"""

from dataclasses import dataclass

import pyarrow as pa

from sqlml.enums import ColumnKind


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the relation that a model can use."""

    name: str
    type_name: str
    """The SQL type as PostgreSQL writes it, such as `character varying(10)`."""
    kind: ColumnKind


@dataclass(frozen=True, slots=True)
class SkippedColumn:
    """A column of the relation that no model sees, and why."""

    name: str
    type_name: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """
    The training rows, target included, in the order in which they were read.

    `table` has one Arrow column for each of `columns` and for `target`, under the
    column's own name. By kind: NUMERIC is float64 (null and NaN both mean missing),
    BOOLEAN is bool, CATEGORY is string, DATETIME is int64 in microseconds since
    2000-01-01 00:00 UTC (infinite dates are null). Rows whose target is null, NaN or
    infinite are already left out and counted in `null_target_count`.
    """

    table: pa.Table
    columns: tuple[Column, ...]
    target: Column
    skipped: tuple[SkippedColumn, ...] = ()
    null_target_count: int = 0
    sampled_from: int | None = None
    """Rows that have a target, where the dataset is a random sample of them."""

    @property
    def row_count(self) -> int:
        """Rows that have a target."""
        return int(self.table.num_rows)
