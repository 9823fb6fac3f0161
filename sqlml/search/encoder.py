"""
Features of rows: what each feature's definition gives, computed from Arrow.

Owns the arithmetic, which the scoring core replays bit for bit. Does not choose features.
What NULL, NaN and unseen values mean is written in docs/learning.md.
"""

import math
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sqlml.search.arrays import F64
from sqlml.search.calendar import date_part
from sqlml.search.fitted import Feature, FeatureOp

CODE_OF_NULL = 0
CODE_OF_OTHER = 1
FIRST_LEVEL_CODE = 2


def encode(features: Sequence[Feature], table: pa.Table) -> F64:
    """Compute the features of every row, as a matrix with a column for each feature."""
    matrix = np.empty((table.num_rows, len(features)), dtype=np.float64, order="F")
    for index, feature in enumerate(features):
        matrix[:, index] = encode_feature(feature, table.column(feature.column))
    return matrix


def encode_feature(feature: Feature, values: pa.ChunkedArray) -> F64:
    """Compute one feature of every row."""
    if feature.op is FeatureOp.CODE:
        return encode_codes(values, feature.levels)
    numbers = read_numbers(values, feature.op)
    if not math.isnan(feature.fill):
        numbers = np.where(np.isnan(numbers), feature.fill, numbers)
    return numbers


def read_numbers(values: pa.ChunkedArray, op: FeatureOp) -> F64:
    """Compute a numeric feature before its fill; NaN is missing."""
    is_null = values.is_null().to_numpy() if values.null_count else None
    if op is FeatureOp.VALUE:
        numbers = pc.cast(values, pa.float64()).to_numpy()
    else:
        numbers = date_part(pc.fill_null(values, 0).to_numpy(), op)
    if is_null is not None:
        numbers = np.where(is_null, np.nan, numbers)
    return np.asarray(numbers, dtype=np.float64)


def encode_codes(values: pa.ChunkedArray, levels: tuple[str, ...]) -> F64:
    """Look up the code of every value."""
    positions = pc.index_in(values, value_set=pa.array(levels, type=values.type))
    codes = pc.fill_null(pc.add(positions, FIRST_LEVEL_CODE), CODE_OF_OTHER).to_numpy()
    if values.null_count:
        codes = np.where(values.is_null().to_numpy(), CODE_OF_NULL, codes)
    return np.asarray(codes, dtype=np.float64)
