"""
What to try next: a portfolio in a fixed order, then Optuna's TPE.

Owns the Optuna study, which lives in memory for one search.
"""

from collections.abc import Iterator

import optuna

from sqlml.enums import EstimatorName, TrialState
from sqlml.search.estimators import ESTIMATORS
from sqlml.search.estimators.estimator import Choice, Task
from sqlml.search.leaderboard import Hyperparameters, TrialResult
from sqlml.search.plan import Plan
from sqlml.search.space import Choices, Dimension

STATES = {
    TrialState.COMPLETE: optuna.trial.TrialState.COMPLETE,
    TrialState.PRUNED: optuna.trial.TrialState.PRUNED,
    TrialState.FAIL: optuna.trial.TrialState.FAIL,
}


class Sampler:
    """Chooses estimator and hyperparameters of each trial."""

    def __init__(self, plan: Plan, estimators: tuple[EstimatorName, ...], task: Task, rate: float):
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._estimators = estimators
        self._fixed = plan.hyperparameters
        self._task = task
        self._study = optuna.create_study(
            direction=task.metric.direction.value,
            sampler=optuna.samplers.TPESampler(seed=plan.seed),
        )
        for choice in _portfolio(task, rate):
            if choice.estimator in estimators:
                self._study.enqueue_trial(_named(choice))

    def ask(self) -> tuple[optuna.Trial, Choice]:
        """Choose what to try; the trial is to be told."""
        trial = self._study.ask()
        names = tuple(estimator.value for estimator in self._estimators)
        estimator = EstimatorName(trial.suggest_categorical("estimator", names))
        hyperparameters = self._draw(trial, estimator)
        if estimator is EstimatorName.LIGHTGBM:
            hyperparameters |= self._fixed
        return trial, Choice(estimator=estimator, hyperparameters=hyperparameters)

    def _draw(self, trial: optuna.Trial, estimator: EstimatorName) -> Hyperparameters:
        """Draw an estimator's hyperparameters from its space."""
        space = ESTIMATORS[estimator].space(self._task)
        return {
            name: _suggest(trial, f"{estimator}_{name}", dimension)
            for name, dimension in space.items()
        }

    def tell(self, trial: optuna.Trial, result: TrialResult) -> None:
        """Learn how a trial ended."""
        if result.state is TrialState.PRUNED and result.score is not None:
            trial.report(result.score, step=0)
        value = result.score if result.state is TrialState.COMPLETE else None
        self._study.tell(trial, value, state=STATES[result.state])


def _suggest(trial: optuna.Trial, name: str, dimension: Dimension) -> str | int | float | bool:
    """Draw one value."""
    if isinstance(dimension, Choices):
        return trial.suggest_categorical(name, dimension.values)  # type: ignore[return-value]
    if dimension.is_integer:
        low, high = int(dimension.low), int(dimension.high)
        return trial.suggest_int(name, low, high, log=dimension.is_log)
    return trial.suggest_float(name, dimension.low, dimension.high, log=dimension.is_log)


def _portfolio(task: Task, rate: float) -> Iterator[Choice]:
    """Interleave the estimators' portfolios: both kinds early, then the trees."""
    lines, trees = (
        [
            Choice(estimator=name, hyperparameters=each)
            for each in ESTIMATORS[name].portfolio(task, rate)
        ]
        for name in (EstimatorName.LINEAR, EstimatorName.LIGHTGBM)
    )
    yield from (lines[0], trees[0], *lines[1:], *trees[1:])


def _named(choice: Choice) -> dict[str, str | int | float]:
    """Name a choice's values as they are drawn."""
    named = {f"{choice.estimator}_{key}": each for key, each in choice.hyperparameters.items()}
    return {"estimator": choice.estimator.value, **named}
