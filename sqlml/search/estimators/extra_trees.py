"""
Extra trees of scikit-learn: the average of trees with random thresholds (Geurts et al. 2006).

For classes a leaf holds the log odds (of several classes the logarithms) of its shares, so that
what is averaged is a raw score as every other estimator's, and can be explained as theirs. To
average logarithms is to multiply: one leaf to which a class is impossible outvotes all other
trees. So each node's shares are drawn to those of the node above it, the further the fewer rows
that one has (hierarchical shrinkage, Agarwal et al. 2022): a deep leaf of one row says a little
more than what is above it, one of equal rows that come again and again much more.

A forest that is too dear for what a prediction may cost, or too large, has fewer trees.
"""

import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from math import log2
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor
from sklearn.tree import BaseDecisionTree

from sqlml.enums import EstimatorName, ProblemType
from sqlml.search.arrays import F64, I64
from sqlml.search.cost import MAX_SPLITS, PartFacts, forest_facts, part_cost_ns
from sqlml.search.estimators.estimator import Fit, Order, OutOfTime, Sample, Task
from sqlml.search.estimators.forest import FLOAT32_MAX, make_tree
from sqlml.search.estimators.goal import Goal, Loss, goal_space, make_goal, small_target
from sqlml.search.estimators.inputs import Learner
from sqlml.search.estimators.rotations import make_rotations
from sqlml.search.estimators.sizes import measure
from sqlml.search.estimators.unit import make_unit
from sqlml.search.fitted import ForestPart, Tree
from sqlml.search.leaderboard import Hyperparameters
from sqlml.search.space import Dimension, Range

TREES = 100
TREES_PER_STEP = 5
SHRINKAGE_ROWS = 1.0
"""What the children of a node of so many rows say beyond it counts for half."""
SECONDS_PER_VALUE = 1.8e-8
"""Of a feature of a row, a level of a tree."""
ROW_SHARE = 0.25
"""Parting the rows costs as much as looking at this share of their features."""
MAX_LEAVES = 4096
FEW_ROWS = 512
"""Tables of fewer rows have the space of these."""
MAX_VALUES = 1_000_000
"""Numbers in the leaves of all trees, one for each output: up to 18 MB in the artifact and 52 MB in
each connection that predicts, which keeps 64 MB of models (`sqlml.cache_size`) and would open a
larger one again with every call."""
LEAST_TREES = 20
"""The space has as many leaves a tree as leave room for so many trees."""

Forest: TypeAlias = ExtraTreesClassifier | ExtraTreesRegressor

