"""
What to try next: a portfolio in a fixed order, then Optuna's TPE.

Owns the Optuna study, which lives in memory for one search.
"""

from collections.abc import Iterator

import optuna

from sqlml.enums import Direction, EstimatorName, TrialState
from sqlml.search.estimators import lightgbm, linear
from sqlml.search.estimators.estimator import Choice
from sqlml.search.leaderboard import TrialResult
from sqlml.search.plan import Plan

STATES = {
    TrialState.COMPLETE: optuna.trial.TrialState.COMPLETE,
    TrialState.PRUNED: optuna.trial.TrialState.PRUNED,
    TrialState.FAIL: optuna.trial.TrialState.FAIL,
}
SUGGEST = {EstimatorName.LINEAR: linear.suggest, EstimatorName.LIGHTGBM: lightgbm.suggest}


class Sampler:
    """Chooses estimator and hyperparameters of each trial."""

    def __init__(
        self, plan: Plan, estimators: tuple[EstimatorName, ...], direction: Direction, rate: float
    ):
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._estimators = estimators
        self._fixed = plan.hyperparameters
        self._study = optuna.create_study(
            direction=direction.value, sampler=optuna.samplers.TPESampler(seed=plan.seed)
        )
        for choice in _portfolio(rate):
            if choice.estimator in estimators:
                self._study.enqueue_trial(_named(choice))

    def ask(self) -> tuple[optuna.Trial, Choice]:
        """Choose what to try; the trial is to be told."""
        trial = self._study.ask()
        names = tuple(estimator.value for estimator in self._estimators)
        estimator = EstimatorName(trial.suggest_categorical("estimator", names))
        hyperparameters = SUGGEST[estimator](trial)
        if estimator is EstimatorName.LIGHTGBM:
            hyperparameters |= self._fixed
        return trial, Choice(estimator=estimator, hyperparameters=hyperparameters)

    def tell(self, trial: optuna.Trial, result: TrialResult) -> None:
        """Learn how a trial ended."""
        if result.state is TrialState.PRUNED and result.score is not None:
            trial.report(result.score, step=0)
        value = result.score if result.state is TrialState.COMPLETE else None
        self._study.tell(trial, value, state=STATES[result.state])


def _portfolio(rate: float) -> Iterator[Choice]:
    """Interleave the estimators' portfolios: both kinds early, then the trees."""
    lines = [
        Choice(estimator=EstimatorName.LINEAR, hyperparameters=each) for each in linear.PORTFOLIO
    ]
    trees = [
        Choice(estimator=EstimatorName.LIGHTGBM, hyperparameters=each)
        for each in lightgbm.portfolio(rate)
    ]
    yield from (lines[0], trees[0], *lines[1:], *trees[1:])


def _named(choice: Choice) -> dict[str, str | int | float]:
    """Name a choice's values as the suggest functions do."""
    prefix = "linear_" if choice.estimator is EstimatorName.LINEAR else ""
    named = {f"{prefix}{key}": value for key, value in choice.hyperparameters.items()}
    return {"estimator": choice.estimator.value, **named}
