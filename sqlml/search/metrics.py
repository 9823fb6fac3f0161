"""
The metrics: name, direction, and the function of truth, prediction and row weights.

Truth is class codes or numbers, shape (rows,). A prediction is probabilities, a column for
each class, or numbers; a metric of classes also takes class codes. A score that cannot be
computed is NaN. Scores keep their sign. Rows count as often as their weight says.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from difflib import get_close_matches
from enum import StrEnum
from functools import partial

import numpy as np
from numpy.typing import NDArray

from sqlml.enums import Direction, ProblemType
from sqlml.errors import OptionNotUsable
from sqlml.search.arrays import F64

SMALLEST_PROBABILITY = 1e-15
SMALLEST_MEAN = 1e-10
"""A predicted mean of a deviance is at least this; one of 0 would cost infinitely much."""
CLASSIFICATION = frozenset({ProblemType.BINARY, ProblemType.MULTICLASS})
BINARY = frozenset({ProblemType.BINARY})
REGRESSION = frozenset({ProblemType.REGRESSION})

Function = Callable[[F64, F64, F64 | None], float]
ConfusionFunction = Callable[[F64], F64]


class PredictionKind(StrEnum):
    """What of a prediction a metric looks at."""

    PROBA = "proba"
    """The probabilities, shape (rows, classes)."""
    CLASS = "class"
    """The class that is predicted: a threshold may improve the score."""
    NUMBER = "number"
    """The number, shape (rows,)."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A function that scores predictions, and which way is better."""

    name: str
    direction: Direction
    problem_types: frozenset[ProblemType]
    kind: PredictionKind
    function: Function
    parameter: float | None = None
    """`alpha` of pinball, `power` of tweedie_deviance."""

    @property
    def sign(self) -> float:
        """What makes a larger score a better one by multiplication."""
        return 1.0 if self.direction is Direction.MAXIMIZE else -1.0

    def score(self, truth: F64, predicted: F64, weight: F64 | None = None) -> float:
        """Score predictions; NaN where the score does not exist."""
        return self.function(truth, predicted, weight)

    def is_better(self, score: float, other: float) -> bool:
        """Tell whether a score is strictly better than another."""
        return score > other if self.direction is Direction.MAXIMIZE else score < other


@dataclass(frozen=True, slots=True)
class Parameter:
    """The number that a metric takes beside the predictions."""

    name: str
    default: float
    low: float
    high: float
    is_open: bool
    """Whether the ends are left out."""

    def contains(self, value: float) -> bool:
        """Tell whether a value is allowed."""
        if self.is_open:
            return self.low < value < self.high
        return self.low <= value <= self.high


def find_metric(
    name: str | None, problem_type: ProblemType, parameter: float | None = None
) -> Metric:
    """Get a metric by its name, or the default of the problem type."""
    if name is None:
        name = DEFAULTS[problem_type]
    fitting = [each for each, metric in METRICS.items() if problem_type in metric.problem_types]
    if name not in fitting:
        close = get_close_matches(name, fitting, n=1)
        hint = f'Did you mean "{close[0] if close else DEFAULTS[problem_type]}"?'
        if name in METRICS:
            suited = " or ".join(sorted(METRICS[name].problem_types))
            hint = (
                f"Leave metric out to have {DEFAULTS[problem_type]}, or name one of these;"
                f" {name} is for {suited} problems."
            )
        raise OptionNotUsable(
            f'metric "{name}" does not exist for a {problem_type} problem',
            detail=f"Metrics: {', '.join(fitting)}.",
            hint=hint,
        )
    return METRICS[name] if parameter is None else _with_parameter(METRICS[name], parameter)


def _with_parameter(metric: Metric, value: float) -> Metric:
    """Bind another value of a metric's parameter."""
    known = PARAMETERS.get(metric.name)
    if known is None:
        raise OptionNotUsable(
            f'metric "{metric.name}" takes no parameter',
            hint=f"Leave it out, or choose one of {', '.join(PARAMETERS)}.",
        )
    if not known.contains(value):
        bounds = f"({known.low}, {known.high})" if known.is_open else f"[{known.low}, {known.high}]"
        raise OptionNotUsable(
            f'{known.name} of metric "{metric.name}" is out of range',
            detail=f"It is {value}; the range is {bounds}.",
            hint=f"The default is {known.default}.",
        )
    function = partial(_PARAMETRIC[metric.name], value)
    return replace(metric, function=function, parameter=value)


# --- of probabilities ---


