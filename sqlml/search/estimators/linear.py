"""
Linear models: ridge for numbers, logistic regression for classes.
"""

import time
import warnings
from collections.abc import Mapping

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge

from sqlml.enums import EstimatorName, ProblemType
from sqlml.search.arrays import F64, I64
from sqlml.search.estimators.baseline import class_shares
from sqlml.search.estimators.design import Design, make_design
from sqlml.search.estimators.estimator import (
    Fit,
    Fitter,
    Order,
    OutOfTime,
    Sample,
    Task,
    default_link,
)
from sqlml.search.estimators.unit import make_unit
from sqlml.search.fitted import LinearPart
from sqlml.search.leaderboard import Hyperparameters
from sqlml.search.space import Dimension, Range

MAX_CELLS = 5_000_000
"""Design values in one fit; of larger tables it takes a random part of the rows."""
CELLS_PER_SECOND = 5_000_000
FREE_CELLS = 250_000
"""So many take about 50 ms: not worth an estimate, which would be a careful one."""
MIN_ROWS = 500
ROUNDS_PER_STEP = 25
MAX_STEPS = 8
DENSE_SOLVER_COLUMNS = 400

SETTINGS: tuple[Hyperparameters, ...] = (
    {"l2": 1.0, "segments": 1},
    {"l2": 3.0, "segments": 8},
    {"l2": 30.0, "segments": 1},
)


class Linear:
    """Ridge, logistic and multinomial regression."""

    name = EstimatorName.LINEAR

    def space(self, task: Task) -> Mapping[str, Dimension]:
        """Get the hyperparameters that trials choose."""
        return {
            "l2": Range(low=1e-2, high=1e3, is_log=True),
            "segments": Range(low=1, high=16, is_integer=True),
        }

    def portfolio(self, task: Task, rate: float) -> tuple[Hyperparameters, ...]:
        """Make the settings to try first."""
        return SETTINGS

    def cost(self, task: Task, hyperparameters: Hyperparameters) -> float:
        """Estimate the seconds of a fit."""
        segments = int(hyperparameters["segments"])
        cells = task.row_count * task.feature_count * segments * task.output_count
        return min(cells, MAX_CELLS) / CELLS_PER_SECOND

    def fitter(self, sample: Sample) -> Fitter:
        """Bind it to a sample."""
        return LinearFitter(sample)


class LinearFitter:
    """Linear models of one sample."""

    def __init__(self, sample: Sample):
        self._sample = sample
        self._designs: dict[int, Design] = {}
        self._matrices: dict[int, F64 | csr_matrix] = {}

    def fit(self, hyperparameters: Hyperparameters, order: Order) -> Fit:
        """Fit on the ordered rows, or on as many of them as there is time for."""
        l2, segments = float(hyperparameters["l2"]), int(hyperparameters["segments"])
        design = self._design(segments)
        rows = self._affordable_rows(design, order)
        inputs, target = self._inputs(segments, rows), self._sample.target[rows]
        if self._sample.task.problem_type is ProblemType.REGRESSION:
            return self._fit_ridge(design, inputs, target, l2)
        return self._fit_logistic(design, inputs, target, l2, order)

    def _design(self, segments: int) -> Design:
        """Get the design with this many ramps a feature."""
        if segments not in self._designs:
            self._designs[segments] = make_design(self._sample, segments)
        return self._designs[segments]

    def _inputs(self, segments: int, rows: I64) -> F64 | csr_matrix:
        """Get rows of the design matrix; that of a small table is made once for all folds."""
        design, encoded = self._designs[segments], self._sample.matrix
        if len(encoded) * design.width > MAX_CELLS:
            return design.matrix(encoded[rows])
        if segments not in self._matrices:
            self._matrices = {segments: design.matrix(encoded)}
        return self._matrices[segments][rows]

    def _affordable_rows(self, design: Design, order: Order) -> I64:
        """Choose the rows to fit on, at random where there are too many for the time."""
        rows = np.arange(len(self._sample.target)) if order.train is None else order.train
        affordable = max(FREE_CELLS, CELLS_PER_SECOND * order.left_s) if order.left_s > 0 else 0
        cells = min(MAX_CELLS, affordable)
        limit = int(cells / max(design.width, 1) / self._sample.task.output_count)
        if rows.size <= limit:
            return rows
        if limit < MIN_ROWS:
            raise OutOfTime(f"there was time for {limit} of {rows.size} rows only")
        rng = np.random.default_rng(self._sample.seed)
        return np.sort(rng.choice(rows, limit, replace=False))

    def _fit_ridge(self, design: Design, inputs: F64 | csr_matrix, target: F64, l2: float) -> Fit:
        """Fit a regression in the target's own unit."""
        unit = make_unit(target)
        narrow = not design.codes and inputs.shape[1] <= DENSE_SOLVER_COLUMNS
        ridge = Ridge(alpha=l2, solver="cholesky" if narrow else "lsqr", tol=1e-6, max_iter=300)
        ridge.fit(inputs, unit.learnt(target))
        weights = unit.scaled(ridge.coef_.reshape(-1, 1))
        part = LinearPart(
            estimator=EstimatorName.LINEAR,
            intercepts=unit.restored(np.atleast_1d(ridge.intercept_)),
            terms=design.terms(weights),
        )
        return Fit(parts=(part,), link=default_link(self._sample.task))

    def _fit_logistic(
        self, design: Design, inputs: F64 | csr_matrix, target: F64, l2: float, order: Order
    ) -> Fit:
        """Fit a classification; classes without rows get the intercept of half a row."""
        present = np.unique(target).astype(np.int64)
        coefficients = np.zeros((design_columns(design), self._sample.task.class_count))
        intercepts = np.log(class_shares(target, self._sample.task.class_count))
        if present.size > 1:
            fitted = _logistic(inputs, target, l2, order.until)
            weights, levels = fitted.coef_, fitted.intercept_
            if present.size == 2:
                # One row only, the log odds of the second class against the first.
                weights = np.vstack([np.zeros_like(weights), weights])
                levels = np.append(0.0, levels)
            coefficients[:, present] = weights.T
            intercepts += levels.max() - intercepts[present].max()
            intercepts[present] = levels
        if self._sample.task.problem_type is ProblemType.BINARY:
            coefficients = coefficients[:, 1:] - coefficients[:, :1]
            intercepts = intercepts[1:] - intercepts[:1]
        part = LinearPart(
            estimator=EstimatorName.LINEAR,
            intercepts=intercepts,
            terms=design.terms(coefficients),
        )
        return Fit(parts=(part,), link=default_link(self._sample.task))


def design_columns(design: Design) -> int:
    """Count the columns of a design matrix."""
    return len(design.ramps) + len(design.marked) + sum(codes.count for codes in design.codes)


def _logistic(inputs: F64 | csr_matrix, target: F64, l2: float, until: float) -> LogisticRegression:
    """Fit in steps, so that the clock can end it between two."""
    model = LogisticRegression(
        C=1 / l2, solver="lbfgs", max_iter=ROUNDS_PER_STEP, tol=1e-4, warm_start=True
    )
    with warnings.catch_warnings():
        # Not being done after one step is what steps are for.
        warnings.simplefilter("ignore", ConvergenceWarning)
        for _ in range(MAX_STEPS):
            started = time.monotonic()
            model.fit(inputs, target)
            took_s = time.monotonic() - started
            if model.n_iter_.max() < ROUNDS_PER_STEP or time.monotonic() + took_s > until:
                break
    return model
