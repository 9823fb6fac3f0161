"""
Candidates: the features that a column could have, but for those that never vary.
"""

import math
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from sqlml.enums import ColumnKind
from sqlml.extract.dataset import Column
from sqlml.search.arrays import F64
from sqlml.search.encoder import TEXT_COUNTS, encode_codes, read_numbers
from sqlml.search.facts import CategoryFacts
from sqlml.search.fitted import Feature, FeatureOp
from sqlml.search.texts import count_texts

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
SUMMARIES = (FeatureOp.LENGTH, FeatureOp.MEAN, FeatureOp.MINIMUM, FeatureOp.MAXIMUM)
PARTS = {ColumnKind.DATETIME: DATE_OPS, ColumnKind.ARRAY: SUMMARIES}


def make_code(name: str, values: pa.ChunkedArray, levels: tuple[str, ...]) -> Iterator[Feature]:
    """Make the CODE feature of a column, unless it has one code only."""
    codes = encode_codes(values, levels)
    if codes.size and codes.min() < codes.max():
        yield Feature(column=name, op=FeatureOp.CODE, levels=levels)


def make_counts(name: str, facts: CategoryFacts, source: int) -> Feature:
    """Make the feature that counts how often a value occurred in training."""
    return Feature(
        column=name,
        op=FeatureOp.LOOKUP,
        source=source,
        values=(float(facts.null_count), 1.0, *map(float, facts.counts)),
    )


def make_numeric_features(column: Column, values: pa.ChunkedArray) -> Iterator[Feature]:
    """Make the features that vary: of a number or boolean one, of a date or array its parts."""
    for op in PARTS.get(column.kind, (FeatureOp.VALUE,)):
        yield from make_numeric_feature(column, op, read_numbers(values, op))


def make_text_counts(column: Column, values: pa.ChunkedArray) -> Iterator[Feature]:
    """Make the counts of a text that vary."""
    for op, counts in zip(TEXT_COUNTS, count_texts(values).T, strict=True):
        yield from make_numeric_feature(column, op, counts)


def make_numeric_feature(
    column: Column, op: FeatureOp, numbers: F64, place: int = 0
) -> Iterator[Feature]:
    """Make a numeric feature with its fill, unless it is constant; NaN is missing."""
    present = numbers[~np.isnan(numbers)]
    if present.size == 0:
        return
    missing_count = numbers.size - present.size
    has_missing = missing_count * RARE_MISSING >= numbers.size and missing_count > 0
    if has_missing or present.min() < present.max():
        fill = math.nan if has_missing else _lower_median(present)
        yield Feature(column=column.name, op=op, fill=fill, place=place)


def _lower_median(present: F64) -> float:
    """Take the middle value, the lower of two; of booleans it is the most frequent."""
    finite = present[np.isfinite(present)]
    if finite.size == 0:
        return 0.0
    middle = (finite.size - 1) // 2
    return float(np.partition(finite, middle)[middle])
