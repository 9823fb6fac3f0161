"""
Features of rows: what each feature's definition gives, computed from Arrow.

Owns the arithmetic, which the scoring core replays bit for bit. Does not choose features.
What NULL, NaN and unseen values mean is written in docs/learning.md.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.sparse import csr_matrix

from sqlml.search import lists
from sqlml.search.arrays import F64, I64
from sqlml.search.calendar import date_part
from sqlml.search.fitted import Feature, FeatureOp, Vocabulary
from sqlml.search.texts import count_texts, topics, weigh

CODE_OF_NULL = 0
CODE_OF_OTHER = 1
FIRST_LEVEL_CODE = 2
TEXT_COUNTS = (FeatureOp.CHARACTERS, FeatureOp.WORDS, FeatureOp.DIGITS, FeatureOp.CAPITALS)


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """Rows as numbers: the features, and the tf-idf of every text."""

    matrix: F64
    """Shape (rows, features), column by column in memory."""
    texts: tuple[csr_matrix, ...] = ()
    """
    Shape (rows, V) for each vocabulary. The entries of a row stand in the order in which its
    terms first occur.
    """

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.matrix)

    def take(self, rows: I64) -> "Encoded":
        """Take some of the rows."""
        return Encoded(self.matrix[rows], tuple(text[rows] for text in self.texts))


def encode(features: Sequence[Feature], table: pa.Table) -> F64:
    """Compute features without texts, as a matrix with a column for each."""
    return encode_rows(features, (), table).matrix


def encode_rows(
    features: Sequence[Feature], vocabularies: Sequence[Vocabulary], table: pa.Table
) -> Encoded:
    """Compute the features of every row; there must be none of SCORE."""
    texts = tuple(weigh(each, table.column(each.column)) for each in vocabularies)
    matrix = np.empty((table.num_rows, len(features)), dtype=np.float64, order="F")
    shared: dict[tuple[FeatureOp, str, int], F64] = {}
    for index, feature in enumerate(features):
        match feature.op:
            case FeatureOp.LOOKUP:
                matrix[:, index] = look_up(feature, matrix[:, feature.source])
            case FeatureOp.TOPIC:
                key = (FeatureOp.TOPIC, "", feature.source)
                if key not in shared:
                    shared[key] = topics(vocabularies[feature.source], texts[feature.source])
                matrix[:, index] = shared[key][:, feature.place]
            case op if op in TEXT_COUNTS:
                key = (FeatureOp.CHARACTERS, feature.column, 0)
                if key not in shared:
                    shared[key] = count_texts(table.column(feature.column))
                counts = shared[key][:, TEXT_COUNTS.index(op)]
                matrix[:, index] = fill_missing(counts, feature.fill)
            case _:
                matrix[:, index] = encode_feature(feature, table.column(feature.column))
    return Encoded(matrix, texts)


def encode_feature(feature: Feature, values: pa.ChunkedArray) -> F64:
    """Compute one feature of every row from its column alone."""
    if feature.op is FeatureOp.CODE:
        return encode_codes(values, feature.levels)
    numbers = read_numbers(values, feature.op, feature.place)
    return fill_missing(numbers, feature.fill)


def read_numbers(values: pa.ChunkedArray, op: FeatureOp, place: int = 0) -> F64:
    """Compute a numeric feature before its fill; NaN is missing."""
    if op in TEXT_COUNTS:
        return count_texts(values)[:, TEXT_COUNTS.index(op)]
    if op in lists.OPS:
        return lists.read_lists(values, op, place)
    is_null = values.is_null().to_numpy() if values.null_count else None
    if op is FeatureOp.VALUE:
        numbers = pc.cast(values, pa.float64()).to_numpy()
    else:
        numbers = date_part(pc.fill_null(values, 0).to_numpy(), op)
    if is_null is not None:
        numbers = np.where(is_null, np.nan, numbers)
    return np.asarray(numbers, dtype=np.float64)


def look_up(feature: Feature, codes: F64) -> F64:
    """Compute a LOOKUP feature from the codes of its source."""
    return np.asarray(feature.values, dtype=np.float64)[codes.astype(np.intp)]


def fill_missing(numbers: F64, fill: float) -> F64:
    """Replace missing values, unless they stay missing."""
    return numbers if math.isnan(fill) else np.where(np.isnan(numbers), fill, numbers)


def encode_codes(values: pa.ChunkedArray, levels: tuple[str, ...]) -> F64:
    """Look up the code of every value."""
    positions = pc.index_in(values, value_set=pa.array(levels, type=values.type))
    codes = pc.fill_null(pc.add(positions, FIRST_LEVEL_CODE), CODE_OF_OTHER).to_numpy()
    if values.null_count:
        codes = np.where(values.is_null().to_numpy(), CODE_OF_NULL, codes)
    return np.asarray(codes, dtype=np.float64)
