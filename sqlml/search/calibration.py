"""
Calibration: a scale and offsets of raw scores with which probabilities are right.

Two classes: Platt, "Probabilistic outputs for support vector machines", 1999. More: a
temperature and an offset a class, after Guo, Pleiss, Sun and Weinberger, "On calibration of
modern neural networks", ICML 2017.
"""

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from sqlml.enums import ProblemType
from sqlml.search.arrays import F64, I64
from sqlml.search.ensemble import deal

MIN_ROWS = 50
MAX_ROWS = 20_000
"""The calibration of more rows is found on so many of them."""
SMALLEST_SCALE, LARGEST_SCALE = 0.05, 20.0
PENALTY = 1.0
"""What holds the offsets at 0, in rows: a class that none has would get an infinite one."""
NEEDED_GAIN = 0.5
"""A gain of log loss counts from this many of its standard errors on."""

Calibration = tuple[float, tuple[float, ...]]


def calibrate(raw: F64, truth: F64, weight: F64 | None, problem_type: ProblemType) -> Calibration:
    """
    Find the scale and the offsets of raw scores, shape (rows, outputs), that fit best.

    `raw` is out-of-fold. Tries a scale alone, then with offsets. Scale 1 and no offsets
    where the log loss of rows that did not choose them does not become better by more than
    chance, and for a regression.
    """
    if problem_type is ProblemType.REGRESSION or truth.size < MIN_ROWS:
        return 1.0, ()
    raw = raw.reshape(truth.size, -1)
    weight = np.ones(truth.size) if weight is None else weight
    if truth.size > MAX_ROWS:
        rows = np.random.default_rng(0).choice(truth.size, MAX_ROWS, replace=False)
        raw, truth, weight = raw[rows], truth[rows], weight[rows]
    codes = truth.astype(np.int64)
    scores = _center(raw)
    best, best_losses = None, _losses(scores, codes)
    for has_offsets in (False, True):
        losses = _cross_fitted_losses(scores, codes, weight, has_offsets)
        if _is_gain(best_losses - losses, weight):
            best, best_losses = has_offsets, losses
    if best is None:
        return 1.0, ()
    scale, offsets = _fit(scores, codes, weight, best)
    if not best:
        return scale, ()
    if raw.shape[1] == 1:
        return scale, (float(offsets[1] - offsets[0]),)
    return scale, tuple(offsets.tolist())


def _center(raw: F64) -> F64:
    """Give each class a score: two classes get 0 and their one raw score."""
    return np.column_stack([np.zeros(len(raw)), raw[:, 0]]) if raw.shape[1] == 1 else raw


def _losses(scores: F64, codes: I64) -> F64:
    """Log loss of each row."""
    logs = log_softmax(scores, axis=1)
    return -np.take_along_axis(logs, codes[:, None], axis=1)[:, 0]


def _cross_fitted_losses(scores: F64, codes: I64, weight: F64, has_offsets: bool) -> F64:
    """Log loss of each row by a calibration that other rows have chosen."""
    folds = deal(codes.astype(np.float64))
    losses = np.empty(codes.size)
    for fold in np.unique(folds):
        own = folds == fold
        scale, offsets = _fit(scores[~own], codes[~own], weight[~own], has_offsets)
        losses[own] = _losses(scores[own] * scale + offsets, codes[own])
    return losses


def _is_gain(gains: F64, weight: F64) -> bool:
    """Tell whether a weighted mean is above 0 by more than chance."""
    share = weight / weight.sum()
    mean = float(gains @ share)
    error = float(np.sqrt(((gains - mean) ** 2) @ share**2))
    return mean > NEEDED_GAIN * error


def _fit(scores: F64, codes: I64, weight: F64, has_offsets: bool) -> tuple[float, F64]:
    """Minimise the log loss over the logarithm of the scale and the offsets."""
    class_count = scores.shape[1]
    onehot = codes[:, None] == np.arange(class_count)
    total = weight.sum()

    def objective(values: F64) -> tuple[float, F64]:
        scale, offsets = np.exp(values[0]), values[1:] if has_offsets else np.zeros(class_count)
        scaled = scores * scale + offsets
        errors = (softmax(scaled, axis=1) - onehot) * weight[:, None]
        loss = float(_losses(scaled, codes) @ weight) + PENALTY / 2 * float(offsets @ offsets)
        gradient = np.empty_like(values)
        gradient[0] = (errors * scores).sum() * scale
        if has_offsets:
            gradient[1:] = errors.sum(axis=0) + PENALTY * offsets
        return loss / total, gradient / total

    start = np.zeros(1 + class_count * has_offsets)
    bounds = [(np.log(SMALLEST_SCALE), np.log(LARGEST_SCALE))] + [(None, None)] * (start.size - 1)
    found = minimize(objective, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    return float(np.exp(found[0])), found[1:] if has_offsets else np.zeros(class_count)
