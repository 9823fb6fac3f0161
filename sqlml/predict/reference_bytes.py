"""
The bytes of an artifact, read for the reference predictor after docs/artifact.md.

Trusts them; it is the scoring core that must not.
"""

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass

from sqlml.search.fitted import FeatureOp

OPS = tuple(FeatureOp)
CATEGORICAL = 1


@dataclass(frozen=True, slots=True)
class Feature:
    column: int
    op: FeatureOp
    fill: float
    source: int
    place: int
    levels: tuple[str, ...]
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Vocabulary:
    column: int
    has_pairs: bool
    is_normalised: bool
    frequency_weights: tuple[float, ...]
    places: Mapping[int, int]
    idf: tuple[float, ...]
    component_count: int
    components: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Node:
    feature: int
    flags: int
    left: int
    right: int
    threshold: float
    words: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Tree:
    nodes: tuple[Node, ...]
    leaves: tuple[tuple[float, ...], ...]
    words: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Trees:
    trees: tuple[Tree, ...]
    output_count: int
    is_average: bool
    leaf_size: int
    """Outputs that a tree adds to: one, in turn, or all."""


@dataclass(frozen=True, slots=True)
class Term:
    kind: int
    feature: int
    settings: tuple[float, ...]
    weights: tuple[float, ...]
    missing_weights: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Line:
    intercepts: tuple[float, ...]
    terms: tuple[Term, ...]


class Cursor:
    """Reads the artifact from front to back."""

    def __init__(self, data: bytes):
        self._data = data
        self._offset = 0

    def take(self, form: str) -> tuple[int | float, ...]:
        values = struct.unpack_from("<" + form, self._data, self._offset)
        self._offset += struct.calcsize("<" + form)
        return values

    def integer(self, form: str = "I") -> int:
        return int(self.take(form)[0])

    def number(self) -> float:
        return float(self.take("d")[0])

    def doubles(self, count: int) -> tuple[float, ...]:
        return tuple(float(value) for value in self.take(f"{count}d"))

    def floats(self, count: int) -> tuple[float, ...]:
        return tuple(float(value) for value in self.take(f"{count}f"))

    def text(self) -> str:
        size = self.integer()
        self._offset += size
        return self._data[self._offset - size : self._offset].decode()

    def texts(self) -> tuple[str, ...]:
        return tuple(self.text() for _ in range(self.integer()))

    def section(self) -> int:
        kind, _, _ = self.take("IIQ")
        return int(kind)


def read_vocabulary(cursor: Cursor) -> Vocabulary:
    column, flags = cursor.integer(), cursor.integer()
    frequency_weights = cursor.doubles(cursor.integer())
    count = cursor.integer()
    hashes, idf = cursor.take(f"{count}Q"), cursor.doubles(count)
    width = cursor.integer()
    return Vocabulary(
        column,
        bool(flags & 1),
        bool(flags & 2),
        frequency_weights,
        {int(value): place for place, value in enumerate(hashes)},
        idf,
        width,
        cursor.floats(count * width),
    )


def read_feature(cursor: Cursor) -> Feature:
    column, op, fill = cursor.integer(), OPS[cursor.integer()], cursor.number()
    source, place, levels = cursor.integer(), cursor.integer(), cursor.texts()
    return Feature(column, op, fill, source, place, levels, cursor.doubles(cursor.integer()))


def read_part(cursor: Cursor, output_count: int) -> Trees | Line:
    if cursor.section() == 4:
        flags = cursor.integer()
        leaf_size = output_count if flags & 2 else 1
        trees = tuple(_read_tree(cursor, leaf_size) for _ in range(cursor.integer()))
        return Trees(trees, output_count, bool(flags & 1), leaf_size)
    count = cursor.integer()
    intercepts = cursor.doubles(output_count)
    return Line(intercepts, tuple(_read_term(cursor, output_count) for _ in range(count)))


def _read_tree(cursor: Cursor, leaf_size: int) -> Tree:
    node_count, word_count = cursor.integer(), cursor.integer()
    nodes = []
    for _ in range(node_count):
        feature, flags, left, right = (int(value) for value in cursor.take("IIii"))
        threshold, words = math.nan, (0, 0)
        if flags & CATEGORICAL:
            words = (cursor.integer(), cursor.integer())
        else:
            threshold = cursor.number()
        nodes.append(Node(feature, flags, left, right, threshold, words))
    leaves = tuple(cursor.doubles(leaf_size) for _ in range(node_count + 1))
    cursor.take(f"{node_count + 1}I")
    return Tree(tuple(nodes), leaves, tuple(cursor.integer() for _ in range(word_count)))


def _read_term(cursor: Cursor, output_count: int) -> Term:
    kind, feature = cursor.integer(), cursor.integer()
    match kind:
        case 2:
            return Term(kind, feature, (), cursor.doubles(cursor.integer() * output_count))
        case 3:
            return Term(kind, feature, (), cursor.floats(cursor.integer() * output_count))
        case 4:
            count = cursor.integer()
            weights = cursor.doubles(count * output_count)
            return Term(kind, feature, (count - 1.0,), weights, cursor.doubles(output_count))
    settings, weights = cursor.doubles(4), cursor.doubles(output_count)
    return Term(kind, feature, settings, weights, cursor.doubles(output_count))
