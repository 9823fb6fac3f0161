"""
The baseline: the same answer for every row.
"""

import numpy as np

from sqlml.enums import EstimatorName, ProblemType
from sqlml.search.arrays import F64
from sqlml.search.estimators.estimator import Fit, Order, Sample
from sqlml.search.estimators.unit import make_unit
from sqlml.search.fitted import LinearPart
from sqlml.search.leaderboard import Hyperparameters
from sqlml.search.split import take

MEDIAN_METRICS = frozenset({"mae", "mape"})


class Baseline:
    """Log odds, log shares, or the mean (the median where absolute errors count)."""

    def __init__(self, sample: Sample):
        self._sample = sample

    def fit(self, hyperparameters: Hyperparameters, order: Order) -> Fit:
        """Compute the constant."""
        target = take(self._sample.target, order.train)
        constant = self._constant(target)
        return Fit(
            part=LinearPart(estimator=EstimatorName.BASELINE, intercepts=constant),
            raw=lambda matrix: np.tile(constant, (len(matrix), 1)),
        )

    def _constant(self, target: F64) -> F64:
        """Compute the raw scores of every row."""
        sample = self._sample
        if sample.problem_type is ProblemType.REGRESSION:
            if sample.metric in MEDIAN_METRICS:
                return np.array([np.median(target)])
            unit = make_unit(target)
            return unit.restored(np.array([unit.learnt(target).mean()]))
        shares = class_shares(target, sample.class_count)
        if sample.problem_type is ProblemType.BINARY:
            return np.array([np.log(shares[1] / shares[0])])
        return np.asarray(np.log(shares), dtype=np.float64)


def class_shares(target: F64, class_count: int) -> F64:
    """Compute the share of each class; one without rows counts as half a row."""
    counts = np.bincount(target.astype(np.int64), minlength=class_count)
    smoothed = np.maximum(counts, 0.5)
    return np.asarray(smoothed / smoothed.sum(), dtype=np.float64)
