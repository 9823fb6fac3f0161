"""
The last fits: the winner's score on rows it did not see, and the model to keep.
"""

import math
import time
from dataclasses import dataclass

from sqlml.enums import EstimatorName
from sqlml.search.bench import Bench, Rows, make_rows
from sqlml.search.encoder import encode
from sqlml.search.estimators.estimator import Fit, Order, OutOfTime
from sqlml.search.fitted import FittedModel, LinearPart
from sqlml.search.leaderboard import Leaderboard, score_of
from sqlml.search.trial import Evaluation

MAX_CHECKED_ROWS = 1000
LAST_WORDS_S = 0.1
CAREFUL = 1.2
"""A fit is taken to need this much longer than the last one did."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """A trial's choice, fitted on encoded rows or, for want of time, on a part of them."""

    evaluation: Evaluation
    fit: Fit
    rows: Rows
    row_count: int
    took_s: float


def refit_winner(
    bench: Bench, ranked: list[Evaluation], evaluations: tuple[Evaluation, ...]
) -> Leaderboard:
    """Fit the best trial that can still be fitted, score it, and fit it on all rows."""
    fitted = _fit_best(bench, ranked)
    winner = fitted.evaluation.result
    if bench.held.size:
        score, baseline_score = _holdout_scores(bench, fitted.fit)
        fitted = _fit_on_everything(bench, fitted) or fitted
    else:
        score, baseline_score = score_of(winner), score_of(evaluations[0].result)
    checked = (bench.held if bench.held.size else bench.used)[:MAX_CHECKED_ROWS]
    checked_rows = bench.dataset.table.take(checked)
    return Leaderboard(
        problem_type=bench.target.problem_type,
        metric=bench.metric.name,
        direction=bench.metric.direction,
        trials=tuple(each.result for each in evaluations),
        winner=winner,
        model=_make_model(bench, fitted),
        score=score,
        baseline_score=baseline_score,
        split=_describe_split(bench, fitted.row_count),
        train_row_count=fitted.row_count,
        holdout_row_count=int(bench.held.size),
        skipped=fitted.rows.skipped,
        checked_rows=checked_rows,
        checked_scores=fitted.fit.raw(encode(fitted.rows.sample.features, checked_rows)),
    )


def _fit_best(bench: Bench, ranked: list[Evaluation]) -> Fitted:
    """
    Fit the best trial on the rows of the search.

    If the time ends that, the model of the trial's first fold, which saw fewer rows but
    has all its trees, stands in; without one, the next trial.
    """
    rows = bench.searched
    for evaluation in ranked:
        started = time.monotonic()
        try:
            fit = _fit(bench, evaluation, rows)
        except OutOfTime:
            fit = None
        of_fold = evaluation.fit
        if of_fold is not None and (fit is None or _has_more_trees(of_fold, fit)):
            return Fitted(evaluation, of_fold, rows, bench.folds[0].train.size, math.inf)
        if fit is not None:
            took_s = time.monotonic() - started
            return Fitted(evaluation, fit, rows, len(rows.sample.target), took_s)
    raise ValueError("not even the baseline could be fitted")


def _has_more_trees(of_fold: Fit, fit: Fit) -> bool:
    """Tell whether time cut a fit so short that the one of a fold is to be preferred."""
    return fit.is_cut and (of_fold.rounds or 0) > (fit.rounds or 0)


def _fit(bench: Bench, evaluation: Evaluation, rows: Rows) -> Fit:
    """Fit a trial's choice; more rows than in a fold bear some more rounds."""
    growth = (len(rows.sample.target) / bench.folds[0].train.size) ** 0.5
    rounds = None if evaluation.rounds is None else math.ceil(evaluation.rounds * growth)
    result = evaluation.result
    order = Order(until=bench.plan.deadline - LAST_WORDS_S, rounds=rounds)
    return rows.fitter(result.estimator).fit(result.hyperparameters, order)


def _fit_on_everything(bench: Bench, fitted: Fitted) -> Fitted | None:
    """Fit the winner on the holdout too, unless the time would end before."""
    started = time.monotonic()
    growth = bench.used.size / fitted.row_count
    needed_s = (fitted.took_s + bench.searched.encode_time_s) * growth * CAREFUL
    if started + needed_s > bench.plan.deadline - LAST_WORDS_S:
        return None
    rows = make_rows(bench.dataset, bench.plan, bench.target, bench.metric, bench.used)
    try:
        fit = _fit(bench, fitted.evaluation, rows)
    except OutOfTime:
        return None
    if fit.is_cut:
        return None
    return Fitted(fitted.evaluation, fit, rows, bench.used.size, time.monotonic() - started)


def _holdout_scores(bench: Bench, fit: Fit) -> tuple[float, float]:
    """Score a fit and the baseline on the holdout."""
    table = bench.dataset.table.take(bench.held)
    matrix = encode(bench.searched.sample.features, table)
    truth = bench.target.values[bench.held]
    until = bench.plan.deadline
    baseline = bench.searched.fitter(EstimatorName.BASELINE).fit({}, Order(until=until))
    return bench.score(fit, matrix, truth), bench.score(baseline, matrix, truth)


def _make_model(bench: Bench, fitted: Fitted) -> FittedModel:
    """Describe the fit as plain data; a constant needs no features."""
    part = fitted.fit.part
    is_constant = isinstance(part, LinearPart) and not part.terms
    features = () if is_constant else fitted.rows.sample.features
    used = {feature.column for feature in features}
    return FittedModel(
        problem_type=bench.target.problem_type,
        target=bench.dataset.target,
        classes=bench.target.classes,
        columns=tuple(column for column in bench.dataset.columns if column.name in used),
        features=features,
        parts=(part,),
    )


def _describe_split(bench: Bench, fitted: int) -> str:
    """Say which rows the score is from and which the model was fitted on."""
    used, held = bench.used.size, bench.held.size
    of = "all" if used == bench.dataset.row_count else "a random"
    if held:
        if fitted == used:
            return f"holdout of {held} rows, then refit on {of} {used}"
        return f"holdout of {held} rows, fit on {fitted} others: no time to refit on {of} {used}"
    scored = f"{len(bench.folds)}-fold cross-validation"
    if fitted == used:
        return f"{scored}, then fit on {of} {used} rows"
    return f"{scored}, fit on {fitted} rows: no time to fit on {of} {used}"
