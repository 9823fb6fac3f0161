"""
What a search reports while it runs and what it returns.
"""

from dataclasses import dataclass
from enum import StrEnum

import pyarrow as pa

from sqlml.enums import Direction, EstimatorName, ProblemType, TrialState
from sqlml.extract.dataset import SkippedColumn
from sqlml.search.arrays import F64
from sqlml.search.decisions import Decision
from sqlml.search.fitted import FittedModel

Hyperparameters = dict[str, str | int | float | bool]


class Phase(StrEnum):
    """Where a search is."""

    PREPARE = "prepare"
    SEARCH = "search"
    REFIT = "refit"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialResult:
    """One finished trial. The score is the mean over its folds, in the metric's own sign."""

    number: int
    estimator: EstimatorName
    hyperparameters: Hyperparameters
    state: TrialState
    score: float | None = None
    score_sd: float | None = None
    """Standard deviation over the folds; None when there is one fold only."""
    fit_time_s: float = 0.0
    predict_cost_ns: float | None = None
    """Estimated cost of a row's prediction by one of its fits, on one core."""
    error: str | None = None
    """Why it failed or was ended early."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A trial in the final model."""

    number: int
    weight: float
    fit_count: int
    """Fits that answer together: those of the folds, or one on all rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """One step of a search, for people to read."""

    phase: Phase
    message: str
    result: TrialResult | None = None
    """The trial that has just ended, if the step is one."""
    best_score: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaderboard:
    """The trials of a search, the model that won and how good it is."""

    problem_type: ProblemType
    metric: str
    direction: Direction
    trials: tuple[TrialResult, ...]
    """In the order in which they ran; number 0 is the baseline."""
    winner: TrialResult
    """The trial with the largest weight."""
    members: tuple[Member, ...]
    """The trials that the model blends, largest weight first."""
    model: FittedModel
    predict_cost_ns: float
    """Estimated cost of a row's prediction on one core."""
    score: float
    """On rows that the winner did not see; `split` says which."""
    interval: tuple[float, float]
    """95 % interval of the score."""
    baseline_score: float
    """The baseline's on the same rows."""
    split: str
    train_row_count: int
    """Rows that the returned model was fitted on."""
    holdout_row_count: int
    decisions: tuple[Decision, ...]
    """What became of each column, and why."""
    checked_rows: pa.Table
    """At most 1000 rows, of the holdout when there is one."""
    checked_scores: F64
    """The estimator's own raw scores on `checked_rows`, shape (rows, outputs)."""

    @property
    def skipped(self) -> tuple[SkippedColumn, ...]:
        """The columns that gave no feature, and why."""
        return tuple(
            SkippedColumn(each.column, each.type_name, each.reason)
            for each in self.decisions
            if not each.features
        )

    @property
    def ranking(self) -> tuple[TrialResult, ...]:
        """The complete trials, best first; of equal ones the earlier first."""
        return rank(self.trials, self.direction)


def rank(trials: tuple[TrialResult, ...], direction: Direction) -> tuple[TrialResult, ...]:
    """Sort the complete trials, best first; of equal ones the earlier first."""
    complete = [trial for trial in trials if trial.state is TrialState.COMPLETE]
    sign = -1.0 if direction is Direction.MAXIMIZE else 1.0
    return tuple(sorted(complete, key=lambda trial: sign * score_of(trial)))


def score_of(trial: TrialResult) -> float:
    """Get the score of a complete trial."""
    if trial.score is None:
        raise ValueError(f"trial {trial.number} has no score")
    return trial.score
