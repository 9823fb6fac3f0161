"""
Features become the FEATURES section.

Owns which feature suits which column, and what it may refer to.
"""

import math
from collections.abc import Mapping

from sqlml.compile.writer import Writer
from sqlml.enums import ColumnKind
from sqlml.errors import NotCompilable
from sqlml.search.fitted import Feature, FeatureOp, FittedModel, LinearPart, LinearTerm, TextTerm

OP_CODES = {op: code for code, op in enumerate(FeatureOp)}
NO_COLUMN = 0xFFFFFFFF
TEXT_OPS = (FeatureOp.CHARACTERS, FeatureOp.WORDS, FeatureOp.DIGITS, FeatureOp.CAPITALS)
ARRAY_OPS = (
    *(FeatureOp.ELEMENT, FeatureOp.LENGTH, FeatureOp.MEAN, FeatureOp.MINIMUM, FeatureOp.MAXIMUM),
)
OP_KINDS = {
    FeatureOp.VALUE: (ColumnKind.NUMERIC, ColumnKind.BOOLEAN),
    **dict.fromkeys(
        (FeatureOp.CODE, FeatureOp.LOOKUP, FeatureOp.TOPIC, *TEXT_OPS), (ColumnKind.CATEGORY,)
    ),
    **dict.fromkeys(ARRAY_OPS, (ColumnKind.ARRAY,)),
}
"""The kinds of columns that suit an operation; those that are not here need a datetime."""
FULL_OPS = (FeatureOp.LOOKUP, FeatureOp.TOPIC, FeatureOp.SCORE)
"""These are never missing, so they have no fill."""
SOURCE_OPS = (FeatureOp.LOOKUP, FeatureOp.TOPIC, FeatureOp.SCORE)
PLACE_OPS = (FeatureOp.TOPIC, FeatureOp.SCORE, FeatureOp.ELEMENT)


def write_features(model: FittedModel, output_count: int) -> bytes:
    """Write every feature, or raise `NotCompilable`."""
    columns = {column.name: place for place, column in enumerate(model.columns)}
    writer = Writer()
    writer.u32(len(model.features))
    for place, feature in enumerate(model.features):
        column = _find_column(model, feature, columns)
        _check_settings(feature)
        _check_source(model, place, output_count)
        writer.u32(column)
        writer.u32(OP_CODES[feature.op])
        writer.f64(feature.fill)
        writer.u32(feature.source)
        writer.u32(feature.place)
        writer.texts(feature.levels)
        writer.u32(len(feature.values))
        for value in feature.values:
            writer.finite(value)
    return writer.take()


def is_on_score(model: FittedModel, term: LinearTerm) -> bool:
    """Whether a term of a linear part is on a feature that is itself a linear part's score."""
    if isinstance(term, TextTerm) or not 0 <= term.feature < len(model.features):
        return False
    return model.features[term.feature].op is FeatureOp.SCORE


def _find_column(model: FittedModel, feature: Feature, columns: Mapping[str, int]) -> int:
    if feature.op is FeatureOp.SCORE:
        if feature.column:
            raise NotCompilable(f'a score cannot be a feature of column "{feature.column}"')
        return NO_COLUMN
    place = columns.get(feature.column)
    if place is None:
        raise NotCompilable(f'feature column "{feature.column}" is no column of the model')
    kind = model.columns[place].kind
    if kind not in OP_KINDS.get(feature.op, (ColumnKind.DATETIME,)):
        raise NotCompilable(f'column "{feature.column}" is {kind} and has no {feature.op}')
    return place


def _check_settings(feature: Feature) -> None:
    name = f'column "{feature.column}"' if feature.column else "a score"
    if math.isinf(feature.fill):
        raise NotCompilable(f"{name} has an infinite fill")
    if feature.op in FULL_OPS and not math.isnan(feature.fill):
        raise NotCompilable(f"{name} has a fill for a {feature.op}, which never is missing")
    if feature.op is not FeatureOp.CODE and feature.levels:
        raise NotCompilable(f"{name} has levels but no code")
    if len(set(feature.levels)) != len(feature.levels):
        raise NotCompilable(f"{name} has the same level twice")
    if feature.op is not FeatureOp.LOOKUP and feature.values:
        raise NotCompilable(f"{name} has values but no lookup")
    has_source = feature.op in SOURCE_OPS or feature.source == 0
    has_place = feature.op in PLACE_OPS or feature.place == 0
    if not (has_source and has_place and 0 <= feature.place < NO_COLUMN):
        raise NotCompilable(f"{name} has a source or a place that suits no {feature.op}")


def _check_source(model: FittedModel, place: int, output_count: int) -> None:
    feature = model.features[place]
    match feature.op:
        case FeatureOp.LOOKUP:
            is_sound = _is_lookup(model, place)
        case FeatureOp.TOPIC:
            is_sound = _is_topic(model, feature)
        case FeatureOp.SCORE:
            is_sound = _is_score(model, feature) and feature.place < output_count
        case _:
            return
    if not is_sound:
        raise NotCompilable(f"feature {place} is a {feature.op} of nothing")


def _is_lookup(model: FittedModel, place: int) -> bool:
    feature = model.features[place]
    if not 0 <= feature.source < place:
        return False
    code = model.features[feature.source]
    is_code = code.op is FeatureOp.CODE and code.column == feature.column
    return is_code and len(feature.values) == len(code.levels) + 2


def _is_topic(model: FittedModel, feature: Feature) -> bool:
    if not 0 <= feature.source < len(model.vocabularies):
        return False
    vocabulary = model.vocabularies[feature.source]
    is_own = vocabulary.column == feature.column
    return is_own and feature.place < vocabulary.components.shape[1]


def _is_score(model: FittedModel, feature: Feature) -> bool:
    if not 0 <= feature.source < len(model.parts):
        return False
    part = model.parts[feature.source]
    return isinstance(part, LinearPart) and not any(is_on_score(model, term) for term in part.terms)
