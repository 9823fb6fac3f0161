"""
The boosting loop of LightGBM: early stopping, by the clock, or after a number of rounds.

Inputs are named f0, f1, …; categories are codes of our own.
"""

import hashlib
import math
import time
from dataclasses import dataclass, field
from enum import StrEnum

import lightgbm as lgb
import numpy as np

from sqlml.enums import EstimatorName, ProblemType
from sqlml.search.arrays import F64, I64
from sqlml.search.estimators.estimator import Fit, Order, OutOfTime, Sample
from sqlml.search.estimators.goal import (
    OF_LOGARITHM,
    Goal,
    Loss,
    make_goal,
    small_target,
    some_counts,
)
from sqlml.search.estimators.inputs import Encoding, Helper, Inputs, Learner
from sqlml.search.estimators.leaves import LeafChange, change_leaves
from sqlml.search.estimators.linear import HELPER, Linear
from sqlml.search.estimators.rotations import make_rotations
from sqlml.search.estimators.unit import make_unit
from sqlml.search.fitted import Link, TreePart
from sqlml.search.leaderboard import Hyperparameters

MAX_ROUNDS = 5000
PATIENCE = 3.0
"""Rounds without progress before the end, times the learning rate."""
MIN_PATIENCE = 10
UNSTOPPED_ROUNDS = 150
"""Where early stopping cannot be: later rounds change the trees that are there (DART), or
add nothing to overfit (random forest)."""
FOREST_BAGGING = 0.63
USUAL_BINS, MANY_ROWS_BINS = 255, 511
"""Values of a number are told apart in so many bins: a time of a year has more than 255 days."""
HUBER_SHARE = 0.5
"""Errors beyond this share of the median deviation from the median count linearly."""


class Boosting(StrEnum):
    """How trees are added up."""

    GBDT = "gbdt"
    EXTRA_TREES = "extra_trees"
    """Boosted trees with random thresholds (Geurts et al. 2006)."""
    DART = "dart"
    """Boosted trees with dropout (Vinayak & Gilad-Bachrach 2015)."""
    FOREST = "rf"
    """The average of trees on random rows (Breiman 2001)."""


OBJECTIVES = {
    Loss.SQUARED: ("regression", "l2"),
    Loss.ABSOLUTE: ("regression_l1", "l1"),
    Loss.HUBER: ("huber", "l1"),
    Loss.QUANTILE: ("quantile", "quantile"),
    Loss.POISSON: ("poisson", "poisson"),
    Loss.TWEEDIE: ("tweedie", "tweedie"),
    Loss.GAMMA: ("gamma", "gamma"),
}
"""LightGBM's objectives, and the metrics to stop by."""
CLASS_OBJECTIVES = {
    # Not "auc" for roc_auc: on a small fold it is at its best after a few rounds by luck.
    ProblemType.BINARY: ("binary", "binary_logloss"),
    ProblemType.MULTICLASS: ("multiclass", "multi_logloss"),
}
OWN = frozenset({"num_trees", "boosting", "encoding", "objective", "log_target", "class_weight"})
"""Hyperparameters that are not LightGBM's, or not by these names."""


@dataclass(frozen=True, slots=True, eq=False)
class Binned:
    """Training and validation rows in bins."""

    inputs: Inputs
    train: lgb.Dataset
    train_rows: I64
    valid: lgb.Dataset | None = None
    valid_rows: I64 | None = None


@dataclass(slots=True)
class _Cache:
    """What fits on the same rows share."""

    plain: lgb.Dataset | None = None
    subsets: dict[bytes, lgb.Dataset] = field(default_factory=dict)
    learnt: dict[tuple[bytes, Encoding, Link], tuple[Inputs, lgb.Dataset]] = field(
        default_factory=dict
    )


