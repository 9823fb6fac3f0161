"""
What every estimator offers, and what it is given.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from scipy.sparse import csr_matrix

from sqlml.enums import EstimatorName, ProblemType
from sqlml.search.arrays import F64, I64
from sqlml.search.cost import PartFacts
from sqlml.search.encoder import Encoded
from sqlml.search.estimators.raw import raw_scores
from sqlml.search.estimators.sizes import measure
from sqlml.search.features import FeatureSet
from sqlml.search.fitted import LINKS, Feature, Link, Part
from sqlml.search.leaderboard import Hyperparameters
from sqlml.search.metrics import Metric
from sqlml.search.space import Dimension
from sqlml.search.target import Target, TargetFacts, describe_target

MANY_ROWS = 50_000


class OutOfTime(Exception):
    """A fit could not be done in the time that is left, or that such a fit may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What is to be learnt: enough to choose spaces and portfolios, without the rows."""

    problem_type: ProblemType
    class_count: int
    """0 for REGRESSION."""
    row_count: int
    feature_count: int
    metric: Metric
    has_texts: bool
    """Whether linear models find tf-idf of texts."""
    has_encodings: bool
    """Whether there are categories that are worth target means."""
    facts: TargetFacts

    @property
    def has_many_rows(self) -> bool:
        """Whether there are rows enough for finer splits and larger trees from the start."""
        return self.row_count >= MANY_ROWS

    @property
    def output_count(self) -> int:
        """Count the raw scores of a row."""
        return self.class_count if self.problem_type is ProblemType.MULTICLASS else 1


def make_task(
    target: Target, features: FeatureSet, metric: Metric, weight: F64 | None = None
) -> Task:
    """Describe what is to be learnt from rows with these targets."""
    return Task(
        problem_type=target.problem_type,
        class_count=len(target.classes),
        row_count=target.values.size,
        feature_count=len(features.features),
        metric=metric,
        has_texts=bool(features.vocabularies),
        has_encodings=bool(features.encodings),
        facts=describe_target(target, weight),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sample:
    """Encoded rows with their target, and all that a fit must know about them."""

    task: Task
    features: FeatureSet
    matrix: F64
    """Shape (rows, features), column by column in memory; may be mapped and read-only."""
    target: F64
    texts: tuple[csr_matrix, ...] = ()
    """Shape (rows, V) for each vocabulary of the features."""
    weight: F64 | None = None
    """What each row counts; None: all the same."""
    seed: int = 0
    threads: int = 1

    @property
    def rows(self) -> Encoded:
        """The encoded rows."""
        return Encoded(self.matrix, self.texts)


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
    max_rounds: int | None = None
    """Boosting rounds that predictions can afford."""
    max_cost_ns: float | None = None
    """What the fit may cost a prediction, which decides how many trees a forest has."""

    @property
    def left_s(self) -> float:
        """Seconds that are left for the fit."""
        return self.until - time.monotonic()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fit:
    """
    A fitted estimator, as plain data.

    Features of its own count on from the sample's; the last part predicts, the parts before
    it are read by SCORE features, whose `source` is a place in `parts`.
    """

    parts: tuple[Part, ...]
    features: tuple[Feature, ...] = ()
    """LOOKUP and SCORE features after those of the sample."""
    link: Link
    """What makes responses of the last part's raw scores."""
    rounds: int | None = None
    """Boosting rounds that were best; None where there are none."""
    is_cut: bool = False
    """Whether time ended the fit."""

    @property
    def facts(self) -> tuple[PartFacts, ...]:
        """Measure what a prediction has to do, part by part."""
        return tuple(measure(part) for part in self.parts)

    def raw(self, rows: Encoded) -> F64:
        """Compute the raw scores of the last part, shape (rows, outputs)."""
        return raw_scores(self.parts, self.features, rows)


class Fitter(Protocol):
    """An estimator bound to a sample, so that what all fits share is made once."""

    def fit(self, hyperparameters: Hyperparameters, order: Order) -> Fit:
        """Fit on the ordered rows. Raises `OutOfTime` where it would take too long."""
        ...


class Estimator(Protocol):
    """An algorithm: what may be chosen, what to choose first, and how to fit it."""

    @property
    def name(self) -> EstimatorName:
        """Its name in options and catalogue."""
        ...

    def space(self, task: Task) -> Mapping[str, Dimension]:
        """Get the hyperparameters that trials choose."""
        ...

    def portfolio(self, task: Task, rate: float) -> tuple[Hyperparameters, ...]:
        """
        Make the settings to try first, in an order that covers the space.

        All name every hyperparameter of the space. `rate` is the learning rate of a usual
        setting, by what there is time for.
        """
        ...

    def cost(
        self, task: Task, hyperparameters: Hyperparameters, max_cost_ns: float | None
    ) -> float:
        """
        Estimate the seconds of one fit on all rows of a task, roughly, on one core.

        `max_cost_ns` is what the fit may cost a prediction, as in `Order`.
        """
        ...

    def fitter(self, sample: Sample) -> Fitter:
        """Bind it to a sample."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """An estimator with the hyperparameters of a trial."""

    estimator: EstimatorName
    hyperparameters: Hyperparameters


def default_link(task: Task) -> Link:
    """Get the link of a task's problem type."""
    return LINKS[task.problem_type][0]
