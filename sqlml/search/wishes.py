"""
What a user says of hyperparameters, applied to the spaces and portfolios of the estimators.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np

from sqlml.enums import EstimatorName, ProblemType
from sqlml.errors import OptionNotUsable
from sqlml.search.cost import MASK_LEAVES
from sqlml.search.estimators import ESTIMATORS
from sqlml.search.estimators.estimator import Choice, Task
from sqlml.search.estimators.goal import asked_goal_space, usable_losses
from sqlml.search.leaderboard import Hyperparameters
from sqlml.search.plan import Asked, Given
from sqlml.search.space import Choices, Dimension, Range

TREES = Range(low=1, high=10_000, is_log=True, is_integer=True)
PLACES = {
    EstimatorName.LINEAR: (0.0, 4.0),
    EstimatorName.LIGHTGBM: (0.5, 1.0),
    EstimatorName.EXTRA_TREES: (2.1, 5.0),
}
"""Where an estimator's first setting comes in the order of all, and how far apart the next are."""
LATE_LINEAR = (3.0, 10.0)
"""Where many rows show what linear models miss, and make each of them take long."""
EARLY_FORESTS = (1.1, 5.0)
"""Of classes forests know what boosting does not; of numbers they seldom do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """The space of one estimator under a user's wishes."""

    dimensions: Mapping[str, Dimension]
    fixed: Hyperparameters

    def complete(self, hyperparameters: Hyperparameters) -> Hyperparameters:
        """Bring a setting into the space: the nearest values, and the fixed ones."""
        near = {
            name: nearest(dimension, hyperparameters.get(name))
            for name, dimension in self.dimensions.items()
        }
        return {**hyperparameters, **near, **self.fixed}


def make_spaces(
    estimators: tuple[EstimatorName, ...], task: Task, asked: Mapping[str, Asked]
) -> dict[EstimatorName, Space]:
    """Narrow the estimators' spaces. A name that none of them has is refused."""
    whole = {
        name: {**unsearched(name, task), **ESTIMATORS[name].space(task)} for name in estimators
    }
    known = {each for dimensions in whole.values() for each in dimensions}
    for name, wish in asked.items():
        if name not in known:
            raise _unknown(name, known)
        if name == "objective":
            _check_objective(task, wish)
    return {
        name: _narrow(ESTIMATORS[name].space(task), dimensions, asked)
        for name, dimensions in whole.items()
    }


def focus(
    spaces: Mapping[EstimatorName, Space],
    asked: Mapping[str, Asked],
    rate: float,
    *,
    is_cheap: bool,
) -> dict[EstimatorName, Space]:
    """
    Draw boosted trees near what training and prediction can afford, where users leave it to us.

    `is_cheap` says that predictions have a limit: trees of more leaves would leave room for few.
    """
    near: dict[str, Dimension] = {
        "learning_rate": Range(low=rate / 2, high=min(3 * rate, 0.3), is_log=True)
    }
    if is_cheap:
        near["num_leaves"] = Range(low=4, high=MASK_LEAVES, is_log=True, is_integer=True)
    focused = dict(spaces)
    if EstimatorName.LIGHTGBM in spaces:
        space = spaces[EstimatorName.LIGHTGBM]
        dimensions = {
            name: dimension if name in asked else near.get(name, dimension)
            for name, dimension in space.dimensions.items()
        }
        focused[EstimatorName.LIGHTGBM] = Space(dimensions=dimensions, fixed=space.fixed)
    return focused


def make_portfolio(
    spaces: Mapping[EstimatorName, Space], task: Task, rate: float
) -> Iterator[Choice]:
    """Interleave the estimators' portfolios: each kind early. None comes twice."""
    placed: list[tuple[float, EstimatorName, Hyperparameters]] = []
    for name in spaces:
        first, step = _find_places(name, task)
        for index, each in enumerate(ESTIMATORS[name].portfolio(task, rate)):
            placed.append((first + step * index, name, each))
    seen: list[Choice] = []
    for _, name, each in sorted(placed, key=lambda entry: entry[0]):
        choice = Choice(estimator=name, hyperparameters=spaces[name].complete(each))
        if choice not in seen:
            seen.append(choice)
            yield choice


