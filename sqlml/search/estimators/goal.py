"""
What a fit minimises: the loss that suits the metric, the link, and what each row counts.

Owns the choice of losses and their names as hyperparameters. An absolute error as a share of
the truth is an absolute error of rows weighted by the inverse of it; balanced classes are
weights too, and what these do to the log odds is taken back (Elkan 2001).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from sqlml.enums import ProblemType
from sqlml.search.arrays import F64
from sqlml.search.estimators.estimator import Task, default_link
from sqlml.search.estimators.unit import make_unit
from sqlml.search.fitted import Link
from sqlml.search.leaderboard import Hyperparameters
from sqlml.search.metrics import SMALLEST_MEAN, PredictionKind
from sqlml.search.space import Choices, Dimension

SKEWED = 0.75
"""From this skew on a target is worth logarithms and losses of counts."""


class Loss(StrEnum):
    """What is minimised, on average over the rows."""

    LOGISTIC = "logistic"
    SQUARED = "squared"
    ABSOLUTE = "absolute"
    HUBER = "huber"
    QUANTILE = "quantile"
    POISSON = "poisson"
    TWEEDIE = "tweedie"
    GAMMA = "gamma"


OF_LOGARITHM = frozenset({Loss.POISSON, Loss.TWEEDIE, Loss.GAMMA})
"""Losses of raw scores that are logarithms of the mean."""
LOSSES = {
    "mae": (Loss.ABSOLUTE, Loss.HUBER),
    "median_ae": (Loss.ABSOLUTE, Loss.HUBER),
    "mape": (Loss.ABSOLUTE,),
    "pinball": (Loss.QUANTILE,),
    "poisson_deviance": (Loss.POISSON,),
}
"""Losses by metric, the usual one first; squared errors where nothing is said."""
USUAL_POWER = 1.5
MEDIAN = 0.5
BALANCE = Choices(("none", "balanced"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What one fit minimises."""

    loss: Loss
    link: Link
    parameter: float = 0.0
    """Alpha of QUANTILE, power of TWEEDIE."""
    is_share: bool = False
    """Whether errors count as shares of the truth."""
    is_balanced: bool = False
    """Whether all classes count the same."""
    is_corrected: bool = False
    """Whether what balancing does to the log odds is taken back."""

    def learnt(self, target: F64) -> F64:
        """Turn target values into the numbers to learn."""
        return np.log1p(target) if self.link is Link.EXPM1 else target

    def weights(self, target: F64, weight: F64 | None) -> F64 | None:
        """Weigh rows, to a mean of 1; None: all the same."""
        if self.is_share:
            # A truth of 0 has no share, and the smallest ones are not to rule alone.
            sizes = np.abs(target)
            known = sizes[sizes > 0]
            floor = np.quantile(known, 0.01) if known.size else 1.0
            factors = np.where(sizes > 0, floor / np.maximum(sizes, floor), 0.0)
        elif self.is_balanced:
            factors = np.exp(-self.log_shares(target, weight))[target.astype(np.int64)]
        else:
            return weight
        weights = factors if weight is None else factors * weight
        total = weights.sum()
        return weights * (weights.size / total) if total > 0 else weight

    def log_shares(self, target: F64, weight: F64 | None, class_count: int = 0) -> F64:
        """Compute the logarithm of the share of each class, against their mean."""
        sums = np.bincount(target.astype(np.int64), weight, minlength=class_count)
        mean = sums[sums > 0].mean()
        return np.asarray(np.log(np.where(sums > 0, sums, mean) / mean), dtype=np.float64)


def goal_space(task: Task) -> dict[str, Dimension]:
    """Get the hyperparameters that choose a goal."""
    space: dict[str, Dimension] = {}
    losses = _losses(task)
    if len(losses) > 1:
        space["objective"] = Choices(tuple(loss.value for loss in losses))
    if _may_be_logarithmic(task):
        space["log_target"] = Choices((False, True))
    if task.facts.is_imbalanced:
        space["class_weight"] = BALANCE
    return space


