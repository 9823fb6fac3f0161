"""
What the rows must hold in the columns that options name: weights and an order.
"""

import pyarrow as pa
import pyarrow.compute as pc

from sqlml.errors import OptionNotUsable
from sqlml.extract.dataset import Column, Roles


def check_roles(table: pa.Table, roles: Roles) -> None:
    """Raise `OptionNotUsable` where a row has no usable weight or no place in the order."""
    if roles.weight is not None:
        _check_weight(table.column(roles.weight.name), roles.weight)
    if roles.order_by is not None:
        _check_order(table.column(roles.order_by.name), roles.order_by)


def _check_weight(values: pa.ChunkedArray, column: Column) -> None:
    usable = pc.fill_null(pc.and_(pc.is_finite(values), pc.greater_equal(values, 0.0)), False)
    count = pc.sum(pc.invert(usable)).as_py() or 0
    if count:
        raise OptionNotUsable(
            f'column "{column.name}" in option "weight" has no usable weight in {count} rows',
            detail="A weight is a finite number that is not negative, and never NULL.",
            hint="Leave those rows out, or give them weight 0.",
        )
    if len(values) and not pc.max(values).as_py():
        raise OptionNotUsable(f'column "{column.name}" in option "weight" is 0 in all rows')


def _check_order(values: pa.ChunkedArray, column: Column) -> None:
    # NaN is nowhere between two numbers.
    count = pc.sum(pc.is_null(values, nan_is_null=pa.types.is_floating(values.type))).as_py() or 0
    if count:
        raise OptionNotUsable(
            f'column "{column.name}" in option "order_by" has no place for {count} rows',
            detail="NULL, NaN and infinite dates have no place in an order.",
            hint="Leave those rows out.",
        )
