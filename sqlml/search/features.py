"""
Columns become features.

Owns which features a column gives, learnt from the rows of a search. `learn_features` is the
entry; what the features of a row are is `encoder`'s.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.sparse import csr_matrix

from sqlml.enums import ColumnKind
from sqlml.extract.dataset import Column, SkippedColumn
from sqlml.search.arrays import F64, I64
from sqlml.search.decisions import Decision, Role
from sqlml.search.encoder import encode, encode_feature, read_numbers
from sqlml.search.fitted import Feature, FeatureOp, Vocabulary
from sqlml.search.target import Target

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
ROLES = {
    ColumnKind.NUMERIC: Role.NUMBER,
    ColumnKind.BOOLEAN: Role.FLAG,
    ColumnKind.CATEGORY: Role.CATEGORY,
    ColumnKind.DATETIME: Role.DATETIME,
}


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """Rows as numbers: the features, and the tf-idf of every text."""

    matrix: F64
    """Shape (rows, features), column by column in memory."""
    texts: tuple[csr_matrix, ...] = ()
    """Shape (rows, V) for each vocabulary."""

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.matrix)

    def take(self, rows: I64) -> "Encoded":
        """Take some of the rows."""
        return Encoded(self.matrix[rows], tuple(text[rows] for text in self.texts))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FeatureSet:
    """
    The features of a search, and who may read which; all indexes are into `features`.

    `categories` (CODE) and `numbers` are for trees; what is in neither is there for others.
    `linear` is for linear models: numbers, and of each column the CODE with the most levels;
    of texts they read the tf-idf instead. `encodings` are the CODE features that are worth
    target means.
    """

    features: tuple[Feature, ...]
    vocabularies: tuple[Vocabulary, ...] = ()
    categories: tuple[int, ...] = ()
    numbers: tuple[int, ...] = ()
    linear: tuple[int, ...] = ()
    encodings: tuple[int, ...] = ()
    decisions: tuple[Decision, ...] = ()

    @property
    def skipped(self) -> tuple[SkippedColumn, ...]:
        """The columns that gave no feature."""
        return tuple(
            SkippedColumn(each.column, each.type_name, each.reason)
            for each in self.decisions
            if not each.features
        )

    def encode(self, table: pa.Table) -> Encoded:
        """Compute features and texts of every row of a table with the same columns."""
        return Encoded(encode(self.features, table))


def learn_features(
    table: pa.Table,
    columns: Sequence[Column],
    target: Target,
    rng: np.random.Generator,
    seconds: float = math.inf,
) -> FeatureSet:
    """
    Choose the features of every column from the rows of a table, whose targets are `target`.

    After `seconds` the columns that are left get their plain features only.
    """
    features: list[Feature] = []
    decisions: list[Decision] = []
    for column in columns:
        values = table.column(column.name)
        found = list(_features_of(column, values))
        features += found
        decisions.append(
            Decision(
                column=column.name,
                type_name=column.type_name,
                kind=column.kind,
                role=ROLES[column.kind] if found else Role.CONSTANT,
                features=tuple(f"{column.name}: {feature.op}" for feature in found),
                reason=f"it is {column.type_name}" if found else _why_unused(values),
                distinct_count=pc.count_distinct(values).as_py(),
                null_count=values.null_count,
            )
        )
    codes = tuple(i for i, feature in enumerate(features) if feature.op is FeatureOp.CODE)
    return FeatureSet(
        features=tuple(features),
        categories=codes,
        numbers=tuple(i for i in range(len(features)) if i not in codes),
        linear=tuple(range(len(features))),
        encodings=codes,
        decisions=tuple(decisions),
    )


def plain_features(table: pa.Table, columns: Sequence[Column]) -> tuple[Feature, ...]:
    """Make the features that need nothing but their own column: numbers, codes, parts of dates."""
    return tuple(
        feature for column in columns for feature in _features_of(column, table.column(column.name))
    )


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
    numbers = read_numbers(values, op)
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


def _why_unused(values: pa.ChunkedArray) -> str:
    """Say why a column gave no feature."""
    if values.null_count == len(values):
        return "every value is NULL"
    if pa.types.is_floating(values.type) and pc.all(pc.is_nan(values.drop_null())).as_py():
        return "every value is NULL or NaN"
    if pc.count_distinct(values).as_py() == len(values):
        return "no value occurs twice"
    return "it has one value only"
