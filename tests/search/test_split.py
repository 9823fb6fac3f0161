"""
Splits: nothing on both sides, every class where it is needed.
"""

import numpy as np
import pytest

from sqlml.enums import ProblemType
from sqlml.search.split import make_folds, split_holdout
from sqlml.search.target import Target


def make_target(*class_sizes):
    """Make a classification target with rows of each class one after the other."""
    count = len(class_sizes)
    return Target(
        problem_type=ProblemType.BINARY if count == 2 else ProblemType.MULTICLASS,
        classes=tuple(str(index) for index in range(count)),
        values=np.repeat(np.arange(count, dtype=float), class_sizes),
    )


def make_numbers(row_count):
    """Make a regression target."""
    values = np.arange(row_count, dtype=float)
    return Target(problem_type=ProblemType.REGRESSION, classes=(), values=values)


@pytest.mark.parametrize(
    ("target", "held_count"),
    [
        pytest.param(make_numbers(199), 0, id="too small"),
        pytest.param(make_numbers(200), 40, id="a fifth"),
        pytest.param(make_numbers(100_000), 10_000, id="at most"),
        pytest.param(make_target(991, 9), 0, id="rare class"),
        pytest.param(make_target(990, 10), 200, id="not so rare class"),
    ],
)
def test_holdout_size(target, held_count):
    kept, held = split_holdout(target, np.random.default_rng(0))
    assert held.size == held_count
    assert np.array_equal(np.sort(np.concatenate([kept, held])), np.arange(target.values.size))


def test_holdout_is_stratified_and_leaves_every_class():
    target = make_target(500, 100, 3, 1)
    kept, held = split_holdout(target, np.random.default_rng(0))
    assert np.bincount(target.values[held].astype(int), minlength=4).tolist() == [100, 20, 1, 0]
    assert np.unique(target.values[kept]).size == 4


def test_folds_validate_every_row_once_and_are_stratified():
    target = make_target(60, 40)
    folds = make_folds(target, None, np.random.default_rng(0))
    assert len(folds) == 5
    assert np.array_equal(np.sort(np.concatenate([fold.valid for fold in folds])), np.arange(100))
    for fold in folds:
        assert np.intersect1d(fold.train, fold.valid).size == 0
        assert np.bincount(target.values[fold.valid].astype(int)).tolist() == [12, 8]


@pytest.mark.parametrize(
    ("row_count", "asked", "made"),
    [
        (50_000, None, 5),
        (50_001, None, 3),
        (500_001, None, 1),
        (500_001, 4, 4),
        (100, 10, 10),
        (12, 10, 6),
    ],
)
def test_fold_count(row_count, asked, made):
    folds = make_folds(make_numbers(row_count), asked, np.random.default_rng(0))
    assert len(folds) == made
    assert all(fold.valid.size for fold in folds)


def test_seed_decides():
    target = make_target(300, 300)
    first, again, other = (split_holdout(target, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first[1], again[1])
    assert not np.array_equal(first[1], other[1])
