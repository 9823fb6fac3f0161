"""
The target: what kind of problem it poses, and its values as numbers.
"""

from dataclasses import dataclass, replace

import numpy as np

from sqlml.enums import ColumnKind, ProblemType
from sqlml.errors import OptionNotUsable, SingleClass, TargetAllNull, TargetNotUsable, TooFewRows
from sqlml.extract.dataset import Column, Dataset
from sqlml.search.arrays import F64, I64

MIN_ROWS = 10
MAX_CLASSES = 256
FEW_CLASSES = 20
"""Integers with more distinct values than this are a quantity."""
ROWS_PER_CLASS = 5
"""Integers with fewer rows than this for each distinct value are a quantity."""
LARGEST_EXACT_INTEGER = 2.0**53
IMBALANCED_SHARE = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """
    The values to learn, as float64: indexes into `classes`, or the numbers themselves.

    `classes` are the SQL texts of the values in the target's own order; empty for
    REGRESSION.
    """

    problem_type: ProblemType
    classes: tuple[str, ...]
    values: F64

    @property
    def output_count(self) -> int:
        """How many raw scores a row has."""
        return len(self.classes) if self.problem_type is ProblemType.MULTICLASS else 1

    def take(self, rows: I64) -> "Target":
        """Take some rows; the classes stay."""
        return replace(self, values=self.values[rows])


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetFacts:
    """What the search decides by, beside the problem type."""

    class_shares: tuple[float, ...]
    """Share of each class by weight; empty for REGRESSION."""
    is_imbalanced: bool
    """Whether some class has less than a fifth of what it had if all were equal."""
    is_positive: bool
    """Whether all numbers are above 0; False for classes."""
    is_nonnegative: bool
    """Whether no number is below 0; False for classes."""
    is_integer: bool
    """Whether all numbers are whole; False for classes."""
    skew: float
    """Third standardised moment of the numbers; 0 for classes and constants."""
    log_skew: float
    """The same of log(1 + number); NaN where a number is below 0."""


def describe_target(target: Target, weight: F64 | None = None) -> TargetFacts:
    """Find out what the search decides by."""
    values = target.values
    if target.problem_type is not ProblemType.REGRESSION:
        shares = np.bincount(values.astype(np.int64), weight, minlength=len(target.classes))
        shares = shares / shares.sum()
        return TargetFacts(
            class_shares=tuple(shares.tolist()),
            is_imbalanced=bool(shares.min() * shares.size < IMBALANCED_SHARE),
            is_positive=False,
            is_nonnegative=False,
            is_integer=False,
            skew=0.0,
            log_skew=0.0,
        )
    is_nonnegative = bool((values >= 0).all())
    return TargetFacts(
        class_shares=(),
        is_imbalanced=False,
        is_positive=bool((values > 0).all()),
        is_nonnegative=is_nonnegative,
        is_integer=bool((values == np.trunc(values)).all()),
        skew=_skew(values),
        log_skew=_skew(np.log1p(values)) if is_nonnegative else float("nan"),
    )


def check_weights(values: F64, column: str) -> F64:
    """
    Check the rows' weights and bring them to a mean of 1.

    `values` has NaN where a weight is NULL. A weight of 0 leaves a row out of every fit and score.
    """
    for is_wrong, what in (
        (~np.isfinite(values), "NULL, NaN or infinite"),
        (values < 0, "negative"),
    ):
        if is_wrong.any():
            raise OptionNotUsable(
                f'weight column "{column}" has a value that is {what}',
                detail=f"{int(is_wrong.sum())} of {values.size} rows have one.",
                hint="Weights are numbers from 0 up; 0 leaves a row out.",
            )
    largest = values.max(initial=0.0)
    if largest == 0:
        raise OptionNotUsable(
            f'weight column "{column}" is 0 in every row',
            hint="Give the rows that count a weight above 0.",
        )
    scaled = values / largest
    counting = int(np.count_nonzero(scaled))
    if counting < MIN_ROWS:
        raise TooFewRows(
            f"training needs at least {MIN_ROWS} rows with a weight above 0",
            detail=f'Weight column "{column}" is above 0 in {counting} of {values.size} rows.',
            hint="Train from more rows.",
        )
    return np.asarray(scaled / scaled.mean(), dtype=np.float64)


def balanced_weights(target: Target, weight: F64 | None = None) -> F64:
    """Weigh rows so that all classes that occur count the same, with a mean of 1."""
    base = np.ones(target.values.size) if weight is None else weight
    codes = target.values.astype(np.int64)
    totals = np.bincount(codes, base, minlength=len(target.classes))
    occurring = totals > 0
    factors = np.divide(
        totals.sum() / occurring.sum(), totals, out=np.zeros_like(totals), where=occurring
    )
    return np.asarray(base * factors[codes])


