"""
A fitted model becomes an artifact.

Owns the order of the sections and what a model must be like to be compiled. Raises
`NotCompilable`, which names what the artifact cannot express.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sqlml.compile.linear import write_linear
from sqlml.compile.trees import read_booster, write_trees
from sqlml.compile.writer import Writer, make_file
from sqlml.enums import ColumnKind, ProblemType
from sqlml.errors import NotCompilable
from sqlml.extract.dataset import Column
from sqlml.search.fitted import (
    LINKS,
    Blend,
    Feature,
    FeatureOp,
    FittedModel,
    LinearPart,
    Link,
    TreePart,
)

SECTION_MODEL = 1
SECTION_COLUMNS = 2
SECTION_FEATURES = 3
SECTION_TREES = 4
SECTION_LINEAR = 5
MAX_PARTS = 256

PROBLEM_CODES = {
    ProblemType.BINARY: 0,
    ProblemType.MULTICLASS: 1,
    ProblemType.REGRESSION: 2,
}
KIND_CODES = {
    ColumnKind.NUMERIC: 0,
    ColumnKind.BOOLEAN: 1,
    ColumnKind.CATEGORY: 2,
    ColumnKind.DATETIME: 3,
}
OP_CODES = {op: code for code, op in enumerate(FeatureOp)}
LINK_CODES = {link: code for code, link in enumerate(Link)}
BLEND_CODES = {blend: code for code, blend in enumerate(Blend)}
UNBLENDED_LINKS = (Link.EXPM1, Link.SQUARE)
"""Links whose responses are not blended: their inverse is not that of every sum."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """The bytes of a version, with header and checksum."""

    data: bytes
    crc32: int

    @property
    def size_bytes(self) -> int:
        """Size of the whole artifact."""
        return len(self.data)


def compile_model(model: FittedModel) -> Artifact:
    """Compile a fitted model, or raise `NotCompilable`."""
    output_count = get_output_count(model)
    _check_parts(model)
    parts = [_write_part(model, part, output_count) for part in model.parts]
    # A booster's own sigmoid is a weight: it multiplies the raw scores of that part.
    weights = [weight * part.sigmoid for weight, part in zip(model.weights, parts, strict=True)]
    sections = [
        (SECTION_MODEL, _write_model(model, output_count, weights)),
        (SECTION_COLUMNS, _write_columns(model.columns)),
        (SECTION_FEATURES, _write_features(model.columns, model.features)),
        *((part.kind, part.payload) for part in parts),
    ]
    data, crc32 = make_file(sections)
    return Artifact(data, crc32)


def get_output_count(model: FittedModel) -> int:
    """Count the raw scores of a row; check the classes."""
    count = len(model.classes)
    is_sound = {
        ProblemType.BINARY: count == 2,
        ProblemType.MULTICLASS: count >= 2,
        ProblemType.REGRESSION: count == 0,
    }[model.problem_type]
    if not is_sound or len(set(model.classes)) != count:
        raise NotCompilable(f"a {model.problem_type} model cannot have {count} classes")
    return count if model.problem_type is ProblemType.MULTICLASS else 1


def _check_parts(model: FittedModel) -> None:
    """Check what the parts become together."""
    if model.link not in LINKS[model.problem_type]:
        raise NotCompilable(f"a {model.problem_type} model cannot have the link {model.link}")
    if model.blend is Blend.RESPONSE and model.link in UNBLENDED_LINKS:
        raise NotCompilable(f"responses of the link {model.link} cannot be blended")
    if not 1 <= len(model.parts) <= MAX_PARTS:
        raise NotCompilable(f"a model cannot have {len(model.parts)} parts")
    if len(model.weights) != len(model.parts):
        raise NotCompilable(f"{len(model.parts)} parts cannot have {len(model.weights)} weights")
    if model.threshold != 0 and model.problem_type is not ProblemType.BINARY:
        raise NotCompilable(f"a {model.problem_type} model cannot have a threshold")


@dataclass(frozen=True, slots=True)
class _Section:
    """A part as bytes, and what its raw scores are still to be multiplied by."""

    kind: int
    payload: bytes
    sigmoid: float = 1.0


def _write_part(model: FittedModel, part: LinearPart | TreePart, output_count: int) -> _Section:
    if isinstance(part, LinearPart):
        return _Section(SECTION_LINEAR, write_linear(part, model.features, output_count))
    booster = read_booster(part.booster, model, output_count)
    if booster.sigmoid != 1 and model.blend is Blend.RESPONSE:
        raise NotCompilable(f'objective "{booster.objective}" cannot be blended by its response')
    return _Section(SECTION_TREES, write_trees(booster, len(model.features)), booster.sigmoid)


def _write_model(model: FittedModel, output_count: int, weights: Sequence[float]) -> bytes:
    if len(model.offsets) not in (0, output_count):
        raise NotCompilable(f"{output_count} outputs cannot have {len(model.offsets)} offsets")
    writer = Writer()
    writer.u32(PROBLEM_CODES[model.problem_type])
    writer.u32(output_count)
    writer.texts(model.classes)
    writer.u32(LINK_CODES[model.link])
    writer.u32(BLEND_CODES[model.blend])
    writer.finite(model.scale)
    writer.u32(len(model.offsets))
    for offset in model.offsets:
        writer.finite(offset)
    writer.finite(model.threshold)
    writer.u32(len(weights))
    for weight in weights:
        writer.finite(weight)
    return writer.take()


def _write_columns(columns: Sequence[Column]) -> bytes:
    if len({column.name for column in columns}) != len(columns):
        raise NotCompilable("two columns of the model have the same name")
    writer = Writer()
    writer.u32(len(columns))
    for column in columns:
        writer.u32(KIND_CODES[column.kind])
        writer.text(column.name)
        writer.text(column.type_name)
    return writer.take()


def _write_features(columns: Sequence[Column], features: Sequence[Feature]) -> bytes:
    indexes = {column.name: index for index, column in enumerate(columns)}
    writer = Writer()
    writer.u32(len(features))
    for feature in features:
        index = indexes.get(feature.column)
        if index is None:
            raise NotCompilable(f'feature column "{feature.column}" is no column of the model')
        _check_feature(feature, columns[index].kind)
        writer.u32(index)
        writer.u32(OP_CODES[feature.op])
        writer.f64(feature.fill)
        writer.texts(feature.levels)
    return writer.take()


def _check_feature(feature: Feature, kind: ColumnKind) -> None:
    if feature.op is FeatureOp.VALUE:
        suits = kind in (ColumnKind.NUMERIC, ColumnKind.BOOLEAN)
    elif feature.op is FeatureOp.CODE:
        suits = kind is ColumnKind.CATEGORY
    else:
        suits = kind is ColumnKind.DATETIME
    if not suits:
        raise NotCompilable(f'column "{feature.column}" is {kind} and has no {feature.op}')
    if math.isinf(feature.fill):
        raise NotCompilable(f'column "{feature.column}" has an infinite fill')
    if feature.op is not FeatureOp.CODE and feature.levels:
        raise NotCompilable(f'column "{feature.column}" has levels but no code')
    if len(set(feature.levels)) != len(feature.levels):
        raise NotCompilable(f'column "{feature.column}" has the same level twice')
