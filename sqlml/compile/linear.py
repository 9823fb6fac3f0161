"""
A linear part becomes the LINEAR section.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sqlml.compile.writer import Writer
from sqlml.errors import NotCompilable
from sqlml.search.fitted import (
    CodeTerm,
    Feature,
    FeatureOp,
    FittedModel,
    LinearPart,
    LinearTerm,
    NumericTerm,
    StepTerm,
    TextTerm,
)

TERM_NUMERIC = 1
TERM_CODE = 2
TERM_TEXT = 3
TERM_STEP = 4
STEP_OPS = (FeatureOp.MONTH, FeatureOp.DAY, FeatureOp.WEEKDAY, FeatureOp.HOUR)


def write_linear(part: LinearPart, model: FittedModel, output_count: int) -> bytes:
    """Write the number of terms, the intercepts, then each term."""
    writer = Writer()
    writer.u32(len(part.terms))
    _write_weights(writer, part.intercepts, (output_count,))
    for term in part.terms:
        _write_term(writer, term, model, output_count)
    return writer.take()


def _write_term(writer: Writer, term: LinearTerm, model: FittedModel, output_count: int) -> None:
    if isinstance(term, TextTerm):
        _write_text_term(writer, term, model, output_count)
        return
    if not 0 <= term.feature < len(model.features):
        raise NotCompilable(f"a linear term has no feature {term.feature}")
    feature = model.features[term.feature]
    _check_kind(term, feature)
    match term:
        case CodeTerm():
            _write_code_term(writer, term, len(feature.levels) + 2, output_count)
        case StepTerm():
            _write_step_term(writer, term, output_count)
        case _:
            _write_numeric_term(writer, term, output_count)


def _check_kind(term: NumericTerm | CodeTerm | StepTerm, feature: Feature) -> None:
    match term:
        case CodeTerm():
            suits = feature.op is FeatureOp.CODE
        case StepTerm():
            # The value is a row of the weights, so a fill must be one too.
            is_whole = math.isnan(feature.fill) or (feature.fill >= 0 and feature.fill % 1 == 0)
            suits = feature.op in STEP_OPS and is_whole
        case _:
            suits = feature.op is not FeatureOp.CODE
    if not suits:
        name = f'column "{feature.column}"' if feature.column else "a score"
        raise NotCompilable(f"{name} has a term of the wrong kind")


def _write_numeric_term(writer: Writer, term: NumericTerm, output_count: int) -> None:
    if term.low > term.high:
        raise NotCompilable("a linear term has an empty range")
    writer.u32(TERM_NUMERIC)
    writer.u32(term.feature)
    for value in (term.low, term.high, term.mean, term.inverse_scale):
        writer.finite(value)
    _write_weights(writer, term.weights, (output_count,))
    _write_weights(writer, term.missing_weights, (output_count,))


def _write_code_term(writer: Writer, term: CodeTerm, code_count: int, output_count: int) -> None:
    writer.u32(TERM_CODE)
    writer.u32(term.feature)
    writer.u32(code_count)
    _write_weights(writer, term.weights, (code_count, output_count))


def _write_text_term(writer: Writer, term: TextTerm, model: FittedModel, output_count: int) -> None:
    if not 0 <= term.vocabulary < len(model.vocabularies):
        raise NotCompilable(f"a linear term has no vocabulary {term.vocabulary}")
    count = len(model.vocabularies[term.vocabulary].hashes)
    writer.u32(TERM_TEXT)
    writer.u32(term.vocabulary)
    writer.u32(count)
    _check_shape(term.weights, (count, output_count))
    writer.floats(term.weights)


def _write_step_term(writer: Writer, term: StepTerm, output_count: int) -> None:
    count = len(term.weights)
    if count == 0:
        raise NotCompilable("a linear term has no steps")
    writer.u32(TERM_STEP)
    writer.u32(term.feature)
    writer.u32(count)
    _write_weights(writer, term.weights, (count, output_count))
    _write_weights(writer, term.missing_weights, (output_count,))


def _write_weights(writer: Writer, weights: NDArray[np.float64], shape: tuple[int, ...]) -> None:
    _check_shape(weights, shape)
    writer.doubles(weights)


def _check_shape(weights: NDArray[Any], shape: tuple[int, ...]) -> None:
    if weights.shape != shape:
        raise NotCompilable(f"weights have shape {weights.shape} instead of {shape}")
