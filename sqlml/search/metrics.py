"""
The metrics: name, direction, and the function of truth and prediction.

Truth is class codes or numbers. A prediction is an array of probabilities, a column for
each class, or of numbers. A score that cannot be computed is NaN. Scores keep their sign.
"""

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np
from scipy.stats import rankdata

from sqlml.enums import Direction, ProblemType
from sqlml.errors import OptionNotUsable
from sqlml.search.arrays import F64, I64

SMALLEST_PROBABILITY = 1e-15
CLASSIFICATION = frozenset({ProblemType.BINARY, ProblemType.MULTICLASS})
BINARY = frozenset({ProblemType.BINARY})
REGRESSION = frozenset({ProblemType.REGRESSION})


@dataclass(frozen=True, slots=True)
class Metric:
    """A function that scores predictions, and which way is better."""

    name: str
    direction: Direction
    problem_types: frozenset[ProblemType]
    function: Callable[[F64, F64], float]

    def is_better(self, score: float, other: float) -> bool:
        """Tell whether a score is strictly better than another."""
        return score > other if self.direction is Direction.MAXIMIZE else score < other


def find_metric(name: str | None, problem_type: ProblemType) -> Metric:
    """Get a metric by its name, or the default of the problem type."""
    if name is None:
        return METRICS[DEFAULTS[problem_type]]
    fitting = [each for each, metric in METRICS.items() if problem_type in metric.problem_types]
    if name in fitting:
        return METRICS[name]
    close = get_close_matches(name, fitting, n=1)
    raise OptionNotUsable(
        f'metric "{name}" does not exist for a {problem_type} problem',
        detail=f"Metrics: {', '.join(fitting)}.",
        hint=f'Did you mean "{close[0] if close else DEFAULTS[problem_type]}"?',
    )


def roc_auc(truth: F64, proba: F64) -> float:
    """Area under the ROC curve, of the second class."""
    positive = truth == 1
    count = int(positive.sum())
    if count in (0, truth.size):
        return float("nan")
    ranks = rankdata(proba[:, 1])
    above = ranks[positive].sum() - count * (count + 1) / 2
    return float(above / (count * (truth.size - count)))


def log_loss(truth: F64, proba: F64) -> float:
    """Mean negative log of the true class's probability."""
    of_truth = np.take_along_axis(proba, truth.astype(np.int64)[:, None], axis=1)
    return float(-np.log(np.maximum(of_truth, SMALLEST_PROBABILITY)).mean())


def accuracy(truth: F64, proba: F64) -> float:
    """Share of rows whose class is predicted."""
    return float((proba.argmax(axis=1) == truth).mean())


def balanced_accuracy(truth: F64, proba: F64) -> float:
    """Mean over the classes present of the share of their rows that is found."""
    confusion = _confusion(truth, proba)
    present = confusion.sum(axis=1) > 0
    return float((confusion.diagonal()[present] / confusion.sum(axis=1)[present]).mean())


def f1(truth: F64, proba: F64) -> float:
    """F1 of the second class; with more than two classes the mean over those that occur."""
    confusion = _confusion(truth, proba)
    occurrences = confusion.sum(axis=1) + confusion.sum(axis=0)
    scores = 2 * confusion.diagonal() / np.maximum(occurrences, 1)
    return float(scores[1] if proba.shape[1] == 2 else scores[occurrences > 0].mean())


def brier(truth: F64, proba: F64) -> float:
    """Mean squared error of the probabilities; with two classes of the second's only."""
    if proba.shape[1] == 2:
        return float(((proba[:, 1] - truth) ** 2).mean())
    onehot = truth[:, None] == np.arange(proba.shape[1])
    return float(((proba - onehot) ** 2).sum(axis=1).mean())


def rmse(truth: F64, predicted: F64) -> float:
    """Root of the mean squared error."""
    errors, unit = _scaled_errors(truth, predicted)
    return float(np.sqrt((errors**2).mean()) * unit)


def mae(truth: F64, predicted: F64) -> float:
    """Mean absolute error."""
    errors, unit = _scaled_errors(truth, predicted)
    return float(np.abs(errors).mean() * unit)


def r2(truth: F64, predicted: F64) -> float:
    """Share of the variance explained."""
    errors, unit = _scaled_errors(truth, predicted)
    scaled = truth / unit
    total = ((scaled - scaled.mean()) ** 2).sum()
    return float(1 - (errors**2).sum() / total) if total > 0 else float("nan")


def mape(truth: F64, predicted: F64) -> float:
    """Mean absolute error as a share of the true value; rows where that is 0 are left out."""
    known = truth != 0
    if not known.any():
        return float("nan")
    with np.errstate(over="ignore"):
        return float(np.abs(predicted[known] / truth[known] - 1).mean())


def _confusion(truth: F64, proba: F64) -> I64:
    """Count rows by true class (down) and predicted class (across)."""
    class_count = proba.shape[1]
    cells = truth.astype(np.int64) * class_count + proba.argmax(axis=1)
    counts = np.bincount(cells, minlength=class_count**2)
    return counts.reshape(class_count, class_count).astype(np.int64)


def _scaled_errors(truth: F64, predicted: F64) -> tuple[F64, float]:
    """Subtract in a unit in which the squares of huge numbers do not overflow."""
    largest = float(max(np.abs(truth).max(), np.abs(predicted).max()))
    unit = largest if largest > 0 and np.isfinite(largest) else 1.0
    return predicted / unit - truth / unit, unit


METRICS = {
    metric.name: metric
    for metric in (
        Metric("roc_auc", Direction.MAXIMIZE, BINARY, roc_auc),
        Metric("log_loss", Direction.MINIMIZE, CLASSIFICATION, log_loss),
        Metric("accuracy", Direction.MAXIMIZE, CLASSIFICATION, accuracy),
        Metric("balanced_accuracy", Direction.MAXIMIZE, CLASSIFICATION, balanced_accuracy),
        Metric("f1", Direction.MAXIMIZE, CLASSIFICATION, f1),
        Metric("brier", Direction.MINIMIZE, CLASSIFICATION, brier),
        Metric("rmse", Direction.MINIMIZE, REGRESSION, rmse),
        Metric("mae", Direction.MINIMIZE, REGRESSION, mae),
        Metric("r2", Direction.MAXIMIZE, REGRESSION, r2),
        Metric("mape", Direction.MINIMIZE, REGRESSION, mape),
    )
}
DEFAULTS = {
    ProblemType.BINARY: "roc_auc",
    ProblemType.MULTICLASS: "log_loss",
    ProblemType.REGRESSION: "rmse",
}
