"""
What a search asks of the processes that fit, and what they answer; both travel as JSON.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlml.enums import EstimatorName
from sqlml.search.fitted import Link
from sqlml.search.leaderboard import Hyperparameters


@dataclass(frozen=True, slots=True, kw_only=True)
class FitOrder:
    """One fit to do."""

    name: str
    """Of the files that it leaves."""
    estimator: EstimatorName
    hyperparameters: Hyperparameters
    until: float
    """`time.monotonic()`, which all processes of a machine share."""
    fold: int | None = None
    """The fold to learn from, and to validate; None: all rows of the sample."""
    share: float = 1.0
    """Of the rows to learn from; less than 1 leaves no fit, only its raw scores."""
    rounds: int | None = None
    """Boosting rounds, where an earlier fit has found them."""
    max_rounds: int | None = None
    """Boosting rounds that predictions can afford."""
    max_cost_ns: float | None = None
    """What the fit may cost a prediction."""
    is_probe: bool = False
    """Whether only time and rounds count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FitAnswer:
    """What is to be known of a fit, beside the files."""

    took_s: float
    keep_s: float
    """Seconds for raw scores and files."""
    rounds: int | None
    is_cut: bool
    link: Link
    facts: tuple[Mapping[str, int], ...]
    """`PartFacts` of each part."""
