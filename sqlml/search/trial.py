"""
One trial: cross-validation of one choice, within its time.
"""

import time
from dataclasses import dataclass, field

import numpy as np

from sqlml.enums import Direction, TrialState
from sqlml.search.bench import Bench
from sqlml.search.estimators.estimator import Choice, Fit, Order, OutOfTime
from sqlml.search.leaderboard import TrialResult
from sqlml.search.split import Fold

HOPELESS_SD = 0.5
"""A first fold worse than the best trial's by more than this many of its standard
deviations ends a trial: on the same rows luck differs little."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What came out of a trial, and what a fit on more rows needs to know."""

    result: TrialResult
    fold_scores: tuple[float, ...] = ()
    rounds: float | None = None
    """Boosting rounds that were best, on average."""
    fold_time_s: float = 0.0
    """Seconds that one fold took."""
    fit: Fit | None = None
    """The fit of the first fold; kept for the best trial only."""
    is_out_of_time: bool = False
    """Whether there was no time left to cross-validate the choice."""


@dataclass(slots=True)
class _Run:
    """What a trial has found so far."""

    state: TrialState = TrialState.COMPLETE
    error: str | None = None
    scores: list[float] = field(default_factory=list)
    rounds: list[int] = field(default_factory=list)
    first: Fit | None = None
    is_out_of_time: bool = False


def run_trial(
    bench: Bench,
    folds: tuple[Fold, ...],
    number: int,
    choice: Choice,
    until: float,
    best: Evaluation | None,
) -> Evaluation:
    """Cross-validate a choice; a fit that raises fails the trial, not the search."""
    started = time.monotonic()
    run = _Run()
    try:
        _cross_validate(bench, folds, choice, until, best, run)
    except OutOfTime as reason:
        run.state, run.error, run.is_out_of_time = TrialState.FAIL, str(reason), True
    except Exception as reason:
        run.state, run.error = TrialState.FAIL, f"{type(reason).__name__}: {reason}"
    score, score_sd = _mean_and_deviation([each for each in run.scores if not np.isnan(each)])
    if run.state is not TrialState.FAIL and score is None:
        run.state, run.error = TrialState.FAIL, "the metric is not defined on the validation rows"
    took_s = time.monotonic() - started
    result = TrialResult(
        number=number,
        estimator=choice.estimator,
        hyperparameters=choice.hyperparameters,
        state=run.state,
        score=score,
        score_sd=score_sd,
        fit_time_s=took_s,
        error=run.error,
    )
    return Evaluation(
        result=result,
        fold_scores=tuple(run.scores),
        rounds=float(np.mean(run.rounds)) if run.rounds else None,
        fold_time_s=took_s / max(len(run.scores), 1),
        fit=run.first,
        is_out_of_time=run.is_out_of_time,
    )


def _cross_validate(
    bench: Bench,
    folds: tuple[Fold, ...],
    choice: Choice,
    until: float,
    best: Evaluation | None,
    run: _Run,
) -> None:
    """Fit and score fold by fold; each may take its part of the time that is left."""
    sample = bench.searched.sample
    fitter = bench.searched.fitter(choice.estimator)
    for index, fold in enumerate(folds):
        now = time.monotonic()
        slot = (until - now) / (len(folds) - index)
        order = Order(until=now + slot, train=fold.train, valid=fold.valid)
        fit = fitter.fit(choice.hyperparameters, order)
        run.scores.append(bench.score(fit, sample.rows.take(fold.valid), sample.target[fold.valid]))
        run.first = run.first or fit
        if fit.rounds is not None:
            run.rounds.append(fit.rounds)
        if index == 0 < len(folds) - 1 and _is_hopeless(bench, run.scores[0], best):
            run.state = TrialState.PRUNED
            return


def _mean_and_deviation(scores: list[float]) -> tuple[float | None, float | None]:
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


def _is_hopeless(bench: Bench, score: float, best: Evaluation | None) -> bool:
    """Tell whether a first fold rules out that the trial wins."""
    if best is None or best.result.score_sd is None:
        return False
    margin = HOPELESS_SD * best.result.score_sd
    if bench.metric.direction is Direction.MAXIMIZE:
        return score < best.fold_scores[0] - margin
    return score > best.fold_scores[0] + margin
