"""
What a job tells whoever waits for it: one line for each thing worth knowing.
"""

from collections import Counter

import numpy as np

from sqlml.enums import EstimatorName, TrialState
from sqlml.extract.dataset import Dataset
from sqlml.search.leaderboard import Leaderboard
from sqlml.search.plan import Plan

SHOWN_DIGITS = 4
PLAIN = (1e-4, 1e9)
"""Between these, numbers are written without a power of ten."""


def describe_dataset(dataset: Dataset) -> str:
    """What was read, and what was left out."""
    read = _count(dataset.row_count, "row")
    parts = [f"read {read} with {_count(len(dataset.columns), 'column')}"]
    if dataset.sampled_from is not None:
        parts.append(f"a sample of {dataset.sampled_from}")
    if dataset.null_target_count:
        left_out = _count(dataset.null_target_count, "row")
        parts.append(f"left out {left_out} whose target is {dataset.target.unknown}")
    names: dict[str, list[str]] = {}
    for column in dataset.skipped:
        names.setdefault(column.reason, []).append(f'"{column.name}"')
    parts += [
        f"skipped {'column' if len(named) == 1 else 'columns'} {', '.join(named)}: {reason}"
        for reason, named in names.items()
    ]
    return "; ".join(parts)


def describe_resumption(finished_count: int) -> str:
    """That an earlier attempt at the job has left something."""
    return f"go on after {_count(finished_count, 'trial')} of an earlier attempt"


def describe_interim(number: int, leaderboard: Leaderboard) -> str:
    """That there is a model already."""
    score = f"{leaderboard.metric} {format_number(leaderboard.score)}"
    return f"version {number} answers from now on ({score}); the search goes on"


def describe_result(leaderboard: Leaderboard, plan: Plan, elapsed_s: float) -> str:
    """How good the model is, beside the baseline, and what it is made of."""
    cost_us = leaderboard.predict_cost_ns / 1000
    cost = f"{format_number(cost_us)} us a row"
    if plan.predict_cost_s is not None and cost_us > plan.predict_cost_s * 1e6:
        cost += f", more than predict_cost, {format_number(plan.predict_cost_s * 1e6)} us"
    parts = [
        f"{leaderboard.metric} {format_number(leaderboard.score)} ({_describe_range(leaderboard)})"
        f" by {_describe_members(leaderboard)}"
        f" after {_count(len(leaderboard.trials), 'trial')} in {elapsed_s:.1f} s",
        leaderboard.split,
        cost,
    ]
    if leaderboard.winner.estimator is EstimatorName.BASELINE:
        parts.append(f"the same answer for all rows, as {_explain_baseline(leaderboard, plan)}")
    return "; ".join(parts)


def format_number(number: float) -> str:
    """Write a number with four digits that count; 44650, not 4.465e+04."""
    if number == 0 or PLAIN[0] <= abs(number) < PLAIN[1]:
        return np.format_float_positional(
            number, precision=SHOWN_DIGITS, fractional=False, trim="-", unique=False
        )
    return f"{number:.{SHOWN_DIGITS}g}"


def _explain_baseline(leaderboard: Leaderboard, plan: Plan) -> str:
    """Why a model gives the same answer for all rows."""
    others = leaderboard.trials[1:]
    if plan.estimators == (EstimatorName.BASELINE,):
        return "estimators names the baseline only"
    if not others:
        return "there was no time for more: raise time_limit"
    if all(trial.state is TrialState.FAIL for trial in others):
        return "all other trials failed: sqlml.trials says why"
    return "nothing was better than that"


def _count(number: int, noun: str) -> str:
    """`1 row`, `2 rows`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _describe_range(leaderboard: Leaderboard) -> str:
    low, high = map(format_number, leaderboard.interval)
    return f"95 %: {low} to {high}; baseline {format_number(leaderboard.baseline_score)}"


def _describe_members(leaderboard: Leaderboard) -> str:
    """`lightgbm`, or `3 lightgbm and 1 linear`: as many trials as were blended."""
    estimators = {trial.number: trial.estimator for trial in leaderboard.trials}
    counts = Counter(estimators[member.number] for member in leaderboard.members)
    if sum(counts.values()) < 2:
        return leaderboard.winner.estimator
    return " and ".join(f"{count} {estimator}" for estimator, count in counts.most_common())
