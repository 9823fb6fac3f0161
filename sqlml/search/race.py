"""
A race on samples of the rows, where the portfolio on all rows is too dear.

Successive halving (Jamieson and Talwalkar 2016): all settings on few rows, the better third
on three times as many; what is left goes into the search in the order of the finish.
"""

import math
import time

import numpy as np

from sqlml.search.bench import Bench
from sqlml.search.crew import Crew
from sqlml.search.estimators.estimator import Choice
from sqlml.search.orders import FitOrder
from sqlml.search.probe import Pace
from sqlml.search.sampler import Sampler

RACE_SHARE = 0.12
"""Each of the two rounds takes at most this share of the time."""
MIN_ROWS = 2_000
SURVIVORS = 1 / 3


def race(bench: Bench, crew: Crew, sampler: Sampler, pace: Pace, end: float) -> None:
    """Let the portfolio race; the losers leave it, the others are sorted."""
    entrants = sampler.waiting
    row_count = bench.folds[0].train.size
    round_s = RACE_SHARE * (end - time.monotonic())
    processes = bench.process_count
    full_s = pace.fold_time_s * len(entrants) / processes
    if len(entrants) < 2 or full_s <= 0 or row_count < 2 * MIN_ROWS:
        return
    share = max(round_s / full_s, MIN_ROWS / row_count)
    if share >= 1:
        return
    places = _run(bench, crew, entrants, share, round_s)
    keep = max(math.ceil(len(entrants) * SURVIVORS), 2)
    best = sorted(places, key=lambda index: places[index])[:keep]
    survivors = tuple(entrants[index] for index in best)
    if len(survivors) < 2:
        return
    share = min(3 * share, 1.0)
    finish = _run(bench, crew, survivors, share, round_s)
    sampler.drop(tuple(each for each in entrants if each not in survivors))
    waiting = sampler.waiting
    sampler.reorder({waiting.index(survivors[index]): place for index, place in finish.items()})


def _run(
    bench: Bench, crew: Crew, entrants: tuple[Choice, ...], share: float, round_s: float
) -> dict[int, float]:
    """Fit all on a share of the rows; what each scored, smaller being better."""
    until = time.monotonic() + round_s
    slot_s = 2 * round_s / len(entrants)
    orders = [
        FitOrder(
            name=f"race_{share:.3g}_{index}",
            estimator=entrant.estimator,
            hyperparameters=entrant.hyperparameters,
            until=min(time.monotonic() + slot_s * (index + 1), until),
            fold=0,
            share=share,
        )
        for index, entrant in enumerate(entrants)
    ]
    places: dict[int, float] = {}
    for index, answer in enumerate(crew.fit_all(orders, until)):
        if answer is None:
            continue
        name = orders[index].name
        shown = bench.predicted(crew.folder.read_raw(name, "valid"), answer.link)
        crew.folder.raw_path(name, "valid").unlink()
        score = bench.score(shown, bench.folds[0].valid)
        if np.isfinite(score):
            places[index] = -bench.metric.sign * score
    return places