def log_loss(truth: F64, proba: F64, weight: F64 | None = None) -> float:
    """Mean negative log of the true class's probability, which is taken as at least 1e-15."""
    of_truth = np.take_along_axis(proba, truth.astype(np.int64)[:, None], axis=1)[:, 0]
    return mean(-np.log(np.maximum(of_truth, SMALLEST_PROBABILITY)), weight)


def brier(truth: F64, proba: F64, weight: F64 | None = None) -> float:
    """Mean squared error of the probabilities; with two classes of the second's only."""
    if proba.shape[1] == 2:
        return mean((proba[:, 1] - truth) ** 2, weight)
    onehot = truth[:, None] == np.arange(proba.shape[1])
    return mean(((proba - onehot) ** 2).sum(axis=1), weight)


def roc_auc(truth: F64, proba: F64, weight: F64 | None = None) -> float:
    """Area under the ROC curve; with more than two classes the mean of each against the rest."""
    return _one_against_rest(_area_under_roc, truth, proba, weight)


def pr_auc(truth: F64, proba: F64, weight: F64 | None = None) -> float:
    """Average precision; with more than two classes the mean of each against the rest."""
    return _one_against_rest(_average_precision, truth, proba, weight)


def _one_against_rest(
    function: Callable[[F64, F64], float], truth: F64, proba: F64, weight: F64 | None
) -> float:
    """Score the second of two classes, or average over the classes that some rows have."""
    weight = np.ones(truth.size) if weight is None else weight
    classes = [1] if proba.shape[1] == 2 else range(proba.shape[1])
    scores = [function(*_ranked_weights(truth == each, proba[:, each], weight)) for each in classes]
    known = [score for score in scores if not np.isnan(score)]
    return float(np.mean(known)) if known else float("nan")


def _ranked_weights(positive: NDArray[np.bool_], scores: F64, weight: F64) -> tuple[F64, F64]:
    """Sum the weights of positives and of negatives over equal scores, the highest first."""
    order = np.argsort(scores)[::-1]
    sorted_scores = scores[order]
    last = np.append(np.flatnonzero(sorted_scores[1:] != sorted_scores[:-1]), scores.size - 1)
    of_positive = np.cumsum(np.where(positive, weight, 0.0)[order])[last]
    of_negative = np.cumsum(np.where(positive, 0.0, weight)[order])[last]
    return np.diff(of_positive, prepend=0.0), np.diff(of_negative, prepend=0.0)


def _area_under_roc(positive: F64, negative: F64) -> float:
    """Share of the pairs in the right order; a tie is half a pair."""
    pairs = positive.sum() * negative.sum()
    if not pairs > 0:
        return float("nan")
    below = negative.sum() - np.cumsum(negative)
    return float((positive * (below + negative / 2)).sum() / pairs)


def _average_precision(positive: F64, negative: F64) -> float:
    """Precision at each score, weighted with the recall that it adds."""
    total = positive.sum()
    if not total > 0:
        return float("nan")
    found = np.cumsum(positive)
    seen = found + np.cumsum(negative)
    precision = np.divide(found, seen, out=np.zeros_like(seen), where=seen > 0)
    return float((positive * precision).sum() / total)


# --- of classes ---


def confusion(truth: F64, predicted: F64, weight: F64 | None = None) -> F64:
    """
    Sum the weights of rows by true class (down) and predicted class (across).

    `predicted` is class codes, or probabilities of which the first of the largest counts.
    """
    if predicted.ndim == 2:
        codes, class_count = predicted.argmax(axis=1), predicted.shape[1]
    else:
        codes = predicted.astype(np.int64)
        class_count = int(max(truth.max(initial=1), codes.max(initial=1))) + 1
    cells = truth.astype(np.int64) * class_count + codes
    counts = np.bincount(cells, weights=weight, minlength=class_count**2)
    return counts.reshape(class_count, class_count).astype(np.float64)


def accuracy(confusion: F64) -> F64:
    """Share of rows whose class is predicted."""
    return _share(_diagonal(confusion).sum(-1), confusion.sum((-2, -1)), np.nan)


def balanced_accuracy(confusion: F64) -> F64:
    """Mean over the classes present of the share of their rows that is found."""
    sizes = confusion.sum(-1)
    recall = _share(_diagonal(confusion), sizes, 0.0)
    return _share(recall.sum(-1), (sizes > 0).sum(-1), np.nan)


def f1(confusion: F64) -> F64:
    """F1 of the second class; 0 where it neither occurs nor is predicted."""
    return _f1_of_classes(confusion)[..., 1]


def f1_macro(confusion: F64) -> F64:
    """Mean of the F1 of the classes that occur or are predicted."""
    occurrences = confusion.sum(-1) + confusion.sum(-2)
    return _share(_f1_of_classes(confusion).sum(-1), (occurrences > 0).sum(-1), np.nan)