class LightGBMFitter:
    """Boosters of one sample; the features are put into bins once."""

    def __init__(self, sample: Sample):
        self._sample = sample
        self._rotations = make_rotations(sample)
        self._plain = self._learner(sample.target, ()).inputs(Order(until=math.inf))
        self._linear = Linear().fitter(sample)
        self._cache = _Cache()

    def fit(self, hyperparameters: Hyperparameters, order: Order) -> Fit:
        """Fit with early stopping, or for the rounds that are ordered or fixed."""
        goal = make_goal(self._sample.task, hyperparameters)
        data = self._binned(Encoding(str(hyperparameters.get("encoding", "codes"))), goal, order)
        label, change = self._label(goal, data.train_rows)
        self._set(data.train, data.train_rows, label, goal)
        booster = self._booster(hyperparameters, goal, label, data.train)
        if data.valid is not None and data.valid_rows is not None:
            self._set(data.valid, data.valid_rows, self._label(goal, data.valid_rows)[0], goal)
        rounds, is_cut = self._boost(booster, data, hyperparameters, order)
        text = booster.model_to_string(num_iteration=rounds)
        if change is not None:
            text = change_leaves(text, change, self._sample.task.output_count)
        part = TreePart(
            estimator=EstimatorName.LIGHTGBM,
            booster=lgb.Booster(model_str=text),
            features=data.inputs.columns,
        )
        return Fit(
            parts=(*data.inputs.helpers, part),
            features=data.inputs.features,
            link=goal.link,
            rounds=rounds,
            is_cut=is_cut,
        )

    def _boost(
        self, booster: lgb.Booster, data: Binned, hyperparameters: Hyperparameters, order: Order
    ) -> tuple[int, bool]:
        """Boost as ordered; return the rounds to keep, and whether time cut them."""
        fixed = hyperparameters.get("num_trees")
        boosting = hyperparameters.get("boosting", Boosting.GBDT)
        if fixed is None and boosting in (Boosting.DART, Boosting.FOREST):
            rounds = min(order.rounds or UNSTOPPED_ROUNDS, order.max_rounds or MAX_ROUNDS)
        elif fixed is None and data.valid is not None:
            booster.add_valid(data.valid, "valid")
            patience = max(PATIENCE / float(hyperparameters["learning_rate"]), MIN_PATIENCE)
            return _boost_until_best(booster, int(patience), order)
        else:
            rounds = int(fixed or order.rounds or MAX_ROUNDS)
        is_cut = _boost(booster, rounds, order)
        if is_cut and fixed is not None:
            raise OutOfTime(f"the time was over before {rounds} trees were made")
        return booster.current_iteration(), is_cut

    # --- rows in bins ---

    def _binned(self, encoding: Encoding, goal: Goal, order: Order) -> Binned:
        """Get the rows of an order in bins; folds are asked for again and again."""
        rows = self._rows(order.train)
        valid: lgb.Dataset | None = None
        if encoding is Encoding.CODES:
            inputs, train = self._plain, self._subset(rows, order.train is None)
            if order.valid is not None:
                valid = self._subset(order.valid, False)
            return Binned(inputs, train, rows, valid, order.valid)
        inputs, train = self._learnt(encoding, goal, rows, order)
        if order.valid is not None:
            matrix = inputs.matrix(self._sample.rows.take(order.valid))
            label = np.zeros(len(matrix))
            valid = lgb.Dataset(matrix, label, reference=train, params=self._common()).construct()
        return Binned(inputs, train, rows, valid, order.valid)

    def _learnt(
        self, encoding: Encoding, goal: Goal, rows: I64, order: Order
    ) -> tuple[Inputs, lgb.Dataset]:
        """Get training rows in bins, with the inputs that are learnt from them."""
        key = (_key(rows), encoding, goal.link)
        if key not in self._cache.learnt:
            helper: Helper | None = None
            if encoding is Encoding.STACKED:
                hyperparameters = HELPER | {"log_target": goal.link is Link.EXPM1}
                helper = Helper(fitter=self._linear, hyperparameters=hyperparameters)
            target = small_target(self._sample.task, goal, self._sample.target)
            learner = self._learner(target, self._sample.features.encodings, helper)
            inputs = learner.inputs(order)
            matrix = inputs.train_matrix(self._sample.rows.take(rows))
            self._cache.learnt[key] = (inputs, self._dataset(matrix, inputs).construct())
        return self._cache.learnt[key]

    def _learner(
        self, target: F64, encoded: tuple[int, ...], helper: Helper | None = None
    ) -> Learner:
        """Say what features are computed with."""
        return Learner(
            sample=self._sample,
            target=target,
            encoded=encoded,
            rotations=self._rotations,
            helper=helper,
        )

    def _subset(self, rows: I64, is_whole: bool) -> lgb.Dataset:
        """Take rows of the binned sample."""
        if self._cache.plain is None:
            matrix = self._plain.train_matrix(self._sample.rows)
            self._cache.plain = self._dataset(matrix, self._plain).construct()
        if is_whole:
            return self._cache.plain
        key = _key(rows)
        if key not in self._cache.subsets:
            self._cache.subsets[key] = self._cache.plain.subset(rows.tolist()).construct()
        return self._cache.subsets[key]

    def _dataset(self, matrix: F64, inputs: Inputs) -> lgb.Dataset:
        """Put inputs into bins; labels are set by each fit."""
        return lgb.Dataset(
            matrix,
            np.zeros(len(matrix)),
            feature_name=[f"f{index}" for index in range(len(inputs.columns))],
            categorical_feature=list(inputs.categories),
            params=self._common(),
        )

    def _rows(self, rows: I64 | None) -> I64:
        """Name the rows."""
        return np.arange(self._sample.target.size) if rows is None else rows

    # --- labels ---

    def _label(self, goal: Goal, rows: I64) -> tuple[F64, LeafChange | None]:
        """Get what to learn of some rows, and what brings leaves back into its unit."""
        sample, target = self._sample, self._sample.target
        if goal.loss in OF_LOGARITHM:
            # A power of two near the mean: LightGBM keeps labels as float32.
            exponent = int(np.frexp(target.mean())[1])
            shift = exponent * float(np.log(2.0))
            change = LeafChange(shift=lambda leaves, _: leaves + shift, scale=lambda leaves: leaves)
            return some_counts(np.ldexp(target[rows], -exponent)), change
        if goal.loss is not Loss.LOGISTIC:
            learnt = goal.learnt(target)
            unit = make_unit(learnt)
            change = LeafChange(shift=lambda leaves, _: unit.restored(leaves), scale=unit.scaled)
            return unit.learnt(learnt[rows]), change
        if not goal.is_corrected:
            return target[rows], None
        weight = None if sample.weight is None else sample.weight[rows]
        shares = goal.log_shares(target[rows], weight, sample.task.class_count)
        if sample.task.problem_type is ProblemType.BINARY:
            shares = shares[1:] - shares[:1]
        change = LeafChange(
            shift=lambda leaves, output: leaves + shares[output], scale=lambda leaves: leaves
        )
        return target[rows], change

    def _set(self, data: lgb.Dataset, rows: I64, label: F64, goal: Goal) -> None:
        """Give rows their labels and weights."""
        weight = self._sample.weight
        weights = goal.weights(self._sample.target[rows], None if weight is None else weight[rows])
        data.set_label(label)
        # Not `set_weight`, which keeps the weights of the last fit where there are none now.
        data.set_field("weight", weights)

    # --- parameters ---

    def _booster(
        self, hyperparameters: Hyperparameters, goal: Goal, label: F64, train: lgb.Dataset
    ) -> lgb.Booster:
        """Make a booster without trees."""
        boosting = Boosting(str(hyperparameters.get("boosting", Boosting.GBDT)))
        bagging = float(hyperparameters.get("bagging_fraction", 1.0))
        if boosting is Boosting.FOREST:
            bagging = min(bagging, FOREST_BAGGING)
        params = {
            **self._common(),
            **{key: value for key, value in hyperparameters.items() if key not in OWN},
            **self._objective(goal, label),
            "boosting": "gbdt" if boosting is Boosting.EXTRA_TREES else boosting.value,
            "extra_trees": boosting is Boosting.EXTRA_TREES,
            "bagging_fraction": bagging,
            "bagging_freq": 1 if bagging < 1 else 0,
        }
        return lgb.Booster(params, train)

    def _objective(self, goal: Goal, label: F64) -> dict[str, object]:
        """Get the parameters of a goal."""
        task = self._sample.task
        if goal.loss is Loss.LOGISTIC:
            objective, metric = CLASS_OBJECTIVES[task.problem_type]
        else:
            objective, metric = OBJECTIVES[goal.loss]
        params: dict[str, object] = {"objective": objective, "metric": metric}
        if task.problem_type is ProblemType.MULTICLASS:
            params["num_class"] = task.class_count
        if goal.loss is Loss.QUANTILE:
            params["alpha"] = goal.parameter
        if goal.loss is Loss.HUBER:
            spread = float(np.median(np.abs(label - np.median(label))))
            params["alpha"] = max(HUBER_SHARE * spread, 1e-6)
        if goal.loss is Loss.TWEEDIE:
            params["tweedie_variance_power"] = goal.parameter
        return params

    def _common(self) -> dict[str, object]:
        """Get the parameters that every use of LightGBM here shares."""
        return {
            "max_bin": MANY_ROWS_BINS if self._sample.task.has_many_rows else USUAL_BINS,
            "feature_pre_filter": False,
            "deterministic": True,
            "force_row_wise": True,
            "seed": self._sample.seed,
            "num_threads": self._sample.threads,
            "verbosity": -1,
        }


def _boost(booster: lgb.Booster, rounds: int, order: Order) -> bool:
    """Boost for a number of rounds; tell whether time cut it."""
    for done in range(1, rounds + 1):
        started = time.monotonic()
        if booster.update():
            return False
        if done < rounds and order.left_s < time.monotonic() - started:
            return True
    return False


def _boost_until_best(booster: lgb.Booster, patience: int, order: Order) -> tuple[int, bool]:
    """Boost until the validation rows see no progress; return the best round."""
    best_round, best_value = 1, float("nan")
    for done in range(1, (order.max_rounds or MAX_ROUNDS) + 1):
        started = time.monotonic()
        finished = booster.update()
        value, larger_is_better = booster.eval_valid()[0][2:4]
        if done == 1 or (value > best_value if larger_is_better else value < best_value):
            best_round, best_value = done, value
        if finished or done - best_round >= patience:
            return best_round, False
        if order.left_s < time.monotonic() - started:
            return best_round, True
    return best_round, False


def _key(rows: I64) -> bytes:
    """Name rows by their numbers."""
    return hashlib.blake2b(np.ascontiguousarray(rows).tobytes(), digest_size=16).digest()