SETTINGS: tuple[Hyperparameters, ...] = (
    {"max_leaf_nodes": 4096, "min_samples_leaf": 1, "max_features": 0.5},
    {"max_leaf_nodes": 4096, "min_samples_leaf": 1, "max_features": 0.8},
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
            "max_leaf_nodes": Range(low=16, high=_most_leaves(task), is_log=True, is_integer=True),
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
        most = _most_leaves(task)
        return tuple(
            {**usual, **setting, "max_leaf_nodes": min(int(setting["max_leaf_nodes"]), most)}
            for setting in SETTINGS
        )

    def cost(
        self, task: Task, hyperparameters: Hyperparameters, max_cost_ns: float | None
    ) -> float:
        """Estimate the seconds of a fit: of as many trees as predictions can afford."""
        share = float(hyperparameters.get("max_features", 1.0)) + ROW_SHARE
        rows_per_leaf = int(hyperparameters.get("min_samples_leaf", 1))
        most = int(hyperparameters.get("max_leaf_nodes", MAX_LEAVES))
        leaves = max(min(most, task.row_count // rows_per_leaf), 2)
        values = task.row_count * task.feature_count * share * log2(leaves)
        tree = forest_facts([leaves], task.output_count, task.feature_count)
        return count_affordable(tree, 1, max_cost_ns) * values * SECONDS_PER_VALUE

    def fitter(self, sample: Sample) -> "ExtraTreesFitter":
        """Bind it to a sample."""
        return ExtraTreesFitter(sample)


def _most_leaves(task: Task) -> int:
    """Count the leaves that a tree may have: no more than rows, fewer where classes are many."""
    room = MAX_VALUES // (LEAST_TREES * task.output_count)
    return min(max(task.row_count, FEW_ROWS), MAX_LEAVES, room)


class ExtraTreesFitter:
    """Forests of one sample."""

    def __init__(self, sample: Sample):
        self._sample = sample
        self._rotations = make_rotations(sample)

    def fit(self, hyperparameters: Hyperparameters, order: Order) -> Fit:
        """Fit as many trees as there is time and room for and predictions can afford."""
        sample = self._sample
        if order.left_s <= 0:
            raise OutOfTime("the time was over before a tree was made")
        goal = make_goal(sample.task, {**hyperparameters, "objective": Loss.SQUARED})
        rows = np.arange(sample.target.size) if order.train is None else order.train
        learner = Learner(
            sample=sample,
            target=small_target(sample.task, goal, sample.target),
            encoded=self._encoded(),
            rotations=self._rotations,
        )
        inputs = learner.inputs(order)
        encoded = inputs.train_matrix(sample.rows.take(rows))
        target, weight = self._learnt(goal, rows)
        forest = self._forest(hyperparameters)
        growth = _Growth(
            forest=forest,
            inputs=encoded.clip(-FLOAT32_MAX, FLOAT32_MAX).astype(np.float32),
            target=target,
            weight=weight,
            part=partial(self._part, forest, goal, rows, inputs.columns),
            step=self._step(hyperparameters, rows.size),
        )
        is_cut = _grow(growth, hyperparameters, order)
        return Fit(
            parts=(*inputs.helpers, growth.part()),
            features=inputs.features,
            link=goal.link,
            is_cut=is_cut,
        )

    def _encoded(self) -> tuple[int, ...]:
        """
        Choose the categories whose target means are inputs; others are codes in their order.

        A category has as many means as there are classes, beside which a tree hardly draws other
        features; so of several classes only those of many levels have them.
        """
        features, task = self._sample.features, self._sample.task
        if features.encodings or task.problem_type is ProblemType.MULTICLASS:
            return features.encodings
        return features.categories

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

    def _step(self, hyperparameters: Hyperparameters, row_count: int) -> int:
        """Count the trees that are made at once: fewer where even those might be too large."""
        leaves = min(int(hyperparameters.get("max_leaf_nodes", MAX_LEAVES)), row_count)
        room = MAX_VALUES // (leaves * self._sample.task.output_count)
        return min(TREES_PER_STEP, max(room, 1))

    def _learnt(self, goal: Goal, rows: I64) -> tuple[F64, F64 | None]:
        """Get what to learn of some rows, and their weights."""
        sample = self._sample
        target = sample.target[rows]
        weight = goal.weights(target, None if sample.weight is None else sample.weight[rows])
        return small_target(sample.task, goal, sample.target)[rows], weight

    def _part(self, forest: Forest, goal: Goal, rows: I64, columns: tuple[int, ...]) -> ForestPart:
        """Turn the forest as it is into plain data."""
        return ForestPart(
            estimator=EstimatorName.EXTRA_TREES,
            trees=tuple(self._trees(forest, goal, rows)),
            features=columns,
            is_average=True,
        )

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
            scores = np.log(shrink(shares, tree)) + shift
            if task.problem_type is ProblemType.BINARY:
                scores = scores[:, 1:] - scores[:, :1]
            yield make_tree(tree, scores)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Growth:
    """A forest, the encoded rows that it learns with what to learn of them, and what it is now."""

    forest: Forest
    inputs: NDArray[np.float32]
    target: F64
    weight: F64 | None
    part: Callable[[], ForestPart]
    step: int
    """Trees that are added at once."""


def _grow(growth: _Growth, hyperparameters: Hyperparameters, order: Order) -> bool:
    """Add trees step by step; tell whether time cut that."""
    forest = growth.forest
    fixed = hyperparameters.get("num_trees")
    wanted = int(fixed or order.rounds or TREES)
    while forest.n_estimators < wanted:
        started = time.monotonic()
        is_first = forest.n_estimators == 0
        forest.n_estimators = min(forest.n_estimators + growth.step, wanted)
        forest.fit(growth.inputs, growth.target, sample_weight=growth.weight)
        if is_first and fixed is None:
            facts = measure(growth.part())
            wanted = min(wanted, count_affordable(facts, forest.n_estimators, order.max_cost_ns))
        is_last = forest.n_estimators >= wanted
        if not is_last and order.left_s < time.monotonic() - started:
            if fixed is not None:
                raise OutOfTime(f"the time was over before {wanted} trees were made")
            return True
    return False


def count_affordable(facts: PartFacts, first: int, max_cost_ns: float | None) -> int:
    """
    Count the trees, from the `first` with these facts to `TREES`, that there is room for.

    With a limit of cost they must also stay within that, and within half of the splits with
    which it can be kept.
    """

    def is_affordable(count: int) -> bool:
        tree_count = facts.tree_count * count // first
        leaf_count = facts.leaf_count * count // first
        if leaf_count * facts.leaf_size > MAX_VALUES:
            return False
        if max_cost_ns is None:
            return True
        cost_ns = part_cost_ns(replace(facts, tree_count=tree_count, leaf_count=leaf_count))
        splits = facts.most_splits * count // first
        return cost_ns <= max_cost_ns and splits <= MAX_SPLITS // 2

    more = range(first + 1, TREES + 1)
    return first + bisect_left(more, True, key=lambda count: not is_affordable(count))


def shrink(shares: F64, tree: BaseDecisionTree) -> F64:
    """Draw the shares of each node, shape (nodes, classes), to those of the nodes above it."""
    found = tree.tree_
    # A class without rows is unlikely, not impossible.
    root = shares[0] + 0.5 / found.n_node_samples[0]
    shares = np.vstack([root / root.sum(), shares[1:]])
    shrunk = shares.copy()
    nodes = np.zeros(1, dtype=np.int64)
    while nodes.size:
        nodes = nodes[found.children_left[nodes] >= 0]
        keep = 1 / (1 + SHRINKAGE_ROWS / found.n_node_samples[nodes, None])
        for children in (found.children_left[nodes], found.children_right[nodes]):
            shrunk[children] = shrunk[nodes] + keep * (shares[children] - shares[nodes])
        nodes = np.concatenate([found.children_left[nodes], found.children_right[nodes]])
    return shrunk
