"""
LightGBM: boosted, dropped-out or averaged trees.

Owns the space and the portfolio; the boosting itself is `boosting`'s.
"""

from collections.abc import Mapping

from sqlml.enums import EstimatorName, ProblemType
from sqlml.search.estimators.boosting import Boosting, LightGBMFitter
from sqlml.search.estimators.estimator import Sample, Task
from sqlml.search.estimators.goal import goal_defaults, goal_space
from sqlml.search.estimators.inputs import MAX_STACKED_CLASSES, Encoding
from sqlml.search.leaderboard import Hyperparameters
from sqlml.search.metrics import PredictionKind
from sqlml.search.space import Choices, Dimension, Range

USUAL_ROUNDS_TIMES_RATE = 15.0
SECONDS_PER_VALUE = 1e-8
"""Of a feature of a row, a round."""
SLOW_BOOSTING = {Boosting.DART.value: 3.0, Boosting.FOREST.value: 0.5}
MAX_DART_ROWS = 20_000
LEAST_LEAVES = 20
"""A setting's `min_data_in_leaf` leaves room for so many leaves."""

BASE: Hyperparameters = {
    "boosting": Boosting.GBDT.value,
    "encoding": Encoding.CODES.value,
    "learning_rate": 1.0,
    "num_leaves": 31,
    "min_data_in_leaf": 20,
    "feature_fraction": 0.8,
    "bagging_fraction": 1.0,
    "lambda_l2": 1.0,
    "cat_smooth": 10.0,
    "min_data_per_group": 50,
}
"""The learning rate is relative."""
EXTRA, MEANS, STACKED = Boosting.EXTRA_TREES.value, Encoding.MEANS.value, Encoding.STACKED.value
CHANGES: tuple[Hyperparameters, ...] = (
    {},
    {"boosting": EXTRA, "num_leaves": 39, "min_data_in_leaf": 3, "feature_fraction": 0.46},
    {"encoding": STACKED, "num_leaves": 24, "lambda_l2": 5.0},
    {"num_leaves": 6, "lambda_l2": 10.0, "learning_rate": 1.5, "min_data_per_group": 20},
    {"num_leaves": 63, "learning_rate": 0.7, "feature_fraction": 0.6, "min_data_in_leaf": 8},
    {"log_target": True, "encoding": MEANS},
    {"num_leaves": 64, "min_data_in_leaf": 3, "feature_fraction": 0.53, "lambda_l2": 0.1},
    {"objective": "poisson", "feature_fraction": 0.6},
    {"class_weight": "balanced", "num_leaves": 16, "lambda_l2": 5.0},
    {
        "encoding": MEANS,
        "num_leaves": 60,
        "min_data_in_leaf": 60,
        "lambda_l2": 20.0,
        "cat_smooth": 60.0,
    },
    {"num_leaves": 53, "min_data_in_leaf": 14, "feature_fraction": 0.7, "bagging_fraction": 0.8},
    {"boosting": EXTRA, "num_leaves": 16, "min_data_in_leaf": 10, "feature_fraction": 0.6},
    {
        "boosting": Boosting.DART.value,
        "num_leaves": 12,
        "learning_rate": 1.5,
        "lambda_l2": 5.0,
    },
)
"""
What each setting to try first changes of `BASE`; those not in the space are left out. Trees
of more than 64 leaves cost six times as much at prediction: docs/decisions/0010.
"""
SMOOTH: Hyperparameters = {"cat_smooth": 60.0, "min_data_per_group": 200}
MANY_ROWS_CHANGES: tuple[Hyperparameters, ...] = (
    {"encoding": MEANS, "num_leaves": 255, "feature_fraction": 0.5, **SMOOTH},
    {"num_leaves": 127, "feature_fraction": 0.6, **SMOOTH},
    {"encoding": MEANS, "num_leaves": 63, "feature_fraction": 0.4, **SMOOTH},
    {"encoding": MEANS, "num_leaves": 255, "feature_fraction": 0.8, "lambda_l2": 10.0, **SMOOTH},
    {"num_leaves": 255, "feature_fraction": 0.4, "min_data_in_leaf": 60, **SMOOTH},
)
"""
What comes first for many rows: they bear more leaves, and trees that split on sets of levels
remember rows.
"""


