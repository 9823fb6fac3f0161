"""
Columns become features.

Owns which features a column gives and how they are computed from Arrow. Does not see
the target. What NULL, NaN and unseen values mean is written in docs/learning.md.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sqlml.enums import ColumnKind
from sqlml.extract.dataset import Column, SkippedColumn
from sqlml.search.arrays import F64
from sqlml.search.calendar import date_part
from sqlml.search.fitted import Feature, FeatureOp

CODE_OF_NULL = 0
CODE_OF_OTHER = 1
FIRST_LEVEL_CODE = 2
MAX_LEVELS = 255
RARE_MISSING = 10_000
"""With fewer missing values than one in this many rows a column counts as having none:
LightGBM might find none of them in the sample it makes its bins from."""

DATE_OPS = (
    FeatureOp.EPOCH,
    FeatureOp.YEAR,
    FeatureOp.MONTH,
    FeatureOp.DAY,
    FeatureOp.WEEKDAY,
    FeatureOp.YEARDAY,
    FeatureOp.HOUR,
)


def learn_features(
    table: pa.Table, columns: Sequence[Column]
) -> tuple[tuple[Feature, ...], tuple[SkippedColumn, ...]]:
    """Choose the features of every column; name the columns that have none."""
    features: list[Feature] = []
    skipped: list[SkippedColumn] = []
    for column in columns:
        values = table.column(column.name)
        found = list(_features_of(column, values))
        features += found
        if not found:
            skipped.append(SkippedColumn(column.name, column.type_name, _why_unused(values)))
    return tuple(features), tuple(skipped)


def encode(features: Sequence[Feature], table: pa.Table) -> F64:
    """Compute the features of every row, as a matrix with a column for each feature."""
    matrix = np.empty((table.num_rows, len(features)), dtype=np.float64, order="F")
    for index, feature in enumerate(features):
        matrix[:, index] = encode_feature(feature, table.column(feature.column))
    return matrix


def encode_feature(feature: Feature, values: pa.ChunkedArray) -> F64:
    """Compute one feature of every row."""
    if feature.op is FeatureOp.CODE:
        return _codes(values, feature.levels)
    numbers = _numbers(values, feature.op)
    if not math.isnan(feature.fill):
        numbers = np.where(np.isnan(numbers), feature.fill, numbers)
    return numbers


def _features_of(column: Column, values: pa.ChunkedArray) -> Iterator[Feature]:
    """Make the features of one column; those with a single value are left out."""
    match column.kind:
        case ColumnKind.CATEGORY:
            feature = Feature(column=column.name, op=FeatureOp.CODE, levels=_levels(values))
            if np.unique(encode_feature(feature, values)).size > 1:
                yield feature
        case ColumnKind.DATETIME:
            for op in DATE_OPS:
                yield from _numeric_feature(column.name, op, values)
        case ColumnKind.NUMERIC | ColumnKind.BOOLEAN:
            yield from _numeric_feature(column.name, FeatureOp.VALUE, values)


def _numeric_feature(name: str, op: FeatureOp, values: pa.ChunkedArray) -> Iterator[Feature]:
    """Make a numeric feature with its fill, unless it is constant."""
    numbers = _numbers(values, op)
    present = numbers[~np.isnan(numbers)]
    if present.size == 0:
        return
    missing_count = numbers.size - present.size
    has_missing = missing_count * RARE_MISSING >= numbers.size and missing_count > 0
    if has_missing or present.min() < present.max():
        fill = math.nan if has_missing else _lower_median(present)
        yield Feature(column=name, op=op, fill=fill)


def _lower_median(present: F64) -> float:
    """Take the middle value, the lower of two; of booleans it is the most frequent."""
    finite = present[np.isfinite(present)]
    if finite.size == 0:
        return 0.0
    middle = (finite.size - 1) // 2
    return float(np.partition(finite, middle)[middle])


def _numbers(values: pa.ChunkedArray, op: FeatureOp) -> F64:
    """Compute a numeric feature before its fill; NaN is missing."""
    is_null = values.is_null().to_numpy() if values.null_count else None
    if op is FeatureOp.VALUE:
        numbers = pc.cast(values, pa.float64()).to_numpy()
    else:
        numbers = date_part(pc.fill_null(values, 0).to_numpy(), op)
    if is_null is not None:
        numbers = np.where(is_null, np.nan, numbers)
    return np.asarray(numbers, dtype=np.float64)


def _levels(values: pa.ChunkedArray) -> tuple[str, ...]:
    """Choose the values that get a code: the frequent ones, most frequent first."""
    counted = pc.value_counts(values.drop_null())
    counts = dict(
        zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True)
    )
    # What is seen once trains the code of the values never seen.
    frequent = [value for value, count in counts.items() if count > 1]
    by_frequency = sorted(frequent, key=lambda value: (-counts[value], value))
    return tuple(by_frequency[:MAX_LEVELS])


def _codes(values: pa.ChunkedArray, levels: tuple[str, ...]) -> F64:
    """Look up the code of every value."""
    positions = pc.index_in(values, value_set=pa.array(levels, type=values.type))
    codes = pc.fill_null(pc.add(positions, FIRST_LEVEL_CODE), CODE_OF_OTHER).to_numpy()
    if values.null_count:
        codes = np.where(values.is_null().to_numpy(), CODE_OF_NULL, codes)
    return np.asarray(codes, dtype=np.float64)


def _why_unused(values: pa.ChunkedArray) -> str:
    """Say why a column gave no feature."""
    if values.null_count == len(values):
        return "every value is NULL"
    if pa.types.is_floating(values.type) and pc.all(pc.is_nan(values.drop_null())).as_py():
        return "every value is NULL or NaN"
    if pc.count_distinct(values).as_py() == len(values):
        return "no value occurs twice"
    return "it has one value only"
