"""
How sure a score is: 95 % intervals by the bootstrap over rows.
"""

import numpy as np

from sqlml.search.arrays import F64
from sqlml.search.metrics import Metric

RESAMPLES = 200
LEVEL = 0.95
MAX_ROWS = 20_000


def bootstrap_interval(
    truth: F64, predicted: F64, weight: F64 | None, metric: Metric, seed: int
) -> tuple[float, float]:
    """
    Compute a 95 % interval of a score.

    Of more than 20 000 rows as many are drawn, and the interval is narrowed by the root of
    the share (the m out of n bootstrap; Bickel, Götze and van Zwet 1997).
    """
    rng = np.random.default_rng(seed)
    size = min(truth.size, MAX_ROWS)
    score = metric.score(truth, predicted, weight)
    drawn = []
    for _ in range(RESAMPLES):
        rows = rng.integers(0, truth.size, size)
        drawn.append(
            metric.score(truth[rows], predicted[rows], None if weight is None else weight[rows])
        )
    known = [each for each in drawn if not np.isnan(each)]
    if not known or np.isnan(score):
        return float("nan"), float("nan")
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    narrow = np.sqrt(size / truth.size)
    return float(score + (low - score) * narrow), float(score + (high - score) * narrow)
