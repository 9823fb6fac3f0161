"""
Categories as numbers: the mean of the target for each code.

Source: Micci-Barreca 2001 (a level's mean is drawn to the mean of all by a prior of so many
rows). That a row must not see its own target is as in scikit-learn's TargetEncoder.
"""

from dataclasses import dataclass

import numpy as np

from sqlml.enums import ProblemType
from sqlml.search.arrays import F64

PRIOR_ROWS = 10.0
FOLDS = 5
MAX_CLASSES = 10


@dataclass(frozen=True, slots=True)
class TargetMeans:
    """The means of one CODE feature, one column an output."""

    values: F64
    """Shape (codes, outputs): for rows that nothing was learnt from, and for LOOKUP."""
    learnt: F64
    """Shape (rows, outputs): for the rows themselves, from the rows of other folds."""


def mean_outputs(target: F64, problem_type: ProblemType, class_count: int) -> F64 | None:
    """
    Make what means are taken of, shape (rows, outputs).

    The number itself; 1 for the second of two classes; 1 for each of several classes. None
    for more than `MAX_CLASSES` classes: the features would be too many.
    """
    if problem_type is ProblemType.MULTICLASS:
        if class_count > MAX_CLASSES:
            return None
        is_class = target[:, None] == np.arange(class_count)
        return np.asarray(is_class, dtype=np.float64)
    return target.reshape(-1, 1)


def target_means(
    codes: F64, code_count: int, outputs: F64, weight: F64 | None, seed: int
) -> TargetMeans:
    """
    Compute means of `outputs`, shape (rows, outputs), for each code.

    A code without rows has the mean of all rows. `weight` is one a row, or None for ones.
    """
    rows = codes.astype(np.int64)
    weights = np.ones(rows.size) if weight is None else weight
    folds = np.random.default_rng(seed).permutation(rows.size) % FOLDS
    cells = folds * code_count + rows
    shape = (FOLDS, code_count)
    mass = np.bincount(cells, weights, FOLDS * code_count).reshape(shape)
    values = np.empty((code_count, outputs.shape[1]))
    learnt = np.empty(outputs.shape)
    for index, output in enumerate(outputs.T):
        sums = np.bincount(cells, weights * output, FOLDS * code_count).reshape(shape)
        values[:, index] = _smooth(sums.sum(axis=0), mass.sum(axis=0))
        others = np.stack(
            [
                _smooth(
                    np.delete(sums, fold, axis=0).sum(axis=0),
                    np.delete(mass, fold, axis=0).sum(axis=0),
                )
                for fold in range(FOLDS)
            ]
        )
        learnt[:, index] = others[folds, rows]
    return TargetMeans(values, learnt)


def _smooth(sums: F64, mass: F64) -> F64:
    """Draw the mean of each code to the mean of all."""
    total = mass.sum()
    prior = sums.sum() / total if total > 0 else 0.0
    return np.asarray((sums + PRIOR_ROWS * prior) / (mass + PRIOR_ROWS))