def _skew(values: F64) -> float:
    """Third standardised moment; 0 of a constant. Huge numbers do not overflow."""
    largest = np.abs(values).max(initial=0.0)
    if largest == 0:
        return 0.0
    scaled = values / largest
    centred = scaled - scaled.mean()
    spread = float(np.abs(centred).max())
    if spread < 1e-12:
        return 0.0
    centred = centred / spread
    return float((centred**3).mean() / (centred**2).mean() ** 1.5)


def read_target(dataset: Dataset, wanted: ProblemType | None) -> Target:
    """Decide the problem type, unless one is wanted, and turn the target into numbers."""
    column = dataset.target
    _check_row_count(dataset)
    if column.kind is ColumnKind.DATETIME:
        raise TargetNotUsable(
            f'target "{column.name}" of type {column.type_name} cannot be predicted',
            hint="Predict a number made from it, such as extract(epoch FROM ...).",
        )
    values = dataset.table.column(column.name)
    if column.kind is not ColumnKind.NUMERIC:
        if wanted is ProblemType.REGRESSION:
            raise TargetNotUsable(
                f'target "{column.name}" of type {column.type_name} cannot be a regression',
                hint="A regression needs a numeric target; leave problem_type out.",
            )
        distinct, codes = np.unique(values.to_numpy(), return_inverse=True)
        texts = [str(value).lower() if value in (True, False) else value for value in distinct]
        return _classification(column, tuple(texts), codes, wanted)
    numbers = np.asarray(values.to_numpy(), dtype=np.float64)
    distinct, codes = np.unique(numbers, return_inverse=True)
    if wanted is ProblemType.REGRESSION or (wanted is None and not _are_classes(distinct, codes)):
        return Target(problem_type=ProblemType.REGRESSION, classes=(), values=numbers)
    return _classification(column, _number_texts(column, distinct), codes, wanted)


def _check_row_count(dataset: Dataset) -> None:
    """Raise unless there are enough rows with a target."""
    name, count, null_count = dataset.target.name, dataset.row_count, dataset.null_target_count
    unknown = dataset.target.unknown
    if count == 0 and null_count > 0:
        raise TargetAllNull(
            f'target "{name}" is {unknown} in every row',
            detail=f"{null_count} rows were read.",
            hint="Train from rows whose target is known.",
        )
    if count < MIN_ROWS:
        raise TooFewRows(
            f"training needs at least {MIN_ROWS} rows with a target",
            detail=f'Rows read: {count + null_count}. "{name}" is {unknown} in {null_count}.',
            hint="Train from more rows.",
        )


def _are_classes(distinct: F64, codes: I64) -> bool:
    """Tell whether numbers are labels: few integers, each of them in many rows."""
    few = distinct.size <= FEW_CLASSES and distinct.size * ROWS_PER_CLASS <= codes.size
    exact = np.abs(distinct[[0, -1]]).max() < LARGEST_EXACT_INTEGER
    return bool(few and exact and (distinct == np.trunc(distinct)).all())


def _number_texts(column: Column, distinct: F64) -> tuple[str, ...]:
    """Write numbers as SQL does: integers without a point."""
    if np.abs(distinct[[0, -1]]).max() >= LARGEST_EXACT_INTEGER:
        raise TargetNotUsable(
            f'target "{column.name}" has numbers too large for class labels',
            detail="Integers are exact up to 2^53.",
            hint="Cast the target to text, or leave problem_type out.",
        )
    # Adding 0 makes the negative zero the other one.
    return tuple(repr(value).removesuffix(".0") for value in (distinct + 0.0).tolist())


def _classification(
    column: Column, classes: tuple[str, ...], codes: I64, wanted: ProblemType | None
) -> Target:
    """Check that the classes can be learnt."""
    if len(classes) == 1:
        raise SingleClass(
            f'target "{column.name}" has one value only',
            detail=f'It is "{classes[0]}" in all {codes.size} rows.',
            hint="A classification needs rows of two classes or more.",
        )
    if len(classes) > min(MAX_CLASSES, codes.size // 2):
        raise TargetNotUsable(
            f'target "{column.name}" has too many distinct values for a classification',
            detail=f"{len(classes)} values in {codes.size} rows; at most {MAX_CLASSES} classes "
            "and half as many classes as rows can be learnt.",
            hint="Predict a coarser column, or a number.",
        )
    if wanted is ProblemType.BINARY and len(classes) != 2:
        raise TargetNotUsable(
            f'target "{column.name}" has {len(classes)} distinct values, a binary one has 2',
            hint="Use problem_type multiclass, or leave the option out.",
        )
    found = ProblemType.BINARY if len(classes) == 2 else ProblemType.MULTICLASS
    return Target(
        problem_type=wanted or found, classes=classes, values=codes.ravel().astype(np.float64)
    )
