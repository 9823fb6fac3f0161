"""
Weights for a blend of candidates: ensemble selection from a library of models.

Caruana, Niculescu-Mizil, Crew and Ksikes, "Ensemble selection from libraries of models",
ICML 2004: start from the best candidate, then add again and again, with replacement, the one
with which the average scores best. Where not all can be paid, the best is often not in the best
affordable blend; where steps take next to nothing each candidate is a start. A candidate is its
out-of-fold predictions: probabilities, shape (rows, classes), or numbers, shape (rows,). All
candidates predict the same rows.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from scipy.special import softmax

from sqlml.search.additions import (
    RAW_LOG_LOSS,
    SQUARED_METRICS,
    Additions,
    SquaredAdditions,
    make_additions,
)
from sqlml.search.arrays import F64, I64
from sqlml.search.metrics import Metric, PredictionKind, mean

MAX_STEPS = 30
"""So that a weight is 3 % or more. 100 steps were no better on the test tables."""
MAX_ROWS, MAX_CELLS, MIN_ROWS = 20_000, 40_000, 2_000
"""Where scores have no short cut, the weights are chosen on so many rows at most, or on so
many probabilities, but on some rows at least."""
RANK_METRICS = frozenset({"roc_auc", "pr_auc"})
CROSS_FIT_FOLDS = 5
SAME_SCORE = 1e-9
"""Scores that differ by less than this share of themselves are equal."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Allowance:
    """What a blend may cost, and how long it may be looked for."""

    costs: F64 | None = None
    """Of each candidate; those of the candidates that have a weight add up."""
    limit: float = math.inf
    until: float = math.inf
    """`time.monotonic()` from which no step follows the first."""


FREE = Allowance()


def select_weights(
    candidates: Sequence[F64],
    truth: F64,
    weight: F64 | None,
    metric: Metric,
    allowance: Allowance = FREE,
) -> F64:
    """
    Choose the candidates' weights, which add up to 1.

    Costs stay within the limit where one candidate does; else the cheapest is all there is. Of
    equal scores the cheaper counts. A candidate with a prediction that is not finite gets
    nothing; `ValueError` where all have one.
    """
    costs = np.zeros(len(candidates)) if allowance.costs is None else allowance.costs
    usable = np.array([bool(np.isfinite(candidate).all()) for candidate in candidates])
    if not usable.any():
        raise ValueError("no candidate has finite predictions only")
    limit = max(allowance.limit, float(costs[usable].min()))
    places = np.flatnonzero(usable & (costs <= limit)).tolist()
    count = _affordable_rows(candidates[0], metric)
    if truth.size > count:
        rows = _draw_rows(truth, count)
        truth, weight = truth[rows], None if weight is None else weight[rows]
        library = [candidates[place][rows] for place in places]
    else:
        library = [candidates[place] for place in places]
    additions = make_additions(library, truth, weight, metric)
    affordable = replace(allowance, costs=costs[places], limit=limit)
    best_score, best = _climb(additions, affordable)
    if isinstance(additions, SquaredAdditions) and costs[places].sum() > limit:
        for first in range(len(places)):
            score, chosen = _climb(additions.restarted(), affordable, first)
            if score > best_score + SAME_SCORE * abs(score):
                best_score, best = score, chosen
    weights = np.zeros(len(candidates))
    weights[places] = best / best.sum()
    return weights


def _climb(
    additions: Additions, allowance: Allowance, first: int | None = None
) -> tuple[float, F64]:
    """
    Add the best candidate again and again: the best score on the way, and how often each is in it.

    Begins with the `first`, or with the best that can be paid.
    """
    costs = np.asarray(allowance.costs)
    chosen = np.zeros(costs.size)
    best_score, best = -np.inf, chosen
    for _ in range(MAX_STEPS):
        can_pay = (chosen > 0) | (costs[chosen > 0].sum() + costs <= allowance.limit)
        if first is not None and not chosen.any():
            can_pay = np.arange(costs.size) == first
        index, score = _best_addition(additions.scores(), costs, can_pay)
        additions.add(index)
        chosen = chosen.copy()
        chosen[index] += 1
        if not best.any() or score > best_score + SAME_SCORE * abs(score):
            best_score, best = score, chosen
        if time.monotonic() > allowance.until:
            break
    return best_score, best


def cross_fit(
    candidates: Sequence[F64],
    truth: F64,
    weight: F64 | None,
    metric: Metric,
    allowance: Allowance = FREE,
) -> F64:
    """
    Predict each row with a blend whose weights other rows have chosen.

    The score of these predictions is that of the selection as a whole, without the gain
    from judging weights on the rows that chose them.
    """
    folds = deal(truth)
    predictions = np.empty_like(candidates[0])
    for fold in np.unique(folds):
        own = np.flatnonzero(folds == fold)
        others = np.flatnonzero(folds != fold) if own.size < truth.size else own
        weights = select_weights(
            [candidate[others] for candidate in candidates],
            truth[others],
            None if weight is None else weight[others],
            metric,
            allowance,
        )
        predictions[own] = blend([candidate[own] for candidate in candidates], weights)
    return predictions


