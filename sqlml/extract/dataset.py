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

    @property
    def unknown(self) -> str:
        """What values are, in words, that a target does not have in training."""
        return "NULL, NaN or infinite" if self.kind is ColumnKind.NUMERIC else "NULL"


@dataclass(frozen=True, slots=True)
class SkippedColumn:
    """A column of the relation that no model sees, and why."""

    name: str
    type_name: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """The columns that tell about the rows and are no features; options name them."""

    group_by: Column | None = None
    """Of any kind. Rows with equal values, NULL included, are parted by no fold."""
    order_by: Column | None = None
    """NUMERIC or DATETIME, without nulls: rows are judged by models of earlier rows."""
    weight: Column | None = None
    """NUMERIC, as it stands in the rows: the search checks it."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """Those that there are."""
        roles = (self.group_by, self.order_by, self.weight)
        return tuple(column for column in roles if column is not None)


NO_ROLES = Roles()


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """
    The training rows, target included, in the order in which they were read.

    `table` has one Arrow column for each of `columns`, for `target` and for each of
    `roles`, under the column's own name. By kind: NUMERIC is float64 (null and NaN both mean
    missing), BOOLEAN is bool, CATEGORY is string, DATETIME is int64 in microseconds since
    2000-01-01 00:00 UTC (infinite dates are null), ARRAY is large_list<float64> (a null or NaN
    element is missing; of several dimensions the elements as PostgreSQL stores them). Rows
    whose target is null, NaN or infinite are already left out and counted in
    `null_target_count`.
    """

    table: pa.Table
    columns: tuple[Column, ...]
    target: Column
    skipped: tuple[SkippedColumn, ...] = ()
    roles: Roles = NO_ROLES
    null_target_count: int = 0
    sampled_from: int | None = None
    """Rows that have a target, where the dataset is a random sample of them."""

    @property
    def row_count(self) -> int:
        """Rows that have a target."""
        return int(self.table.num_rows)