def f1_weighted(confusion: F64) -> F64:
    """Mean of the F1 of the classes, weighted with their rows."""
    sizes = confusion.sum(-1)
    return _share((_f1_of_classes(confusion) * sizes).sum(-1), sizes.sum(-1), np.nan)


def mcc(confusion: F64) -> F64:
    """Matthews correlation coefficient; 0 where one class only is there or is predicted."""
    total = confusion.sum((-2, -1))
    share = confusion / np.where(total > 0, total, np.nan)[..., None, None]
    true, guessed = share.sum(-1), share.sum(-2)
    covariance = _diagonal(share).sum(-1) - (true * guessed).sum(-1)
    spreads = 1 - (true**2).sum(-1), 1 - (guessed**2).sum(-1)
    # A spread this small is rounding error of one that is 0.
    is_constant = np.minimum(*spreads) < 1e-13
    product = np.where(is_constant, 1.0, spreads[0] * spreads[1])
    return np.where(is_constant, 0.0, covariance / np.sqrt(product))


def _f1_of_classes(confusion: F64) -> F64:
    """F1 of each class; 0 where it does not exist."""
    return _share(2 * _diagonal(confusion), confusion.sum(-1) + confusion.sum(-2), 0.0)


def _diagonal(confusion: F64) -> F64:
    """Take the diagonal of the last two axes."""
    return np.diagonal(confusion, axis1=-2, axis2=-1)


def _share(part: F64, whole: F64, otherwise: float) -> F64:
    """Divide, where there is something to divide by."""
    result = np.full(np.shape(part), otherwise)
    np.divide(part, whole, out=result, where=whole > 0)
    return result


# --- of numbers ---


def rmse(truth: F64, predicted: F64, weight: F64 | None = None) -> float:
    """Root of the mean squared error."""
    errors, unit = _scaled_errors(truth, predicted)
    return float(np.sqrt(mean(errors**2, weight))) * unit


def mae(truth: F64, predicted: F64, weight: F64 | None = None) -> float:
    """Mean absolute error."""
    errors, unit = _scaled_errors(truth, predicted)
    return mean(np.abs(errors), weight) * unit


def median_ae(truth: F64, predicted: F64, weight: F64 | None = None) -> float:
    """Median absolute error; the mean of the two middle ones where there are two."""
    errors, unit = _scaled_errors(truth, predicted)
    errors = np.abs(errors)
    if weight is None:
        return float(np.median(errors)) * unit
    order = np.argsort(errors)
    order = order[weight[order] > 0]
    if not order.size:
        return float("nan")
    below = np.cumsum(weight[order])
    middle = below[-1] / 2
    first = np.searchsorted(below, middle, side="left")
    second = np.searchsorted(below, middle, side="right")
    pair = order[[first, min(second, order.size - 1)]]
    return float(errors[pair].mean()) * unit


def mape(truth: F64, predicted: F64, weight: F64 | None = None) -> float:
    """Mean absolute error as a share of the true value; rows where that is 0 are left out."""
    known = truth != 0
    with np.errstate(over="ignore"):
        shares = np.abs(predicted[known] / truth[known] - 1)
    return mean(shares, None if weight is None else weight[known])


def rmsle(truth: F64, predicted: F64, weight: F64 | None = None) -> float:
    """Root of the mean squared error of log(1 + value); predictions below 0 count as 0."""
    if (truth < 0).any():
        return float("nan")
    return rmse(np.log1p(truth), np.log1p(np.maximum(predicted, 0.0)), weight)


def r2(truth: F64, predicted: F64, weight: F64 | None = None) -> float:
    """Share of the variance explained."""
    errors, unit = _scaled_errors(truth, predicted)
    scaled = truth / unit
    total = mean((scaled - mean(scaled, weight)) ** 2, weight)
    return 1 - mean(errors**2, weight) / total if total > 0 else float("nan")


def pinball(alpha: float, truth: F64, predicted: F64, weight: F64 | None = None) -> float:
    """Mean quantile loss: an error costs alpha where the truth is above, 1 - alpha below."""
    errors, unit = _scaled_errors(truth, predicted)
    return mean(np.where(errors < 0, -alpha * errors, (1 - alpha) * errors), weight) * unit


