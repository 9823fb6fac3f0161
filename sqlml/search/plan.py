"""
What a search is asked to do.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from sqlml.enums import EstimatorName, ProblemType
from sqlml.search.leaderboard import TrialResult

Scalar = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Given:
    """RANGE(low, high): the bounds that a user gives to a dimension of the space."""

    low: float
    high: float


Asked = Scalar | Given | tuple[Scalar, ...]
"""What a user says of a hyperparameter: its value, bounds, or the values to choose from."""


class SamplerName(StrEnum):
    """How hyperparameters are drawn."""

    TPE = "tpe"
    RANDOM = "random"
    GRID = "grid"
    CMAES = "cmaes"
    GP = "gp"


class PrunerName(StrEnum):
    """How a trial is ended before its last fold."""

    MEDIAN = "median"
    HYPERBAND = "hyperband"
    ASHA = "asha"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The options of one training and what it may spend; None leaves the choice to us."""

    deadline: float
    """`time.monotonic()` by which the search has returned."""
    problem_type: ProblemType | None = None
    metric: str | None = None
    metric_parameter: float | None = None
    """The quantile of pinball, the power of tweedie_deviance."""
    trials: int | None = None
    """Trials after the baseline. Given, they end the search; the deadline still holds."""
    seed: int = 0
    folds: int | None = None
    holdout: float | None = None
    """The share of rows to hold out, 0 to 0.5."""
    estimators: tuple[EstimatorName, ...] | None = None
    sampler: SamplerName = SamplerName.TPE
    pruner: PrunerName = PrunerName.MEDIAN
    processes: int | None = None
    predict_cost_s: float | None = 10e-6
    """What the prediction of a row may cost on one core; None is no limit."""
    is_plain: bool = False
    """Whether features must be such as SQL computes: no words, no arrays."""
    anytime: bool = False
    """Whether interim models are asked for."""
    threads: int = 1
    """Of each process."""
    hyperparameters: Mapping[str, Asked] = field(default_factory=dict)
    """By name, for every estimator that has one of this name."""
    finished: tuple[TrialResult, ...] = ()
    """The trials of an earlier attempt at the same job, in their order."""
