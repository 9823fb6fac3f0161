"""
Facts of columns: what can be counted without the target.
"""

import re
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sqlml.search.arrays import F64, I64
from sqlml.search.texts import count_texts

MAX_LEVELS = 20_000
MAX_LEVEL_BYTES = 1000
SAMPLE_TEXTS = 2000
SAMPLE_BYTES = 4_000_000
UUID = re.compile(r"\{?[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}\}?", re.IGNORECASE)
SPARSE_RANGE = 4
"""Unique integers are numbered if they are at most so many times fewer than their range."""
LARGEST_EXACT_INTEGER = 2.0**53


@dataclass(frozen=True, slots=True, kw_only=True)
class CategoryFacts:
    """
    Facts of a column of texts.

    `levels` are the texts that occur at least twice, `counts` how often, the most frequent
    first and those of one frequency by code point; at most `MAX_LEVELS` of them, and none
    that is longer than `MAX_LEVEL_BYTES`. Means are over a sample of the texts.
    """

    row_count: int
    null_count: int
    distinct_count: int
    levels: tuple[str, ...]
    counts: tuple[int, ...]
    mean_characters: float
    mean_words: float
    is_uuid: bool

    @property
    def present_count(self) -> int:
        """Rows that are not NULL."""
        return self.row_count - self.null_count


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberFacts:
    """Facts of a column of numbers; a NaN counts as NULL."""

    row_count: int
    null_count: int
    distinct_count: int
    is_integer: bool
    is_numbered: bool
    """Whether the values are different integers with few gaps, as keys are."""


def read_category_facts(values: pa.ChunkedArray) -> CategoryFacts:
    """Count what there is to know of texts."""
    present = values.drop_null()
    counted = pc.value_counts(present)
    levels, counts = _repeated(counted.field("values"), np.asarray(counted.field("counts")))
    sample = _sample(present)
    means = count_texts(sample).mean(axis=0) if len(sample) else np.zeros(4)
    return CategoryFacts(
        row_count=len(values),
        null_count=values.null_count,
        distinct_count=len(counted),
        levels=levels,
        counts=counts,
        mean_characters=float(means[0]),
        mean_words=float(means[1]),
        is_uuid=len(sample) > 0
        and all(UUID.fullmatch(text) for text in sample.slice(0, 20).to_pylist()),
    )


def read_number_facts(numbers: F64) -> NumberFacts:
    """Count what there is to know of numbers; NaN is missing."""
    present = numbers[~np.isnan(numbers)]
    distinct = pc.count_distinct(pa.array(present)).as_py()
    is_integer = bool(
        present.size
        and np.abs(present).max() < LARGEST_EXACT_INTEGER
        and (present == np.trunc(present)).all()
    )
    is_numbered = bool(
        is_integer
        and distinct == numbers.size
        and present.max() - present.min() < SPARSE_RANGE * numbers.size
    )
    return NumberFacts(
        row_count=numbers.size,
        null_count=numbers.size - present.size,
        distinct_count=distinct,
        is_integer=is_integer,
        is_numbered=is_numbered,
    )


def _repeated(values: pa.Array, counts: I64) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Choose the texts that occur twice or more, most frequent first."""
    kept = np.flatnonzero((counts > 1) & (np.asarray(pc.binary_length(values)) <= MAX_LEVEL_BYTES))
    if kept.size > MAX_LEVELS:
        # Before their texts are read: all that are as frequent as the last one to be taken.
        least = np.partition(counts[kept], -MAX_LEVELS)[-MAX_LEVELS]
        kept = kept[counts[kept] >= least]
    texts = values.take(pa.array(kept)).to_pylist()
    found = sorted(
        zip(texts, counts[kept].tolist(), strict=True), key=lambda each: (-each[1], each[0])
    )[:MAX_LEVELS]
    return tuple(text for text, _ in found), tuple(count for _, count in found)


def _sample(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Take texts from all over a column, fewer where they are long."""
    mean_bytes = values.nbytes / max(len(values), 1)
    count = int(min(SAMPLE_TEXTS, SAMPLE_BYTES // max(mean_bytes, 1) + 1))
    step = -(-max(len(values), 1) // count)
    return values.take(pa.array(np.arange(0, len(values), step)))
