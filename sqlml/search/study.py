"""
The search: a dataset and a plan become a leaderboard.

Owns the order of trials and the time each may take. `search` is the stage's entry.
"""

import time
from collections.abc import Callable
from dataclasses import replace

from threadpoolctl import threadpool_limits

from sqlml.enums import EstimatorName, TrialState
from sqlml.errors import OptionNotUsable
from sqlml.extract.dataset import Dataset
from sqlml.search.bench import Bench, make_bench
from sqlml.search.estimators.estimator import Choice, Order
from sqlml.search.estimators.lightgbm import LightGBMFitter
from sqlml.search.leaderboard import Leaderboard, Phase, Progress, TrialResult
from sqlml.search.plan import Plan
from sqlml.search.refit import refit_winner
from sqlml.search.sampler import Sampler
from sqlml.search.split import Fold
from sqlml.search.trial import Evaluation, run_trial

Report = Callable[[Progress], None]

TUNED = (EstimatorName.LINEAR, EstimatorName.LIGHTGBM)
REFIT_FOLDS = 3.0
"""Time kept for the last fits (one on the rows of the search, one on all rows), counted
in fits of a fold."""
LAST_WORDS_S = 0.3
MIN_SLOT_SHARE = 0.3
"""A trial starts only with this share of the time that the best one took."""
MAX_LATE_TRIALS = 3
"""So many trials in a row without time to be finished end the search."""
MAX_LINEAR_SHARE = 0.2
"""A linear trial takes at most this share of the time left: trees need it more."""
MAX_TRIALS = 1000

PROBE_ROUNDS = 5
USUAL_RATE = 0.06
SLOWEST_RATE, FASTEST_RATE = 0.03, 0.12
ROUNDS_TIMES_RATE = 15.0
"""Early stopping usually ends a fit after this many rounds, divided by the rate."""
WISHED_TRIALS = 10


def search(dataset: Dataset, plan: Plan, report: Report) -> Leaderboard:
    """Find the best model of a dataset within the plan's time."""
    with threadpool_limits(limits=plan.threads):
        bench = make_bench(dataset, plan)
        report(Progress(phase=Phase.PREPARE, message=_summary(bench)))
        study = Study(bench, report)
        study.run()
        report(
            Progress(
                phase=Phase.REFIT,
                message=f"fit the best of {len(study.evaluations)} trials on all rows",
                best_score=study.best.result.score,
            )
        )
        return refit_winner(bench, study.ranked(), tuple(study.evaluations))


