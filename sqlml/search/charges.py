"""
What predictions may cost, and what the fits of a search take of that.
"""

import math
from bisect import bisect_right
from functools import cached_property

import numpy as np

from sqlml.search.bench import Bench
from sqlml.search.cost import PartFacts, part_cost_ns, predict_cost_ns
from sqlml.search.estimators.boosting import MAX_ROUNDS
from sqlml.search.estimators.estimator import Choice
from sqlml.search.fitted import FeatureOp
from sqlml.search.trial import Evaluation

UNLIMITED_COST_S = 1e-3
"""What a row may cost where there is no limit; the room that a model has matters before that."""
SURE_COST_SHARE = 0.75
"""Estimates of the cost of predictions are of a core that nothing else slows down."""
MAX_FIT_SHARE = 0.5
"""Of what a prediction may cost, one fit may take so much: an ensemble is to have others."""
USUAL_LEAVES, MIN_ROUNDS = 31, 20


class Charges:
    """The limit of one search, and what is charged for its fits: nanoseconds a row, one core."""

    def __init__(self, bench: Bench):
        self._bench = bench

    @property
    def max_cost_ns(self) -> float:
        """What one fit may cost a prediction: half of the limit, the rest is for others."""
        return MAX_FIT_SHARE * self.limit_ns

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

    @cached_property
    def limit_ns(self) -> float:
        """What the parts of a model may cost a row."""
        wished_s = self._bench.plan.predict_cost_s
        limit_s = UNLIMITED_COST_S if wished_s is None else wished_s
        return max(SURE_COST_SHARE * limit_s * 1e9 - self.features_ns, 0.0)

    @cached_property
    def features_ns(self) -> float:
        """What calling for a row and encoding it cost at most."""
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

    def fit_ns(self, evaluation: Evaluation) -> float:
        """What one of a trial's fits costs a row, on average."""
        costs = [
            sum(part_cost_ns(PartFacts(**part), self._word_count) for part in answer.facts)
            for answer in evaluation.answers
        ]
        return float(np.mean(costs))

    def charge_ns(self, evaluation: Evaluation) -> float:
        """What one of a trial's fits takes of the limit, by its cost or by its room."""
        shares = [
            sum(PartFacts(**part).room_share for part in answer.facts)
            for answer in evaluation.answers
        ]
        return max(self.fit_ns(evaluation), float(np.mean(shares)) * self.limit_ns)
