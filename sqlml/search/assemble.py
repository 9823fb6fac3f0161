"""
The model to keep: which trials, fitted how, and how good they are together.

Owns the ensemble, the bag of folds or the refit on all rows by what a prediction may cost
and what there is time for, and the honest score.
"""

import math
import time
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from sqlml.enums import EstimatorName, ProblemType
from sqlml.search.arrays import F64, I64
from sqlml.search.bench import Bench
from sqlml.search.calibration import calibrate, find_scale
from sqlml.search.cost import PartFacts, part_cost_ns, predict_cost_ns
from sqlml.search.crew import Crew
from sqlml.search.ensemble import Allowance, cross_fit_raw, select_raw_weights
from sqlml.search.estimators.boosting import MAX_ROUNDS
from sqlml.search.estimators.estimator import Choice
from sqlml.search.fitted import Blend, FeatureOp, Link
from sqlml.search.interval import bootstrap_interval
from sqlml.search.leaderboard import Leaderboard, Member
from sqlml.search.orders import FitAnswer, FitOrder
from sqlml.search.scores import predicted
from sqlml.search.threshold import choose_threshold
from sqlml.search.trial import Evaluation, fit_name, rank_evaluations
from sqlml.search.union import Finish, Share, choose_blend, unite

MAX_CANDIDATES = 16
"""So many of the best trials stand for election, beside the best of each estimator."""
MAX_KEPT = 24
"""The files of so many of the best trials are kept."""
MAX_CHECKED_ROWS = 1000
OF_MEANS = frozenset({"rmse", "r2", "poisson_deviance", "tweedie_deviance"})
"""Metrics of numbers that are best where the mean is predicted."""
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
LEAST_SCORES = 200
"""Without time for so many scores the best trial stands alone."""
PUBLISH_TIMES = 1.8
"""Compiling and checking a model takes so many times what writing its fits took."""
UNLIMITED_COST_S = 1e-3
"""What a row may cost where there is no limit; the room that a model has matters before that."""
LAST_WORDS_S = 0.1
SURE_COST_SHARE = 0.65
"""Estimates of the cost of predictions may be too low, by a half where other work is done."""
MAX_FIT_SHARE = 0.5
"""Of what a prediction may cost, one fit may take so much: an ensemble is to have others."""
USUAL_LEAVES, MIN_ROUNDS = 31, 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Elected:
    """A trial of the ensemble with its weight."""

    evaluation: Evaluation
    weight: float
    is_bag: bool
    """Whether the fits of its folds answer together."""


