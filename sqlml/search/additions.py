"""
What a running average of candidates would score with one more of them, for all of them.

The inner loop of ensemble selection. Squared errors need no rows once the candidates' errors
are multiplied with each other; a log loss looks at the true class only; ranks are counted in
narrow bins instead of being sorted. All others ask the metric.
"""

from collections.abc import Callable, Sequence
from copy import copy
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sqlml.search.arrays import F64, I64
from sqlml.search.metrics import SMALLEST_PROBABILITY, Metric

SQUARED_METRICS = frozenset({"rmse", "r2", "brier"})
"""Metrics that order as a mean squared error does."""
RAW_LOG_LOSS = "raw_log_loss"
"""The log loss as a function of raw scores."""
BLOCK_ROWS = 8192
MIN_ROWS_FOR_BINS = 3000
"""With fewer rows the ranks are exact."""
BIN_SHIFT = 13
"""Mantissa bits of a float32 that a bin takes together: 1024 bins from p to 2 p."""
SMALLEST_BINNED = np.float32(1e-6)
LARGEST_RAW = np.float32(32)
RAW_BINS = np.float32(512)
"""Bins of a raw score from 0 to 1."""


class Additions(Protocol):
    """The running sum of a selection."""

    def add(self, index: int) -> None:
        """Add a candidate."""
        ...

    def scores(self) -> F64:
        """Score the average with each of the candidates added; larger is better."""
        ...


def make_additions(
    candidates: Sequence[F64], truth: F64, weight: F64 | None, metric: Metric
) -> Additions:
    """Choose the fastest way to score additions."""
    if metric.name in SQUARED_METRICS:
        return SquaredAdditions(candidates, truth, weight)
    if metric.name == "log_loss":
        return LogLossAdditions(candidates, truth, weight)
    if candidates[0].ndim == 2 and candidates[0].shape[1] == 2:
        if metric.name == RAW_LOG_LOSS:
            return MarginAdditions(candidates, truth, weight)
        if weight is None and truth.size > MIN_ROWS_FOR_BINS:
            if metric.name == "roc_auc":
                return BinnedAdditions(candidates, truth, _area_in_bins)
            # A precision is the second class's; the bins suit the rarer one.
            if metric.name == "pr_auc" and 2 * truth.sum() <= truth.size:
                return BinnedAdditions(candidates, truth, _precision_in_bins)
    return MetricAdditions(candidates, truth, weight, metric)


class MetricAdditions:
    """Scores of any metric."""

    def __init__(self, candidates: Sequence[F64], truth: F64, weight: F64 | None, metric: Metric):
        self._candidates = candidates
        self._truth, self._weight, self._metric = truth, weight, metric
        self._sum = np.zeros_like(candidates[0])
        self._count = 0

    def add(self, index: int) -> None:
        """Add a candidate."""
        self._sum += self._candidates[index]
        self._count += 1

    def scores(self) -> F64:
        """Score the average with each of the candidates added; larger is better."""
        metric, count = self._metric, self._count + 1
        return np.array(
            [
                metric.sign * metric.score(self._truth, (self._sum + each) / count, self._weight)
                for each in self._candidates
            ]
        )


class SquaredAdditions:
    """Negative mean squared errors, which order as rmse, r2 and brier do."""

    def __init__(self, candidates: Sequence[F64], truth: F64, weight: F64 | None):
        self._products = _multiply_errors(candidates, truth, weight)
        self._chosen = np.zeros(len(candidates))

    def restarted(self) -> "SquaredAdditions":
        """Get the same with nothing added."""
        other = copy(self)
        other._chosen = np.zeros_like(self._chosen)
        return other

    def add(self, index: int) -> None:
        """Add a candidate."""
        self._chosen[index] += 1

    def scores(self) -> F64:
        """Score the average with each of the candidates added; larger is better."""
        with_chosen = self._products @ self._chosen
        total = self._chosen @ with_chosen + 2 * with_chosen + self._products.diagonal()
        return np.asarray(-total / (self._chosen.sum() + 1) ** 2)


def _multiply_errors(candidates: Sequence[F64], truth: F64, weight: F64 | None) -> F64:
    """Multiply the errors of each two candidates and average, in a unit that suits all."""
    products = np.zeros((len(candidates), len(candidates)))
    unit = max(float(np.abs(each).max(initial=0)) for each in (truth, *candidates))
    unit = unit if 0 < unit < np.inf else 1.0
    total = float(truth.size if weight is None else weight.sum())
    for start in range(0, truth.size, BLOCK_ROWS):
        rows = slice(start, start + BLOCK_ROWS)
        wanted = truth[rows] / unit
        if candidates[0].ndim == 2:
            wanted = (truth[rows, None] == np.arange(candidates[0].shape[1])) / unit
        errors = np.stack([candidate[rows] / unit - wanted for candidate in candidates])
        weighted = errors
        if weight is not None:
            weighted = errors * weight[rows].reshape(-1, *[1] * (errors.ndim - 2))
        flat = (len(candidates), -1)
        products += errors.reshape(flat) @ weighted.reshape(flat).T
    return products / total


