"""
Linear models: logistic and multinomial regression, and regressions of many losses.

Owns the space, the rows that there is time for, and the unit of the target.
"""

from collections.abc import Mapping

import numpy as np
from scipy.sparse import csr_matrix

from sqlml.enums import EstimatorName, ProblemType
from sqlml.search.arrays import F64, I64
from sqlml.search.estimators.baseline import class_shares
from sqlml.search.estimators.design import Design, make_design
from sqlml.search.estimators.estimator import Fit, Order, OutOfTime, Sample, Task
from sqlml.search.estimators.goal import (
    OF_LOGARITHM,
    Goal,
    goal_defaults,
    goal_space,
    make_goal,
    some_counts,
)
from sqlml.search.estimators.solvers import (
    Penalty,
    Rows,
    Solution,
    solve_classes,
    solve_regression,
)
from sqlml.search.estimators.unit import make_unit
from sqlml.search.fitted import LinearPart
from sqlml.search.leaderboard import Hyperparameters
from sqlml.search.space import Choices, Dimension, Range

MAX_CELLS = 5_000_000
"""Design values in one fit; of larger tables it takes a random part of the rows."""
CELLS_PER_SECOND = 5_000_000
FREE_CELLS = 250_000
"""So many take about 50 ms: not worth an estimate, which would be a careful one."""
MIN_ROWS = 500
SPARSE_COST = 4.0
"""Selecting weights takes so many times as long as shrinking them."""
MAX_SEGMENTS = 32
SPARSE_SEGMENTS = 8
"""Trials select weights only where there is room for rows of so many segments."""

HELPER: Hyperparameters = {"l2": 3.0, "segments": 4, "l1_ratio": 0.0}
"""What helps other estimators, by its scores."""
SETTINGS: tuple[Hyperparameters, ...] = (
    {"l2": 3.0, "segments": 4, "l1_ratio": 0.0},
    {"l2": 1.0, "segments": 1, "l1_ratio": 0.0},
    {"l2": 10.0, "segments": 16, "l1_ratio": 0.0},
    {"l2": 10.0, "segments": 16, "l1_ratio": 0.0, "log_target": True},
    {"l2": 10.0, "segments": 16, "l1_ratio": 0.0, "objective": "poisson"},
    {"l2": 1.0, "segments": 4, "l1_ratio": 0.5},
)


class Linear:
    """Linear models."""

    name = EstimatorName.LINEAR

    def space(self, task: Task) -> Mapping[str, Dimension]:
        """Get the hyperparameters that trials choose."""
        return {
            "l2": Range(low=1e-2, high=1e3, is_log=True),
            "segments": Range(low=1, high=_most_segments(task), is_log=True, is_integer=True),
            "l1_ratio": Choices((0.0, 0.5) if _may_select(task) else (0.0,)),
            **goal_space(task),
        }

    def portfolio(self, task: Task, rate: float) -> tuple[Hyperparameters, ...]:
        """Make the settings to try first."""
        space, most = self.space(task), _most_segments(task)
        return tuple(
            {**goal_defaults(task), **setting, "segments": min(int(setting["segments"]), most)}
            for setting in SETTINGS
            if setting.keys() <= space.keys() and (_may_select(task) or not setting["l1_ratio"])
        )

    def cost(
        self, task: Task, hyperparameters: Hyperparameters, max_cost_ns: float | None
    ) -> float:
        """Estimate the seconds of a fit."""
        segments = int(hyperparameters.get("segments", 1))
        cells = task.row_count * task.feature_count * segments * task.output_count
        slow = SPARSE_COST if hyperparameters.get("l1_ratio") else 1.0
        return slow * min(cells, MAX_CELLS) / CELLS_PER_SECOND

    def fitter(self, sample: Sample) -> "LinearFitter":
        """Bind it to a sample."""
        return LinearFitter(sample)


def _most_segments(task: Task) -> int:
    """Count the segments that trials may have, whether they select weights or not."""
    return _roomy_segments(task, SPARSE_COST if _may_select(task) else 1.0)


def _may_select(task: Task) -> bool:
    """Tell whether there is room to select weights."""
    return _roomy_segments(task, SPARSE_COST) >= SPARSE_SEGMENTS


def _roomy_segments(task: Task, slow: float) -> int:
    """Count the segments with which there is room for rows enough, were all features numbers."""
    needed = min(MIN_ROWS, max(task.row_count, 1))
    cells = slow * needed * max(task.feature_count, 1) * task.output_count
    return min(max(int(MAX_CELLS / cells), 1), MAX_SEGMENTS)


