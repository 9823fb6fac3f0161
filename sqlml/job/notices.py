"""
What a job tells whoever waits for it: one line for each thing worth knowing.
"""

from collections import Counter

import numpy as np

from sqlml.enums import EstimatorName
from sqlml.extract.dataset import Dataset
from sqlml.search.leaderboard import Leaderboard

SHOWN_DIGITS = 4
PLAIN = (1e-4, 1e9)
"""Between these, numbers are written without a power of ten."""


def describe_dataset(dataset: Dataset) -> str:
    """What was read, and what was left out."""
    parts = [f"read {dataset.row_count} rows with {len(dataset.columns)} columns"]
    if dataset.sampled_from is not None:
        parts.append(f"a sample of {dataset.sampled_from}")
    if dataset.null_target_count:
        parts.append(f"left out {dataset.null_target_count} rows without a target")
    parts += [f'skipped column "{column.name}": {column.reason}' for column in dataset.skipped]
    return "; ".join(parts)


def describe_resumption(finished_count: int) -> str:
    """That an earlier attempt at the job has left something."""
    return f"go on after {finished_count} trials of an earlier attempt"


def describe_interim(number: int, leaderboard: Leaderboard) -> str:
    """That there is a model already."""
    score = f"{leaderboard.metric} {format_number(leaderboard.score)}"
    return f"version {number} answers from now on ({score}); the search goes on"


def describe_result(leaderboard: Leaderboard, elapsed_s: float) -> str:
    """How good the model is, beside the baseline, and what it is made of."""
    parts = [
        f"{leaderboard.metric} {format_number(leaderboard.score)} ({_describe_range(leaderboard)})"
        f" by {_describe_members(leaderboard)}"
        f" after {len(leaderboard.trials)} trials in {elapsed_s:.1f} s",
        leaderboard.split,
        f"{format_number(leaderboard.predict_cost_ns / 1000)} us a row",
    ]
    if leaderboard.winner.estimator is EstimatorName.BASELINE:
        parts.append(_describe_baseline(len(leaderboard.trials)))
    return "; ".join(parts)


def format_number(number: float) -> str:
    """Write a number with four digits that count; 44650, not 4.465e+04."""
    if number == 0 or PLAIN[0] <= abs(number) < PLAIN[1]:
        return np.format_float_positional(
            number, precision=SHOWN_DIGITS, fractional=False, trim="-", unique=False
        )
    return f"{number:.{SHOWN_DIGITS}g}"


def _describe_baseline(trial_count: int) -> str:
    """Why a model gives the same answer for all rows."""
    if trial_count == 1:
        return "the same answer for all rows, as there was no time for more: raise time_limit"
    return "the same answer for all rows, as nothing was better than that"


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
