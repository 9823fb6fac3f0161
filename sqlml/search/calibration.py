"""
Calibration: a scale and offsets of raw scores with which probabilities, or means, are right.

Two classes: Platt, "Probabilistic outputs for support vector machines", 1999. More: a
temperature and an offset a class, after Guo, Pleiss, Sun and Weinberger, "On calibration of
modern neural networks", ICML 2017. Numbers: least squares, because models of a logarithm
predict medians, which are too low for a squared error (Duan, "Smearing estimate", 1983).
"""

import math
import time
from typing import Protocol

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax

from sqlml.enums import ProblemType
from sqlml.search.arrays import F64, I64
from sqlml.search.ensemble import deal

MIN_ROWS = 50
MAX_ROWS, MAX_CELLS, LEAST_ROWS = 20_000, 400_000, 2_000
"""The calibration of more rows is found on so many of them, or on so many raw scores, but on some
rows at least."""
SMALLEST_SCALE, LARGEST_SCALE = 0.05, 20.0
MOST_SURER = 4.0
"""A model among others is made surer, or less sure, by this factor at most: where it is right of
all of few rows, it need not be right of the next."""
PENALTY = 1.0
"""What holds the offsets at 0, in rows: a class that none has would get an infinite one."""
NEEDED_GAIN = 1.0
"""A gain of the loss counts from this many of its standard errors on; with half of one the
test tables became worse."""

Calibration = tuple[float, tuple[float, ...]]


