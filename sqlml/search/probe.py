"""
How fast boosting goes on this sample, and what there is time for.
"""

import time
from dataclasses import dataclass

from sqlml.enums import EstimatorName
from sqlml.search.bench import Bench
from sqlml.search.crew import Crew
from sqlml.search.estimators import ESTIMATORS
from sqlml.search.orders import FitOrder

PROBE_ROUNDS = 5
PROBE_SHARE = 0.15
MAX_PROBE_SHARE = 0.5
"""Filling the bins cannot be ended but by killing the process, and then was in vain."""
MIN_PROBE_TIME_S = 1.0
USUAL_RATE = 0.06
SLOWEST_RATE, FASTEST_RATE = 0.03, 0.12
ROUNDS_TIMES_RATE = 15.0
"""Early stopping usually ends a fit after this many rounds, divided by the rate."""
WISHED_TRIALS = 12


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


def usual_pace(bench: Bench) -> Pace:
    """What is done where nothing is measured."""
    return Pace(rate=USUAL_RATE, fold_count=len(bench.folds))


def measure_pace(bench: Bench, crew: Crew, end: float) -> Pace:
    """Measure some rounds of boosting on the first fold, and choose rate and folds by it."""
    started = time.monotonic()
    left_s = end - started
    if left_s < MIN_PROBE_TIME_S:
        return Pace(rate=FASTEST_RATE, fold_count=len(bench.folds))
    until = started + PROBE_SHARE * left_s
    usual = ESTIMATORS[EstimatorName.LIGHTGBM].portfolio(bench.task, FASTEST_RATE)[0]
    orders = [
        FitOrder(
            name="probe",
            estimator=EstimatorName.LIGHTGBM,
            hyperparameters=usual,
            until=until,
            fold=0,
            rounds=rounds,
            is_probe=True,
        )
        # The first one also fills the bins.
        for rounds in (1, PROBE_ROUNDS)
    ]
    killed_at = started + MAX_PROBE_SHARE * left_s
    answers = [crew.fit_all([order], killed_at)[0] for order in orders]
    last = answers[-1]
    if last is None or last.rounds is None:
        # Either it takes ages, or the trials will meet the same error, and tell it.
        is_slow = time.monotonic() >= killed_at
        return Pace(rate=FASTEST_RATE, fold_count=len(bench.folds), is_slow=is_slow)
    return choose_pace(bench, last.took_s / last.rounds, end - time.monotonic())


def choose_pace(bench: Bench, round_s: float, left_s: float) -> Pace:
    """Choose what is affordable where a round takes so long on a fold."""
    processes = bench.process_count
    trial_s = max(left_s, 0.0) * processes / WISHED_TRIALS
    fastest_s = round_s * ROUNDS_TIMES_RATE / FASTEST_RATE
    fold_count = min(max(int(trial_s / fastest_s), 1), len(bench.folds))
    if bench.plan.folds is not None or bench.held_count == 0:
        fold_count = len(bench.folds)
    affordable = round_s * ROUNDS_TIMES_RATE * fold_count / max(trial_s, 1e-9)
    # Two digits, as nobody wants to read more.
    rate = float(f"{min(max(affordable, SLOWEST_RATE), FASTEST_RATE):.2g}")
    return Pace(
        rate=rate,
        fold_count=fold_count,
        fold_time_s=round_s * ROUNDS_TIMES_RATE / rate,
        is_slow=trial_s < fastest_s,
    )