def _find_places(name: EstimatorName, task: Task) -> tuple[float, float]:
    """Find where an estimator's first setting comes, and how far apart the next are."""
    if name is EstimatorName.LINEAR and task.has_many_rows:
        return LATE_LINEAR
    if name is EstimatorName.EXTRA_TREES and task.problem_type is not ProblemType.REGRESSION:
        return EARLY_FORESTS
    return PLACES[name]


def nearest(
    dimension: Dimension, value: str | int | float | bool | None
) -> str | int | float | bool:
    """Find the value of a dimension that is nearest; without a value one in its middle."""
    if isinstance(dimension, Choices):
        if value in dimension.values:
            return next(each for each in dimension.values if each == value)
        numbers = [float(each) for each in dimension.values if isinstance(each, (int, float))]
        if len(numbers) < len(dimension.values) or not isinstance(value, (int, float)):
            return dimension.values[0]
        return dimension.values[int(np.argmin(np.abs(np.array(numbers) - value)))]
    low, high = dimension.low, dimension.high
    if not isinstance(value, (int, float)):
        value = (low * high) ** 0.5 if dimension.is_log else (low + high) / 2
    near = min(max(float(value), low), high)
    return round(near) if dimension.is_integer else near


def unsearched(estimator: EstimatorName, task: Task) -> Mapping[str, Dimension]:
    """Get the hyperparameters that trials choose only where a user speaks of them."""
    if estimator is EstimatorName.BASELINE:
        return {}
    goal = asked_goal_space(task)
    if estimator is EstimatorName.EXTRA_TREES:
        goal.pop("objective", None)
    return {**goal, **({"num_trees": TREES} if estimator is EstimatorName.LIGHTGBM else {})}


def _narrow(
    searched: Mapping[str, Dimension],
    dimensions: Mapping[str, Dimension],
    asked: Mapping[str, Asked],
) -> Space:
    """Replace the dimensions that a user speaks of; what is one value only is fixed."""
    left: dict[str, Dimension] = {}
    fixed: Hyperparameters = {}
    for name, dimension in dimensions.items():
        wish = asked.get(name)
        if wish is None:
            if name in searched:
                left[name] = dimension
        elif isinstance(wish, Given):
            left[name] = _within(name, dimension, wish)
        elif isinstance(wish, tuple):
            left[name] = Choices(wish)
        else:
            fixed[name] = wish
    return Space(dimensions=left, fixed=fixed)


def _within(name: str, dimension: Dimension, wish: Given) -> Dimension:
    """Give a dimension the bounds that a user wants."""
    if isinstance(dimension, Choices):
        values = ", ".join(str(value) for value in dimension.values)
        raise OptionNotUsable(
            f'hyperparameter "{name}" is not a range',
            detail=f"Its values are {values}.",
            hint=f"Write {name} = CHOICE(...), or one value.",
        )
    return Range(
        low=wish.low,
        high=wish.high,
        is_log=dimension.is_log and wish.low > 0,
        is_integer=dimension.is_integer,
    )


def _check_objective(task: Task, wish: Asked) -> None:
    """Raise where a user asks for a loss that the target's values do not have."""
    usable = usable_losses(task)
    for value in wish if isinstance(wish, tuple) else (wish,):
        if isinstance(value, str) and value not in usable:
            raise OptionNotUsable(
                f'objective "{value}" does not suit the target',
                detail=f"Objectives: {', '.join(usable)}.",
                hint="poisson and tweedie need numbers from 0 up, gamma numbers above 0.",
            )


def _unknown(name: str, known: set[str]) -> OptionNotUsable:
    """Say that no estimator has a hyperparameter of this name."""
    close = get_close_matches(name, known, n=1)
    return OptionNotUsable(
        f'no estimator of this search has a hyperparameter "{name}"',
        detail=f"Hyperparameters: {', '.join(sorted(known))}.",
        hint=f'Did you mean "{close[0]}"?'
        if close
        else "Leave it out: it is for another problem type, target or estimator.",
    )