def tweedie_deviance(power: float, truth: F64, predicted: F64, weight: F64 | None = None) -> float:
    """
    Mean deviance of the Tweedie family: power 1 is Poisson, 2 is gamma.

    A prediction is taken as at least 1e-10. Negative values, and 0 with power 2, have none.
    """
    if (truth < 0).any() or (power == 2 and (truth == 0).any()):
        return float("nan")
    expected = np.maximum(predicted, SMALLEST_MEAN)
    with np.errstate(over="ignore", invalid="ignore"):
        if power == 1:
            positive = truth > 0
            ratio = np.where(positive, truth, 1.0) / np.where(positive, expected, 1.0)
            return mean(2 * (truth * np.log(ratio) - truth + expected), weight)
        if power == 2:
            return mean(2 * (np.log(expected / truth) + truth / expected - 1), weight)
        of_truth = truth ** (2 - power) / ((1 - power) * (2 - power))
        of_both = truth * expected ** (1 - power) / (1 - power)
        of_expected = expected ** (2 - power) / (2 - power)
        return mean(2 * (of_truth - of_both + of_expected), weight)


def mean(values: F64, weight: F64 | None) -> float:
    """Average; NaN where no row counts."""
    if weight is None:
        return float(values.mean()) if values.size else float("nan")
    total = weight.sum()
    return float((values * weight).sum() / total) if total > 0 else float("nan")


def _scaled_errors(truth: F64, predicted: F64) -> tuple[F64, float]:
    """Subtract in a unit in which the squares of huge numbers do not overflow."""
    largest = float(max(np.abs(truth).max(initial=0), np.abs(predicted).max(initial=0)))
    unit = largest if largest > 0 and np.isfinite(largest) else 1.0
    return predicted / unit - truth / unit, unit


# --- all of them ---


def _score_confusion(
    function: ConfusionFunction, truth: F64, predicted: F64, weight: F64 | None
) -> float:
    """Score by the confusion alone."""
    return float(function(confusion(truth, predicted, weight)))


def _of_probabilities(name: str, direction: Direction, function: Function) -> Metric:
    return Metric(name, direction, CLASSIFICATION, PredictionKind.PROBA, function)


def _of_classes(name: str, problem_types: frozenset[ProblemType]) -> Metric:
    function = partial(_score_confusion, CONFUSION_FUNCTIONS[name])
    return Metric(name, Direction.MAXIMIZE, problem_types, PredictionKind.CLASS, function)


def _of_numbers(name: str, direction: Direction, function: Function) -> Metric:
    return Metric(name, direction, REGRESSION, PredictionKind.NUMBER, function)


def _parametric(name: str) -> Metric:
    value = PARAMETERS[name].default
    metric = _of_numbers(name, Direction.MINIMIZE, partial(_PARAMETRIC[name], value))
    return replace(metric, parameter=value)


CONFUSION_FUNCTIONS: dict[str, ConfusionFunction] = {
    function.__name__: function
    for function in (accuracy, balanced_accuracy, f1, f1_macro, f1_weighted, mcc)
}
"""Metrics of classes as functions of confusions, shape (…, classes, classes) to (…)."""

PARAMETERS = {
    "pinball": Parameter("alpha", default=0.5, low=0.0, high=1.0, is_open=True),
    "tweedie_deviance": Parameter("power", default=1.5, low=1.0, high=2.0, is_open=False),
}
_PARAMETRIC = {"pinball": pinball, "tweedie_deviance": tweedie_deviance}

METRICS = {
    metric.name: metric
    for metric in (
        _of_probabilities("roc_auc", Direction.MAXIMIZE, roc_auc),
        _of_probabilities("pr_auc", Direction.MAXIMIZE, pr_auc),
        _of_probabilities("log_loss", Direction.MINIMIZE, log_loss),
        _of_probabilities("brier", Direction.MINIMIZE, brier),
        _of_classes("accuracy", CLASSIFICATION),
        _of_classes("balanced_accuracy", CLASSIFICATION),
        _of_classes("f1", BINARY),
        _of_classes("f1_macro", CLASSIFICATION),
        _of_classes("f1_weighted", CLASSIFICATION),
        _of_classes("mcc", CLASSIFICATION),
        _of_numbers("rmse", Direction.MINIMIZE, rmse),
        _of_numbers("mae", Direction.MINIMIZE, mae),
        _of_numbers("median_ae", Direction.MINIMIZE, median_ae),
        _of_numbers("mape", Direction.MINIMIZE, mape),
        _of_numbers("rmsle", Direction.MINIMIZE, rmsle),
        _of_numbers("r2", Direction.MAXIMIZE, r2),
        _parametric("pinball"),
        _of_numbers("poisson_deviance", Direction.MINIMIZE, partial(tweedie_deviance, 1.0)),
        _parametric("tweedie_deviance"),
    )
}
DEFAULTS = {
    ProblemType.BINARY: "roc_auc",
    ProblemType.MULTICLASS: "log_loss",
    ProblemType.REGRESSION: "rmse",
}
