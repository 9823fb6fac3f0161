"""
A linear part becomes the LINEAR section.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sqlml.compile.writer import Writer
from sqlml.errors import NotCompilable
from sqlml.search.fitted import CodeTerm, Feature, FeatureOp, LinearPart, NumericTerm

TERM_NUMERIC = 1
TERM_CODE = 2


def write_linear(part: LinearPart, features: Sequence[Feature], output_count: int) -> bytes:
    """Write the number of terms, the intercepts, then each term."""
    writer = Writer()
    writer.u32(len(part.terms))
    _write_weights(writer, part.intercepts, (output_count,))
    for term in part.terms:
        if not 0 <= term.feature < len(features):
            raise NotCompilable(f"a linear term has no feature {term.feature}")
        feature = features[term.feature]
        if isinstance(term, CodeTerm) != (feature.op is FeatureOp.CODE):
            raise NotCompilable(f'column "{feature.column}" has a term of the wrong kind')
        if isinstance(term, CodeTerm):
            _write_code_term(writer, term, len(feature.levels) + 2, output_count)
        else:
            _write_numeric_term(writer, term, output_count)
    return writer.take()


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


def _write_weights(writer: Writer, weights: NDArray[np.float64], shape: tuple[int, ...]) -> None:
    if weights.shape != shape:
        raise NotCompilable(f"weights have shape {weights.shape} instead of {shape}")
    writer.doubles(weights)
