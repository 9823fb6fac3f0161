"""
The search: a dataset and a plan become a leaderboard.

Owns the order of trials and the time each may take. `search` is the stage's entry.
"""

import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from sqlml.enums import EstimatorName, TrialState
from sqlml.errors import OptionNotUsable
from sqlml.extract.dataset import Dataset
from sqlml.search.assemble import Assembler
from sqlml.search.bench import Bench, make_bench
from sqlml.search.crew import Crew
from sqlml.search.estimators import ESTIMATORS
from sqlml.search.estimators.estimator import Choice
from sqlml.search.folder import Folder
from sqlml.search.leaderboard import Leaderboard, Phase, Progress, TrialResult
from sqlml.search.metrics import DEFAULTS
from sqlml.search.orders import FitAnswer
from sqlml.search.plan import Plan, PrunerName
from sqlml.search.pool import Pool, Reply
from sqlml.search.probe import Pace, first_choice, hastened, measure_pace, usual_pace
from sqlml.search.process import Desk
from sqlml.search.pruner import Pruner
from sqlml.search.race import race
from sqlml.search.sampler import Sampler
from sqlml.search.trial import Evaluation, Trial, is_hopeless, rank_evaluations
from sqlml.search.wishes import focus, make_spaces

Report = Callable[[Progress], None]
Offer = Callable[[Leaderboard], None]

LAST_WORDS_S = 0.3
MIN_SLOT_SHARE = 0.7
"""A trial starts only with this share of the time that it will probably take."""
PATIENT, CAREFUL = 1.5, 1.2
"""A trial may take this many times what it probably will, even where its share is less; once its
first fold has shown how long the others take, this many times that."""
MAX_LATE_TRIALS = 3
"""So many trials in a row without time to be finished end the search."""
TRIAL_SHARE = 0.35
FIRST_TRIAL_SHARE = 0.5
KEEP_SHARE = 0.93
MAX_LINEAR_SHARE = 0.2
"""A trial takes at most this share of the time left; linear ones less: trees need it more."""
MAX_TRIALS = 1000
REFUSED_SHARE = 0.1
"""A trial without time that has taken less than this share of its slot was refused at once, and
counts for that much only: others may need less."""
LAG = 4
"""With counted trials, question k knows the answers up to k - 4: so what is asked does not
depend on how many processes there are."""
SHOWN_CLASSES = 5
"""So many names of classes fit into a notice."""
OFFER_SPACING = 1.5
"""The next interim model is offered after this many times the time of the last one."""
OFFER_RESERVE = 2.0
"""It is offered only while this many times what the last one took is left."""


