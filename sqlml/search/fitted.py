"""
What the search hands to compile: a fitted model as plain data.

Inputs become features, features become the raw scores of each part, these are blended and
calibrated into the raw scores of the model, and those become the prediction. Every step is
defined here so exactly that the scoring core can replay it bit for bit.
"""

from dataclasses import dataclass
from enum import StrEnum

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from sqlml.enums import EstimatorName, ProblemType
from sqlml.extract.dataset import Column


class FeatureOp(StrEnum):
    """How a feature is made from its column. Datetimes are read in UTC."""

    VALUE = "value"
    """The number itself; a boolean is 0 or 1."""
    CODE = "code"
    """A category's code: 0 for NULL, 1 for any value that is not a level, else 2 + index."""
    EPOCH = "epoch"
    """Seconds since 2000-01-01 00:00 UTC: microseconds / 1e6 as float64."""
    YEAR = "year"
    MONTH = "month"
    """1 to 12."""
    DAY = "day"
    """1 to 31."""
    WEEKDAY = "weekday"
    """0 is Monday."""
    YEARDAY = "yearday"
    """1 to 366."""
    HOUR = "hour"
    """0 to 23."""


class Link(StrEnum):
    """How a raw score s becomes the response."""

    IDENTITY = "identity"
    """s."""
    EXP = "exp"
    """exp(s)."""
    EXPM1 = "expm1"
    """exp(s) - 1, exact near zero."""
    SQUARE = "square"
    """s * s with the sign of s."""
    LOGISTIC = "logistic"
    """1 / (1 + exp(-s))."""
    SOFTMAX = "softmax"
    """exp(s[k] - max(s)) divided by the sum of these."""


class Blend(StrEnum):
    """What of the parts is added up."""

    RAW = "raw"
    """Their raw scores."""
    RESPONSE = "response"
    """Their responses; the inverse of the link makes a raw score of the sum."""


LINKS = {
    ProblemType.BINARY: (Link.LOGISTIC,),
    ProblemType.MULTICLASS: (Link.SOFTMAX,),
    ProblemType.REGRESSION: (Link.IDENTITY, Link.EXP, Link.EXPM1, Link.SQUARE, Link.LOGISTIC),
}
"""The links that suit a problem type; the first is what a model has unless it says otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """
    One input of the estimators, as float64.

    `fill` replaces a missing value (NULL or NaN); NaN leaves it missing for the
    estimator. CODE never is missing. `levels` is for CODE only.
    """

    column: str
    op: FeatureOp
    fill: float = float("nan")
    levels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NumericTerm:
    """
    A numeric feature's part in a linear score, one weight an output.

    For x present: `weight * ((min(max(x, low), high) - mean) * inverse_scale)`.
    For x missing (NaN): `missing_weight`.
    """

    feature: int
    low: float
    high: float
    mean: float
    inverse_scale: float
    weights: NDArray[np.float64]
    missing_weights: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeTerm:
    """A category feature's part in a linear score: `weights[code]`, shape (codes, outputs)."""

    feature: int
    weights: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearPart:
    """`intercepts[k]`, then the terms added in their order. No terms: a constant."""

    estimator: EstimatorName
    intercepts: NDArray[np.float64]
    terms: tuple[NumericTerm | CodeTerm, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TreePart:
    """
    A LightGBM booster trained on the features in their order (named f0, f1, …).

    The leaves are added from 0 in the order of the trees, and divided by the number of
    iterations where the booster averages (random forest). The raw scores of a booster
    with a sigmoid of its own are multiplied by it.
    """

    estimator: EstimatorName
    booster: lgb.Booster


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedModel:
    """
    A model that can be compiled.

    Raw scores: one for BINARY (log odds of `classes[1]`) and for REGRESSION, one a class
    for MULTICLASS. `classes` are the target's values as text, sorted by the target's own
    order; empty for REGRESSION. `columns` are the columns that features use, in the
    relation's order.

    1. Part i gives raw_i[k].
    2. Blend RAW: s[k] = weights[0] * raw_0[k] + weights[1] * raw_1[k] + …, in this order.
       Blend RESPONSE: p[k] is the same sum over the parts' responses, and s[k] is
       log(p) - log(1 - p) with p clipped to [1e-15, 1 - 1e-15] for LOGISTIC,
       log(max(p, 1e-15)) for SOFTMAX, log(max(p, 1e-300)) for EXP, p for IDENTITY.
       EXPM1 and SQUARE blend RAW only.
    3. Calibration: s[k] is multiplied by `scale` and `offsets[k]` is added; no offsets are
       zeros. These are the model's raw scores.
    4. Prediction: BINARY `classes[1]` when s > `threshold`, else `classes[0]`; MULTICLASS
       the first of the largest; REGRESSION the response.
    """

    problem_type: ProblemType
    target: Column
    classes: tuple[str, ...]
    columns: tuple[Column, ...]
    features: tuple[Feature, ...]
    parts: tuple[LinearPart | TreePart, ...]
    weights: tuple[float, ...] = (1.0,)
    blend: Blend = Blend.RAW
    link: Link = None  # type: ignore[assignment]
    """Left out: the first of `LINKS`."""
    scale: float = 1.0
    offsets: tuple[float, ...] = ()
    threshold: float = 0.0

    def __post_init__(self) -> None:
        """Fill in the link of the problem type."""
        if self.link is None:
            object.__setattr__(self, "link", LINKS[self.problem_type][0])
