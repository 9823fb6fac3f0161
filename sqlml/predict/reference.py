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
from datetime import date, timedelta

from sqlml.enums import ColumnKind, ProblemType
from sqlml.search.fitted import Blend, FeatureOp, Link

Value = float | bool | str | int | None
Part = Callable[[Sequence[float]], list[float]]

PROBLEM_TYPES = (ProblemType.BINARY, ProblemType.MULTICLASS, ProblemType.REGRESSION)
KINDS = (ColumnKind.NUMERIC, ColumnKind.BOOLEAN, ColumnKind.CATEGORY, ColumnKind.DATETIME)
OPS = tuple(FeatureOp)
LINKS = tuple(Link)
BLENDS = tuple(Blend)
ZERO_THRESHOLD: float = struct.unpack("<f", struct.pack("<f", 1e-35))[0]
"""LightGBM takes numbers this near zero as zero."""
CATEGORICAL, DEFAULT_LEFT = 1, 2
MISSING_ZERO, MISSING_NAN = 1, 2
HOUR = 3_600_000_000
DAY = 24 * HOUR
DAYS_PER_400_YEARS = 146_097


@dataclass(frozen=True, slots=True)
class _Feature:
    column: int
    op: FeatureOp
    fill: float
    levels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Node:
    feature: int
    flags: int
    left: int
    right: int
    threshold: float
    words: tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Tree:
    nodes: tuple[_Node, ...]
    leaves: tuple[float, ...]
    words: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Term:
    feature: int
    is_code: bool
    settings: tuple[float, ...]
    weights: tuple[float, ...]
    missing_weights: tuple[float, ...] = ()


class _Cursor:
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

    def text(self) -> str:
        size = self.integer()
        self._offset += size
        return self._data[self._offset - size : self._offset].decode()

    def texts(self) -> tuple[str, ...]:
        return tuple(self.text() for _ in range(self.integer()))

    def section(self) -> int:
        kind, _, _ = self.take("IIQ")
        return int(kind)


class ReferencePredictor:
    """An artifact that was read, one row at a time."""

    def __init__(self, data: bytes):
        if (
            data[:8] != b"SQLMLART"
            or zlib.crc32(data[32:]) != struct.unpack_from("<I", data, 12)[0]
        ):
            raise ValueError("the bytes are not an artifact")
        cursor = _Cursor(data[32:])
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
        cursor.section()
        self.columns = tuple(
            (KINDS[cursor.integer()], cursor.text(), cursor.text()) for _ in range(cursor.integer())
        )
        cursor.section()
        self._features = tuple(
            _Feature(cursor.integer(), OPS[cursor.integer()], cursor.number(), cursor.texts())
            for _ in range(cursor.integer())
        )
        self._parts = tuple(_read_part(cursor, self.output_count) for _ in self._weights)

    def raw_scores(self, row: Mapping[str, Value]) -> list[float]:
        """Compute the raw scores of a row, whose values are as in a `Dataset`."""
        values = [row[name] for _, name, _ in self.columns]
        features = [_encode(feature, values[feature.column]) for feature in self._features]
        scores = self._blend_parts([part(features) for part in self._parts])
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

    def _blend_parts(self, raw: Sequence[list[float]]) -> list[float]:
        if self._blend is Blend.RESPONSE:
            raw = [_respond(self.link, scores) for scores in raw]
        blended = []
        for k in range(self.output_count):
            total = self._weights[0] * raw[0][k]
            for weight, scores in zip(self._weights[1:], raw[1:], strict=True):
                total += weight * scores[k]
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


def _read_part(cursor: _Cursor, output_count: int) -> Part:
    """Read what turns features into the raw scores of a part."""
    if cursor.section() == 4:
        is_average = cursor.integer() == 1
        trees = tuple(_read_tree(cursor) for _ in range(cursor.integer()))
        divisor = len(trees) // output_count if is_average else 1
        return lambda features: [
            score / divisor for score in _score_trees(trees, features, output_count)
        ]
    count = cursor.integer()
    intercepts = cursor.doubles(output_count)
    terms = tuple(_read_term(cursor, output_count) for _ in range(count))
    return lambda features: _score_linear(intercepts, terms, features)