class Assembler:
    """Makes models of a search's trials."""

    def __init__(self, bench: Bench, crew: Crew):
        self._bench, self._crew = bench, crew
        self._forgotten: set[int] = set()
        self._scales: dict[int, float] = {}
        self._started = time.monotonic()
        self._settled_s: float | None = None
        self._elected_s = 0.0
        self.score_time_s = 0.0
        """Seconds that the last score took."""

    @property
    def max_cost_ns(self) -> float:
        """What one fit may cost a prediction: half of the limit, the rest is for others."""
        return MAX_FIT_SHARE * self._limit_ns()

    def max_rounds(self, choice: Choice) -> int:
        """Count the boosting rounds that leave half of what a prediction may cost to others."""
        leaves = int(choice.hyperparameters.get("num_leaves", USUAL_LEAVES))

        def cost_ns(rounds: int) -> float:
            trees = rounds * self._bench.task.output_count
            facts = PartFacts(
                tree_count=trees,
                leaf_count=trees * leaves,
                largest_tree=leaves,
                feature_count=len(self._bench.sample.features.features),
            )
            return part_cost_ns(facts)

        rounds = bisect_right(range(1, MAX_ROUNDS), self.max_cost_ns, key=cost_ns)
        return max(rounds, MIN_ROUNDS)

    def with_cost(self, evaluation: Evaluation) -> Evaluation:
        """Add what the prediction of a row costs by one of a trial's fits."""
        if not evaluation.answers:
            return evaluation
        cost = self._feature_cost_ns() + self._fit_cost_ns(evaluation)
        return replace(evaluation, result=replace(evaluation.result, predict_cost_ns=cost))

    def unneeded(self, ranked: list[Evaluation], evaluations: list[Evaluation]) -> list[Evaluation]:
        """Find the trials whose files no model will need, each once."""
        needed = {each.number for each in self._candidates(ranked, MAX_KEPT)} | {0}
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
        return self._needed_s(self._bagged([_alone(each) for each in ranked]))

    def settle(self, evaluations: list[Evaluation]) -> None:
        """Hold an election, whose members decide the reserve from now on."""
        started = time.monotonic()
        elected = self._bagged(self._elect(self._stand(evaluations)))
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
        read_s = sum(_kept_s(each) for each in elected if each.is_bag)
        return self._election_time_s() + refit_s + read_s + _publish_s(elected)

    @property
    def _time_s(self) -> float:
        """The seconds of the search as a whole."""
        return max(self._bench.plan.deadline - self._started, 0.0)

    def _election_time_s(self) -> float:
        """Seconds that choosing and judging weights will take."""
        scores_s = ELECTION_SCORES * self.score_time_s
        return min(
            max(scores_s, JUDGED_ELECTION * self._elected_s), MAX_ELECTION_SHARE * self._time_s
        )

    def interim(self, evaluations: list[Evaluation]) -> Leaderboard:
        """Make a model of the best single trial, without any further fit."""
        self._scales = {}
        best = rank_evaluations(self._bench, evaluations)[0]
        return self._make(evaluations, self._bagged([_alone(best)]), [best], has_time=False)

    def assemble(self, evaluations: list[Evaluation]) -> Leaderboard:
        """Make the model of the trials that are best together."""
        elected = self._bagged(self._elect(candidates := self._stand(evaluations)))
        return self._make(evaluations, elected, candidates, has_time=True)

    def _stand(self, evaluations: list[Evaluation]) -> list[Evaluation]:
        """Choose the trials that stand for election: the best alone where time is short."""
        ranked = rank_evaluations(self._bench, evaluations)
        left_s = self._bench.plan.deadline - LAST_WORDS_S - time.monotonic()
        needed_s = max(self._election_time_s(), LEAST_SCORES * self.score_time_s)
        count = MAX_CANDIDATES if left_s > needed_s else 0
        candidates = self._candidates(ranked, count) if count else ranked[:1]
        if candidates[0].choice.estimator is not EstimatorName.BASELINE:
            # As a member it would only shrink the others, which is for calibration to do.
            candidates = [
                each for each in candidates if each.choice.estimator is not EstimatorName.BASELINE
            ]
        return candidates

    def _candidates(self, ranked: list[Evaluation], count: int) -> list[Evaluation]:
        """Take the best trials, and the best two of each estimator."""
        by_estimator: dict[EstimatorName, int] = {}
        taken: list[Evaluation] = []
        for place, each in enumerate(ranked):
            earlier = by_estimator.get(each.choice.estimator, 0)
            by_estimator[each.choice.estimator] = earlier + 1
            if place < count or earlier < 2:
                taken.append(each)
        return taken

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
        judged = self._judge(elected, candidates, evaluations[0], until)
        model = unite(bench, shares, judged.finish)
        checked = bench.held if bench.held_count else np.arange(bench.rows.size)
        checked = checked[:MAX_CHECKED_ROWS]
        members = tuple(
            Member(
                number=each.evaluation.number,
                weight=each.weight,
                fit_count=len(each.evaluation.answers) if each.is_bag else 1,
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
            predict_cost_ns=self._feature_cost_ns() + self._cost_ns(elected),
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

    def _judge(
        self,
        elected: list[Elected],
        candidates: list[Evaluation],
        baseline: Evaluation,
        until: float,
    ) -> "Judged":
        """Score on the holdout, or on the rows of the folds by weights that others chose."""
        bench = self._bench
        evaluations = [each.evaluation for each in elected]
        weights = np.array([each.weight for each in elected])
        rows = self._scored(candidates)
        whole = _blend([self._oof_rows(each, rows) for each in evaluations], weights)
        truth, weight = self._truth(rows)
        finish = Finish()
        # Calibration makes means right, so a model that is to predict quantiles goes without.
        if bench.task.problem_type is not ProblemType.REGRESSION or bench.metric.name in OF_MEANS:
            half_time = self._half_time()
            scale, offsets = calibrate(whole, truth, weight, bench.task.problem_type, half_time)
            finish = Finish(scale=scale, offsets=offsets)
        if bench.task.problem_type is ProblemType.BINARY:
            finished = _calibrated(whole, finish)
            threshold = choose_threshold(finished, truth, weight, bench.metric)
            finish = replace(finish, threshold=threshold)
        if bench.held_count:
            rows = bench.held
            truth, weight = self._truth(rows)
            whole = _blend([self._held(each) for each in elected], weights)
        else:
            whole = self._cross_blend(candidates, rows)
        # One constant for all rows: those of several folds would rank rows by their folds.
        raw = self._crew.read_raw(baseline.number, 0, "valid")
        constant = self._blended(raw, Link(baseline.answers[0].link))[:1]
        constants = np.repeat(constant, rows.size, axis=0)
        base = self._shown(constants, Finish())
        if evaluations == [baseline]:
            whole, finish = constants, Finish()
        shown = self._shown(whole, finish)
        return Judged(
            finish=finish,
            score=bench.metric.score(truth, shown, weight),
            interval=bootstrap_interval(truth, shown, weight, bench.metric, bench.plan.seed, until),
            baseline_score=bench.metric.score(truth, base, weight),
        )

    def _cross_blend(self, candidates: list[Evaluation], rows: I64) -> F64:
        """Blend for each row with weights that other rows have chosen, among all candidates."""
        truth, weight = self._truth(rows)
        oofs = [self._oof_rows(each, rows) for each in candidates]
        if len(oofs) == 1:
            return oofs[0]
        allowance = self._allowance(candidates)
        return cross_fit_raw(oofs, truth, weight, self._bench.metric, allowance)

    def _elect(self, candidates: list[Evaluation]) -> list[Elected]:
        """Choose the members among the candidates and their weights, largest first."""
        self._scales = {}
        if len(candidates) == 1:
            return [_alone(candidates[0])]
        self._scales = self._find_scales(candidates)
        rows = self._scored(candidates)
        truth, weight = self._truth(rows)
        oofs = [self._oof_rows(each, rows) for each in candidates]
        allowance = self._allowance(candidates)
        weights = select_raw_weights(oofs, truth, weight, self._bench.metric, allowance)
        elected = [
            Elected(evaluation=each, weight=float(weight), is_bag=False)
            for each, weight in zip(candidates, weights, strict=True)
            if weight > 0
        ]
        return sorted(elected, key=lambda each: -each.weight)

    def _find_scales(self, candidates: list[Evaluation]) -> dict[int, float]:
        """
        Find by what to multiply the raw scores of trials, so that each is as sure as it may be.

        Boosting ends where it is; the average of trees is surer or less sure, by the table, and
        as a member it would count for more or less than it knows.
        """
        if self._bench.task.problem_type is ProblemType.REGRESSION:
            return {}
        rows, until = self._scored(candidates), self._half_time()
        truth, weight = self._truth(rows)
        scales: dict[int, float] = {}
        for each in candidates:
            if time.monotonic() < until:
                scales[each.number] = find_scale(self._oof_rows(each, rows), truth, weight)
        return scales

    def _scale(self, evaluation: Evaluation) -> float:
        """Get by what the raw scores of a trial are multiplied."""
        return self._scales.get(evaluation.number, 1.0)

    def _allowance(self, evaluations: list[Evaluation]) -> Allowance:
        """What each trial's fit is charged, what all may be together, and how long to look."""
        return Allowance(
            costs=np.array([self._charge_ns(each) for each in evaluations]),
            limit=self._limit_ns(),
            until=self._half_time(),
        )

    def _half_time(self) -> float:
        """When half of the time that is left now is over."""
        return (time.monotonic() + self._bench.plan.deadline) / 2

    def _bagged(self, elected: list[Elected]) -> list[Elected]:
        """Let the folds' fits answer together where the cost allows, heaviest weights first."""
        if self._bench.is_ordered:
            # The fits of earlier folds know the past only.
            return elected
        left_ns = self._limit_ns() - sum(self._charge_ns(each.evaluation) for each in elected)
        made: list[Elected] = []
        for each in sorted(elected, key=lambda each: -each.weight):
            count = len(each.evaluation.answers)
            extra_ns = (count - 1) * self._charge_ns(each.evaluation)
            is_bag = count > 1 and extra_ns <= left_ns
            left_ns -= extra_ns if is_bag else 0.0
            made.append(replace(each, is_bag=is_bag))
        return made

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
                    weight=each.weight * self._scale(evaluation) / len(names),
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
            max_rounds=self.max_rounds(evaluation.choice),
            max_cost_ns=self.max_cost_ns,
        )

    def _refit_time_s(self, evaluation: Evaluation) -> float:
        """Seconds that a fit on all rows will take."""
        fit_s = np.mean([each.took_s for each in evaluation.answers])
        return float(fit_s * self._growth() ** (1 + REFIT_GROWTH) * CAREFUL)

    def _growth(self) -> float:
        """How many times the rows of a fold all rows are."""
        return self._bench.rows.size / self._bench.folds[-1].train.size

    def _limit_ns(self) -> float:
        """What the parts of a model may cost a row."""
        wished_s = self._bench.plan.predict_cost_s
        limit_s = UNLIMITED_COST_S if wished_s is None else wished_s
        return max(SURE_COST_SHARE * limit_s * 1e9 - self._feature_cost_ns(), 0.0)

    def _feature_cost_ns(self) -> float:
        """What encoding a row costs at most."""
        ops = [feature.op for feature in self._bench.sample.features.features]
        texts = max(len(self._bench.sample.texts), 1)
        topic_count = ops.count(FeatureOp.TOPIC)
        return predict_cost_ns(
            [], len(ops) - topic_count, self._word_count, math.ceil(topic_count / texts)
        )

    @cached_property
    def _word_count(self) -> float:
        """Terms of a row's texts that are known, on average."""
        return float(sum(text.nnz for text in self._bench.sample.texts) / self._bench.rows.size)

    def _fit_cost_ns(self, evaluation: Evaluation) -> float:
        """What one of a trial's fits costs a row, on average."""
        costs = [
            sum(part_cost_ns(PartFacts(**part), self._word_count) for part in answer.facts)
            for answer in evaluation.answers
        ]
        return float(np.mean(costs))

    def _charge_ns(self, evaluation: Evaluation) -> float:
        """What one of a trial's fits takes of the limit, by its cost or by its room."""
        shares = [
            sum(PartFacts(**part).room_share for part in answer.facts)
            for answer in evaluation.answers
        ]
        return max(self._fit_cost_ns(evaluation), float(np.mean(shares)) * self._limit_ns())

    def _cost_ns(self, elected: list[Elected]) -> float:
        """What the parts of a model cost a row."""
        return math.fsum(
            self._fit_cost_ns(each.evaluation)
            * (len(each.evaluation.answers) if each.is_bag else 1)
            for each in elected
        )

    def _scored(self, evaluations: Sequence[Evaluation]) -> I64:
        """Rows of the sample that the folds of all these trials have validated, ascending."""
        count = min(len(each.answers) for each in evaluations)
        return np.sort(np.concatenate([fold.valid for fold in self._bench.folds[:count]]))

    def _oof_rows(self, evaluation: Evaluation, rows: I64) -> F64:
        """Get what a trial's folds say of rows: raw scores of classes, or responses."""
        bench = self._bench
        made = np.empty((bench.searched_count, bench.task.output_count))
        for fold, answer in enumerate(evaluation.answers):
            raw = self._crew.read_raw(evaluation.number, fold, "valid")
            made[bench.folds[fold].valid] = self._blended(raw, Link(answer.link))
        return made[rows] * self._scale(evaluation)

    def _held(self, elected: Elected) -> F64:
        """
        Get what a member says of the holdout, as `_oof_rows` does.

        All fits of a bag answer. For a refit each row is answered by one fold's fit, which
        has learnt from a little less than the refit will.
        """
        evaluation = elected.evaluation
        raws = [
            self._scale(evaluation)
            * self._blended(self._crew.read_raw(evaluation.number, fold, "held"), Link(answer.link))
            for fold, answer in enumerate(evaluation.answers)
        ]
        if elected.is_bag:
            return np.asarray(np.mean(raws, axis=0))
        if self._bench.is_ordered:
            return raws[-1]
        turns = np.arange(len(raws[0])) % len(raws)
        return np.asarray(np.choose(turns[:, None], raws))

    def _blended(self, raw: F64, link: Link) -> F64:
        """Turn raw scores into what models blend: of numbers the responses."""
        if self._bench.task.problem_type is ProblemType.REGRESSION:
            return self._bench.predicted(raw, link).reshape(-1, 1)
        return raw

    def _shown(self, blended: F64, finish: Finish) -> F64:
        """Turn a blend into what metrics score."""
        if self._bench.task.problem_type is ProblemType.REGRESSION:
            return blended[:, 0]
        raw = _calibrated(blended, finish)
        if finish.threshold:
            raw = raw - finish.threshold
        return self._bench.predicted(raw, Link.IDENTITY)

    def _truth(self, rows: I64) -> tuple[F64, F64 | None]:
        """Get target and weight of rows of the sample."""
        sample = self._bench.sample
        return sample.target[rows], None if sample.weight is None else sample.weight[rows]

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


def _kept_s(elected: Elected) -> float:
    """Seconds that writing those fits took that answer for a member; as a rule, of a refit."""
    kept = [answer.keep_s for answer in elected.evaluation.answers]
    return sum(kept) if elected.is_bag else float(np.mean(kept))


def _publish_s(elected: list[Elected]) -> float:
    """Seconds that compiling and checking a model will take: long, where writing its fits was."""
    return PUBLISH_TIMES * sum(_kept_s(each) for each in elected)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """How good a blend is, and what is done to it at the end."""

    finish: Finish
    score: float
    interval: tuple[float, float]
    baseline_score: float


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
    return _calibrated(total, finish)


def _calibrated(raw: F64, finish: Finish) -> F64:
    """Scale and shift raw scores."""
    scaled = raw if finish.scale == 1 else raw * finish.scale
    return scaled + np.array(finish.offsets) if finish.offsets else scaled


def _blend(candidates: Sequence[F64], weights: F64) -> F64:
    """Add up predictions."""
    total = np.zeros_like(candidates[0])
    for candidate, weight in zip(candidates, weights, strict=True):
        total += weight * candidate
    return total


def _alone(evaluation: Evaluation) -> Elected:
    """Make a trial the only member."""
    return Elected(evaluation=evaluation, weight=1.0, is_bag=False)
