"""
What the search hands to compile: a fitted model as plain data.

Inputs become features, features become raw scores, raw scores become the prediction.
Every step is defined here so exactly that the scoring core can replay it bit for bit.
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
    """A LightGBM booster trained on the features in their order (named f0, f1, …)."""

    estimator: EstimatorName
    booster: lgb.Booster


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedModel:
    """
    A model that can be compiled.

    Raw scores: one for BINARY (log odds of `classes[1]`) and for REGRESSION (the value),
    one a class for MULTICLASS (softmax). The predicted class of BINARY is `classes[1]`
    when the raw score is > 0, else `classes[0]`; of MULTICLASS the first of the largest.
    `classes` are the target's values as text, sorted by the target's own order; empty
    for REGRESSION. `columns` are the columns that features use, in the relation's order.
    """

    problem_type: ProblemType
    target: Column
    classes: tuple[str, ...]
    columns: tuple[Column, ...]
    features: tuple[Feature, ...]
    part: LinearPart | TreePart
