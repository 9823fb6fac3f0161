"""
How good a blend is, and what is done to it at the end: calibration and a threshold.
"""

from dataclasses import dataclass, replace

import numpy as np

from sqlml.enums import ProblemType
from sqlml.search.arrays import F64, I64
from sqlml.search.bench import Bench
from sqlml.search.calibration import calibrate
from sqlml.search.elected import Elected
from sqlml.search.election import Election
from sqlml.search.ensemble import cross_fit_raw
from sqlml.search.interval import bootstrap_interval
from sqlml.search.predictions import Predictions, blend, calibrated
from sqlml.search.threshold import choose_threshold
from sqlml.search.trial import Evaluation
from sqlml.search.union import Finish

OF_MEANS = frozenset({"rmse", "r2", "poisson_deviance", "tweedie_deviance"})
"""Metrics of numbers that are best where the mean is predicted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """How good a blend is, and what is done to it at the end."""

    finish: Finish
    score: float
    interval: tuple[float, float]
    baseline_score: float


class Judge:
    """Judges the blends of one search."""

    def __init__(self, bench: Bench, predictions: Predictions, election: Election):
        self._bench, self._predictions, self._election = bench, predictions, election

    def judge(
        self,
        elected: list[Elected],
        candidates: list[Evaluation],
        baseline: Evaluation,
        until: float,
    ) -> Judged:
        """Score on the holdout, or on the rows of the folds by weights that others chose."""
        bench, predictions = self._bench, self._predictions
        weights = np.array([each.weight for each in elected])
        rows = predictions.scored(candidates)
        of_folds = [predictions.of_folds(each.evaluation, rows) for each in elected]
        finish = self._find_finish(blend(of_folds, weights), rows)
        if bench.held_count:
            rows = bench.held
            whole = blend([predictions.of_holdout(each) for each in elected], weights)
        else:
            whole = self._cross_blend(candidates, rows)
        constants = np.repeat(predictions.constant(baseline), rows.size, axis=0)
        if [each.evaluation for each in elected] == [baseline]:
            whole, finish = constants, Finish()
        truth, weight = predictions.truth(rows)
        shown, base = predictions.shown(whole, finish), predictions.shown(constants, Finish())
        return Judged(
            finish=finish,
            score=bench.metric.score(truth, shown, weight),
            interval=bootstrap_interval(truth, shown, weight, bench.metric, bench.plan.seed, until),
            baseline_score=bench.metric.score(truth, base, weight),
        )

    def _find_finish(self, whole: F64, rows: I64) -> Finish:
        """Calibrate a blend by what the folds say of rows, and choose its threshold."""
        problem_type, metric = self._bench.task.problem_type, self._bench.metric
        if problem_type is ProblemType.REGRESSION and metric.name not in OF_MEANS:
            # Calibration makes means right, and quantiles wrong.
            return Finish()
        truth, weight = self._predictions.truth(rows)
        half_time = self._bench.half_time()
        scale, offsets = calibrate(whole, truth, weight, problem_type, half_time)
        finish = Finish(scale=scale, offsets=offsets)
        if problem_type is ProblemType.REGRESSION:
            # What is right on average may be worse for metrics of small or negative numbers.
            plain, calibrated_score = (
                metric.score(truth, self._predictions.shown(whole, each), weight)
                for each in (Finish(), finish)
            )
            return finish if metric.is_better(calibrated_score, plain) else Finish()
        if problem_type is ProblemType.MULTICLASS:
            return finish
        threshold = choose_threshold(calibrated(whole, finish), truth, weight, metric)
        return replace(finish, threshold=threshold)

    def _cross_blend(self, candidates: list[Evaluation], rows: I64) -> F64:
        """Blend for each row with weights that other rows have chosen, among all candidates."""
        truth, weight = self._predictions.truth(rows)
        oofs = [self._predictions.of_folds(each, rows) for each in candidates]
        if len(oofs) == 1:
            return oofs[0]
        allowance = self._election.allowance(candidates)
        return cross_fit_raw(oofs, truth, weight, self._bench.metric, allowance)
