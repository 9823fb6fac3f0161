"""
The reference predictor: slow, obvious, and what the scoring core must agree with.

Reads the bytes of an artifact itself, after docs/artifact.md. Trusts them; it is the
scoring core that must not.
"""

import math
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sqlml.enums import ColumnKind, ProblemType
from sqlml.predict.reference_bytes import (
    CATEGORICAL,
    Cursor,
    Feature,
    Line,
    Node,
    Term,
    Tree,
    Trees,
    read_feature,
    read_part,
    read_vocabulary,
)
from sqlml.predict.reference_features import Value, encode, weigh_terms
from sqlml.search.fitted import Blend, FeatureOp, Link

PROBLEM_TYPES = (ProblemType.BINARY, ProblemType.MULTICLASS, ProblemType.REGRESSION)
KINDS = (
    *(ColumnKind.NUMERIC, ColumnKind.BOOLEAN, ColumnKind.CATEGORY, ColumnKind.DATETIME),
    ColumnKind.ARRAY,
)
LINKS = tuple(Link)
BLENDS = tuple(Blend)
ZERO_THRESHOLD: float = struct.unpack("<f", struct.pack("<f", 1e-35))[0]
"""LightGBM takes numbers this near zero as zero."""
DEFAULT_LEFT = 2
MISSING_ZERO, MISSING_NAN = 1, 2


@dataclass(frozen=True, slots=True)
class Row:
    """What the parts see: the features, and of each vocabulary the terms that the text has."""

    features: list[float]
    texts: Sequence[Mapping[int, float]]


class ReferencePredictor:
    """An artifact that was read, one row at a time."""

    def __init__(self, data: bytes):
        if (
            data[:8] != b"SQLMLART"
            or zlib.crc32(data[32:]) != struct.unpack_from("<I", data, 12)[0]
        ):
            raise ValueError("the bytes are not an artifact")
        cursor = Cursor(data[32:])
        cursor.section()
        self.problem_type = PROBLEM_TYPES[cursor.integer()]
        self.output_count = cursor.integer()
        self.classes = cursor.texts()
        self.link = LINKS[cursor.integer()]
        self._blend = BLENDS[cursor.integer()]
        self._scale = cursor.number()
        self._offsets = cursor.doubles(cursor.integer())
        self._threshold = cursor.number()
        self._weights = cursor.doubles(cursor.integer())
        self._links = tuple(LINKS[cursor.integer()] for _ in self._weights)
        cursor.section()
        self.columns = tuple(
            (KINDS[cursor.integer()], cursor.text(), cursor.text()) for _ in range(cursor.integer())
        )
        cursor.section()
        self._vocabularies = tuple(read_vocabulary(cursor) for _ in range(cursor.integer()))
        cursor.section()
        self._features = tuple(read_feature(cursor) for _ in range(cursor.integer()))
        self._parts = tuple(read_part(cursor, self.output_count) for _ in self._weights)

    def raw_scores(self, row: Mapping[str, Value]) -> list[float]:
        """Compute the raw scores of a row, whose values are as in a `Dataset`."""
        encoded = self._encode([row[name] for _, name, _ in self.columns])
        scores = self._blend_parts([_score(part, encoded) for part in self._parts])
        scores = [self._scale * score for score in scores]
        if self._offsets:
            scores = [score + offset for score, offset in zip(scores, self._offsets, strict=True)]
        return scores

    def predict(self, row: Mapping[str, Value]) -> str | float:
        """Predict the label or the value."""
        scores = self.raw_scores(row)
        if self.problem_type is ProblemType.REGRESSION:
            return _respond(self.link, scores)[0]
        if self.problem_type is ProblemType.BINARY:
            return self.classes[scores[0] > self._threshold]
        return self.classes[max(range(len(scores)), key=lambda k: scores[k])]

    def probabilities(self, row: Mapping[str, Value]) -> list[float]:
        """Compute the probability of each class."""
        responses = _respond(self.link, self.raw_scores(row))
        if self.problem_type is ProblemType.BINARY:
            return [1 - responses[0], responses[0]]
        return responses

    def _encode(self, values: Sequence[Value]) -> Row:
        """Compute features and terms; at last the scores, which parts make of the others."""
        texts = [weigh_terms(text, values[text.column]) for text in self._vocabularies]
        row = Row([math.nan] * len(self._features), texts)
        is_last = [feature.op is FeatureOp.SCORE for feature in self._features]
        for place in sorted(range(len(is_last)), key=lambda place: (is_last[place], place)):
            row.features[place] = self._encode_feature(self._features[place], values, row)
        return row

    def _encode_feature(self, feature: Feature, values: Sequence[Value], row: Row) -> float:
        match feature.op:
            case FeatureOp.SCORE:
                return _round_to_float(_score(self._parts[feature.source], row)[feature.place])
            case FeatureOp.LOOKUP:
                return feature.values[int(row.features[feature.source])]
            case FeatureOp.TOPIC:
                vocabulary, total = self._vocabularies[feature.source], 0.0
                for term, weight in row.texts[feature.source].items():
                    place = term * vocabulary.component_count + feature.place
                    total += weight * vocabulary.components[place]
                return _round_to_float(total)
        return encode(feature, values[feature.column])

    def _blend_parts(self, raw: Sequence[list[float]]) -> list[float]:
        if self._blend is Blend.RESPONSE:
            raw = [_respond(link, scores) for link, scores in zip(self._links, raw, strict=True)]
        used = [place for place, weight in enumerate(self._weights) if weight != 0]
        blended = []
        for k in range(self.output_count):
            # Not from 0, which would make 0.0 of -0.0.
            total = self._weights[used[0]] * raw[used[0]][k]
            for place in used[1:]:
                total += self._weights[place] * raw[place][k]
            blended.append(total)
        if self._blend is Blend.RESPONSE:
            blended = [_invert_response(self.link, response) for response in blended]
        return blended


