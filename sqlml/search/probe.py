"""
How fast boosting goes on this sample, and what there is time for.
"""

import time
from dataclasses import dataclass, replace

from sqlml.enums import EstimatorName
from sqlml.search.bench import Bench
from sqlml.search.crew import Crew
from sqlml.search.estimators import ESTIMATORS
from sqlml.search.estimators.boosting import PATIENCE
from sqlml.search.estimators.estimator import Choice, Task
from sqlml.search.orders import FitAnswer, FitOrder

PROBE_SHARE, SHORT_PROBE_SHARE = 0.12, 0.06
"""The short one is for where there are few trials."""
MAX_PROBE_SHARE = 0.5
"""Filling the bins cannot be ended but by killing the process, and then was in vain."""
MIN_PROBE_TIME_S = 1.0
USUAL_RATE = 0.06
SLOWEST_RATE, FASTEST_RATE = 0.03, 0.15
ROUNDS_TIMES_RATE = 15.0
"""Where nothing else is known, early stopping ends a fit after so many rounds, divided by
the rate. It is a hundred where a target can be learnt nearly without error."""
CUT_GROWTH = 1.5
"""A probe that time has cut would have gone on for so many times its rounds."""
SLOWER_GROWTH = 1.5
"""Slower rates go this much further than the probe's, their rounds multiplied by the rate."""
WISHED_TRIALS = 12
FEW_TRIALS, LEAST_TRIALS = 6, 2
"""Wished for, and made do with, where there is one fold: what many rows bear is worth more than
one more setting, and samples say less of it."""
ENOUGH_ROUNDS = 0.5
"""This share of the rounds of an unhurried fit bring most of what all do. A rate that would leave
predictions less is raised; one that is raised further loses more than it gains."""
MAX_RATE = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """What a search can afford."""

    rate: float
    """Learning rate of the usual settings."""
    fold_count: int
    fold_time_s: float = 0.0
    """Seconds of a usual fit of one fold; 0 where it was not measured."""
    is_slow: bool = False
    """Whether there is no time for the portfolio on all rows."""
    rounds_times_rate: float = 0.0
    """Boosting rounds after which early stopping ends a fit, times its rate; 0: not measured."""


def usual_pace(bench: Bench) -> Pace:
    """What is done where nothing is measured."""
    return Pace(rate=USUAL_RATE, fold_count=len(bench.folds))


def first_choice(task: Task) -> Choice:
    """Get the usual setting, at the fastest rate."""
    boosting = ESTIMATORS[EstimatorName.LIGHTGBM]
    return Choice(
        estimator=boosting.name, hyperparameters=boosting.portfolio(task, FASTEST_RATE)[0]
    )


def measure_pace(bench: Bench, crew: Crew, end: float, max_rounds: int) -> Pace:
    """Fit the first fold once, fast, and choose rate and folds by it."""
    started = time.monotonic()
    left_s = end - started
    if left_s < MIN_PROBE_TIME_S:
        return Pace(rate=FASTEST_RATE, fold_count=len(bench.folds))
    probe_s = left_s * (PROBE_SHARE if len(bench.folds) > 1 else SHORT_PROBE_SHARE)
    killed_at = started + MAX_PROBE_SHARE * left_s
    usual = first_choice(bench.task)
    answer: FitAnswer | None = None
    # The first one fills the bins; the other stops early.
    for limit in (1, None):
        until = time.monotonic() + probe_s
        answer = crew.fit_all([_order(usual, until, limit)], killed_at)[0]
    if answer is None or not answer.rounds:
        # Either it takes ages, or the trials will meet the same error, and tell it.
        is_slow = time.monotonic() >= until
        return Pace(rate=FASTEST_RATE, fold_count=len(bench.folds), is_slow=is_slow)
    rate = float(usual.hyperparameters["learning_rate"])
    patience = 0 if answer.is_cut else PATIENCE / rate
    rounds: float = answer.rounds
    if answer.is_cut:
        rounds = max(rounds * CUT_GROWTH, ROUNDS_TIMES_RATE / rate)
    speed = Speed(
        round_s=answer.took_s / (answer.rounds + patience),
        rounds_times_rate=rounds * rate * SLOWER_GROWTH,
    )
    return choose_pace(bench, speed, end - time.monotonic(), max_rounds)


def _order(choice: Choice, until: float, rounds: int | None) -> FitOrder:
    """Order a fit that leaves no files."""
    return FitOrder(
        name="probe",
        estimator=choice.estimator,
        hyperparameters=choice.hyperparameters,
        until=until,
        fold=0,
        rounds=rounds,
        is_probe=True,
    )


@dataclass(frozen=True, slots=True)
class Speed:
    """How fast boosting goes, and how far."""

    round_s: float
    rounds_times_rate: float


def choose_pace(bench: Bench, speed: Speed, left_s: float, max_rounds: int) -> Pace:
    """Choose what is affordable in training and in prediction."""
    has_one = len(bench.folds) == 1
    wished, least = (FEW_TRIALS, LEAST_TRIALS) if has_one else (WISHED_TRIALS, WISHED_TRIALS)
    # Several processes run more trials side by side, of the size that one would choose.
    left_s = max(left_s, 0.0)
    trial_s = left_s / wished
    work_s = speed.round_s * (speed.rounds_times_rate + PATIENCE)
    fastest_s = work_s / FASTEST_RATE
    fold_count = min(max(int(trial_s / fastest_s), 1), len(bench.folds))
    if bench.plan.folds is not None or bench.held_count == 0:
        fold_count = len(bench.folds)
    affordable = work_s * fold_count / max(trial_s, 1e-9)
    affordable = max(affordable, speed.rounds_times_rate / max_rounds)
    # Two digits, as nobody wants to read more.
    rate = float(f"{min(max(affordable, SLOWEST_RATE), FASTEST_RATE):.2g}")
    return Pace(
        rate=rate,
        fold_count=fold_count,
        fold_time_s=work_s / rate,
        is_slow=left_s / least < fastest_s,
        rounds_times_rate=speed.rounds_times_rate / SLOWER_GROWTH,
    )


def hastened(choice: Choice, pace: Pace, max_rounds: int) -> Choice:
    """Raise a learning rate that would need more rounds than predictions can afford."""
    rate = choice.hyperparameters.get("learning_rate")
    if rate is None:
        return choice
    least = min(float(f"{ENOUGH_ROUNDS * pace.rounds_times_rate / max_rounds:.2g}"), MAX_RATE)
    hyperparameters = {**choice.hyperparameters, "learning_rate": max(float(rate), least)}
    return replace(choice, hyperparameters=hyperparameters)
