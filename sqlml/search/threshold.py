"""
The decision threshold of a binary model, where the metric looks at classes.
"""

from dataclasses import dataclass

import numpy as np

from sqlml.search.arrays import F64, I64
from sqlml.search.ensemble import deal
from sqlml.search.metrics import CONFUSION_FUNCTIONS, ConfusionFunction, Metric

MAX_ROWS = 100_000
"""The threshold of more rows is found on so many of them."""
MAX_CUTS = 500
RESAMPLES = 20
NEEDED_GAIN = 0.5
"""A gain counts from this many of its standard errors on: below, the threshold of one half
was as good on rows of the test tables."""


def choose_threshold(raw: F64, truth: F64, weight: F64 | None, metric: Metric) -> float:
    """
    Choose the raw score above which the second class is predicted.

    `raw` is the out-of-fold raw scores, shape (rows,) or (rows, 1). The threshold is the
    median of those that suit resampled rows best. It is 0, probability one half, unless that
    scores better on rows that did not choose it, and where the metric does not look at
    classes.
    """
    function = CONFUSION_FUNCTIONS.get(metric.name)
    if function is None or np.unique(truth).size < 2:
        return 0.0
    raw, weight = raw.reshape(-1), np.ones(truth.size) if weight is None else weight
    if truth.size > MAX_ROWS:
        drawn = np.random.default_rng(0).choice(truth.size, MAX_ROWS, replace=False)
        raw, truth, weight = raw[drawn], truth[drawn], weight[drawn]
    rows = _cut(raw, truth, weight)
    chosen = np.zeros(truth.size, dtype=bool)
    folds = deal(truth)
    for fold in np.unique(folds):
        own = folds == fold
        chosen[own] = rows.places[own] > _best_cut(rows, ~own, function)
    if not _is_gain(rows, chosen, rows.raw > 0, function):
        return 0.0
    return float(rows.cuts[_best_cut(rows, np.ones(truth.size, dtype=bool), function)])


@dataclass(frozen=True, slots=True)
class _Rows:
    """Raw scores with truth and weight; `places` counts the cuts below each raw score."""

    raw: F64
    truth: F64
    weight: F64
    cuts: F64
    places: I64


def _cut(raw: F64, truth: F64, weight: F64) -> _Rows:
    """Lay cuts in the middle between raw scores, at most 500 of them."""
    values = np.unique(raw)
    if values.size > MAX_CUTS:
        values = values[np.linspace(0, values.size - 1, MAX_CUTS).astype(np.int64)]
    cuts = (values[1:] + values[:-1]) / 2 if values.size > 1 else values
    return _Rows(raw, truth, weight, cuts, np.searchsorted(cuts, raw).astype(np.int64))


def _best_cut(rows: _Rows, used: np.ndarray, function: ConfusionFunction) -> int:
    """Find the median of the cuts that are best for resampled rows."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(RESAMPLES):
        counts = np.where(used, rng.poisson(1.0, used.size), 0) * rows.weight
        scores = function(_confusions(rows, counts))
        if not np.isfinite(scores).any():
            continue
        best = np.flatnonzero(scores >= np.nanmax(scores))
        found.append(int(best[best.size // 2]))
    return sorted(found)[len(found) // 2] if found else 0


def _confusions(rows: _Rows, weight: F64) -> F64:
    """Sum the weights by truth and prediction for each of the cuts: (cuts, 2, 2)."""
    size = rows.cuts.size + 1
    below = np.stack(
        [
            np.cumsum(np.bincount(rows.places, np.where(rows.truth == code, weight, 0.0), size))
            for code in (0, 1)
        ],
        axis=1,
    )
    # A raw score with as many cuts below as the cut's own place is not above the cut.
    return np.stack([below[:-1], below[-1] - below[:-1]], axis=2)


def _is_gain(
    rows: _Rows, chosen: np.ndarray, usual: np.ndarray, function: ConfusionFunction
) -> bool:
    """Tell whether chosen decisions score better than usual ones by more than chance."""
    rng = np.random.default_rng(1)
    cells = [rows.truth.astype(np.int64) * 2 + decided for decided in (chosen, usual)]

    def gain(weight: F64) -> float:
        new, old = (
            function(np.bincount(each, weight, 4).reshape(2, 2).astype(np.float64))
            for each in cells
        )
        return float(new - old)

    resampled = [gain(rng.poisson(1.0, rows.truth.size) * rows.weight) for _ in range(RESAMPLES)]
    return gain(rows.weight) > NEEDED_GAIN * float(np.nanstd(resampled))
