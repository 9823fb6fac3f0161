"""
The design matrix of linear models, and the terms it becomes.

Owns clipping, standardising, one-hot codes and steps of the calendar. A numeric feature is cut
at quantiles into ramps, each with its own weight: with one ramp it is a line, with more a curve.
"""

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.sparse import csr_matrix, hstack

from sqlml.search.arrays import F64, I64
from sqlml.search.encoder import CODE_OF_NULL, CODE_OF_OTHER, FIRST_LEVEL_CODE, Encoded
from sqlml.search.estimators.estimator import Sample
from sqlml.search.fitted import (
    CodeTerm,
    FeatureOp,
    LinearTerm,
    NumericTerm,
    StepTerm,
    TextTerm,
)

TAIL_SHARE = 0.005
MAX_QUANTILE_ROWS = 100_000
SMALLEST_SCALE = 1e-307
"""The inverse of less may be infinite."""
RARE_ROWS = 3
"""A level of fewer rows is taken with the values that are no level."""
STEP_COUNTS = {
    FeatureOp.MONTH: 13,
    FeatureOp.DAY: 32,
    FeatureOp.WEEKDAY: 7,
    FeatureOp.HOUR: 24,
}
"""Values of the parts of the calendar that are no line; months and days count from 1."""


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


@dataclass(frozen=True, slots=True, eq=False)
class Codes:
    """One category feature: column `columns[code]`; rare levels share the one of other values."""

    feature: int
    columns: I64

    @property
    def count(self) -> int:
        """Count the columns."""
        return int(self.columns.max()) + 1


@dataclass(frozen=True, slots=True)
class Steps:
    """A part of the calendar: a column for each value, the last one for missing ones."""

    feature: int
    count: int


@dataclass(frozen=True, slots=True)
class Text:
    """The tf-idf of a text: a column for each term."""

    vocabulary: int
    count: int
    nonzero_count: float
    """Terms of a row, on average."""


