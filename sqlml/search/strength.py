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
    """The rows on which columns are judged, with their targets."""

    def __init__(self, target: Target, rng: np.random.Generator):
        """Draw the rows; where there are too few of a class, there is no judgement."""
        count = min(target.values.size, MAX_ROWS)
        rows = rng.choice(target.values.size, count, replace=False)
        self._learnt, self._judged = rows[: count // 2], rows[count // 2 :]
        values = target.values
        if target.problem_type is ProblemType.REGRESSION:
            # Ranks, for the target may have outliers that are all of its variance.
            ranks = rankdata(values[rows])
            self._outputs = np.empty((values.size, 1))
            self._outputs[rows, 0] = ranks
            self._classes = 0
        else:
            sizes = np.bincount(values.astype(np.int64), minlength=2)
            frequent = np.argsort(-sizes, kind="stable")[:MAX_CLASSES]
            labels = frequent[:1] if sizes.size == 2 else frequent
            self._classes = labels.size
            self._outputs = (values[:, None] == labels).astype(np.float64)

    def strength(self, values: F64, *, are_codes: bool) -> Strength | None:
        """Judge a feature, a value a row; None where there are too few rows."""
        truth = self._outputs[self._judged]
        kept = truth.std(axis=0) > 0
        if self._classes:
            rarer = np.minimum(truth.sum(axis=0), (1 - truth).sum(axis=0))
            kept &= rarer >= MIN_CLASS_ROWS
        if self._judged.size < MIN_ROWS or not kept.any():
            return None
        truth = truth[:, kept]
        groups = values.astype(np.int64) if are_codes else self._bins(values)
        expected = self._expected(groups)[:, kept]
        varies = expected.std(axis=0) > 0
        if not varies.any():
            return Strength(0.0, 0.5 if self._classes else 0.0, self._judged.size)
        pairs = list(zip(truth.T, expected.T, varies, strict=True))
        correlations = [np.corrcoef(t, e)[0, 1] if v else 0.0 for t, e, v in pairs]
        if self._classes:
            score = min(_roc_auc(t, e) for t, e, _ in pairs)
        else:
            score = 1 - ((truth - expected) ** 2).mean() / truth.var()
        return Strength(float(max(correlations)), float(score), self._judged.size)

    def _bins(self, values: F64) -> I64:
        """Number the quantile bin of every value; missing ones have the last."""
        seen = values[self._learnt]
        seen = np.sort(seen[~np.isnan(seen)])
        if seen.size == 0:
            return np.zeros(values.size, dtype=np.int64)
        edges = np.unique(seen[np.linspace(0, seen.size - 1, BINS + 1).astype(np.int64)])
        bins = np.searchsorted(edges, values)
        bins[np.isnan(values)] = edges.size + 1
        return np.asarray(bins, dtype=np.int64)

    def _expected(self, groups: I64) -> F64:
        """Expect the mean target of the group; of an unknown group that of all."""
        count = int(groups.max()) + 1
        learnt = self._outputs[self._learnt]
        mean = learnt.mean(axis=0)
        sizes = np.bincount(groups[self._learnt], minlength=count)
        sums = np.stack(
            [np.bincount(groups[self._learnt], column, minlength=count) for column in learnt.T],
            axis=1,
        )
        # One row more of the mean: a group of one row says little.
        means = (sums + mean) / (sizes[:, None] + 1)
        return np.asarray(means[groups[self._judged]])


def _roc_auc(truth: F64, expected: F64) -> float:
    """Compute the ROC AUC from ranks (Mann & Whitney 1947)."""
    positive = truth.sum()
    above = rankdata(expected)[truth > 0].sum() - positive * (positive + 1) / 2
    return float(above / (positive * (truth.size - positive)))
