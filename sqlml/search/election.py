"""
The election of an ensemble: which trials, with which weights, and which fits answer for them.
"""

import time
from collections import Counter
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from sqlml.enums import EstimatorName, ProblemType
from sqlml.search.bench import Bench
from sqlml.search.calibration import find_scale
from sqlml.search.charges import Charges
from sqlml.search.elected import Elected, alone
from sqlml.search.ensemble import Allowance, select_raw_weights
from sqlml.search.estimators.estimator import Choice
from sqlml.search.predictions import Predictions
from sqlml.search.trial import Evaluation

Kind: TypeAlias = tuple[EstimatorName, tuple[tuple[str, object], ...]]


class Election:
    """How the trials of a search become the members of an ensemble."""

    def __init__(self, bench: Bench, predictions: Predictions, charges: Charges):
        self._bench, self._predictions, self._charges = bench, predictions, charges

    def hold(self, candidates: list[Evaluation]) -> list[Elected]:
        """Choose the members among the candidates and their weights, largest first."""
        self._predictions.scales = {}
        if len(candidates) == 1:
            return [alone(candidates[0])]
        self._predictions.scales = self._find_scales(candidates)
        rows = self._predictions.scored(candidates)
        truth, weight = self._predictions.truth(rows)
        oofs = [self._predictions.of_folds(each, rows) for each in candidates]
        allowance = self.allowance(candidates)
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
        rows, until = self._predictions.scored(candidates), self._bench.half_time()
        truth, weight = self._predictions.truth(rows)
        scales: dict[int, float] = {}
        for each in candidates:
            if time.monotonic() < until:
                scales[each.number] = find_scale(
                    self._predictions.of_folds(each, rows), truth, weight
                )
        return scales

    def allowance(self, evaluations: list[Evaluation]) -> Allowance:
        """What each trial's fit is charged, what all may be together, and how long to look."""
        return Allowance(
            costs=np.array([self._charges.charge_ns(each) for each in evaluations]),
            limit=self._charges.limit_ns,
            until=self._bench.half_time(),
        )

    def bag(self, elected: list[Elected]) -> list[Elected]:
        """Let the folds' fits answer together where the cost allows, heaviest weights first."""
        if self._bench.is_ordered:
            # The fits of earlier folds know the past only.
            return elected
        left_ns = self._charges.limit_ns - sum(
            self._charges.charge_ns(each.evaluation) for each in elected
        )
        made: list[Elected] = []
        for each in sorted(elected, key=lambda each: -each.weight):
            count = len(each.evaluation.answers)
            extra_ns = (count - 1) * self._charges.charge_ns(each.evaluation)
            is_bag = count > 1 and extra_ns <= left_ns
            left_ns -= extra_ns if is_bag else 0.0
            made.append(replace(each, is_bag=is_bag))
        return made


def nominate(ranked: list[Evaluation], count: int) -> list[Evaluation]:
    """
    Take the best trials, the best two of each estimator and the best of each kind.

    The best of a long search are much alike, and what makes an ensemble better than its members
    is what they do not have in common.
    """
    by_estimator: Counter[EstimatorName] = Counter()
    kinds: set[Kind] = set()
    taken: list[Evaluation] = []
    for place, each in enumerate(ranked):
        estimator, kind = each.choice.estimator, _kind(each.choice)
        is_new = kind not in kinds and len(kinds) < count
        if place < count or is_new or by_estimator[estimator] < 2:
            taken.append(each)
        by_estimator[estimator] += 1
        kinds.add(kind)
    return taken


def _kind(choice: Choice) -> Kind:
    """Tell how a choice differs from others other than by numbers."""
    named = sorted(choice.hyperparameters.items())
    return choice.estimator, tuple(each for each in named if isinstance(each[1], str | bool))