def asked_goal_space(task: Task) -> dict[str, Dimension]:
    """Get the hyperparameters of a goal that there are where a user speaks of them."""
    if task.problem_type is not ProblemType.REGRESSION:
        return {"class_weight": BALANCE}
    space: dict[str, Dimension] = {"objective": Choices(tuple(map(str, usable_losses(task))))}
    if task.facts.is_nonnegative:
        space["log_target"] = Choices((False, True))
    return space


def usable_losses(task: Task) -> tuple[Loss, ...]:
    """Get the losses that a regression's target has, whether or not they suit the metric."""
    losses = [Loss.SQUARED, Loss.ABSOLUTE, Loss.HUBER, Loss.QUANTILE]
    if task.facts.is_nonnegative:
        losses += [Loss.POISSON, Loss.TWEEDIE]
    if task.facts.is_positive:
        losses.append(Loss.GAMMA)
    return tuple(losses)


def make_goal(task: Task, hyperparameters: Mapping[str, object]) -> Goal:
    """Read the goal from hyperparameters; `log_target` means nothing to losses of logarithms."""
    if task.problem_type is not ProblemType.REGRESSION:
        is_balanced = hyperparameters.get("class_weight") == "balanced"
        is_corrected = is_balanced and task.metric.kind is not PredictionKind.CLASS
        return Goal(
            loss=Loss.LOGISTIC,
            link=default_link(task),
            is_balanced=is_balanced,
            is_corrected=is_corrected,
        )
    loss = Loss(str(hyperparameters.get("objective", _losses(task)[0])))
    has_logarithm = hyperparameters.get("log_target", task.metric.name == "rmsle")
    if loss in OF_LOGARITHM:
        link = Link.EXP
    else:
        link = Link.EXPM1 if has_logarithm and task.facts.is_nonnegative else Link.IDENTITY
    return Goal(
        loss=loss,
        link=link,
        parameter=_parameter(task, loss),
        # A logarithm's error is a share already.
        is_share=task.metric.name == "mape" and link is Link.IDENTITY,
    )


def small_target(task: Task, goal: Goal, target: F64) -> F64:
    """Get the classes, or the numbers to learn in a unit of their own."""
    if task.problem_type is not ProblemType.REGRESSION:
        return target
    learnt = goal.learnt(target)
    return make_unit(learnt).learnt(learnt)


def some_counts(label: F64) -> F64:
    """Let labels of a loss of logarithms that are all 0 be tiny: 0 has no logarithm."""
    return label if label.any() else np.full_like(label, SMALLEST_MEAN)


def goal_defaults(task: Task) -> Hyperparameters:
    """Get the usual goal as hyperparameters."""
    defaults: Hyperparameters = {}
    for name, dimension in goal_space(task).items():
        if isinstance(dimension, Choices):
            defaults[name] = dimension.values[0]
    return defaults


def _parameter(task: Task, loss: Loss) -> float:
    """Get the metric's parameter where the loss has the same one, else the usual one."""
    value = task.metric.parameter
    if loss is Loss.QUANTILE:
        return MEDIAN if value is None or task.metric.name != "pinball" else value
    is_power = value is not None and task.metric.name == "tweedie_deviance" and 1 < value < 2
    return value if value is not None and is_power else USUAL_POWER


def _losses(task: Task) -> tuple[Loss, ...]:
    """Get the losses that suit a task, the usual one first."""
    if task.problem_type is not ProblemType.REGRESSION:
        return (Loss.LOGISTIC,)
    name, facts = task.metric.name, task.facts
    if name == "tweedie_deviance":
        special = {1.0: Loss.POISSON, 2.0: Loss.GAMMA}
        return (special.get(task.metric.parameter or USUAL_POWER, Loss.TWEEDIE),)
    if name in ("rmse", "r2") and facts.is_nonnegative and facts.skew > SKEWED:
        return (Loss.SQUARED, Loss.POISSON, Loss.TWEEDIE)
    return LOSSES.get(name, (Loss.SQUARED,))


def _may_be_logarithmic(task: Task) -> bool:
    """Tell whether the logarithm of a target is worth a try, or the metric is one of it."""
    if task.problem_type is not ProblemType.REGRESSION or not task.facts.is_nonnegative:
        return False
    if _losses(task)[0] in OF_LOGARITHM or task.metric.name == "rmsle":
        return False
    return task.facts.skew > SKEWED
