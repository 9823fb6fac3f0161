"""
What an election decides of a trial.
"""

from dataclasses import dataclass

import numpy as np

from sqlml.search.trial import Evaluation


@dataclass(frozen=True, slots=True, kw_only=True)
class Elected:
    """A trial of the ensemble with its weight."""

    evaluation: Evaluation
    weight: float
    is_bag: bool
    """Whether the fits of its folds answer together."""

    @property
    def fit_count(self) -> int:
        """Fits that answer for it."""
        return len(self.evaluation.answers) if self.is_bag else 1

    @property
    def kept_s(self) -> float:
        """Seconds that writing those fits took; of a refit, as long as its folds' on average."""
        kept = [answer.keep_s for answer in self.evaluation.answers]
        return sum(kept) if self.is_bag else float(np.mean(kept))


def alone(evaluation: Evaluation) -> Elected:
    """Make a trial the only member."""
    return Elected(evaluation=evaluation, weight=1.0, is_bag=False)
