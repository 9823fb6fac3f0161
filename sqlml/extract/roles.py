"""
What the rows must hold in the column that gives them an order.
"""

import pyarrow as pa
import pyarrow.compute as pc

from sqlml.errors import OptionNotUsable
from sqlml.extract.dataset import Column


def check_order(table: pa.Table, column: Column) -> None:
    """Raise `OptionNotUsable` where a row has no place in the order."""
    values = table.column(column.name)
    # NaN is nowhere between two numbers.
    count = pc.sum(pc.is_null(values, nan_is_null=pa.types.is_floating(values.type))).as_py() or 0
    if count:
        raise OptionNotUsable(
            f'column "{column.name}" in option "order_by" has no place for {count} rows',
            detail="NULL, NaN and infinite dates have no place in an order.",
            hint="Leave those rows out.",
        )
