"""
LightGBM: gradient boosted trees.

Owns the boosting loop, so that it can stop early, by the clock, or after a fixed number of
rounds. Features are named f0, f1, …; categories are codes of our own.
"""

import re
import time
from collections.abc import Mapping

import lightgbm as lgb
import numpy as np

from sqlml.enums import EstimatorName, ProblemType
from sqlml.search.arrays import I64
from sqlml.search.estimators.estimator import Fit, Order, OutOfTime, Sample, Task, default_link
from sqlml.search.estimators.unit import Unit, make_unit
from sqlml.search.fitted import FeatureOp, TreePart
from sqlml.search.leaderboard import Hyperparameters
from sqlml.search.space import Choices, Dimension, Range

MAX_ROUNDS = 5000
PATIENCE = 3.0
"""Rounds without progress before the end, times the learning rate."""
MIN_PATIENCE = 10
USUAL_ROUNDS_TIMES_RATE = 15.0
SECONDS_PER_VALUE = 1e-8
"""Of a feature of a row, a round."""

OBJECTIVES = {
    ProblemType.BINARY: "binary",
    ProblemType.MULTICLASS: "multiclass",
    ProblemType.REGRESSION: "regression",
}
STOP_METRICS = {
    ProblemType.BINARY: "binary_logloss",
    ProblemType.MULTICLASS: "multi_logloss",
    ProblemType.REGRESSION: "l2",
}
# Not "auc" for roc_auc: on a small fold it is at its best after a few rounds by luck.
STOP_METRICS_BY_METRIC = {"mae": "l1", "mape": "l1"}

BASE: Hyperparameters = {
    "num_leaves": 31,
    "min_data_in_leaf": 20,
    "feature_fraction": 0.8,
    "bagging_fraction": 1.0,
    "lambda_l2": 1.0,
    "cat_smooth": 10.0,
    "min_data_per_group": 50,
    "extra_trees": False,
}


CHANGES: tuple[Hyperparameters, ...] = (
    {},
    {"extra_trees": True, "num_leaves": 39, "min_data_in_leaf": 3, "feature_fraction": 0.46},
    {"num_leaves": 6, "lambda_l2": 10.0, "learning_rate": 1.5, "min_data_per_group": 20},
    {"num_leaves": 128, "learning_rate": 0.7, "feature_fraction": 0.6},
    {"num_leaves": 84, "min_data_in_leaf": 3, "feature_fraction": 0.53},
    {"num_leaves": 60, "min_data_in_leaf": 60, "lambda_l2": 20.0, "cat_smooth": 60.0},
    {"num_leaves": 53, "min_data_in_leaf": 14, "feature_fraction": 0.7},
    {"extra_trees": True, "num_leaves": 16, "min_data_in_leaf": 10, "feature_fraction": 0.6},
)
"""What each setting to try first changes of `BASE`; the learning rate is relative."""


class LightGBM:
    """Gradient boosted trees."""

    name = EstimatorName.LIGHTGBM

    def space(self, task: Task) -> Mapping[str, Dimension]:
        """Get the hyperparameters that trials choose."""
        return {
            "learning_rate": Range(low=0.01, high=0.3, is_log=True),
            "num_leaves": Range(low=4, high=255, is_log=True, is_integer=True),
            "min_data_in_leaf": Range(low=1, high=200, is_log=True, is_integer=True),
            "feature_fraction": Range(low=0.3, high=1.0),
            "bagging_fraction": Range(low=0.5, high=1.0),
            "lambda_l2": Range(low=1e-3, high=100.0, is_log=True),
            "cat_smooth": Range(low=1.0, high=100.0, is_log=True),
            "min_data_per_group": Range(low=5, high=200, is_log=True, is_integer=True),
            "extra_trees": Choices((False, True)),
        }

    def portfolio(self, task: Task, rate: float) -> tuple[Hyperparameters, ...]:
        """Make the settings to try first."""
        return tuple(
            {**BASE, **change, "learning_rate": rate * float(change.get("learning_rate", 1.0))}
            for change in CHANGES
        )

    def cost(self, task: Task, hyperparameters: Hyperparameters) -> float:
        """Estimate the seconds of a fit."""
        rounds = USUAL_ROUNDS_TIMES_RATE / float(hyperparameters["learning_rate"])
        values = task.row_count * task.feature_count * task.output_count
        return rounds * values * SECONDS_PER_VALUE

    def fitter(self, sample: Sample) -> "LightGBMFitter":
        """Bind it to a sample."""
        return LightGBMFitter(sample)


