"""
Extra trees of scikit-learn: the average of trees with random thresholds (Geurts et al. 2006).

For classes a leaf holds the log odds (of several classes the logarithms) of its smoothed
shares, so that what is averaged is a raw score as every other estimator's. Categories come as
target means.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor

from sqlml.enums import EstimatorName, ProblemType
from sqlml.search.arrays import F64, I64
from sqlml.search.estimators.estimator import Fit, Order, OutOfTime, Sample, Task
from sqlml.search.estimators.forest import FLOAT32_MAX, make_tree
from sqlml.search.estimators.goal import Goal, Loss, goal_space, make_goal, small_target
from sqlml.search.estimators.inputs import Learner
from sqlml.search.estimators.unit import make_unit
from sqlml.search.fitted import ForestPart, Tree
from sqlml.search.leaderboard import Hyperparameters
from sqlml.search.space import Dimension, Range

TREES = 100
TREES_PER_STEP = 5
SMOOTHING_ROWS = 1.0
"""A leaf counts so many rows more, with the shares of all rows."""
SECONDS_PER_VALUE = 2e-7
"""Of a feature of a row, a tree."""
MAX_LEAVES = 512
"""Keeps a prediction near 10 ns a tree and output."""

Forest: TypeAlias = ExtraTreesClassifier | ExtraTreesRegressor

SETTINGS: tuple[Hyperparameters, ...] = (
    {"max_leaf_nodes": 512, "min_samples_leaf": 1, "max_features": 0.8},
    {"max_leaf_nodes": 256, "min_samples_leaf": 3, "max_features": 0.5},
    {"max_leaf_nodes": 64, "min_samples_leaf": 5, "max_features": 0.3},
)


class ExtraTrees:
    """Averages of trees with random thresholds."""

    name = EstimatorName.EXTRA_TREES

    def space(self, task: Task) -> Mapping[str, Dimension]:
        """Get the hyperparameters that trials choose."""
        space = goal_space(task)
        # Other losses would make for other trees; these always minimise squared errors.
        space.pop("objective", None)
        return {
            "max_leaf_nodes": Range(low=16, high=MAX_LEAVES, is_log=True, is_integer=True),
            "min_samples_leaf": Range(low=1, high=50, is_log=True, is_integer=True),
            "max_features": Range(low=0.1, high=1.0),
            **space,
        }

    def portfolio(self, task: Task, rate: float) -> tuple[Hyperparameters, ...]:
        """Make the settings to try first."""
        space = self.space(task)
        usual: Hyperparameters = {}
        if "log_target" in space:
            usual["log_target"] = False
        if "class_weight" in space:
            usual["class_weight"] = "none"
        return tuple({**usual, **setting} for setting in SETTINGS)

    def cost(self, task: Task, hyperparameters: Hyperparameters) -> float:
        """Estimate the seconds of a fit."""
        share = float(hyperparameters.get("max_features", 1.0))
        return TREES * task.row_count * task.feature_count * share * SECONDS_PER_VALUE

    def fitter(self, sample: Sample) -> "ExtraTreesFitter":
        """Bind it to a sample."""
        return ExtraTreesFitter(sample)


class ExtraTreesFitter:
    """Forests of one sample."""

    def __init__(self, sample: Sample):
        self._sample = sample

    def fit(self, hyperparameters: Hyperparameters, order: Order) -> Fit:
        """Fit as many trees as there is time for, at least one step of them."""
        sample = self._sample
        if order.left_s <= 0:
            raise OutOfTime("the time was over before a tree was made")
        goal = make_goal(sample.task, {**hyperparameters, "objective": Loss.SQUARED})
        rows = np.arange(sample.target.size) if order.train is None else order.train
        learner = Learner(
            sample=sample,
            target=small_target(sample.task, goal, sample.target),
            encoded=sample.features.encodings or sample.features.categories,
        )
        inputs = learner.inputs(order)
        encoded = inputs.train_matrix(sample.rows.take(rows))
        forest = self._forest(hyperparameters)
        is_cut = _grow(forest, _Data(encoded, *self._learnt(goal, rows)), hyperparameters, order)
        part = ForestPart(
            estimator=EstimatorName.EXTRA_TREES,
            trees=tuple(self._trees(forest, goal, rows)),
            features=inputs.columns,
            is_average=True,
        )
        return Fit(
            parts=(part,),
            features=inputs.features,
            link=goal.link,
            is_cut=is_cut,
        )

    def _forest(self, hyperparameters: Hyperparameters) -> Forest:
        """Make a forest without trees."""
        task = self._sample.task
        is_regression = task.problem_type is ProblemType.REGRESSION
        kind = ExtraTreesRegressor if is_regression else ExtraTreesClassifier
        forest: Forest = kind(
            n_estimators=0,
            max_leaf_nodes=int(hyperparameters.get("max_leaf_nodes", MAX_LEAVES)),
            min_samples_leaf=int(hyperparameters.get("min_samples_leaf", 1)),
            max_features=float(hyperparameters.get("max_features", 1.0)),
            random_state=self._sample.seed,
            n_jobs=self._sample.threads,
            warm_start=True,
        )
        return forest

    def _learnt(self, goal: Goal, rows: I64) -> tuple[F64, F64 | None]:
        """Get what to learn of some rows, and their weights."""
        sample = self._sample
        target = sample.target[rows]
        weight = goal.weights(target, None if sample.weight is None else sample.weight[rows])
        return small_target(sample.task, goal, sample.target)[rows], weight

    def _trees(self, forest: Forest, goal: Goal, rows: I64) -> Iterator[Tree]:
        """Turn scikit-learn's trees into raw scores."""
        sample, task = self._sample, self._sample.task
        if task.problem_type is ProblemType.REGRESSION:
            unit = make_unit(goal.learnt(sample.target))
            for tree in forest.estimators_:
                yield make_tree(tree, unit.restored(tree.tree_.value[:, 0, :]))
            return
        shift = np.zeros(task.class_count)
        if goal.is_corrected:
            weight = None if sample.weight is None else sample.weight[rows]
            shift = goal.log_shares(sample.target[rows], weight, task.class_count)
        for tree in forest.estimators_:
            shares = np.zeros((tree.tree_.node_count, task.class_count))
            shares[:, forest.classes_.astype(np.int64)] = tree.tree_.value[:, 0, :]
            scores = _smoothed_logarithms(shares, tree.tree_.n_node_samples) + shift
            if task.problem_type is ProblemType.BINARY:
                scores = scores[:, 1:] - scores[:, :1]
            yield make_tree(tree, scores)