def _read_tree(cursor: _Cursor) -> _Tree:
    node_count, word_count = cursor.integer(), cursor.integer()
    nodes = []
    for _ in range(node_count):
        feature, flags, left, right = (int(value) for value in cursor.take("IIii"))
        threshold, words = math.nan, (0, 0)
        if flags & CATEGORICAL:
            words = (cursor.integer(), cursor.integer())
        else:
            threshold = cursor.number()
        nodes.append(_Node(feature, flags, left, right, threshold, words))
    leaves = cursor.doubles(node_count + 1)
    cursor.take(f"{node_count + 1}I")
    return _Tree(tuple(nodes), leaves, tuple(cursor.integer() for _ in range(word_count)))


def _read_term(cursor: _Cursor, output_count: int) -> _Term:
    kind, feature = cursor.integer(), cursor.integer()
    if kind == 2:
        weights = cursor.doubles(cursor.integer() * output_count)
        return _Term(feature, True, (), weights)
    settings = cursor.doubles(4)
    return _Term(
        feature, False, settings, cursor.doubles(output_count), cursor.doubles(output_count)
    )


def _encode(feature: _Feature, value: Value) -> float:
    if feature.op is FeatureOp.CODE:
        if value is None:
            return 0.0
        return 2.0 + feature.levels.index(value) if value in feature.levels else 1.0
    if value is None:
        return feature.fill
    if feature.op is not FeatureOp.VALUE:
        return _date_part(feature.op, int(value))
    return feature.fill if math.isnan(float(value)) else float(value)


def _date_part(op: FeatureOp, micros: int) -> float:
    if op is FeatureOp.EPOCH:
        return float(micros) / 1e6
    days, rest = divmod(micros, DAY)
    # The calendar repeats itself every 400 years, weekdays included.
    cycles, days = divmod(days, DAYS_PER_400_YEARS)
    day = date(2000, 1, 1) + timedelta(days=days)
    parts = {
        FeatureOp.YEAR: day.year + 400 * cycles,
        FeatureOp.MONTH: day.month,
        FeatureOp.DAY: day.day,
        FeatureOp.WEEKDAY: day.weekday(),
        FeatureOp.YEARDAY: day.timetuple().tm_yday,
        FeatureOp.HOUR: rest // HOUR,
    }
    return float(parts[op])


def _score_trees(
    trees: Sequence[_Tree], features: Sequence[float], output_count: int
) -> list[float]:
    inputs = [0.0 if abs(value) <= ZERO_THRESHOLD else value for value in features]
    scores = [0.0] * output_count
    for index, tree in enumerate(trees):
        scores[index % output_count] += _walk(tree, inputs)
    return scores


def _walk(tree: _Tree, features: Sequence[float]) -> float:
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


def _is_in_set(tree: _Tree, node: _Node, value: float) -> bool:
    if not -1 < value < 2**31:
        return False
    word, bit = divmod(int(value), 32)
    first, count = node.words
    return word < count and bool(tree.words[first + word] >> bit & 1)


def _is_at_most(node: _Node, value: float) -> bool:
    missing = node.flags >> 2
    if math.isnan(value) and missing != MISSING_NAN:
        value = 0.0
    if math.isnan(value) or (missing == MISSING_ZERO and abs(value) <= ZERO_THRESHOLD):
        return bool(node.flags & DEFAULT_LEFT)
    return value <= node.threshold


def _score_linear(
    intercepts: Sequence[float], terms: Sequence[_Term], features: Sequence[float]
) -> list[float]:
    scores = list(intercepts)
    for term in terms:
        value = features[term.feature]
        for k in range(len(scores)):
            if term.is_code:
                scores[k] += term.weights[int(value) * len(scores) + k]
            elif math.isnan(value):
                scores[k] += term.missing_weights[k]
            else:
                low, high, mean, inverse_scale = term.settings
                scores[k] += term.weights[k] * ((min(max(value, low), high) - mean) * inverse_scale)
    return scores
