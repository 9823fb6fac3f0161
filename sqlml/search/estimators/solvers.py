"""
Linear regressions that the clock can end: squared, absolute and quantile errors, Huber's, and
counts.

Targets come with a standard deviation near 1. Weights of errors other than squared ones are
found by reweighting ridge regressions: each bounds the loss from above where the last one
was (Hunter & Lange 2000; Huber 1964).
"""

import time
import warnings
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix, issparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import ElasticNet, LogisticRegression, Ridge, TweedieRegressor

from sqlml.search.arrays import F64
from sqlml.search.estimators.goal import Goal, Loss

DENSE_COLUMNS = 400
DENSE_CELLS = 6_000_000
ROUNDS_PER_STEP = 25
MAX_STEPS = 8
REWEIGHTINGS = 20
SMALLEST_ERROR = 1e-3
"""Errors below are taken as squared ones, in standard deviations of the target."""
HUBER_DELTA = 1.0
CONVERGED = 1e-4
POWERS = {Loss.POISSON: 1.0, Loss.GAMMA: 2.0}


@dataclass(frozen=True, slots=True)
class Penalty:
    """What weights cost: `l2` is scikit-learn's alpha of a ridge regression."""

    l2: float
    l1_ratio: float


@dataclass(frozen=True, slots=True)
class Solution:
    """Weights, shape (columns, outputs), and intercepts, shape (outputs,)."""

    weights: F64
    intercepts: F64


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """The rows of a fit."""

    inputs: F64 | csr_matrix
    target: F64
    weight: F64 | None
    until: float
    """`time.monotonic()` at which to end."""


def solve_regression(rows: Rows, goal: Goal, penalty: Penalty) -> Solution:
    """Fit a regression."""
    rows = Rows(_made_dense(rows.inputs), rows.target, rows.weight, rows.until)
    match goal.loss:
        case Loss.SQUARED:
            return _ridge(rows, penalty)
        case Loss.ABSOLUTE | Loss.HUBER | Loss.QUANTILE:
            return _reweighted(rows, goal, penalty)
        case _:
            return _of_logarithm(rows, goal, penalty)


def solve_classes(rows: Rows, penalty: Penalty) -> Solution:
    """Fit a logistic regression of the classes that occur, two at least; one output a class."""
    model = LogisticRegression(
        C=1 / penalty.l2,
        l1_ratio=penalty.l1_ratio,
        solver="saga" if penalty.l1_ratio else "lbfgs",
        max_iter=ROUNDS_PER_STEP,
        tol=1e-4 if not penalty.l1_ratio else 1e-3,
        warm_start=True,
        random_state=0,
    )
    _fit_in_steps(model, rows)
    weights, intercepts = model.coef_.T, model.intercept_
    if weights.shape[1] == 1:
        # One row only, the log odds of the second class against the first.
        weights = np.hstack([np.zeros_like(weights), weights])
        intercepts = np.append(0.0, intercepts)
    return Solution(weights, intercepts)


def _ridge(rows: Rows, penalty: Penalty) -> Solution:
    """Minimise squared errors."""
    inputs, target = rows.inputs, rows.target
    if penalty.l1_ratio:
        alpha = penalty.l2 / target.size
        model = ElasticNet(alpha=alpha, l1_ratio=penalty.l1_ratio, max_iter=300, tol=1e-3)
    else:
        solver = "lsqr" if issparse(inputs) else "cholesky"
        model = Ridge(alpha=penalty.l2, solver=solver, tol=1e-6, max_iter=300)
    with warnings.catch_warnings():
        # A bounded number of passes is enough.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(inputs, target, sample_weight=rows.weight)
    return Solution(model.coef_.reshape(-1, 1), np.atleast_1d(model.intercept_))


def _reweighted(rows: Rows, goal: Goal, penalty: Penalty) -> Solution:
    """Minimise absolute, quantile or Huber's errors by ridge regressions."""
    alpha = goal.parameter if goal.loss is Loss.QUANTILE else 0.5
    weight = np.ones(rows.target.size) if rows.weight is None else rows.weight
    solution = _ridge(rows, penalty)
    for _ in range(REWEIGHTINGS):
        started = time.monotonic()
        errors = rows.target - _apply(solution, rows.inputs)
        sizes = np.maximum(np.abs(errors), SMALLEST_ERROR)
        if goal.loss is Loss.HUBER:
            factors, shift = np.minimum(1.0, HUBER_DELTA / sizes), np.zeros(1)
        else:
            factors, shift = 1 / (2 * sizes), (2 * alpha - 1) * sizes
        step = Rows(rows.inputs, rows.target + shift, weight * factors, rows.until)
        last, solution = solution, _ridge(step, penalty)
        change = np.abs(solution.weights - last.weights).max(initial=0.0)
        if change < CONVERGED or time.monotonic() * 2 - started > rows.until:
            break
    return solution


def _of_logarithm(rows: Rows, goal: Goal, penalty: Penalty) -> Solution:
    """Minimise the deviance of counts and amounts, the mean being exp of the score."""
    model = TweedieRegressor(
        power=POWERS.get(goal.loss, goal.parameter),
        alpha=penalty.l2 / rows.target.size,
        link="log",
        max_iter=ROUNDS_PER_STEP,
        warm_start=True,
    )
    _fit_in_steps(model, rows)
    return Solution(model.coef_.reshape(-1, 1), np.atleast_1d(model.intercept_))


def _fit_in_steps(model: LogisticRegression | TweedieRegressor, rows: Rows) -> None:
    """Fit in steps, so that the clock can end it between two."""
    with warnings.catch_warnings():
        # Not being done after one step is what steps are for.
        warnings.simplefilter("ignore", ConvergenceWarning)
        for _ in range(MAX_STEPS):
            started = time.monotonic()
            model.fit(rows.inputs, rows.target, sample_weight=rows.weight)
            is_done = np.max(model.n_iter_) < ROUNDS_PER_STEP
            if is_done or time.monotonic() * 2 - started > rows.until:
                break


def _apply(solution: Solution, inputs: F64 | csr_matrix) -> F64:
    """Compute the only output."""
    return np.asarray(inputs @ solution.weights[:, 0] + solution.intercepts[0], dtype=np.float64)


def _made_dense(inputs: F64 | csr_matrix) -> F64 | csr_matrix:
    """Make a small matrix dense: its squares are summed much faster then."""
    rows, columns = inputs.shape
    if isinstance(inputs, np.ndarray) or columns > DENSE_COLUMNS or rows * columns > DENSE_CELLS:
        return inputs
    return np.asarray(inputs.toarray())