class Study:
    """The trials of one search."""

    def __init__(self, bench: Bench, report: Report):
        self.evaluations: list[Evaluation] = []
        self._bench = bench
        self._report = report
        self._folds = bench.folds

    @property
    def best(self) -> Evaluation:
        """The best complete trial; the baseline when there is no other."""
        return self.ranked()[0]

    def ranked(self) -> list[Evaluation]:
        """
        Sort the complete trials, best first. The baseline competes only where the plan
        leaves the estimators to us; otherwise it is the last resort.
        """
        complete = [each for each in self.evaluations if each.result.state is TrialState.COMPLETE]
        sign = -1.0 if self._bench.metric.is_better(1.0, 0.0) else 1.0
        chosen = self._bench.plan.estimators

        def place(each: Evaluation) -> tuple[bool, float]:
            is_last_resort = chosen is not None and each.result.estimator not in chosen
            return is_last_resort, sign * (each.result.score or 0.0)

        return sorted(complete, key=place)

    def run(self) -> None:
        """Run the baseline, the portfolio and then the sampler's choices."""
        plan = self._bench.plan
        baseline = self._try(Choice(estimator=EstimatorName.BASELINE, hyperparameters={}))
        if baseline.result.state is TrialState.FAIL:
            raise OptionNotUsable(
                f'metric "{self._bench.metric.name}" cannot be computed for this target',
                detail=baseline.result.error,
                hint="Choose another metric.",
            )
        estimators = tuple(
            name for name in TUNED if plan.estimators is None or name in plan.estimators
        )
        if not estimators:
            return
        rate = self._probe() if EstimatorName.LIGHTGBM in estimators else USUAL_RATE
        sampler = Sampler(plan, estimators, self._bench.searched.sample.task, rate)
        late = 0
        while len(self.evaluations) <= (plan.trials or MAX_TRIALS) and self._has_time():
            trial, choice = sampler.ask()
            evaluation = self._try(choice)
            sampler.tell(trial, evaluation.result)
            late = late + 1 if evaluation.is_out_of_time else 0
            if late == MAX_LATE_TRIALS:
                break

    def _try(self, choice: Choice) -> Evaluation:
        """Run one trial and report it."""
        tuned = [each for each in self.ranked() if each.result.estimator in TUNED]
        best = tuned[0] if tuned else None
        until = self._trial_end()
        if choice.estimator is EstimatorName.LINEAR:
            until = min(until, time.monotonic() + MAX_LINEAR_SHARE * self._left_s())
        number = len(self.evaluations)
        evaluation = run_trial(self._bench, self._folds, number, choice, until, best)
        self.evaluations.append(evaluation)
        ranked = self.ranked()
        if ranked:
            # Fits take memory, and only the best one's may be needed.
            self.evaluations = [
                each if each is ranked[0] else replace(each, fit=None) for each in self.evaluations
            ]
        self._report_trial(evaluation.result, ranked[0].result.score if ranked else None)
        return evaluation

    def _report_trial(self, result: TrialResult, best_score: float | None) -> None:
        """Tell the listener how a trial ended."""
        score = "no score" if result.score is None else f"{result.score:.6g}"
        state = "" if result.state is TrialState.COMPLETE else f" ({result.state})"
        self._report(
            Progress(
                phase=Phase.SEARCH,
                message=f"trial {result.number}: {result.estimator} "
                f"{self._bench.metric.name} {score}{state}",
                result=result,
                best_score=best_score,
            )
        )

    def _probe(self) -> float:
        """
        Choose the learning rate, and how many folds there is time for, by measuring.

        With counted trials nothing is measured, so that the same seed gives the same model.
        """
        plan = self._bench.plan
        if plan.trials is not None or "num_trees" in plan.hyperparameters:
            return USUAL_RATE
        until = self._trial_end()
        if until <= time.monotonic():
            return USUAL_RATE
        try:
            round_s = self._measure_round(until)
        except Exception:
            # LightGBM's trials will meet the same error, and tell it.
            return USUAL_RATE
        trial_s = max(self._left_s(), 0.0) / WISHED_TRIALS
        fold_s = round_s * ROUNDS_TIMES_RATE / FASTEST_RATE
        if plan.folds is None and not self._needs_all_folds():
            self._folds = self._fewer_folds(trial_s / fold_s)
        affordable = round_s * ROUNDS_TIMES_RATE * len(self._folds) / max(trial_s, 1e-9)
        return min(max(affordable, SLOWEST_RATE), FASTEST_RATE)

    def _measure_round(self, until: float) -> float:
        """Measure the seconds of a round of boosting on the first fold."""
        fitter = self._bench.searched.fitter(EstimatorName.LIGHTGBM)
        if not isinstance(fitter, LightGBMFitter):
            raise TypeError("the fitter of lightgbm is not LightGBM's")
        return fitter.probe(PROBE_ROUNDS, Order(until=until, train=self._folds[0].train))

    def _needs_all_folds(self) -> bool:
        """Tell whether the score comes from the folds."""
        return self._bench.held.size == 0

    def _fewer_folds(self, affordable: float) -> tuple[Fold, ...]:
        """Keep as many folds as can be paid for, at least one."""
        return self._folds[: max(int(affordable), 1)]

    def _left_s(self) -> float:
        """Seconds until the search must have returned, less the last words."""
        return self._bench.plan.deadline - LAST_WORDS_S - time.monotonic()

    def _reserve_s(self) -> float:
        """Seconds that the last fits of the best trial need."""
        best = self.best.fold_time_s if self.evaluations else 0.0
        return REFIT_FOLDS * best + 2 * self._bench.searched.encode_time_s

    def _trial_end(self) -> float:
        """The time at which a trial must end, so that it could still win and be refitted."""
        left_s = self._left_s() - 2 * self._bench.searched.encode_time_s
        share = len(self._folds) / (len(self._folds) + REFIT_FOLDS)
        return time.monotonic() + min(left_s * share, self._left_s() - self._reserve_s())

    def _has_time(self) -> bool:
        """Tell whether another trial is worth starting."""
        needed_s = MIN_SLOT_SHARE * self.best.fold_time_s * len(self._folds)
        return self._trial_end() - time.monotonic() > needed_s


def _summary(bench: Bench) -> str:
    """Say what is going to be searched."""
    sample = bench.searched.sample
    column_count = len({feature.column for feature in sample.features.features})
    return (
        f"{sample.task.problem_type} problem, metric {bench.metric.name}, "
        f"{len(bench.searched.sample.target)} rows to search on, {bench.held.size} held out, "
        f"{sample.task.feature_count} features of {column_count} columns"
    )
