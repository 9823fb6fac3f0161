"""
Which trials end before their last fold.

Optuna's pruners judge by the trials that had been told of when the trial was asked for, not
by what ran beside it: so the same seed ends the same trials with any number of processes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import optuna

from sqlml.enums import Direction
from sqlml.search.plan import PrunerName

MAX_KNOWN = 100
STUDY = "sqlml"
"""Hyperband draws a trial's bracket from the study's name, which must not be random."""


@dataclass(slots=True)
class Pruner:
    """The pruner of a search, with what it has seen."""

    name: PrunerName
    direction: Direction
    fold_count: int
    startup_trials: int
    known: list[optuna.trial.FrozenTrial] = field(default_factory=list)
    _rungs: dict[int, Mapping[str, Any]] = field(default_factory=dict)

    def tell(self, number: int, scores: tuple[float, ...]) -> None:
        """Remember a trial that has ended."""
        values = _means(scores)
        if values:
            self.known.append(_freeze(values, self._rungs.pop(number, {}), is_running=False))

    def is_lost(self, number: int, known_count: int, scores: tuple[float, ...]) -> bool:
        """Tell whether to end a trial that began when so many were known."""
        values = _means(scores)
        if self.name is PrunerName.NONE or not values or len(scores) == self.fold_count:
            return False
        study = optuna.create_study(
            study_name=STUDY,
            direction=self.direction.value,
            sampler=optuna.samplers.RandomSampler(seed=0),
        )
        study.add_trials(self.known[max(known_count - MAX_KNOWN, 0) : known_count])
        study.add_trial(_freeze(values, self._rungs.get(number, {}), is_running=True))
        is_lost = self._pruner().prune(study, study.get_trials()[-1])
        self._rungs[number] = study.get_trials()[-1].system_attrs
        return bool(is_lost)

    def _pruner(self) -> optuna.pruners.BasePruner:
        """Make Optuna's pruner; its resource is a fold."""
        match self.name:
            case PrunerName.HYPERBAND:
                return optuna.pruners.HyperbandPruner(
                    min_resource=1, max_resource=max(self.fold_count, 2), reduction_factor=2
                )
            case PrunerName.ASHA:
                return optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=2)
            case _:
                return optuna.pruners.MedianPruner(n_startup_trials=self.startup_trials)


def _means(scores: tuple[float, ...]) -> dict[int, float]:
    """Average the folds up to each; the number of folds is the step."""
    if not scores or not np.isfinite(scores).all():
        return {}
    with np.errstate(over="ignore"):
        means = np.cumsum(scores) / np.arange(1, len(scores) + 1)
    return {step: float(mean) for step, mean in enumerate(means, start=1)}


def _freeze(
    values: dict[int, float], rungs: Mapping[str, Any], *, is_running: bool
) -> optuna.trial.FrozenTrial:
    """Write a trial down in Optuna's form."""
    states = optuna.trial.TrialState
    return optuna.trial.create_trial(
        state=states.RUNNING if is_running else states.COMPLETE,
        value=None if is_running else values[max(values)],
        intermediate_values=values,
        system_attrs=dict(rungs),
    )