def calibrate(
    raw: F64,
    truth: F64,
    weight: F64 | None,
    problem_type: ProblemType,
    until: float = math.inf,
) -> Calibration:
    """
    Find the scale and the offsets of raw scores, shape (rows, outputs), that fit best.

    `raw` is out-of-fold; for a regression it is numbers that a squared error is to suit.
    Tries a scale alone, then with offsets. Scale 1 and no offsets where the loss (log loss,
    or squared error) of rows that did not choose them does not become better by more than
    chance, or where `until` (`time.monotonic()`) is over before that is known.
    """
    raw = raw.reshape(truth.size, -1)
    weight = np.ones(truth.size) if weight is None else weight
    # A part of rows that all have the weight 0 could not be fitted.
    rows = np.flatnonzero(weight > 0)
    if rows.size < MIN_ROWS:
        return 1.0, ()
    count = min(MAX_ROWS, max(MAX_CELLS // raw.shape[1], LEAST_ROWS))
    if rows.size > count:
        rows = np.random.default_rng(0).choice(rows, count, replace=False)
    if rows.size < truth.size:
        raw, truth, weight = raw[rows], truth[rows], weight[rows]
    is_number = problem_type is ProblemType.REGRESSION
    loss: Loss = SquaredLoss(raw, truth) if is_number else LogLoss(raw, truth)
    everything = np.arange(truth.size)
    folds = deal(truth)
    best, best_losses = None, loss.of_rows((1.0, ()), everything)
    for has_offsets in (False, True):
        losses = np.empty(truth.size)
        for fold in np.unique(folds):
            if time.monotonic() > until:
                return 1.0, ()
            own = np.flatnonzero(folds == fold)
            found = loss.fit(np.flatnonzero(folds != fold), weight, has_offsets)
            losses[own] = loss.of_rows(found, own)
        if _is_gain(best_losses - losses, weight):
            best, best_losses = has_offsets, losses
    return (1.0, ()) if best is None else loss.fit(everything, weight, best)


def find_scale(raw: F64, truth: F64, weight: F64 | None) -> float:
    """Find the scale of raw scores of classes with the smallest log loss, on some of the rows."""
    rows = np.arange(truth.size) if weight is None else np.flatnonzero(weight > 0)
    if rows.size < MIN_ROWS:
        return 1.0
    if rows.size > LEAST_ROWS:
        rows = np.random.default_rng(0).choice(rows, LEAST_ROWS, replace=False)
    own = np.ones(rows.size) if weight is None else weight[rows]
    loss = LogLoss(raw[rows], truth[rows])
    scale, _ = loss.fit(np.arange(rows.size), own, has_offsets=False)
    return min(max(scale, 1 / MOST_SURER), MOST_SURER)


def _is_gain(gains: F64, weight: F64) -> bool:
    """Tell whether a weighted mean is above 0 by more than chance."""
    share = weight / weight.sum()
    mean = float(gains @ share)
    error = float(np.sqrt(((gains - mean) ** 2) @ share**2))
    return mean > NEEDED_GAIN * error


class Loss(Protocol):
    """A loss of raw scores and truth, which fits calibrations."""

    def of_rows(self, calibration: Calibration, rows: I64) -> F64:
        """Compute the loss of each row."""
        ...

    def fit(self, rows: I64, weight: F64, has_offsets: bool) -> Calibration:
        """Find the calibration with the smallest mean loss."""
        ...


class SquaredLoss:
    """Squared error, in a unit in which huge numbers do not overflow."""

    def __init__(self, raw: F64, truth: F64):
        largest = max(float(np.abs(raw).max()), float(np.abs(truth).max()))
        self._unit = largest if largest > 0 else 1.0
        self._raw, self._truth = raw[:, 0] / self._unit, truth / self._unit

    def of_rows(self, calibration: Calibration, rows: I64) -> F64:
        """Compute the loss of each row."""
        scale, offsets = calibration
        offset = offsets[0] / self._unit if offsets else 0.0
        return np.asarray((self._raw[rows] * scale + offset - self._truth[rows]) ** 2)

    def fit(self, rows: I64, weight: F64, has_offsets: bool) -> Calibration:
        """Find the calibration with the smallest mean loss."""
        share = weight[rows] / weight[rows].sum()
        raw, truth = self._raw[rows], self._truth[rows]
        raw_mean, truth_mean = (raw @ share, truth @ share) if has_offsets else (0.0, 0.0)
        spread = float((raw - raw_mean) ** 2 @ share)
        if not spread > 0:
            return 1.0, ()
        scale = float((raw - raw_mean) * (truth - truth_mean) @ share) / spread
        scale = min(max(scale, SMALLEST_SCALE), LARGEST_SCALE)
        offset = float(truth_mean - scale * raw_mean) * self._unit
        return scale, (offset,) if has_offsets else ()


class LogLoss:
    """Log loss of two classes with one raw score, or of more with one each."""

    def __init__(self, raw: F64, truth: F64):
        self._is_binary = raw.shape[1] == 1
        self._scores = np.column_stack([np.zeros(len(raw)), raw]) if self._is_binary else raw
        self._codes = truth.astype(np.int64)

    def of_rows(self, calibration: Calibration, rows: I64) -> F64:
        """Compute the loss of each row."""
        scale, offsets = calibration
        # The first of two classes has the raw score 0, whatever the calibration.
        shifts = (0.0, *offsets) if self._is_binary and offsets else offsets or 0.0
        logs = log_softmax(self._scores[rows] * scale + np.array(shifts), axis=1)
        return np.asarray(-np.take_along_axis(logs, self._codes[rows, None], axis=1)[:, 0])

    def fit(self, rows: I64, weight: F64, has_offsets: bool) -> Calibration:
        """Find the calibration with the smallest mean loss: the scale's logarithm and offsets."""
        scores, share = self._scores[rows], weight[rows] / weight[rows].sum()
        class_count = scores.shape[1]
        onehot = self._codes[rows, None] == np.arange(class_count)
        penalty = PENALTY / rows.size

        def objective(values: F64) -> tuple[float, F64]:
            scale, offsets = np.exp(values[0]), values[1:]
            logs = log_softmax(scores * scale + (offsets if has_offsets else 0.0), axis=1)
            errors = (np.exp(logs) - onehot) * share[:, None]
            loss = -float((logs * onehot).sum(axis=1) @ share)
            gradient = np.array([(errors * scores).sum() * scale])
            if not has_offsets:
                return loss, gradient
            loss += penalty / 2 * float(offsets @ offsets)
            return loss, np.concatenate([gradient, errors.sum(axis=0) + penalty * offsets])

        start = np.zeros(1 + class_count * has_offsets)
        bounds = [(np.log(SMALLEST_SCALE), np.log(LARGEST_SCALE))] + [(None, None)] * (
            start.size - 1
        )
        found = minimize(objective, start, jac=True, method="L-BFGS-B", bounds=bounds).x
        offsets = found[1:] if has_offsets else found[:0]
        if self._is_binary and has_offsets:
            offsets = offsets[1:] - offsets[:1]
        return float(np.exp(found[0])), tuple(offsets.tolist())
