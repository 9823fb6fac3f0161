"""
The model to keep: which trials, fitted how, and how good they are together.

Owns the ensemble, the bag of folds or the refit on all rows by what a prediction may cost
and what there is time for, and the honest score.
"""

import math
import time
from bisect import insort
from collections.abc import Sequence
from dataclasses import replace
from statistics import median

import numpy as np

from sqlml.enums import EstimatorName
from sqlml.search.arrays import F64, I64
from sqlml.search.bench import Bench
from sqlml.search.charges import Charges
from sqlml.search.crew import Crew
from sqlml.search.elected import Elected, alone
from sqlml.search.election import Election, nominate
from sqlml.search.fitted import Blend
from sqlml.search.judging import Judge
from sqlml.search.leaderboard import Leaderboard, Member
from sqlml.search.orders import FitAnswer, FitOrder
from sqlml.search.predictions import Predictions, calibrated
from sqlml.search.scores import predicted
from sqlml.search.trial import Evaluation, fit_name, rank_evaluations
from sqlml.search.union import Finish, Share, choose_blend, unite

MAX_CANDIDATES = 16
"""So many of the best trials stand for election, beside the best of each estimator."""
MAX_KEPT = 24
"""The files of so many of the best trials are kept."""
MAX_CHECKED_ROWS = 1000
REFIT_GROWTH = 0.5
"""More rows bear more rounds: as many times as rows, to this power."""
CAREFUL = 1.2
"""A refit is taken to need this much longer than the rows say."""
MAX_REFIT_SHARE = 0.2
"""Of the time that is left, refits are planned to take at most so much."""
EXPECTED_MEMBERS = 4
ELECTION_SCORES = 1000
"""Choosing weights and judging them takes as long as so many scores, roughly."""
JUDGED_ELECTION = 4.0
"""The same in times that the last election took."""
JUDGING_SHARE = 0.4
"""Of that time, what judging takes at least."""
MAX_ELECTION_SHARE = 0.05
LEAST_SCORES, LEAST_ELECTIONS = 200, 2.0
"""Without time for so many scores, or times that the last election took, the best trial stands
alone."""
PUBLISH_TIMES = 1.8
"""Compiling and checking a model takes so many times what writing its fits took,"""
PUBLISH_FIT_S = 0.02
"""and so many seconds for each fit, however small: forty of a bag take more than one."""
LAST_WORDS_S = 0.1


