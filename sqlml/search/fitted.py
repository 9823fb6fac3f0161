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
    LOOKUP = "lookup"
    """`values[code]` of the CODE feature `source`, an earlier one of the same column."""
    CHARACTERS = "characters"
    """Code points of a text."""
    WORDS = "words"
    """Tokens of a text; docs/artifact.md says what they are."""
    DIGITS = "digits"
    """ASCII digits of a text."""
    CAPITALS = "capitals"
    """Code points of a text that case folding changes."""
    TOPIC = "topic"
    """
    Component `place` of the text in vocabulary `source`: the sum of the components of its
    terms, times their tf-idf, rounded to float32. Never missing: NULL has no terms.
    """
    SCORE = "score"
    """Output `place` of the linear part `source`, rounded to float32. Of no column."""
    ELEMENT = "element"
    """Element `place` of an array, from 0; missing where there is none."""
    LENGTH = "length"
    """Number of elements of an array, missing ones too."""
    MEAN = "mean"
    """Of the elements of an array that are present; missing where none is. So are the next."""
    MINIMUM = "minimum"
    MAXIMUM = "maximum"


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
    estimator. CODE, LOOKUP, TOPIC and SCORE never are missing. `levels` is for CODE only,
    `values` (one a code: levels + 2) for LOOKUP. `FeatureOp` tells what `source` and `place`
    mean; `column` is empty for SCORE.
    """

    column: str
    op: FeatureOp
    fill: float = float("nan")
    levels: tuple[str, ...] = ()
    source: int = 0
    place: int = 0
    values: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """
    The terms of a category column's texts that are known, and what they weigh.

    Terms are tokens, with `bigrams` also pairs of neighbours, known by their hashes (V,),
    strictly ascending. One that a text has n times weighs `frequency_weights[n - 1]` (the
    last for any larger n) times its `idf` (V,); with `normalise` all of a text's weights are
    divided by the root of the sum of their squares. `components`, shape (V, K), are what
    TOPIC features add up; K may be 0.
    """

    column: str
    bigrams: bool
    normalise: bool
    frequency_weights: tuple[float, ...]
    hashes: NDArray[np.uint64]
    idf: NDArray[np.float64]
    components: NDArray[np.float32]


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
class TextTerm:
    """
    A text's part in a linear score: the sum of its terms' weights times their tf-idf.

    `weights` has the shape (V, outputs), a row a term of the vocabulary.
    """

    vocabulary: int
    weights: NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTerm:
    """
    A part of the calendar in a linear score: MONTH, DAY, WEEKDAY or HOUR.

    A value v adds row `min(v, count - 1)` of `weights`, shape (count, outputs); a missing
    one adds `missing_weights`.
    """

    feature: int
    weights: NDArray[np.float64]
    missing_weights: NDArray[np.float64]


LinearTerm = NumericTerm | CodeTerm | TextTerm | StepTerm


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearPart:
    """`intercepts[k]`, then the terms added in their order. No terms: a constant."""

    estimator: EstimatorName
    intercepts: NDArray[np.float64]
    terms: tuple[LinearTerm, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TreePart:
    """
    A LightGBM booster (its inputs named f0, f1, …).

    Input i is feature `features[i]` of the model, or feature i where that is left out.

    The leaves are added from 0 in the order of the trees, and divided by the number of
    iterations where the booster averages (random forest). Where the booster has a sigmoid
    of its own, the part's weight is multiplied by it.
    """

    estimator: EstimatorName
    booster: lgb.Booster
    features: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """
    A binary tree as arrays, one element a node; the first is the root.

    A present x goes left if `x <= threshold`, a missing one (NaN) if `missing_left`. A child
    below 0 is leaf `~child`, any other comes after its parent. `values` has the shape
    (leaves, outputs), `counts` the training rows of each leaf. No nodes: one leaf.
    """

    feature: NDArray[np.int32]
    threshold: NDArray[np.float64]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    missing_left: NDArray[np.bool_]
    values: NDArray[np.float64]
    counts: NDArray[np.int32]


@dataclass(frozen=True, slots=True, kw_only=True)
class ForestPart:
    """
    Trees that are not LightGBM's; input i is feature `features[i]` of the model.

    The leaves are added from 0 in the order of the trees, and divided by the number of trees
    with `is_average`. As in LightGBM's trees an x of at most 1e-35 (as float32) in absolute
    value counts as 0.
    """

    estimator: EstimatorName
    trees: tuple[Tree, ...]
    features: tuple[int, ...]
    is_average: bool


Part = LinearPart | TreePart | ForestPart


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedModel:
    """
    A model that can be compiled.

    Raw scores: one for BINARY (log odds of `classes[1]`) and for REGRESSION, one a class
    for MULTICLASS. `classes` are the target's values as text, sorted by the target's own
    order; empty for REGRESSION. `columns` are the columns that features use, in the
    relation's order.

    1. Part i gives raw_i[k]. SCORE features are raw scores of linear parts, none of whose
       terms is on a SCORE feature.
    2. Blend RAW: s[k] = weights[0] * raw_0[k] + weights[1] * raw_1[k] + …, in this order and
       without the parts of weight 0, which are there for SCORE features.
       Blend RESPONSE: p[k] is the same sum over the parts' responses, and s[k] is
       log(p) - log(1 - p) with p clipped to [1e-15, 1 - 1e-15] for LOGISTIC,
       log(max(p, 1e-15)) for SOFTMAX, log(max(p, 1e-300)) for EXP, p for IDENTITY.
       EXPM1 and SQUARE blend RAW only. The response of part i is that of `links[i]`, which
       may differ from `link` only where a REGRESSION blends RESPONSE.
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
    parts: tuple[Part, ...]
    weights: tuple[float, ...] = (1.0,)
    blend: Blend = Blend.RAW
    link: Link = None  # type: ignore[assignment]
    """Left out: the first of `LINKS`."""
    scale: float = 1.0
    offsets: tuple[float, ...] = ()
    threshold: float = 0.0
    vocabularies: tuple[Vocabulary, ...] = ()
    links: tuple[Link, ...] = ()
    """One a part; left out: `link` for each."""

    def __post_init__(self) -> None:
        """Fill in the link of the problem type."""
        if self.link is None:
            object.__setattr__(self, "link", LINKS[self.problem_type][0])

    @property
    def part_links(self) -> tuple[Link, ...]:
        """The link of each part."""
        return self.links or (self.link,) * len(self.parts)
