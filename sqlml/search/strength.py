"""
How much one column alone tells of the target.

Owns the suspicion of leakage: half of the rows say what to expect for a value, the other half
whether that is so.
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from sqlml.enums import ProblemType
from sqlml.search.arrays import F64, I64
from sqlml.search.target import Target

MAX_ROWS = 5000
MIN_ROWS = 50
MIN_CLASS_ROWS = 10
BINS = 50
MAX_CLASSES = 10
"""Of more classes the frequent ones are looked at."""
LEAK = 0.999
"""ROC AUC, or share of the variance, from which on one column knows too much."""
NOISE = 3.5
"""Standard deviations of a correlation by chance."""


@dataclass(frozen=True, slots=True)
class Strength:
    """What a column alone tells, on rows that it was not learnt from."""

    correlation: float
    """Between expected and true target; of several classes the largest."""
    score: float
    """ROC AUC for classes (the smallest of several), share of the ranks' variance for numbers."""
    row_count: int

    @property
    def is_noise(self) -> bool:
        """Whether chance alone may give such a correlation."""
        return bool(self.correlation * np.sqrt(self.row_count) < NOISE)

    @property
    def is_leak(self) -> bool:
        """Whether the column as good as is the target."""
        return self.score > LEAK


class Judge:
    """The rows on which columns are judged, with their targets: the first half to learn from."""

    def __init__(self, target: Target, rng: np.random.Generator):
        """Draw the rows."""
        count = min(target.values.size, MAX_ROWS)
        self._rows = rng.choice(target.values.size, count, replace=False)
        self._half = count // 2
        values = target.values[self._rows]
        self._is_regression = target.problem_type is ProblemType.REGRESSION
        if self._is_regression:
            # Ranks, for the target may have outliers that are all of its variance.
            outputs = rankdata(values).reshape(-1, 1)
        else:
            sizes = np.bincount(values.astype(np.int64), minlength=len(target.classes))
            frequent = np.argsort(-sizes, kind="stable")[:MAX_CLASSES]
            labels = frequent[:1] if sizes.size == 2 else frequent
            outputs = (values[:, None] == labels).astype(np.float64)
        self._learnt, self._judged = outputs[: self._half], outputs[self._half :]

    def strength(self, values: F64, *, are_codes: bool) -> Strength | None:
        """Judge a feature, a value a row; None where there are too few rows."""
        kept = self._judged.std(axis=0) > 0
        if not self._is_regression:
            positive = self._judged.sum(axis=0)
            kept &= np.minimum(positive, len(self._judged) - positive) >= MIN_CLASS_ROWS
        if len(self._judged) < MIN_ROWS or not kept.any():
            return None
        values = values[self._rows]
        groups = values.astype(np.int64) if are_codes else self._bins(values)
        truth, expected = self._judged[:, kept], self._expected(groups)[:, kept]
        pairs = list(zip(truth.T, expected.T, strict=True))
        if self._is_regression:
            score = float(1 - ((truth - expected) ** 2).mean() / truth.var())
        else:
            score = min(_roc_auc(is_class, guess) for is_class, guess in pairs)
        if not are_codes and len(pairs) == 1:
            score = max(score, self._monotone_score(values[self._half :], truth[:, 0]))
        return Strength(max(_correlation(*pair) for pair in pairs), score, len(truth))

    def _monotone_score(self, values: F64, truth: F64) -> float:
        """Score the order of the values as it is, for bins are coarse."""
        ranks = rankdata(np.where(np.isnan(values), -np.inf, values))
        if self._is_regression:
            return _correlation(ranks, truth) ** 2
        auc = _roc_auc(truth, ranks)
        return max(auc, 1 - auc)

    def _bins(self, values: F64) -> I64:
        """Number the quantile bin of every value; missing ones have the last."""
        seen = values[: self._half]
        seen = np.sort(seen[~np.isnan(seen)])
        if seen.size == 0:
            return np.zeros(values.size, dtype=np.int64)
        edges = np.unique(seen[np.linspace(0, seen.size - 1, BINS + 1).astype(np.int64)])
        bins = np.searchsorted(edges, values)
        bins[np.isnan(values)] = edges.size + 1
        return np.asarray(bins, dtype=np.int64)

    def _expected(self, groups: I64) -> F64:
        """Expect the mean target of the group; of an unknown group that of all."""
        learnt, judged = groups[: self._half], groups[self._half :]
        count = int(groups.max()) + 1
        mean = self._learnt.mean(axis=0)
        sizes = np.bincount(learnt, minlength=count)
        sums = np.stack([np.bincount(learnt, each, count) for each in self._learnt.T], axis=1)
        # One row more of the mean: a group of one row says little.
        means = (sums + mean) / (sizes[:, None] + 1)
        return np.asarray(means[judged])


def _correlation(first: F64, second: F64) -> float:
    """Compute Pearson's correlation; 0 where one does not vary."""
    if first.std() == 0 or second.std() == 0:
        return 0.0
    return float(np.corrcoef(first, second)[0, 1])


def _roc_auc(truth: F64, expected: F64) -> float:
    """Compute the ROC AUC from ranks (Mann & Whitney 1947)."""
    positive = truth.sum()
    above = rankdata(expected)[truth > 0].sum() - positive * (positive + 1) / 2
    return float(above / (positive * (truth.size - positive)))