class LogLossAdditions:
    """Mean logarithms of the true class's probability."""

    def __init__(self, candidates: Sequence[F64], truth: F64, weight: F64 | None):
        codes = truth.astype(np.int64)[:, None]
        self._of_truth = np.stack(
            [np.take_along_axis(candidate, codes, axis=1)[:, 0] for candidate in candidates]
        )
        self._weight = np.full(truth.size, 1 / truth.size) if weight is None else weight
        self._sum = np.zeros(truth.size)
        self._count = 0

    def add(self, index: int) -> None:
        """Add a candidate."""
        self._sum += self._of_truth[index]
        self._count += 1

    def scores(self) -> F64:
        """Score the average with each of the candidates added; larger is better."""
        count = self._count + 1
        scores = np.empty(len(self._of_truth))
        for index, of_truth in enumerate(self._of_truth):
            average = np.maximum((self._sum + of_truth) / count, SMALLEST_PROBABILITY)
            scores[index] = np.log(average, out=average) @ self._weight
        return scores


class MarginAdditions:
    """Negative log losses of two classes by raw scores, shape (rows, 2)."""

    def __init__(self, candidates: Sequence[F64], truth: F64, weight: F64 | None):
        signs = np.where(truth == 1, 1.0, -1.0)
        self._margins = [signs * (each[:, 1] - each[:, 0]) for each in candidates]
        self._weight = np.full(truth.size, 1 / truth.size) if weight is None else weight
        self._sum = np.zeros(truth.size)
        self._count = 0

    def add(self, index: int) -> None:
        """Add a candidate."""
        self._sum += self._margins[index]
        self._count += 1

    def scores(self) -> F64:
        """Score the average with each of the candidates added; larger is better."""
        scores = np.empty(len(self._margins))
        for index, margins in enumerate(self._margins):
            average = (self._sum + margins) / (self._count + 1)
            losses = np.log(1 + np.exp(-np.abs(average))) - np.minimum(average, 0)
            scores[index] = -losses @ self._weight
        return scores


InBins = Callable[[I64, I64], float]


class BinnedAdditions:
    """
    Ranks of the rarer of two classes, from counts in bins.

    A bin of probabilities is some neighbouring float32, so that small ones are told apart as
    well as large ones. Raw scores, the first class's with the sign turned, have bins of one
    width. The rows of a bin count as equal.
    """

    def __init__(self, candidates: Sequence[F64], truth: F64, score: InBins):
        rarer = int((truth == 1).sum() * 2 <= truth.size)
        positive = truth == rarer
        self._positive_count = int(positive.sum())
        rows = np.concatenate([np.flatnonzero(positive), np.flatnonzero(~positive)])
        self._candidates = [candidate[rows, rarer].astype(np.float32) for candidate in candidates]
        self._sum = np.zeros(truth.size, dtype=np.float32)
        self._count = 0
        self._score = score

    def add(self, index: int) -> None:
        """Add a candidate."""
        self._sum += self._candidates[index]
        self._count += 1

    def scores(self) -> F64:
        """Score the average with each of the candidates added; larger is better."""
        factor = np.float32(1 / (self._count + 1))
        scores = np.empty(len(self._candidates))
        for index, candidate in enumerate(self._candidates):
            bins = _bin((self._sum + candidate) * factor)
            scores[index] = self._score(bins[: self._positive_count], bins[self._positive_count :])
        return scores


def _area_in_bins(positive: I64, negative: I64) -> float:
    """Compute the area under the ROC curve from the bins of positives and negatives."""
    pairs = positive.size * negative.size
    if not pairs:
        return float("nan")
    counts = np.bincount(negative, minlength=int(positive.max()) + 1)
    below = np.cumsum(counts)[positive].sum() - counts[positive].sum() / 2
    return float(below / pairs)


def _precision_in_bins(positive: I64, negative: I64) -> float:
    """Compute the average precision from the bins of positives and negatives."""
    if not positive.size:
        return float("nan")
    size = int(max(positive.max(), negative.max(initial=0))) + 1
    found = np.cumsum(np.bincount(positive, minlength=size)[::-1])[::-1][positive]
    wrong = np.cumsum(np.bincount(negative, minlength=size)[::-1])[::-1][positive]
    return float((found / (found + wrong)).mean())


def _bin(scores: NDArray[np.float32]) -> I64:
    """Number the bins of probabilities, or of raw scores, in their order."""
    if scores.min(initial=0) < 0:
        places = (np.clip(scores, -LARGEST_RAW, LARGEST_RAW) + LARGEST_RAW) * RAW_BINS
        return np.asarray(places, dtype=np.int64)
    bits = np.maximum(scores, SMALLEST_BINNED).view(np.int32) >> BIN_SHIFT
    return np.asarray(bits - bits.min(), dtype=np.int64)
