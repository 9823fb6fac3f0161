"""
A fitted model becomes an artifact.

Owns the order of the sections and what a model must be like to be compiled. Raises
`NotCompilable`, which names what the artifact cannot express.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sqlml.compile.linear import write_linear
from sqlml.compile.trees import write_trees
from sqlml.compile.writer import Writer, make_file
from sqlml.enums import ColumnKind, ProblemType
from sqlml.errors import NotCompilable
from sqlml.extract.dataset import Column
from sqlml.search.fitted import Feature, FeatureOp, FittedModel, TreePart

SECTION_MODEL = 1
SECTION_COLUMNS = 2
SECTION_FEATURES = 3
SECTION_TREES = 4
SECTION_LINEAR = 5

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
    sections = [
        (SECTION_MODEL, _write_model(model, output_count)),
        (SECTION_COLUMNS, _write_columns(model.columns)),
        (SECTION_FEATURES, _write_features(model.columns, model.features)),
    ]
    if isinstance(model.part, TreePart):
        trees = write_trees(
            model.part.booster, model.problem_type, output_count, len(model.features)
        )
        sections.append((SECTION_TREES, trees))
    else:
        sections.append((SECTION_LINEAR, write_linear(model.part, model.features, output_count)))
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


def _write_model(model: FittedModel, output_count: int) -> bytes:
    writer = Writer()
    writer.u32(PROBLEM_CODES[model.problem_type])
    writer.u32(output_count)
    writer.texts(model.classes)
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
