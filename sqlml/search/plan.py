"""
What a search is asked to do.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlml.enums import EstimatorName, ProblemType, PrunerName, SamplerName
from sqlml.search.leaderboard import TrialResult
from sqlml.search.space import Dimension


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
    """Threads of one process."""
    processes: int = 1
    """Processes that run trials side by side."""
    hyperparameters: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    """Values that no trial may change, by name; also num_trees, which no space has."""
    space: Mapping[str, Dimension] = field(default_factory=dict)
    """Dimensions that replace those of the estimators, by name."""
    sampler: SamplerName = SamplerName.TPE
    pruner: PrunerName | None = None
    """None ends a trial after a first fold that leaves no hope."""
    predict_cost_ns: float = 10_000.0
    """What the prediction of a row may cost on one core."""
    class_weight: str | None = None
    """`none` or `balanced`; None leaves the choice to the trials."""
    finished: tuple[TrialResult, ...] = ()
    """Trials of an interrupted search for the same model."""
    anytime: bool = False
    """Whether the first usable model is wanted at once, and better ones later."""