class LightGBMFitter:
    """Boosters of one sample; the features are put into bins once."""

    def __init__(self, sample: Sample):
        self._sample = sample
        self._unit = None
        label = sample.target
        if sample.task.problem_type is ProblemType.REGRESSION:
            self._unit = make_unit(label)
            label = self._unit.learnt(label)
        self._binned = lgb.Dataset(
            sample.matrix,
            label,
            feature_name=[f"f{index}" for index in range(len(sample.features.features))],
            categorical_feature=[
                index
                for index, feature in enumerate(sample.features.features)
                if feature.op is FeatureOp.CODE
            ],
            params=self._common(),
        )
        self._subsets: dict[int, tuple[I64, lgb.Dataset]] = {}

    def probe(self, rounds: int, order: Order) -> float:
        """Measure the seconds that one round of a plain fit takes."""
        hyperparameters: Hyperparameters = {**BASE, "learning_rate": 0.1}
        booster = self._booster(hyperparameters, self._subset(order.train))
        started = time.monotonic()
        done = 0
        while done == 0 or (done < rounds and order.left_s > 0):
            booster.update()
            done += 1
        return (time.monotonic() - started) / done

    def fit(self, hyperparameters: Hyperparameters, order: Order) -> Fit:
        """Fit with early stopping, or for the rounds that are ordered or fixed."""
        fixed = hyperparameters.get("num_trees")
        train = self._subset(order.train)
        booster = self._booster(hyperparameters, train)
        if fixed is not None or order.valid is None:
            rounds = int(fixed or order.rounds or MAX_ROUNDS)
            is_cut = _boost(booster, rounds, order)
            if is_cut and fixed is not None:
                raise OutOfTime(f"the time was over before {rounds} trees were made")
            rounds = booster.current_iteration()
        else:
            booster.add_valid(self._subset(order.valid), "valid")
            patience = max(PATIENCE / float(hyperparameters["learning_rate"]), MIN_PATIENCE)
            rounds, is_cut = _boost_until_best(booster, int(patience), order)
        text = booster.model_to_string(num_iteration=rounds)
        if self._unit is not None:
            text = _with_leaves_restored(text, self._unit)
        final = lgb.Booster(model_str=text)
        return Fit(
            parts=(TreePart(estimator=EstimatorName.LIGHTGBM, booster=final),),
            link=default_link(self._sample.task),
            rounds=rounds,
            is_cut=is_cut,
        )

    def _subset(self, rows: I64 | None) -> lgb.Dataset:
        """Take rows of the binned sample; folds are asked for again and again."""
        if rows is None:
            return self._binned.construct()
        if id(rows) not in self._subsets:
            # The rows are kept beside, so that their id stays theirs.
            self._subsets[id(rows)] = (
                rows,
                self._binned.construct().subset(rows.tolist()).construct(),
            )
        return self._subsets[id(rows)][1]

    def _booster(self, hyperparameters: Hyperparameters, train: lgb.Dataset) -> lgb.Booster:
        """Make a booster without trees."""
        sample = self._sample
        own = {key: value for key, value in hyperparameters.items() if key != "num_trees"}
        metric = STOP_METRICS_BY_METRIC.get(
            sample.task.metric.name, STOP_METRICS[sample.task.problem_type]
        )
        params = {
            **self._common(),
            **own,
            "bagging_freq": 1 if float(hyperparameters["bagging_fraction"]) < 1 else 0,
            "objective": OBJECTIVES[sample.task.problem_type],
            "metric": metric,
        }
        if sample.task.problem_type is ProblemType.MULTICLASS:
            params["num_class"] = sample.task.class_count
        return lgb.Booster(params, train)

    def _common(self) -> dict[str, object]:
        """Get the parameters that every use of LightGBM here shares."""
        return {
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
    for done in range(1, MAX_ROUNDS + 1):
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


def _with_leaves_restored(text: str, unit: Unit) -> str:
    """
    Turn the leaf values of a model's text into the target's unit; the first tree carries
    the shift. (LightGBM's own way to set a leaf makes values below 1e-35 zero.)
    """
    tree_count = 0

    def restore(match: re.Match[str]) -> str:
        nonlocal tree_count
        leaves = np.array(match[1].split(), dtype=np.float64)
        leaves = unit.scaled(leaves) if tree_count else unit.restored(leaves)
        tree_count += 1
        return "leaf_value=" + " ".join(map(repr, leaves.tolist()))

    # The sizes would be wrong now; without them LightGBM reads tree after tree.
    text = re.sub(r"^tree_sizes=.*\n", "", text, flags=re.MULTILINE)
    return re.sub(r"^leaf_value=(.*)$", restore, text, flags=re.MULTILINE)