class LightGBM:
    """Gradient boosted trees."""

    name = EstimatorName.LIGHTGBM

    def space(self, task: Task) -> Mapping[str, Dimension]:
        """Get the hyperparameters that trials choose."""
        boosting = [Boosting.GBDT, Boosting.EXTRA_TREES, Boosting.FOREST]
        if task.row_count <= MAX_DART_ROWS:
            boosting.append(Boosting.DART)
        return {
            "boosting": Choices(tuple(each.value for each in boosting)),
            "encoding": Choices(tuple(each.value for each in _encodings(task))),
            "learning_rate": Range(low=0.01, high=0.3, is_log=True),
            "num_leaves": Range(low=4, high=255, is_log=True, is_integer=True),
            "min_data_in_leaf": Range(low=1, high=200, is_log=True, is_integer=True),
            "feature_fraction": Range(low=0.3, high=1.0),
            "bagging_fraction": Range(low=0.5, high=1.0),
            "lambda_l2": Range(low=1e-3, high=100.0, is_log=True),
            "cat_smooth": Range(low=1.0, high=100.0, is_log=True),
            "min_data_per_group": Range(low=5, high=200, is_log=True, is_integer=True),
            **goal_space(task),
        }

    def portfolio(self, task: Task, rate: float) -> tuple[Hyperparameters, ...]:
        """Make the settings to try first; a setting that this task has not is left out."""
        space = self.space(task)
        base = {**BASE, **goal_defaults(task)}
        made: list[Hyperparameters] = []
        changes = (*MANY_ROWS_CHANGES, *CHANGES) if task.has_many_rows else CHANGES
        for change in changes:
            setting = {**base, **change}
            if _is_likely(setting, task) and _is_known(setting, space) and setting not in made:
                made.append(setting)
        return tuple(_fitted_to(setting, task, rate) for setting in made)

    def cost(
        self, task: Task, hyperparameters: Hyperparameters, max_cost_ns: float | None
    ) -> float:
        """Estimate the seconds of a fit."""
        rounds = USUAL_ROUNDS_TIMES_RATE / float(hyperparameters["learning_rate"])
        values = task.row_count * task.feature_count * task.output_count
        factor = SLOW_BOOSTING.get(str(hyperparameters.get("boosting")), 1.0)
        return factor * rounds * values * SECONDS_PER_VALUE

    def fitter(self, sample: Sample) -> LightGBMFitter:
        """Bind it to a sample."""
        return LightGBMFitter(sample)


def _encodings(task: Task) -> tuple[Encoding, ...]:
    """Get the encodings that differ for a task."""
    encodings = [Encoding.CODES]
    if task.has_encodings:
        encodings.append(Encoding.MEANS)
    if task.problem_type is not ProblemType.MULTICLASS or task.class_count <= MAX_STACKED_CLASSES:
        encodings.append(Encoding.STACKED)
    return tuple(encodings)


def _is_likely(setting: Hyperparameters, task: Task) -> bool:
    """
    Tell whether a setting may help; the sampler may try it in any case.

    Scores of a linear model help trees where it reads what they cannot: texts, or categories
    of many levels, whose means many rows make good enough. Balanced classes help metrics of
    classes.
    """
    are_levels_hard = task.has_encodings and not task.has_many_rows
    if setting["encoding"] == STACKED and not (task.has_texts or are_levels_hard):
        return False
    is_balanced = setting.get("class_weight") == "balanced"
    return not is_balanced or task.metric.kind is PredictionKind.CLASS


def _is_known(setting: Hyperparameters, space: Mapping[str, Dimension]) -> bool:
    """Tell whether all values of a setting are in the space, its rate aside."""
    for name, value in setting.items():
        dimension = space.get(name)
        if dimension is None or (isinstance(dimension, Choices) and value not in dimension.values):
            return False
    return True


def _fitted_to(setting: Hyperparameters, task: Task, rate: float) -> Hyperparameters:
    """Make the learning rate absolute; few rows have small leaves."""
    leaf = min(int(setting["min_data_in_leaf"]), max(task.row_count // LEAST_LEAVES, 1))
    absolute = min(max(rate * float(setting["learning_rate"]), 0.01), 0.3)
    return {**setting, "learning_rate": absolute, "min_data_in_leaf": leaf}