def search(
    dataset: Dataset,
    plan: Plan,
    report: Report,
    *,
    offer: Offer | None = None,
    pool: Pool | None = None,
) -> Leaderboard:
    """
    Find the best model of a dataset within the plan's time.

    With `anytime`, usable models are offered while the search goes on. A pool that is given
    has its processes ready and stays open.
    """
    with ExitStack() as stack:
        if pool is None:
            pool = stack.enter_context(closing(Pool(plan.threads)))
        stack.enter_context(threadpool_limits(limits=plan.threads))
        folder = Folder(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sqlml-"))))
        # Nothing may be written into the folder while it is deleted.
        stack.callback(pool.drop_tasks)
        bench = make_bench(dataset, plan)
        folder.write_sample(bench.sample, bench.folds, bench.held)
        pool.open(folder.path, bench.process_count)
        report(Progress(phase=Phase.PREPARE, message=describe_bench(bench)))
        study = Study(bench, Crew(pool, folder, Desk(folder)), report, offer)
        study.run()
        report(
            Progress(
                phase=Phase.REFIT,
                message=f"blend the best of {len(study.evaluations)} trials",
                best_score=study.best.result.score,
            )
        )
        return study.assembler.assemble(study.evaluations)


class Study:
    """The trials of one search."""

    def __init__(self, bench: Bench, crew: Crew, report: Report, offer: Offer | None):
        self.evaluations: list[Evaluation] = []
        """In the order of their numbers, as far as they have ended."""
        self.assembler = Assembler(bench, crew)
        self._bench, self._crew, self._report, self._offer = bench, crew, report, offer
        self._running: dict[int, Trial] = {}
        self._known: list[Evaluation] = []
        """What the sampler has been told, in that order."""
        self._next = 1
        self._late = 0.0
        self._settled_at = 0
        """Trials that had ended at the last election."""
        self._fold_count = len(bench.folds)
        self._is_counted = bench.plan.trials is not None
        self._started = time.monotonic()
        self._next_offer = 0.0
        self._offer_time_s = 0.0

    @property
    def best(self) -> Evaluation:
        """The best complete trial; the baseline when there is no other."""
        return rank_evaluations(self._bench, self.evaluations)[0]

    def run(self) -> None:
        """Run the baseline, the portfolio and then the sampler's choices."""
        self._run_baseline()
        plan = self._bench.plan
        estimators = tuple(
            name
            for name in ESTIMATORS
            if name is not EstimatorName.BASELINE
            and (plan.estimators is None or name in plan.estimators)
        )
        if not estimators:
            return
        spaces = make_spaces(estimators, self._bench.task, plan.hyperparameters)
        pace = self._find_pace(estimators)
        self._fold_count = pace.fold_count
        # Few large trees learn more of many rows than many small ones that cost the same.
        is_cheap = plan.predict_cost_s is not None and not self._bench.task.has_many_rows
        spaces = focus(spaces, plan.hyperparameters, pace.rate, is_cheap=is_cheap)
        self._sampler = Sampler(
            plan,
            spaces,
            self._bench.task,
            pace.rate,
            lambda choice: hastened(choice, pace, self.assembler.charges.max_rounds(choice)),
        )
        if pace.is_slow and not self._is_counted:
            race(self._bench, self._crew, self._sampler, pace, self._end())
        self._pruner = Pruner(
            name=plan.pruner,
            direction=self._bench.metric.direction,
            fold_count=self._fold_count,
            startup_trials=max(self._sampler.portfolio_size, 5),
        )
        self._run_trials()

    def _run_baseline(self) -> None:
        """Run trial 0, without a process: it is a mean."""
        bench = self._bench
        choice = Choice(estimator=EstimatorName.BASELINE, hyperparameters={})
        trial = Trial(
            number=0,
            choice=choice,
            fold_count=len(bench.folds),
            until=bench.plan.deadline,
            known_count=0,
        )
        for _ in bench.folds:
            trial.answers.append(self._crew.desk.fit(trial.next_order()))
            trial.scores.append(self._score(trial))
        self._note(trial.finish(TrialState.COMPLETE))
        if self.evaluations[0].result.state is TrialState.FAIL:
            raise OptionNotUsable(
                f'metric "{bench.metric.name}" cannot be computed for this target',
                detail=self.evaluations[0].result.error,
                hint="Choose another metric.",
            )
        if bench.held_count and np.isnan(self._score_held(trial)):
            raise OptionNotUsable(
                f'metric "{bench.metric.name}" cannot be computed for the held-out rows',
                detail=f"{bench.held_count} rows are held out.",
                hint="Choose another metric, or write holdout = 0.",
            )

    def _find_pace(self, estimators: tuple[EstimatorName, ...]) -> Pace:
        """Choose rate and folds by measuring, but not where trials are counted."""
        bench = self._bench
        is_fixed = self._is_counted or "num_trees" in bench.plan.hyperparameters
        if is_fixed or EstimatorName.LIGHTGBM not in estimators:
            return usual_pace(bench)
        max_rounds = self.assembler.charges.max_rounds(first_choice(bench.task))
        return measure_pace(bench, self._crew, self._end(), max_rounds)

    def _run_trials(self) -> None:
        """Keep the processes busy until nothing is left to do, or the time is over."""
        self._crew.pool.fill()
        while time.monotonic() < self._end():
            while self._crew.has_free and self._may_start():
                self._start()
            if not self._running and not self._may_start():
                if not self._settle():
                    return
                continue
            for reply in self._crew.wait(self._end()):
                self._advance(reply)
        self._abandon()

    def _may_start(self) -> bool:
        """Tell whether another trial is worth starting."""
        plan = self._bench.plan
        if self._late >= MAX_LATE_TRIALS or self._next > (plan.trials or MAX_TRIALS):
            return False
        if self._is_counted:
            return all(number > self._next - LAG for number in self._running)
        left_s = self._end() - time.monotonic()
        if len(self.evaluations) == 1:
            return left_s > 0
        # First those that end within their share, then those that may take all that is left.
        return self._sampler.prefer(
            lambda choice: self._share(choice) * left_s > self._expected_s(choice)
        ) or self._sampler.prefer(lambda choice: left_s > MIN_SLOT_SHARE * self._expected_s(choice))

    def _settle(self) -> bool:
        """Hold an election to see whether its model needs less time; tell if a trial may start."""
        if self._is_counted or self._settled_at == len(self.evaluations):
            return False
        self._settled_at = len(self.evaluations)
        self.assembler.settle(self.evaluations)
        return self._may_start()

    def _expected_s(self, choice: Choice) -> float:
        """Seconds that a trial will take, by the estimator's cost and what others really took."""
        paces: dict[EstimatorName, list[float]] = {}
        for each in self.evaluations[1:]:
            if each.answers:
                pace = each.fold_time_s / max(self._cost(each.choice), 1e-9)
                paces.setdefault(each.choice.estimator, []).append(pace)
        known = paces.get(choice.estimator) or [each for some in paces.values() for each in some]
        pace = float(np.median(known)) if known else 1.0
        return pace * self._cost(choice) * self._fold_count

    def _cost(self, choice: Choice) -> float:
        """What the estimator thinks that a fit takes."""
        estimator, charges = ESTIMATORS[choice.estimator], self.assembler.charges
        return estimator.cost(self._bench.task, choice.hyperparameters, charges.max_cost_ns)

    def _start(self) -> None:
        """Ask for the next choice and give its first fold to a process."""
        self._tell()
        choice = self._sampler.ask(self._next)
        if choice is None:
            self._late = MAX_LATE_TRIALS
            return
        trial = Trial(
            number=self._next,
            choice=choice,
            fold_count=self._fold_count,
            until=self._trial_end(choice),
            known_count=len(self._known),
            max_rounds=self.assembler.charges.max_rounds(choice),
            max_cost_ns=self.assembler.charges.max_cost_ns,
        )
        self._next += 1
        self._running[trial.number] = trial
        self._crew.fit(trial.number, trial.next_order(), trial.slot_s)

    def _tell(self) -> None:
        """Tell sampler and pruner of the trials that the next question may know."""
        known = {each.number for each in self._known}
        limit = self._next - LAG if self._is_counted else self._next
        for each in self.evaluations[1:]:
            if each.number <= limit and each.number not in known:
                # One without time is as bad as one that was pruned: such are not asked for again.
                state = TrialState.PRUNED if each.is_out_of_time else each.result.state
                self._sampler.tell(replace(each.result, state=state), each.fold_scores)
                self._pruner.tell(each.number, each.fold_scores)
                self._known.append(each)

    def _trial_end(self, choice: Choice) -> float:
        """The time at which a trial must end."""
        now = time.monotonic()
        if self._is_counted:
            return self._end()
        left_s = self._usable_s
        wanted_s = PATIENT * self._expected_s(choice) if len(self.evaluations) > 2 else 0.0
        return now + min(left_s, max(self._share(choice) * left_s, wanted_s))

    @property
    def _usable_s(self) -> float:
        """Seconds that are left to fit in: what is fitted must also be kept before the end."""
        left_s = max(self._end() - time.monotonic(), 0.0)
        kept = [answer.keep_s for each in self.evaluations for answer in each.answers]
        return min(KEEP_SHARE * left_s, max(left_s - max(kept, default=0.0), 0.0))

    def _share(self, choice: Choice) -> float:
        """Of the time that is left, what a trial may take."""
        if choice.estimator is EstimatorName.LINEAR:
            return MAX_LINEAR_SHARE
        return TRIAL_SHARE if len(self.evaluations) > 2 else FIRST_TRIAL_SHARE

    def _advance(self, reply: Reply) -> None:
        """Take a fold's answer; go on with the next fold, or end the trial."""
        trial = self._running[reply.task]
        if reply.answer is None:
            state = TrialState.FAIL
            self._end_trial(trial, state, reply.error, is_out_of_time=reply.is_out_of_time)
            return
        trial.answers.append(FitAnswer(**reply.answer))
        trial.scores.append(self._score(trial))
        if len(trial.scores) == trial.fold_count:
            self._end_trial(trial, TrialState.COMPLETE)
        elif reason := self._why_pruned(trial):
            self._end_trial(trial, TrialState.PRUNED, reason)
        else:
            self._extend(trial)
            self._crew.fit(trial.number, trial.next_order(), trial.slot_s)

    def _extend(self, trial: Trial) -> None:
        """Let the other folds take as long as the first one, where that was not known before."""
        answer = trial.answers[-1]
        if len(trial.answers) > 1 or answer.is_cut or self._is_counted:
            return
        wanted_s = CAREFUL * (answer.took_s + answer.keep_s) * (trial.fold_count - 1)
        trial.until = max(trial.until, time.monotonic() + min(wanted_s, self._usable_s))

    def _score(self, trial: Trial) -> float:
        """Score the last fold of a trial."""
        fold = len(trial.scores)
        raw = self._crew.read_raw(trial.number, fold, "valid")
        shown = self._bench.predicted(raw, trial.answers[-1].link)
        started = time.monotonic()
        score = self._bench.score(shown, self._bench.folds[fold].valid)
        self.assembler.note_score_time((time.monotonic() - started) * len(self._bench.folds))
        return score

    def _score_held(self, trial: Trial) -> float:
        """Score the first fold's fit on the holdout."""
        raw = self._crew.read_raw(trial.number, 0, "held")
        shown = self._bench.predicted(raw, trial.answers[0].link)
        return self._bench.score(shown, self._bench.held)

    def _why_pruned(self, trial: Trial) -> str | None:
        """Say why a trial ends before its last fold, if it does."""
        if self._pruner.name is PrunerName.NONE:
            return None
        if len(trial.scores) == 1:
            same = [
                each
                for each in rank_evaluations(self._bench, self._known[: trial.known_count])
                if each.choice.estimator is trial.choice.estimator
            ]
            baseline, metric = self.evaluations[0], self._bench.metric
            if is_hopeless(trial.scores[0], same[0] if same else None, baseline, metric):
                return "its first fold left no hope"
        if self._pruner.is_lost(trial.number, trial.known_count, tuple(trial.scores)):
            return f"ended by the {self._pruner.name} pruner"
        return None

    def _end_trial(
        self,
        trial: Trial,
        state: TrialState,
        error: str | None = None,
        *,
        is_out_of_time: bool = False,
    ) -> None:
        """Note how a trial ended."""
        del self._running[trial.number]
        share = 1 - trial.left_share
        late = REFUSED_SHARE if share < REFUSED_SHARE else 1.0
        self._late = self._late + late if is_out_of_time else 0.0
        self._note(trial.finish(state, error, is_out_of_time=is_out_of_time))

    def _note(self, evaluation: Evaluation) -> None:
        """Keep an evaluation, report it and offer a model if that is wanted."""
        evaluation = self.assembler.with_cost(evaluation)
        self.evaluations.append(evaluation)
        self.evaluations.sort(key=lambda each: each.number)
        ranked = rank_evaluations(self._bench, self.evaluations)
        self._crew.forget(self.assembler.unneeded(ranked, self.evaluations))
        self._report_trial(evaluation.result, ranked[0].result.score if ranked else None)
        self._make_offer(evaluation, ranked)

    def _make_offer(self, evaluation: Evaluation, ranked: list[Evaluation]) -> None:
        """Offer the best single trial as a model, at the first and then at later times."""
        if self._offer is None or not self._bench.plan.anytime or evaluation.number == 0:
            return
        now = time.monotonic()
        if now < self._next_offer or ranked[0].number == 0:
            return
        if self._next_offer != 0.0 and ranked[0] is not evaluation:
            return
        if now + OFFER_RESERVE * self._offer_time_s > self._end():
            return
        self._offer(self.assembler.interim(self.evaluations))
        self._offer_time_s = time.monotonic() - now
        self._next_offer = now + OFFER_SPACING * (now - self._started)

    def _abandon(self) -> None:
        """End the trials that are still running: the time is over."""
        self._crew.drop_tasks()
        for trial in list(self._running.values()):
            self._end_trial(trial, TrialState.FAIL, "the time was over", is_out_of_time=True)

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

    def _end(self) -> float:
        """The time at which trials must have ended, so that the model can be made."""
        reserve_s = self.assembler.reserve_s(self.evaluations)
        return self._bench.plan.deadline - LAST_WORDS_S - reserve_s


def describe_bench(bench: Bench) -> str:
    """Say what is going to be searched, and what its score will not tell."""
    features = bench.sample.features.features
    column_count = len({feature.column for feature in features})
    metric, usual = bench.metric.name, DEFAULTS[bench.task.problem_type]
    if bench.plan.metric is None and metric != usual:
        metric += f" (for {usual} there are too few rows of one class)"
    parts = [
        f"{bench.task.problem_type} problem, metric {metric}, "
        f"rows to search on: {bench.searched_count}, held out: {bench.held_count}, "
        f"features: {len(features)} of {column_count} columns"
    ]
    unjudged = [f'"{name}"' for name in bench.find_unjudged()]
    if unjudged:
        more = ", …" if len(unjudged) > SHOWN_CLASSES else ""
        parts.append(f"not judged, as too rare: {', '.join(unjudged[:SHOWN_CLASSES])}{more}")
    return "; ".join(parts)
