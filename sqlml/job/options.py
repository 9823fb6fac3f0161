"""
The options of a statement, as the catalogue holds them → the plan of a search.

Owns how the JSON of options reads. The database has checked every value.
"""

import math
from collections.abc import Mapping
from typing import Any

from sqlml.enums import EstimatorName, ProblemType
from sqlml.search.leaderboard import TrialResult
from sqlml.search.plan import Asked, Given, Plan, PrunerName, SamplerName

PUBLISH_SHARE = 0.01
"""The part of the time limit that is kept for publishing, beside what a search keeps itself."""
PUBLISH_S = 0.1
METRIC_PARAMETERS = ("quantile", "tweedie_power")
UNLIMITED = "none"


SMALL_MODEL: Mapping[EstimatorName, Mapping[str, float]] = {
    EstimatorName.LIGHTGBM: {"num_leaves": 15, "learning_rate": 0.1},
    EstimatorName.EXTRA_TREES: {"max_leaf_nodes": 64},
}
"""Hyperparameters that stand, unless the statement has others, where models are run as SQL."""
SMALL_COST_S = 3e-6
"""What predicting a row may cost the extension in C, where SQL has to do it instead: some
hundred trees."""


def make_plan(
    options: Mapping[str, Any],
    *,
    small: bool,
    started: float,
    threads: int,
    finished: tuple[TrialResult, ...] = (),
) -> Plan:
    """
    Turn options into a plan for a model that, if `small`, is not too much for SQL.

    `started` is when the time limit began, on the monotonic clock.
    """
    hyperparameters = dict(options["hyperparameters"])
    problem_type = options.get("problem_type")
    estimators = options.get("estimators")
    for estimator, setting in SMALL_MODEL.items() if small else ():
        if estimators is None or estimator in estimators:
            hyperparameters = {**setting, **hyperparameters}
    cost = math.inf if options["predict_cost"] == UNLIMITED else float(options["predict_cost"])
    if small:
        cost = min(cost, SMALL_COST_S)
    return Plan(
        deadline=started + float(options["time_limit"]) * (1 - PUBLISH_SHARE) - PUBLISH_S,
        problem_type=ProblemType(problem_type) if problem_type else None,
        metric=options.get("metric"),
        metric_parameter=next((options[key] for key in METRIC_PARAMETERS if key in options), None),
        trials=get_int(options, "trials"),
        seed=int(options["seed"]),
        folds=get_int(options, "folds"),
        holdout=options.get("holdout"),
        estimators=tuple(EstimatorName(name) for name in estimators) if estimators else None,
        sampler=SamplerName(options["sampler"]),
        pruner=PrunerName(options["pruner"]),
        processes=get_int(options, "processes"),
        predict_cost_s=None if cost == math.inf else cost,
        is_plain=small,
        anytime=options["anytime"],
        threads=threads,
        hyperparameters={name: parse_asked(value) for name, value in hyperparameters.items()},
        finished=finished,
    )


def parse_asked(value: Any) -> Asked:
    """Read a value, {"range": [low, high]} or {"choice": [value, …]}."""
    match value:
        case {"range": [low, high]}:
            return Given(low, high)
        case {"choice": [*values]}:
            return tuple(values)
        case _:
            return value  # type: ignore[no-any-return]


def get_int(options: Mapping[str, Any], name: str) -> int | None:
    """Get a whole number, which JSON may hold as 3.0, or None where it is not given."""
    value = options.get(name)
    return None if value is None else int(value)
