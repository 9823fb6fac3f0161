"""
Which rows are searched, validated and held out.

Every split is random with the seed and, for a classification, stratified.
"""

from dataclasses import dataclass

import numpy as np

from sqlml.enums import ProblemType
from sqlml.search.arrays import F64, I64
from sqlml.search.target import Target

HOLDOUT_SHARE = 0.2
MAX_HOLDOUT_ROWS = 10_000
MIN_ROWS_FOR_HOLDOUT = 200
MIN_CLASS_FOR_HOLDOUT = 10
"""A rarer class of a binary target is needed whole for learning, and its few held-out
rows would make a score by chance."""
SMALL_FOLDS = 5
MEDIUM_FOLDS = 3
SMALL_ROWS = 50_000
MEDIUM_ROWS = 500_000
MAX_SINGLE_FOLD_ROWS = 50_000


@dataclass(frozen=True, slots=True)
class Fold:
    """Row numbers to fit on and row numbers to validate on."""

    train: I64
    valid: I64


def split_holdout(target: Target, rng: np.random.Generator) -> tuple[I64, I64]:
    """Part the rows into those of the search and those held out (maybe none)."""
    row_count = target.values.size
    everything = np.arange(row_count)
    if row_count < MIN_ROWS_FOR_HOLDOUT or _rarest_class(target) < MIN_CLASS_FOR_HOLDOUT:
        return everything, everything[:0]
    share = min(HOLDOUT_SHARE, MAX_HOLDOUT_ROWS / row_count)
    strata = _strata(target)
    order = _order_by_stratum(strata, rng)
    sizes = np.bincount(strata)
    rank_in_stratum = np.arange(row_count) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    # Rounded to the nearest, but every class keeps a row to learn from.
    quota = np.minimum(np.floor(sizes * share + 0.5), sizes - 1)
    held = np.zeros(row_count, dtype=bool)
    held[order] = rank_in_stratum < np.repeat(quota, sizes)
    return everything[~held], everything[held]


def make_folds(target: Target, folds: int | None, rng: np.random.Generator) -> tuple[Fold, ...]:
    """Make cross-validation folds; for very many rows a single one."""
    row_count = target.values.size
    count = min(folds or _default_folds(row_count), row_count // 2)
    order = _order_by_stratum(_strata(target), rng)
    fold_of_row = np.empty(row_count, dtype=np.int64)
    fold_of_row[order] = np.arange(row_count) % count
    made = count if folds or row_count <= MEDIUM_ROWS else 1
    return tuple(
        Fold(np.flatnonzero(fold_of_row != index), np.flatnonzero(fold_of_row == index))
        for index in range(made)
    )


def _default_folds(row_count: int) -> int:
    """Choose the number of folds by size."""
    if row_count <= SMALL_ROWS:
        return SMALL_FOLDS
    return MEDIUM_FOLDS if row_count <= MEDIUM_ROWS else row_count // MAX_SINGLE_FOLD_ROWS


def _rarest_class(target: Target) -> float:
    """Count the rows of the rarer class of a binary target."""
    if target.problem_type is not ProblemType.BINARY:
        return float("inf")
    return float(np.bincount(target.values.astype(np.int64)).min())


def _strata(target: Target) -> I64:
    """Number the groups to be spread evenly: the classes, or one for all."""
    if target.problem_type is ProblemType.REGRESSION:
        return np.zeros(target.values.size, dtype=np.int64)
    return target.values.astype(np.int64)


def _order_by_stratum(strata: I64, rng: np.random.Generator) -> I64:
    """Sort row numbers by stratum, at random within each."""
    shuffled = rng.permutation(strata.size)
    return shuffled[np.argsort(strata[shuffled], kind="stable")]


def take(values: F64, rows: I64 | None) -> F64:
    """Take rows of an array; None is all of them."""
    return values if rows is None else values[rows]
