"""
Weights for a blend of candidates: ensemble selection from a library of models.

Caruana, Niculescu-Mizil, Crew and Ksikes, "Ensemble selection from libraries of models",
ICML 2004: start from the best candidate, then add again and again, with replacement, the one
with which the average scores best. A candidate is its out-of-fold predictions: probabilities,
shape (rows, classes), or numbers, shape (rows,). All candidates predict the same rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import log_expit

from sqlml.enums import ProblemType
from sqlml.search.additions import SQUARED_METRICS, make_additions
from sqlml.search.arrays import F64, I64
from sqlml.search.fitted import Blend
from sqlml.search.metrics import METRICS, Metric, mean
from sqlml.search.scores import predicted

MAX_STEPS = 30
"""So that a weight is 3 % or more. 100 steps were no better on the test tables."""
MAX_ROWS = 20_000
"""Where scores have no short cut, the weights are chosen on so many rows at most."""
CROSS_FIT_FOLDS = 5
SAME_SCORE = 1e-9
"""Scores that differ by less than this share of themselves are equal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """Candidates to blend, and how blends are judged."""

    raws: tuple[F64, ...]
    """Out-of-fold raw scores, shape (rows, outputs); responses of a regression."""
    problem_type: ProblemType
    truth: F64
    weight: F64 | None
    metric: Metric
    costs: F64
    """What a prediction costs by each candidate."""
    limit: float
    """What a prediction may cost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ensemble:
    """A blend with its weights, which add up to 1."""

    weights: F64
    blend: Blend
    predicted: F64
    """Out-of-fold predictions by blends whose weights other rows have chosen: probabilities or
    numbers. Their score is an honest one."""


def choose_ensemble(library: Library) -> Ensemble:
    """
    Choose weights, and whether raw scores or responses are blended.

    Raw scores of two classes are blended where that scores better on rows that did not
    choose the weights. On the test tables it did with two classes only, and not for metrics
    of classes.
    """
    metric, terms = library.metric, (library.costs, library.limit)
    truth, weight = library.truth, library.weight
    responses = [predicted(library.problem_type, raw) for raw in library.raws]
    fitted = cross_fit(responses, truth, weight, metric, *terms)
    metric_of_raw = RAW_METRICS.get(metric.name)
    if library.problem_type is ProblemType.BINARY and metric_of_raw is not None:
        raws = [np.column_stack([-raw, raw]) for raw in library.raws]
        by_raw = cross_fit(raws, truth, weight, metric_of_raw, *terms)
        from_raw = predicted(library.problem_type, by_raw[:, 1:])
        if metric.is_better(
            metric.score(truth, from_raw, weight), metric.score(truth, fitted, weight)
        ):
            weights = select_weights(raws, truth, weight, metric_of_raw, *terms)
            return Ensemble(weights=weights, blend=Blend.RAW, predicted=from_raw)
    weights = select_weights(responses, truth, weight, metric, *terms)
    return Ensemble(weights=weights, blend=Blend.RESPONSE, predicted=fitted)


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
    A candidate with a prediction that is not finite gets nothing; `ValueError` where all
    have one.
    """
    costs = np.zeros(len(candidates)) if costs is None else np.asarray(costs, dtype=np.float64)
    limit = np.inf if limit is None else limit
    usable = np.array([bool(np.isfinite(candidate).all()) for candidate in candidates])
    if not usable.any():
        raise ValueError("no candidate has finite predictions only")
    limit = max(limit, float(costs[usable].min()))
    places = np.flatnonzero(usable & (costs <= limit)).tolist()
    if truth.size > MAX_ROWS and metric.name not in SQUARED_METRICS:
        rows = _draw_rows(truth, MAX_ROWS)
        truth, weight = truth[rows], None if weight is None else weight[rows]
        library = [candidates[place][rows] for place in places]
    else:
        library = [candidates[place] for place in places]
    additions = make_additions(library, truth, weight, metric)
    chosen = np.zeros(len(candidates))
    best_score, best = -np.inf, chosen
    for _ in range(MAX_STEPS):
        spent = costs[chosen > 0].sum()
        can_pay = (chosen[places] > 0) | (spent + costs[places] <= limit)
        index, score = _best_addition(additions.scores(), costs[places], can_pay)
        additions.add(index)
        chosen = chosen.copy()
        chosen[places[index]] += 1
        if not best.any() or score > best_score + SAME_SCORE * abs(score):
            best_score, best = score, chosen
    return np.asarray(best / best.sum())


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
    predictions = np.empty_like(candidates[0])
    for fold in np.unique(folds):
        own = np.flatnonzero(folds == fold)
        others = np.flatnonzero(folds != fold) if own.size < truth.size else own
        weights = select_weights(
            [candidate[others] for candidate in candidates],
            truth[others],
            None if weight is None else weight[others],
            metric,
            costs,
            limit,
        )
        predictions[own] = blend([candidate[own] for candidate in candidates], weights)
    return predictions


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


def _raw_log_loss(truth: F64, scores: F64, weight: F64 | None) -> float:
    """Log loss of two classes by the raw scores of the first and the second."""
    margins = np.where(truth == 1, scores[:, 1], scores[:, 0])
    return -mean(log_expit(margins), weight)


RAW_METRICS = {
    # A rank is the same by a raw score as by its probability.
    "roc_auc": METRICS["roc_auc"],
    "pr_auc": METRICS["pr_auc"],
    "log_loss": replace(METRICS["log_loss"], name="raw_log_loss", function=_raw_log_loss),
}
"""Metrics of two classes as functions of raw scores, the first class's with the sign turned."""


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
