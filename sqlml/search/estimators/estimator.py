"""
What every estimator offers, and what it is given.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from sqlml.enums import EstimatorName, ProblemType
from sqlml.search.arrays import F64, I64
from sqlml.search.fitted import Feature, LinearPart, TreePart
from sqlml.search.leaderboard import Hyperparameters


class OutOfTime(Exception):
    """A fit could not be done before its time was over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Encoded rows with their target, and all that a fit must know about them."""

    problem_type: ProblemType
    output_count: int
    class_count: int
    features: tuple[Feature, ...]
    matrix: F64
    target: F64
    metric: str
    seed: int
    threads: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One fit to do: on which rows, and until when."""

    until: float
    """`time.monotonic()` at which the fit ends with what it has."""
    train: I64 | None = None
    """Row numbers of the sample; None is all of them."""
    valid: I64 | None = None
    """Row numbers to stop early on; None is no early stopping."""
    rounds: int | None = None
    """Boosting rounds, where an earlier fit has found them."""

    @property
    def left_s(self) -> float:
        """Seconds that are left for the fit."""
        return self.until - time.monotonic()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """A fitted estimator."""

    part: LinearPart | TreePart
    raw: Callable[[F64], F64]
    """The estimator's own raw scores of encoded rows, shape (rows, outputs)."""
    rounds: int | None = None
    """Boosting rounds that were best; None where there are none."""
    is_cut: bool = False
    """Whether time ended the fit."""


class Fitter(Protocol):
    """An estimator bound to a sample, so that what all fits share is made once."""

    def fit(self, hyperparameters: Hyperparameters, order: Order) -> Fit:
        """Fit on the ordered rows."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """An estimator with the hyperparameters of a trial."""

    estimator: EstimatorName
    hyperparameters: Hyperparameters
