"""
What the fits of a search say of rows that they have not learnt from.
"""

from collections.abc import Sequence

import numpy as np

from sqlml.enums import ProblemType
from sqlml.search.arrays import F64, I64
from sqlml.search.bench import Bench
from sqlml.search.crew import Crew
from sqlml.search.elected import Elected
from sqlml.search.fitted import Link
from sqlml.search.trial import Evaluation
from sqlml.search.union import Finish


class Predictions:
    """Raw scores, or responses, of the rows of a bench's sample; shape (rows, outputs)."""

    def __init__(self, bench: Bench, crew: Crew):
        self._bench, self._crew = bench, crew
        self.scales: dict[int, float] = {}
        """By what the raw scores of trials are multiplied, by their numbers; else by 1."""

    def scored(self, evaluations: Sequence[Evaluation]) -> I64:
        """Rows of the sample that the folds of all these trials have validated, ascending."""
        count = min(len(each.answers) for each in evaluations)
        return np.sort(np.concatenate([fold.valid for fold in self._bench.folds[:count]]))

    def of_folds(self, evaluation: Evaluation, rows: I64) -> F64:
        """Get what a trial's folds say of rows: raw scores of classes, or responses."""
        bench = self._bench
        made = np.empty((bench.searched_count, bench.task.output_count))
        for fold, answer in enumerate(evaluation.answers):
            raw = self._crew.read_raw(evaluation.number, fold, "valid")
            made[bench.folds[fold].valid] = self.blended(raw, Link(answer.link))
        return made[rows] * self.scale(evaluation)

    def of_holdout(self, elected: Elected) -> F64:
        """
        Get what a member says of the holdout, as `of_folds` does.

        All fits of a bag answer. For a refit each row is answered by one fold's fit, which
        has learnt from a little less than the refit will.
        """
        evaluation = elected.evaluation
        raws = [
            self.scale(evaluation)
            * self.blended(self._crew.read_raw(evaluation.number, fold, "held"), Link(answer.link))
            for fold, answer in enumerate(evaluation.answers)
        ]
        if elected.is_bag:
            return np.asarray(np.mean(raws, axis=0))
        if self._bench.is_ordered:
            return raws[-1]
        turns = np.arange(len(raws[0])) % len(raws)
        return np.asarray(np.choose(turns[:, None], raws))

    def constant(self, baseline: Evaluation) -> F64:
        """
        Get what the baseline's first fold says of any row; shape (1, outputs).

        Those of several folds would rank rows by their folds.
        """
        raw = self._crew.read_raw(baseline.number, 0, "valid")
        return self.blended(raw, Link(baseline.answers[0].link))[:1]

    def blended(self, raw: F64, link: Link) -> F64:
        """Turn raw scores into what models blend: of numbers the responses."""
        if self._bench.task.problem_type is ProblemType.REGRESSION:
            return self._bench.predicted(raw, link).reshape(-1, 1)
        return raw

    def shown(self, blended: F64, finish: Finish) -> F64:
        """Turn a blend into what metrics score."""
        raw = calibrated(blended, finish)
        if self._bench.task.problem_type is ProblemType.REGRESSION:
            return raw[:, 0]
        if finish.threshold:
            raw = raw - finish.threshold
        return self._bench.predicted(raw, Link.IDENTITY)

    def truth(self, rows: I64) -> tuple[F64, F64 | None]:
        """Get target and weight of rows of the sample."""
        sample = self._bench.sample
        return sample.target[rows], None if sample.weight is None else sample.weight[rows]

    def scale(self, evaluation: Evaluation) -> float:
        """Get by what the raw scores of a trial are multiplied."""
        return self.scales.get(evaluation.number, 1.0)


def calibrated(raw: F64, finish: Finish) -> F64:
    """Scale and shift raw scores."""
    scaled = raw if finish.scale == 1 else raw * finish.scale
    return scaled + np.array(finish.offsets) if finish.offsets else scaled


def blend(candidates: Sequence[F64], weights: F64) -> F64:
    """Add up predictions."""
    total = np.zeros_like(candidates[0])
    for candidate, weight in zip(candidates, weights, strict=True):
        total += weight * candidate
    return total