def select_raw_weights(
    raws: Sequence[F64],
    truth: F64,
    weight: F64 | None,
    metric: Metric,
    allowance: Allowance = FREE,
) -> F64:
    """
    Choose weights as `select_weights` does, for a blend of raw scores, shape (rows, outputs).

    A regression's are numbers that are scored as they are.
    """
    candidates, of_raw = _view_raws(raws, metric)
    return select_weights(candidates, truth, weight, of_raw, allowance)


def cross_fit_raw(
    raws: Sequence[F64],
    truth: F64,
    weight: F64 | None,
    metric: Metric,
    allowance: Allowance = FREE,
) -> F64:
    """Blend raw scores, shape (rows, outputs), as `cross_fit` blends predictions."""
    candidates, of_raw = _view_raws(raws, metric)
    blended = cross_fit(candidates, truth, weight, of_raw, allowance)
    return blended[:, -raws[0].shape[1] :] if blended.ndim == 2 else blended[:, None]


def _view_raws(raws: Sequence[F64], metric: Metric) -> tuple[list[F64], Metric]:
    """Turn raw scores into candidates, and the metric into one that scores these."""
    if metric.kind is PredictionKind.NUMBER:
        return [raw[:, 0] for raw in raws], metric
    is_binary = raws[0].shape[1] == 1
    if is_binary and metric.name in RANK_METRICS:
        # Ranks by the raw score are those by the probability.
        return [np.column_stack([-raw, raw]) for raw in raws], metric
    candidates = [np.column_stack([np.zeros_like(raw), raw]) if is_binary else raw for raw in raws]
    if metric.kind is PredictionKind.CLASS:
        # The largest raw score is of the most likely class.
        return candidates, metric
    if metric.name == "log_loss":
        return candidates, replace(metric, name=RAW_LOG_LOSS, function=_raw_log_loss)
    function = partial(_score_raw, metric)
    return candidates, replace(metric, name=f"raw_{metric.name}", function=function)


def _score_raw(metric: Metric, truth: F64, raw: F64, weight: F64 | None) -> float:
    """Score the probabilities of raw scores, one for each class."""
    return metric.score(truth, np.asarray(softmax(raw, axis=1)), weight)


def _raw_log_loss(truth: F64, raw: F64, weight: F64 | None) -> float:
    """Log loss of raw scores, one for each class; as by probabilities, in less time."""
    shifted = raw - raw.max(axis=1, keepdims=True)
    of_truth = np.take_along_axis(shifted, truth.astype(np.int64)[:, None], axis=1)[:, 0]
    return mean(np.log(np.exp(shifted).sum(axis=1)) - of_truth, weight)


def blend(candidates: Sequence[F64], weights: F64) -> F64:
    """Add up the candidates with a weight."""
    used = np.flatnonzero(weights)
    total = weights[used[0]] * candidates[used[0]]
    for index in used[1:]:
        total += weights[index] * candidates[index]
    return np.asarray(total)


def deal(truth: F64) -> I64:
    """Number the parts of a cross-fit: neighbours in the order of the truth are apart."""
    folds = np.empty(truth.size, dtype=np.int64)
    folds[_spread(truth)] = np.arange(truth.size) % CROSS_FIT_FOLDS
    return folds


def _affordable_rows(candidate: F64, metric: Metric) -> int:
    """Tell how many rows there is time for: each step scores each candidate on them."""
    if metric.name in SQUARED_METRICS:
        return len(candidate)
    if candidate.ndim == 1 or metric.name == "log_loss":
        return MAX_ROWS
    return int(max(MIN_ROWS, min(MAX_ROWS, MAX_CELLS // candidate.shape[1])))


def _draw_rows(truth: F64, count: int) -> I64:
    """Draw rows with the distribution of the truth, ascending."""
    places = np.linspace(0, truth.size - 1, count).astype(np.int64)
    return np.sort(_spread(truth)[places])


def _spread(truth: F64) -> I64:
    """Sort rows by truth, at random where that is the same."""
    order = np.random.default_rng(0).permutation(truth.size)
    return np.asarray(order[np.argsort(truth[order], kind="stable")])


def _best_addition(scores: F64, costs: F64, can_pay: np.ndarray) -> tuple[int, float]:
    """Find the best candidate that can be paid; of equal ones the cheapest."""
    scores = np.where(can_pay & ~np.isnan(scores), scores, -np.inf)
    best = scores.max()
    equal = np.flatnonzero(can_pay & (scores >= best - SAME_SCORE * abs(best)))
    if not equal.size:
        # The score does not exist: the cheapest will do.
        equal = np.flatnonzero(can_pay)
    return int(equal[np.argmin(costs[equal])]), float(best)
