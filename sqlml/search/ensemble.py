"""
Weights for a blend of candidates: ensemble selection from a library of models.

Caruana, Niculescu-Mizil, Crew and Ksikes, "Ensemble selection from libraries of models",
ICML 2004: start from the best candidate, then add again and again, with replacement, the one
with which the average scores best. A candidate is its out-of-fold predictions: probabilities,
shape (rows, classes), or numbers, shape (rows,).
"""

from collections.abc import Sequence

import numpy as np

from sqlml.search.additions import make_additions
from sqlml.search.arrays import F64, I64
from sqlml.search.metrics import Metric

MAX_STEPS = 30
SMALLEST_WEIGHT = 0.02
MAX_ROWS = 20_000
"""Where scores have no short cut, the weights are chosen on so many rows at most."""
CROSS_FIT_FOLDS = 5
SAME_SCORE = 1e-9
"""Scores that differ by less than this share of themselves are equal."""


def select_weights(
    candidates: Sequence[F64],
    truth: F64,
    weight: F64 | None,
    metric: Metric,
    costs: F64 | None = None,
    limit: float | None = None,
) -> F64:
    """
    Choose the candidates' weights, which add up to 1.

    `costs` (of each candidate that has a weight, added up) stay within `limit` where one
    candidate does; else the cheapest is all there is. Of equal scores the cheaper counts.
    """
    costs = np.zeros(len(candidates)) if costs is None else np.asarray(costs, dtype=np.float64)
    limit = np.inf if limit is None else limit
    chosen = np.zeros(len(candidates), dtype=np.int64)
    if costs.min() > limit:
        chosen[np.argmin(costs)] = 1
        return chosen.astype(np.float64)
    additions = make_additions(candidates, truth, weight, metric)
    best_score, best = -np.inf, chosen
    for _ in range(MAX_STEPS):
        spent = costs[chosen > 0].sum()
        can_pay = (chosen > 0) | (spent + costs <= limit)
        index, score = _best_addition(additions.scores(), costs, can_pay)
        additions.add(index)
        chosen = chosen.copy()
        chosen[index] += 1
        if score > best_score + SAME_SCORE * abs(score) or not best.any():
            best_score, best = score, chosen
    weights = best / best.sum()
    weights[weights < SMALLEST_WEIGHT] = 0.0
    return np.asarray(weights / weights.sum(), dtype=np.float64)


def blend(candidates: Sequence[F64], weights: F64) -> F64:
    """Add up the candidates with a weight."""
    used = np.flatnonzero(weights)
    total = weights[used[0]] * candidates[used[0]]
    for index in used[1:]:
        total += weights[index] * candidates[index]
    return np.asarray(total)


def cross_fit(
    candidates: Sequence[F64],
    truth: F64,
    weight: F64 | None,
    metric: Metric,
    costs: F64 | None = None,
    limit: float | None = None,
) -> F64:
    """
    Predict each row with a blend whose weights other rows have chosen.

    The score of these predictions is that of the selection as a whole, without the gain
    from judging weights on the rows that chose them.
    """
    folds = deal(truth)
    predicted = np.empty_like(candidates[0])
    for fold in range(int(folds.max()) + 1):
        others, own = folds != fold, folds == fold
        weights = select_weights(
            [candidate[others] for candidate in candidates],
            truth[others],
            None if weight is None else weight[others],
            metric,
            costs,
            limit,
        )
        predicted[own] = blend([candidate[own] for candidate in candidates], weights)
    return predicted


def deal(truth: F64) -> I64:
    """Number the parts of a cross-fit: neighbours in the order of the truth are apart."""
    order = np.random.default_rng(0).permutation(truth.size)
    order = order[np.argsort(truth[order], kind="stable")]
    folds = np.empty(truth.size, dtype=np.int64)
    folds[order] = np.arange(truth.size) % CROSS_FIT_FOLDS
    return folds


def _best_addition(scores: F64, costs: F64, can_pay: np.ndarray) -> tuple[int, float]:
    """Find the best candidate that can be paid; of equal ones the cheapest."""
    scores = np.where(can_pay & ~np.isnan(scores), scores, -np.inf)
    best = scores.max()
    equal = np.flatnonzero(scores >= best - SAME_SCORE * abs(best))
    return int(equal[np.argmin(costs[equal])]), float(best)
