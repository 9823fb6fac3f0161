"""
The baseline: the same answer for every row.
"""

from collections.abc import Mapping

import numpy as np

from sqlml.enums import EstimatorName, ProblemType
from sqlml.search.arrays import F64
from sqlml.search.estimators.estimator import Fit, Fitter, Order, Sample, Task, default_link
from sqlml.search.estimators.unit import make_unit
from sqlml.search.fitted import LinearPart
from sqlml.search.leaderboard import Hyperparameters
from sqlml.search.space import Dimension
from sqlml.search.split import take

MEDIAN_METRICS = frozenset({"mae", "median_ae", "mape"})


class Baseline:
    """Log odds, log shares, or the mean (the median or a quantile where the metric has that)."""

    name = EstimatorName.BASELINE

    def space(self, task: Task) -> Mapping[str, Dimension]:
        """Choose nothing."""
        return {}

    def portfolio(self, task: Task, rate: float) -> tuple[Hyperparameters, ...]:
        """Offer the only setting."""
        return ({},)

    def cost(
        self, task: Task, hyperparameters: Hyperparameters, max_cost_ns: float | None
    ) -> float:
        """Cost nothing."""
        return 0.0

    def fitter(self, sample: Sample) -> Fitter:
        """Bind it to a sample."""
        return BaselineFitter(sample)


class BaselineFitter:
    """Constants of one sample."""

    def __init__(self, sample: Sample):
        self._sample = sample

    def fit(self, hyperparameters: Hyperparameters, order: Order) -> Fit:
        """Compute the constant."""
        constant = self._constant(take(self._sample.target, order.train))
        part = LinearPart(estimator=EstimatorName.BASELINE, intercepts=constant)
        return Fit(parts=(part,), link=default_link(self._sample.task))

    def _constant(self, target: F64) -> F64:
        """Compute the raw scores of every row."""
        task = self._sample.task
        if task.problem_type is ProblemType.REGRESSION:
            if task.metric.name == "pinball" and task.metric.parameter is not None:
                # The smallest value that does: between two huge ones nothing can overflow.
                alpha = task.metric.parameter
                return np.array([np.quantile(target, alpha, method="inverted_cdf")])
            if task.metric.name in MEDIAN_METRICS:
                return np.array([np.median(target)])
            unit = make_unit(target)
            return unit.restored(np.array([unit.learnt(target).mean()]))
        shares = class_shares(target, task.class_count)
        if task.problem_type is ProblemType.BINARY:
            return np.array([np.log(shares[1] / shares[0])])
        return np.asarray(np.log(shares), dtype=np.float64)


def class_shares(target: F64, class_count: int) -> F64:
    """Compute the share of each class; one without rows counts as half a row."""
    counts = np.bincount(target.astype(np.int64), minlength=class_count)
    smoothed = np.maximum(counts, 0.5)
    return np.asarray(smoothed / smoothed.sum(), dtype=np.float64)