@dataclass(frozen=True, slots=True)
class Design:
    """Columns in order: the ramps, the marks of missing values, codes, steps, texts."""

    ramps: tuple[Ramp, ...]
    codes: tuple[Codes, ...]
    steps: tuple[Steps, ...]
    texts: tuple[Text, ...]

    @property
    def marked(self) -> tuple[Ramp, ...]:
        """The ramps that have a column for missing values."""
        return tuple(ramp for ramp in self.ramps if ramp.marks_missing)

    @property
    def width(self) -> float:
        """Values of a row that are not zero, on average and at most."""
        fixed = len(self.ramps) + len(self.marked) + len(self.codes) + len(self.steps)
        return fixed + sum(text.nonzero_count for text in self.texts)

    @property
    def column_count(self) -> int:
        """Count the columns."""
        dense = len(self.ramps) + len(self.marked)
        onehot = sum(codes.count for codes in self.codes) + sum(s.count + 1 for s in self.steps)
        return dense + onehot + sum(text.count for text in self.texts)

    def matrix(self, rows: Encoded) -> F64 | csr_matrix:
        """Build the design matrix of encoded rows: dense when there are but ramps."""
        dense = self._dense(rows.matrix)
        blocks = [self._onehot(rows.matrix)] if self.codes or self.steps else []
        blocks += [rows.texts[text.vocabulary] for text in self.texts]
        if not blocks:
            return dense
        return hstack([csr_matrix(dense), *blocks], format="csr")

    def terms(self, coefficients: F64) -> tuple[LinearTerm, ...]:
        """Cut coefficients, shape (columns, outputs), into the terms of a linear score."""
        terms: list[LinearTerm] = []
        marked = list(self.marked)
        for column, ramp in enumerate(self.ramps):
            missing = np.zeros(coefficients.shape[1])
            if ramp in marked:
                missing = coefficients[len(self.ramps) + marked.index(ramp)]
            terms.append(_numeric_term(ramp, coefficients[column], missing))
        offset = len(self.ramps) + len(marked)
        for codes in self.codes:
            terms.append(
                CodeTerm(feature=codes.feature, weights=coefficients[offset + codes.columns])
            )
            offset += codes.count
        for steps in self.steps:
            weights = np.ascontiguousarray(coefficients[offset : offset + steps.count])
            missing = coefficients[offset + steps.count]
            terms.append(StepTerm(feature=steps.feature, weights=weights, missing_weights=missing))
            offset += steps.count + 1
        for text in self.texts:
            rounded = coefficients[offset : offset + text.count].astype(np.float32)
            terms.append(TextTerm(vocabulary=text.vocabulary, weights=rounded))
            offset += text.count
        return tuple(terms)

    def _dense(self, matrix: F64) -> F64:
        """Compute ramps and marks."""
        dense = np.empty((len(matrix), len(self.ramps) + len(self.marked)))
        for column, ramp in enumerate(self.ramps):
            dense[:, column] = _ramp_values(ramp, matrix[:, ramp.feature])
        for column, ramp in enumerate(self.marked, start=len(self.ramps)):
            dense[:, column] = np.isnan(matrix[:, ramp.feature])
        return dense

    def _onehot(self, matrix: F64) -> csr_matrix:
        """Compute a one in each row for each category and part of the calendar."""
        width = len(self.codes) + len(self.steps)
        indices = np.empty((len(matrix), width), dtype=np.int32)
        offset = column = 0
        for codes in self.codes:
            places = codes.columns[matrix[:, codes.feature].astype(np.int64)]
            indices[:, column] = offset + places
            offset, column = offset + codes.count, column + 1
        for steps in self.steps:
            values = matrix[:, steps.feature]
            places = np.where(np.isnan(values), steps.count, np.minimum(values, steps.count - 1))
            indices[:, column] = offset + places
            offset, column = offset + steps.count + 1, column + 1
        pointers = np.arange(0, indices.size + 1, width)
        ones = np.ones(indices.size)
        return csr_matrix((ones, indices.ravel(), pointers), shape=(len(matrix), offset))


def make_design(sample: Sample, segments: int) -> Design:
    """Choose the columns from the sample's rows."""
    found = sample.features
    ramps: list[Ramp] = []
    codes: list[Codes] = []
    steps: list[Steps] = []
    for index in found.linear:
        feature, values = found.features[index], sample.matrix[:, index]
        if feature.op is FeatureOp.CODE:
            codes.append(_make_codes(index, values, FIRST_LEVEL_CODE + len(feature.levels)))
        elif feature.op in STEP_COUNTS:
            steps.append(Steps(index, STEP_COUNTS[feature.op]))
        else:
            ramps += _make_ramps(index, values, segments)
    texts = tuple(
        Text(place, text.shape[1], text.nnz / max(text.shape[0], 1))
        for place, text in enumerate(sample.texts)
    )
    return Design(tuple(ramps), tuple(codes), tuple(steps), texts)


def _make_codes(feature: int, values: F64, count: int) -> Codes:
    """Give every code a column, but those of too few rows that of other values."""
    sizes = np.bincount(values.astype(np.int64), minlength=count)
    is_own = sizes >= RARE_ROWS
    is_own[[CODE_OF_NULL, CODE_OF_OTHER]] = True
    columns = np.where(is_own, np.cumsum(is_own) - 1, CODE_OF_OTHER)
    return Codes(feature, columns.astype(np.int64))


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
    for low, high in pairwise(map(float, knots)):
        width = high - low
        if not SMALLEST_SCALE < width < math.inf:
            continue
        share = (np.clip(seen, low, high) - low) / width
        scale = float(share.std()) * width
        if scale > SMALLEST_SCALE:
            mean = float(low + share.mean() * width)
            first = has_missing and not ramps
            ramps.append(Ramp(feature, low, high, mean, 1 / scale, first))
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