class LinearFitter:
    """Linear models of one sample."""

    def __init__(self, sample: Sample):
        self._sample = sample
        self._designs: dict[int, Design] = {}
        self._matrices: dict[int, F64 | csr_matrix] = {}

    def fit(self, hyperparameters: Hyperparameters, order: Order) -> Fit:
        """Fit on the ordered rows, or on as many of them as there is time for."""
        sample, segments = self._sample, int(hyperparameters.get("segments", 1))
        goal = make_goal(sample.task, hyperparameters)
        l1_ratio = float(hyperparameters.get("l1_ratio", 0.0))
        penalty = Penalty(float(hyperparameters.get("l2", 1.0)), l1_ratio)
        design = self._design(segments)
        chosen = self._affordable_rows(design, order, SPARSE_COST if l1_ratio else 1.0)
        target = sample.target[chosen]
        weight = None if sample.weight is None else sample.weight[chosen]
        weight = goal.weights(target, weight)
        rows = Rows(self._inputs(segments, chosen), target, weight, order.until)
        if sample.task.problem_type is ProblemType.REGRESSION:
            solution = _solve_in_unit(rows, goal, penalty)
        else:
            solution = self._solve_classes(design, rows, goal, penalty)
        part = LinearPart(
            estimator=EstimatorName.LINEAR,
            intercepts=solution.intercepts,
            terms=design.terms(solution.weights),
        )
        return Fit(parts=(part,), link=goal.link)

    def _design(self, segments: int) -> Design:
        """Get the design with this many ramps a feature."""
        if segments not in self._designs:
            self._designs[segments] = make_design(self._sample, segments)
        return self._designs[segments]

    def _inputs(self, segments: int, rows: I64) -> F64 | csr_matrix:
        """Get rows of the design matrix; that of a small table is made once for all folds."""
        design, encoded = self._designs[segments], self._sample.rows
        if len(encoded) * design.width > MAX_CELLS:
            return design.matrix(encoded.take(rows))
        if segments not in self._matrices:
            self._matrices = {segments: design.matrix(encoded)}
        return self._matrices[segments][rows]

    def _affordable_rows(self, design: Design, order: Order, slow: float) -> I64:
        """Choose the rows to fit on, at random where there are too many for the time."""
        rows = np.arange(len(self._sample.target)) if order.train is None else order.train
        affordable = max(FREE_CELLS, CELLS_PER_SECOND * order.left_s) if order.left_s > 0 else 0
        row_cells = slow * max(design.width, 1) * self._sample.task.output_count
        room, limit = (int(cells / row_cells) for cells in (MAX_CELLS, min(MAX_CELLS, affordable)))
        if rows.size <= limit:
            return rows
        if room < MIN_ROWS:
            raise OutOfTime(
                f"there was room for {room} of {rows.size} rows only: {design.width:.0f} values "
                f"each, for {self._sample.task.output_count} outputs"
            )
        if limit < MIN_ROWS:
            raise OutOfTime(f"there was time for {limit} of {rows.size} rows only")
        rng = np.random.default_rng(self._sample.seed)
        return np.sort(rng.choice(rows, limit, replace=False))

    def _solve_classes(self, design: Design, rows: Rows, goal: Goal, penalty: Penalty) -> Solution:
        """Fit a classification; classes without rows get the intercept of half a row."""
        task, target = self._sample.task, rows.target
        present = np.unique(target).astype(np.int64)
        weights = np.zeros((design.column_count, task.class_count))
        intercepts = np.log(class_shares(target, task.class_count))
        if present.size > 1:
            found = solve_classes(rows, penalty)
            weights[:, present] = found.weights
            intercepts += found.intercepts.max() - intercepts[present].max()
            intercepts[present] = found.intercepts
        if goal.is_corrected:
            intercepts = intercepts + goal.log_shares(target, None, task.class_count)
        if task.problem_type is ProblemType.BINARY:
            weights = weights[:, 1:] - weights[:, :1]
            intercepts = intercepts[1:] - intercepts[:1]
        return Solution(weights, intercepts)


def _solve_in_unit(rows: Rows, goal: Goal, penalty: Penalty) -> Solution:
    """Fit a regression in a unit of its own, with a standard deviation near 1."""
    if goal.loss in OF_LOGARITHM:
        exponent = int(np.frexp(rows.target.mean())[1])
        counts = some_counts(np.ldexp(rows.target, -exponent))
        scaled = Rows(rows.inputs, counts, rows.weight, rows.until)
        found = solve_regression(scaled, goal, penalty)
        return Solution(found.weights, found.intercepts + exponent * np.log(2.0))
    target = goal.learnt(rows.target)
    unit = make_unit(target)
    learnt = unit.learnt(target)
    spread = float(learnt.std()) or 1.0
    scaled = Rows(rows.inputs, learnt / spread, rows.weight, rows.until)
    found = solve_regression(scaled, goal, penalty)
    return Solution(unit.scaled(found.weights * spread), unit.restored(found.intercepts * spread))
