"""
One trial: cross-validation of one choice, fold by fold.

Owns what a trial has found so far and what becomes of it. Does not wait and does not fit.
"""

import time
from dataclasses import dataclass, field

import numpy as np

from sqlml.enums import TrialState
from sqlml.search.bench import Bench
from sqlml.search.estimators.estimator import Choice
from sqlml.search.leaderboard import TrialResult
from sqlml.search.metrics import Metric
from sqlml.search.orders import FitAnswer, FitOrder

HOPELESS_SHARE = 0.08
"""
A first fold ends a trial where it falls behind the best trial of the same estimator by more
than this share of what that one gains over the baseline: on the same rows luck differs
little, and what is nearly as good may still help an ensemble.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What came out of a trial, and what later fits of its choice need to know."""

    result: TrialResult
    choice: Choice
    fold_scores: tuple[float, ...] = ()
    answers: tuple[FitAnswer, ...] = ()
    is_out_of_time: bool = False
    """Whether there was no time left to cross-validate the choice."""

    @property
    def number(self) -> int:
        """The trial's number."""
        return self.result.number

    @property
    def rounds(self) -> float | None:
        """Boosting rounds that were best, on average."""
        rounds = [each.rounds for each in self.answers if each.rounds is not None]
        return float(np.mean(rounds)) if rounds else None

    @property
    def fold_time_s(self) -> float:
        """Seconds that one fold took."""
        return float(np.mean([each.took_s + each.keep_s for each in self.answers] or [0.0]))

    @property
    def fit_names(self) -> tuple[str, ...]:
        """The names of the fits of the folds."""
        return tuple(fit_name(self.number, fold) for fold in range(len(self.answers)))


@dataclass(slots=True, kw_only=True)
class Trial:
    """A trial under way."""

    number: int
    choice: Choice
    fold_count: int
    until: float
    known_count: int
    """Trials that had been told of when this one was asked for."""
    max_rounds: int | None = None
    """Boosting rounds that predictions can afford."""
    max_cost_ns: float | None = None
    """What a fit may cost a prediction."""
    started: float = field(default_factory=time.monotonic)
    scores: list[float] = field(default_factory=list)
    answers: list[FitAnswer] = field(default_factory=list)

    @property
    def slot_s(self) -> float:
        """Seconds that the next fold may take."""
        left = self.fold_count - len(self.scores)
        return max(self.until - time.monotonic(), 0.0) / max(left, 1)

    @property
    def left_share(self) -> float:
        """The share of the trial's time that is left."""
        left_s = max(self.until - time.monotonic(), 0.0)
        return left_s / max(self.until - self.started, 1e-9)

    def next_order(self) -> FitOrder:
        """Order the fit of the next fold."""
        fold = len(self.scores)
        return FitOrder(
            name=fit_name(self.number, fold),
            estimator=self.choice.estimator,
            hyperparameters=self.choice.hyperparameters,
            until=time.monotonic() + self.slot_s,
            fold=fold,
            max_rounds=self.max_rounds,
            max_cost_ns=self.max_cost_ns,
        )

    def finish(
        self, state: TrialState, error: str | None = None, *, is_out_of_time: bool = False
    ) -> Evaluation:
        """Sum up. A trial without any score has failed."""
        score, score_sd = mean_and_deviation([each for each in self.scores if not np.isnan(each)])
        if state is not TrialState.FAIL and score is None:
            state, error = TrialState.FAIL, "the metric is not defined on the validation rows"
        result = TrialResult(
            number=self.number,
            estimator=self.choice.estimator,
            hyperparameters=self.choice.hyperparameters,
            state=state,
            score=score,
            score_sd=score_sd,
            fit_time_s=time.monotonic() - self.started,
            error=error,
        )
        return Evaluation(
            result=result,
            choice=self.choice,
            fold_scores=tuple(self.scores),
            answers=tuple(self.answers),
            is_out_of_time=is_out_of_time,
        )


def fit_name(number: int, fold: int | None) -> str:
    """Name the files of a fit."""
    return f"{number}_all" if fold is None else f"{number}_{fold}"


def is_hopeless(
    score: float, best: Evaluation | None, baseline: Evaluation, metric: Metric
) -> bool:
    """Tell whether a first fold's score rules out that the trial helps; `best` is complete."""
    if best is None or not np.isfinite(score):
        return False
    gain = metric.sign * (best.fold_scores[0] - baseline.fold_scores[0])
    behind = metric.sign * (best.fold_scores[0] - score)
    return bool(gain > 0 and behind > HOPELESS_SHARE * gain)


def mean_and_deviation(scores: list[float]) -> tuple[float | None, float | None]:
    """Average scores, in a unit in which huge ones do not overflow."""
    if not scores:
        return None, None
    largest = max(scores, key=abs)
    if not np.isfinite(largest):
        return largest, None
    unit = abs(largest) or 1.0
    scaled = np.array(scores) / unit
    deviation = float(scaled.std() * unit) if scaled.size > 1 else None
    return float(scaled.mean() * unit), deviation


def rank_evaluations(bench: Bench, evaluations: list[Evaluation]) -> list[Evaluation]:
    """
    Sort the complete trials, best first.

    The baseline competes only where the plan leaves the estimators to us; otherwise it is
    the last resort.
    """
    complete = [each for each in evaluations if each.result.state is TrialState.COMPLETE]
    chosen = bench.plan.estimators

    def place(each: Evaluation) -> tuple[bool, float]:
        is_last_resort = chosen is not None and each.result.estimator not in chosen
        return is_last_resort, -bench.metric.sign * (each.result.score or 0.0)

    return sorted(complete, key=place)