@dataclass(frozen=True, slots=True, eq=False)
class _Data:
    """Encoded rows with what to learn of them."""

    inputs: F64
    target: F64
    weight: F64 | None


def _grow(forest: Forest, data: _Data, hyperparameters: Hyperparameters, order: Order) -> bool:
    """Add trees step by step; tell whether time cut that."""
    inputs = np.clip(data.inputs, -FLOAT32_MAX, FLOAT32_MAX).astype(np.float32)
    fixed = hyperparameters.get("num_trees")
    wanted = int(fixed or order.rounds or TREES)
    while forest.n_estimators < wanted:
        started = time.monotonic()
        forest.n_estimators = min(forest.n_estimators + TREES_PER_STEP, wanted)
        forest.fit(inputs, data.target, sample_weight=data.weight)
        is_last = forest.n_estimators == wanted
        if not is_last and order.left_s < time.monotonic() - started:
            if fixed is not None:
                raise OutOfTime(f"the time was over before {wanted} trees were made")
            return True
    return False


def _smoothed_logarithms(shares: F64, row_counts: I64) -> F64:
    """Take logarithms of the shares of nodes; the first node is the root."""
    root = shares[0] + 0.5 / row_counts[0]
    mass = row_counts[:, None].astype(np.float64)
    smoothed = shares * mass + SMOOTHING_ROWS * root / root.sum()
    return np.asarray(np.log(smoothed / smoothed.sum(axis=1, keepdims=True)), dtype=np.float64)