class Assembler:
    """Makes models of a search's trials."""

    def __init__(self, bench: Bench, crew: Crew):
        self._bench, self._crew = bench, crew
        self.charges = Charges(bench)
        self._predictions = Predictions(bench, crew)
        self._election = Election(bench, self._predictions, self.charges)
        self._judge = Judge(bench, self._predictions, self._election)
        self._forgotten: set[int] = set()
        self._started = time.monotonic()
        self._settled_s: float | None = None
        self._elected_s = 0.0
        self._score_times_s: list[float] = []

    def note_score_time(self, seconds: float) -> None:
        """Learn how long a score of all rows takes."""
        # Kept in order, as the median is asked for far more often.
        insort(self._score_times_s, seconds)

    @property
    def _score_time_s(self) -> float:
        """Seconds that a score takes as a rule: where a core is shared, some take long."""
        return median(self._score_times_s)

    def with_cost(self, evaluation: Evaluation) -> Evaluation:
        """Add what the prediction of a row costs by one of a trial's fits."""
        if not evaluation.answers:
            return evaluation
        cost = self.charges.features_ns + self.charges.fit_ns(evaluation)
        return replace(evaluation, result=replace(evaluation.result, predict_cost_ns=cost))

    def unneeded(self, ranked: list[Evaluation], evaluations: list[Evaluation]) -> list[Evaluation]:
        """Find the trials whose files no model will need, each once."""
        needed = {each.number for each in nominate(ranked, MAX_KEPT)} | {0}
        found = [
            each
            for each in evaluations
            if each.number not in needed and each.number not in self._forgotten
        ]
        self._forgotten |= {each.number for each in found}
        return found

    def reserve_s(self, evaluations: list[Evaluation]) -> float:
        """Seconds that the model will take to make, by what the best trials took."""
        if self._settled_s is not None:
            return self._settled_s
        ranked = rank_evaluations(self._bench, evaluations)[:EXPECTED_MEMBERS]
        return self._needed_s(self._election.bag([alone(each) for each in ranked]))

    def settle(self, evaluations: list[Evaluation]) -> None:
        """Hold an election, whose members decide the reserve from now on."""
        started = time.monotonic()
        elected = self._election.bag(self._election.hold(self._stand(evaluations)))
        self._elected_s = time.monotonic() - started
        self._settled_s = self._needed_s(elected)

    def _needed_s(self, elected: list[Elected]) -> float:
        """Seconds that electing, fitting and reading these will take."""
        refits = [self._refit_time_s(each.evaluation) for each in elected if not each.is_bag]
        if len(self._bench.folds) == 1:
            # Its fits know most rows: more trials are worth more.
            refits = []
        processes = self._bench.process_count
        # One member should be fitted on all rows, however long that takes.
        refit_s = max(
            min(sum(refits) / processes, MAX_REFIT_SHARE * self._time_s), max(refits, default=0.0)
        )
        # What was written is read again.
        read_s = sum(each.kept_s for each in elected if each.is_bag)
        return self._election_time_s() + refit_s + read_s + _publish_s(elected)

    @property
    def _time_s(self) -> float:
        """The seconds of the search as a whole."""
        return max(self._bench.plan.deadline - self._started, 0.0)

    def _election_time_s(self) -> float:
        """Seconds that choosing and judging weights will take."""
        scores_s = ELECTION_SCORES * self._score_time_s
        return min(
            max(scores_s, JUDGED_ELECTION * self._elected_s), MAX_ELECTION_SHARE * self._time_s
        )

    def interim(self, evaluations: list[Evaluation]) -> Leaderboard:
        """Make a model of the best single trial, without any further fit."""
        self._predictions.scales = {}
        best = rank_evaluations(self._bench, evaluations)[0]
        return self._make(evaluations, self._election.bag([alone(best)]), [best], has_time=False)

    def assemble(self, evaluations: list[Evaluation]) -> Leaderboard:
        """Make the model of the trials that are best together."""
        elected = self._election.bag(self._election.hold(candidates := self._stand(evaluations)))
        return self._make(evaluations, elected, candidates, has_time=True)

    def _stand(self, evaluations: list[Evaluation]) -> list[Evaluation]:
        """Choose the trials that stand for election: the best alone where time is short."""
        ranked = rank_evaluations(self._bench, evaluations)
        left_s = self._bench.plan.deadline - LAST_WORDS_S - time.monotonic()
        needed_s = LEAST_ELECTIONS * self._elected_s or LEAST_SCORES * self._score_time_s
        count = MAX_CANDIDATES if left_s > needed_s else 0
        candidates = nominate(ranked, count) if count else ranked[:1]
        if candidates[0].choice.estimator is not EstimatorName.BASELINE:
            # As a member it would only shrink the others, which is for calibration to do.
            candidates = [
                each for each in candidates if each.choice.estimator is not EstimatorName.BASELINE
            ]
        return candidates

    def _make(
        self,
        evaluations: list[Evaluation],
        elected: list[Elected],
        candidates: list[Evaluation],
        *,
        has_time: bool,
    ) -> Leaderboard:
        """Fit what is to be fitted, judge and describe."""
        bench = self._bench
        until = bench.plan.deadline - LAST_WORDS_S - _publish_s(elected)
        # Fits on all rows are worth more than a narrower interval, so judging has what is left.
        shares, refit_count = self._shares(elected, until if has_time else None)
        judged = self._judge.judge(elected, candidates, evaluations[0], until)
        model = unite(bench, shares, judged.finish)
        checked = bench.held if bench.held_count else np.arange(bench.rows.size)
        checked = checked[:MAX_CHECKED_ROWS]
        members = tuple(
            Member(
                number=each.evaluation.number,
                weight=each.weight,
                fit_count=each.fit_count,
            )
            for each in elected
        )
        is_refit = refit_count == len(elected)
        return Leaderboard(
            problem_type=bench.task.problem_type,
            metric=bench.metric.name,
            direction=bench.metric.direction,
            trials=tuple(each.result for each in evaluations),
            winner=elected[0].evaluation.result,
            members=members,
            model=model,
            predict_cost_ns=self._cost_ns(elected),
            score=judged.score,
            interval=judged.interval,
            baseline_score=judged.baseline_score,
            split=self._describe_split(elected, refit_count),
            train_row_count=bench.rows.size if is_refit else bench.searched_count,
            holdout_row_count=bench.held_count,
            decisions=bench.sample.features.decisions,
            checked_rows=bench.dataset.table.take(bench.rows[checked]),
            checked_scores=raw_of_model(bench, shares, judged.finish, checked),
        )

    def _shares(self, elected: list[Elected], until: float | None) -> tuple[list[Share], int]:
        """Get the fits, if there is time new ones; also how many members know all rows."""
        refits = [each for each in elected if not each.is_bag]
        answers = self._refit(refits, until) if until is not None else {}
        shares: list[Share] = []
        refit_count = 0
        for each in elected:
            evaluation = each.evaluation
            if each.is_bag:
                names = evaluation.fit_names
            elif answers.get(evaluation.number) is not None:
                names = (fit_name(evaluation.number, None),)
                refit_count += 1
            else:
                # The last fold's fit: with an order it has seen the most.
                names = evaluation.fit_names[-1:]
            shares += [
                Share(
                    weight=each.weight * self._predictions.scale(evaluation) / len(names),
                    fit=self._crew.read_fit(name),
                )
                for name in names
            ]
        return shares, refit_count

    def _refit(self, elected: list[Elected], until: float) -> dict[int, FitAnswer]:
        """Fit on all rows what there is time for; a fit that time has cut does not count."""
        until -= JUDGING_SHARE * self._election_time_s()
        processes = self._bench.process_count
        left_s = (until - time.monotonic()) * processes
        orders: list[tuple[int, FitOrder]] = []
        for each in elected:
            needed_s = self._refit_time_s(each.evaluation)
            if needed_s > left_s:
                continue
            left_s -= needed_s
            orders.append((each.evaluation.number, self._refit_order(each.evaluation, until)))
        answers = self._crew.fit_all([order for _, order in orders], until)
        return {
            number: answer
            for (number, _), answer in zip(orders, answers, strict=True)
            if answer is not None and not answer.is_cut
        }

    def _refit_order(self, evaluation: Evaluation, until: float) -> FitOrder:
        """Order a fit on all rows, which bear some more rounds than a fold's."""
        growth = self._growth() ** REFIT_GROWTH
        rounds = None if evaluation.rounds is None else math.ceil(evaluation.rounds * growth)
        return FitOrder(
            name=fit_name(evaluation.number, None),
            estimator=evaluation.choice.estimator,
            hyperparameters=evaluation.choice.hyperparameters,
            until=until,
            rounds=rounds,
            max_rounds=self.charges.max_rounds(evaluation.choice),
            max_cost_ns=self.charges.max_cost_ns,
        )

    def _refit_time_s(self, evaluation: Evaluation) -> float:
        """Seconds that a fit on all rows will take."""
        fit_s = np.mean([each.took_s for each in evaluation.answers])
        return float(fit_s * self._growth() ** (1 + REFIT_GROWTH) * CAREFUL)

    def _growth(self) -> float:
        """How many times the rows of a fold all rows are."""
        return self._bench.rows.size / self._bench.folds[-1].train.size

    def _cost_ns(self, elected: list[Elected]) -> float:
        """What a model costs a row."""
        parts_ns = [self.charges.fit_ns(each.evaluation) * each.fit_count for each in elected]
        return self.charges.features_ns + math.fsum(parts_ns)

    def _describe_split(self, elected: list[Elected], refit_count: int) -> str:
        """Say which rows the score is from and which the model was fitted on."""
        bench = self._bench
        used, held = bench.rows.size, bench.held_count
        of = "all" if used == bench.dataset.row_count else "a random"
        fold_count = min(len(each.evaluation.answers) for each in elected)
        scored = f"holdout of {held} rows" if held else f"{fold_count}-fold cross-validation"
        if refit_count == len(elected):
            return f"{scored}, then fit on {of} {used} rows"
        if all(each.is_bag for each in elected):
            return f"{scored}, models of {fold_count} folds together"
        if not refit_count and not any(each.is_bag for each in elected):
            return f"{scored}, then fit on {bench.folds[-1].train.size} of {of} {used} rows"
        return f"{scored}, models of folds and of {of} {used} rows together"


def _publish_s(elected: list[Elected]) -> float:
    """Seconds that compiling and checking a model will take: long, where writing its fits was."""
    return sum(PUBLISH_TIMES * each.kept_s + PUBLISH_FIT_S * each.fit_count for each in elected)


def raw_of_model(bench: Bench, shares: Sequence[Share], finish: Finish, rows: I64) -> F64:
    """Compute the raw scores of a model by its fits, for rows of the bench's sample."""
    encoded = bench.sample.rows.take(rows)
    problem_type = bench.task.problem_type
    blend, _ = choose_blend(problem_type, [share.fit.link for share in shares])
    total = np.zeros((len(encoded), bench.task.output_count))
    for share in shares:
        raw = share.fit.raw(encoded)
        if blend is Blend.RESPONSE:
            raw = predicted(problem_type, raw, share.fit.link).reshape(-1, 1)
        total += share.weight * raw
    return calibrated(total, finish)
