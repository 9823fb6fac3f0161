"""
The design matrix of linear models, and the terms it becomes.

Owns clipping, standardising and one-hot codes. A numeric feature is cut at quantiles into
ramps, each with its own weight: with one ramp it is a line, with more a curve.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.sparse import csr_matrix

from sqlml.search.arrays import F64
from sqlml.search.encoder import FIRST_LEVEL_CODE
from sqlml.search.estimators.estimator import Sample
from sqlml.search.fitted import CodeTerm, FeatureOp, NumericTerm

TAIL_SHARE = 0.005
MAX_QUANTILE_ROWS = 100_000


@dataclass(frozen=True, slots=True)
class Ramp:
    """One numeric column of the design matrix; its fields are `NumericTerm`'s."""

    feature: int
    low: float
    high: float
    mean: float
    inverse_scale: float
    marks_missing: bool
    """Whether it carries the weight of a missing value; the first ramp of a feature does."""


@dataclass(frozen=True, slots=True)
class Codes:
    """One category feature: as many columns of the design matrix as it has codes."""

    feature: int
    count: int


@dataclass(frozen=True, slots=True)
class Design:
    """Columns in order: the ramps, the marks of missing values, the codes."""

    ramps: tuple[Ramp, ...]
    codes: tuple[Codes, ...]

    @property
    def marked(self) -> tuple[Ramp, ...]:
        """The ramps that have a column for missing values."""
        return tuple(ramp for ramp in self.ramps if ramp.marks_missing)

    @property
    def width(self) -> int:
        """Values of a row that are not zero for certain."""
        return len(self.ramps) + len(self.marked) + len(self.codes)

    def matrix(self, encoded: F64) -> F64 | csr_matrix:
        """Build the design matrix of encoded rows: dense when no feature has codes."""
        row_count, dense_count = len(encoded), len(self.ramps) + len(self.marked)
        data = np.ones((row_count, self.width), dtype=np.float64)
        for column, ramp in enumerate(self.ramps):
            data[:, column] = _ramp_values(ramp, encoded[:, ramp.feature])
        for column, ramp in enumerate(self.marked, start=len(self.ramps)):
            data[:, column] = np.isnan(encoded[:, ramp.feature])
        if not self.codes:
            return data
        indices = np.tile(np.arange(self.width, dtype=np.int32), (row_count, 1))
        offset = dense_count
        for column, codes in enumerate(self.codes, start=dense_count):
            indices[:, column] = offset + encoded[:, codes.feature]
            offset += codes.count
        pointers = np.arange(0, row_count * self.width + 1, self.width)
        return csr_matrix((data.ravel(), indices.ravel(), pointers), shape=(row_count, offset))

    def terms(self, coefficients: F64) -> tuple[NumericTerm | CodeTerm, ...]:
        """Cut coefficients, shape (columns, outputs), into the terms of a linear score."""
        terms: list[NumericTerm | CodeTerm] = []
        marked = list(self.marked)
        for column, ramp in enumerate(self.ramps):
            missing = np.zeros(coefficients.shape[1])
            if ramp in marked:
                missing = coefficients[len(self.ramps) + marked.index(ramp)]
            terms.append(_numeric_term(ramp, coefficients[column], missing))
        offset = len(self.ramps) + len(marked)
        for codes in self.codes:
            weights = np.ascontiguousarray(coefficients[offset : offset + codes.count])
            terms.append(CodeTerm(feature=codes.feature, weights=weights))
            offset += codes.count
        return tuple(terms)


def make_design(sample: Sample, segments: int) -> Design:
    """Choose the columns from the sample's rows."""
    ramps: list[Ramp] = []
    codes: list[Codes] = []
    for index, feature in enumerate(sample.features.features):
        if feature.op is FeatureOp.CODE:
            codes.append(Codes(index, FIRST_LEVEL_CODE + len(feature.levels)))
        else:
            ramps += _make_ramps(index, sample.matrix[:, index], segments)
    return Design(tuple(ramps), tuple(codes))


def _make_ramps(feature: int, values: F64, segments: int) -> list[Ramp]:
    """Cut a numeric feature into ramps; values that float64 cannot scale give none."""
    step = -(-values.size // MAX_QUANTILE_ROWS)
    seen = values[np.isfinite(values)]
    if seen.size == 0:
        return []
    shares = np.linspace(TAIL_SHARE, 1 - TAIL_SHARE, segments + 1)
    knots = np.unique(np.quantile(seen[::step], shares, method="lower"))
    if knots.size < 2:
        # The tails are all that differs.
        knots = np.unique([seen.min(), seen.max()])
    has_missing = bool(np.isnan(values).any())
    ramps: list[Ramp] = []
    for low, high in pairwise(knots):
        share = (np.clip(seen, low, high) / 2 - low / 2) / (high / 2 - low / 2)
        scale = float(share.std()) * (high - low)
        if np.isfinite(scale) and scale > 0 and np.isfinite(1 / scale):
            mean = float(low + share.mean() * (high - low))
            first = has_missing and not ramps
            ramps.append(Ramp(feature, float(low), float(high), mean, float(1 / scale), first))
    return ramps


def _ramp_values(ramp: Ramp, values: F64) -> F64:
    """Clip and standardise; missing values become 0, their mark has the weight."""
    clipped = np.minimum(np.maximum(values, ramp.low), ramp.high)
    standard = (clipped - ramp.mean) * ramp.inverse_scale
    return np.where(np.isnan(values), 0.0, standard)


def _numeric_term(ramp: Ramp, weights: F64, missing_weights: F64) -> NumericTerm:
    """Join a ramp with its weights."""
    return NumericTerm(
        feature=ramp.feature,
        low=ramp.low,
        high=ramp.high,
        mean=ramp.mean,
        inverse_scale=ramp.inverse_scale,
        weights=weights,
        missing_weights=missing_weights,
    )
