"""
What a search is asked to do.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlml.enums import EstimatorName, ProblemType


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The options of one training and what it may spend; None leaves the choice to us."""

    deadline: float
    """`time.monotonic()` by which the search has returned."""
    problem_type: ProblemType | None = None
    metric: str | None = None
    trials: int | None = None
    """Trials after the baseline. Given, they end the search; the deadline still holds."""
    seed: int = 0
    folds: int | None = None
    estimators: tuple[EstimatorName, ...] | None = None
    threads: int = 1
    hyperparameters: Mapping[str, int | float] = field(default_factory=dict)
    """LightGBM values that no trial may change: num_trees, num_leaves, learning_rate."""