def _respond(link: Link, scores: list[float]) -> list[float]:
    if link is Link.SOFTMAX:
        largest = max(scores)
        exponentials = [_exp(score - largest) for score in scores]
        # Not sum(), which later Pythons compensate.
        total = 0.0
        for exponential in exponentials:
            total += exponential
        return [exponential / total for exponential in exponentials]
    score = scores[0]
    match link:
        case Link.EXP:
            return [_exp(score)]
        case Link.EXPM1:
            return [_exp(score, math.expm1)]
        case Link.SQUARE:
            return [math.copysign(score * score, score)]
        case Link.LOGISTIC:
            return [1 / (1 + _exp(-score))]
    return [score]


def _invert_response(link: Link, response: float) -> float:
    match link:
        case Link.EXP:
            return math.log(max(response, 1e-300))
        case Link.SOFTMAX:
            return math.log(max(response, 1e-15))
        case Link.LOGISTIC:
            response = min(max(response, 1e-15), 1 - 1e-15)
            return math.log(response) - math.log(1 - response)
    return response


def _exp(value: float, function: Callable[[float], float] = math.exp) -> float:
    try:
        return function(value)
    except OverflowError:
        return math.inf


def _round_to_float(value: float) -> float:
    try:
        return float(struct.unpack("<f", struct.pack("<f", value))[0])
    except OverflowError:
        return math.copysign(math.inf, value)


def _score(part: Trees | Line, row: Row) -> list[float]:
    """Compute the raw scores of a part."""
    if isinstance(part, Line):
        return _score_linear(part, row)
    return _score_trees(part, row.features)


def _score_trees(part: Trees, features: Sequence[float]) -> list[float]:
    inputs = [0.0 if abs(value) <= ZERO_THRESHOLD else value for value in features]
    scores = [0.0] * part.output_count
    for index, tree in enumerate(part.trees):
        for place, value in enumerate(_walk(tree, inputs)):
            scores[(index * part.leaf_size + place) % part.output_count] += value
    divisor = len(part.trees) * part.leaf_size // part.output_count if part.is_average else 1
    return [score / divisor for score in scores]


def _walk(tree: Tree, features: Sequence[float]) -> tuple[float, ...]:
    position = 0 if tree.nodes else -1
    while position >= 0:
        node = tree.nodes[position]
        value = features[node.feature]
        if node.flags & CATEGORICAL:
            is_left = _is_in_set(tree, node, value)
        else:
            is_left = _is_at_most(node, value)
        position = node.left if is_left else node.right
    return tree.leaves[-1 - position]


def _is_in_set(tree: Tree, node: Node, value: float) -> bool:
    if not -1 < value < 2**31:
        return False
    word, bit = divmod(int(value), 32)
    first, count = node.words
    return word < count and bool(tree.words[first + word] >> bit & 1)


def _is_at_most(node: Node, value: float) -> bool:
    missing = node.flags >> 2
    if math.isnan(value) and missing != MISSING_NAN:
        value = 0.0
    if math.isnan(value) or (missing == MISSING_ZERO and abs(value) <= ZERO_THRESHOLD):
        return bool(node.flags & DEFAULT_LEFT)
    return value <= node.threshold


def _score_linear(part: Line, row: Row) -> list[float]:
    scores = list(part.intercepts)
    for term in part.terms:
        for k in range(len(scores)):
            scores[k] += _score_term(term, k, row, len(scores))
    return scores


def _score_term(term: Term, k: int, row: Row, output_count: int) -> float:
    """Compute what a term adds to output k."""
    if term.kind == 3:
        total = 0.0
        for place, weight in row.texts[term.feature].items():
            total += weight * term.weights[place * output_count + k]
        return total
    value = row.features[term.feature]
    if term.kind == 2:
        return term.weights[int(value) * output_count + k]
    if math.isnan(value):
        return term.missing_weights[k]
    if term.kind == 4:
        return term.weights[int(min(value, *term.settings)) * output_count + k]
    low, high, mean, inverse_scale = term.settings
    return term.weights[k] * ((min(max(value, low), high) - mean) * inverse_scale)
