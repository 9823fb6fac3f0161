"""
How sure a score is: 95 % intervals.

By the percentile bootstrap over rows (Efron and Tibshirani 1993); a share of right rows has
Wilson's interval (1927), which is not empty where all rows are right.
"""

import math
import time

import numpy as np
from scipy.special import ndtri

from sqlml.search.arrays import F64
from sqlml.search.metrics import Metric, PredictionKind

RESAMPLES = 300
MAX_ROWS, MAX_CELLS, MIN_ROWS = 5_000, 100_000, 1_000
"""A resample has so many rows at most, or so many probabilities, but some rows at least."""
MIN_RESAMPLES = 20
LEVEL = 0.95


def bootstrap_interval(
    truth: F64,
    predicted: F64,
    weight: F64 | None,
    metric: Metric,
    seed: int,
    until: float = math.inf,
) -> tuple[float, float]:
    """
    Compute a 95 % interval of a score; NaN where the score does not exist.

    Of many rows 5 000 are drawn at a time, fewer of many classes, and the interval is narrowed
    by the root of their share (the m out of n bootstrap; Bickel, Götze and van Zwet 1997). It
    holds the score. From `until` (`time.monotonic()`) on it makes do with few resamples.
    """
    score = metric.score(truth, predicted, weight)
    if np.isnan(score):
        return float("nan"), float("nan")
    if metric.kind is PredictionKind.CLASS and predicted.ndim == 2:
        predicted = predicted.argmax(axis=1).astype(np.float64)
    if metric.name == "accuracy":
        return _wilson(score, _effective_size(weight, truth.size))
    rng = np.random.default_rng(seed)
    class_count = predicted.shape[1] if predicted.ndim == 2 else 1
    size = min(truth.size, MAX_ROWS, max(MAX_CELLS // class_count, MIN_ROWS))
    drawn = np.full(RESAMPLES, np.nan)
    for index in range(RESAMPLES):
        if index >= MIN_RESAMPLES and time.monotonic() > until:
            break
        rows = rng.integers(0, truth.size, size)
        of_rows = None if weight is None else weight[rows]
        drawn[index] = metric.score(truth[rows], predicted[rows], of_rows)
    drawn = drawn[~np.isnan(drawn)]
    if not drawn.size:
        return score, score
    ends = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    low, high = score + (ends - score) * np.sqrt(size / truth.size)
    return min(float(low), score), max(float(high), score)


def _wilson(share: float, size: float) -> tuple[float, float]:
    """Compute Wilson's interval of a share."""
    z2 = float(ndtri((1 + LEVEL) / 2)) ** 2
    centre = (share + z2 / (2 * size)) / (1 + z2 / size)
    half = np.sqrt(z2 * (share * (1 - share) / size + z2 / (4 * size**2))) / (1 + z2 / size)
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))


def _effective_size(weight: F64 | None, row_count: int) -> float:
    """Count the rows of equal weight that are worth as much (Kish 1965)."""
    return row_count if weight is None else float(weight.sum() ** 2 / (weight**2).sum())
