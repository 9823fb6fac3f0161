"""
Columns become features.

Owns which features a column gives, decided from facts of the rows of a search. The entry is
`learn_features`; what the features of a row are is `encoder`'s.
"""

import hashlib
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa

from sqlml.enums import ColumnKind
from sqlml.extract.dataset import Column, SkippedColumn
from sqlml.search import lists
from sqlml.search.candidates import (
    make_code,
    make_counts,
    make_numeric_feature,
    make_numeric_features,
    make_text_counts,
)
from sqlml.search.coordinates import find_coordinates
from sqlml.search.decisions import Decision, Role, describe_features
from sqlml.search.encoder import (
    Encoded,
    encode_codes,
    encode_rows,
    read_numbers,
)
from sqlml.search.facts import (
    MAX_LEVEL_BYTES,
    CategoryFacts,
    read_category_facts,
    read_number_facts,
)
from sqlml.search.fitted import Feature, FeatureOp, Vocabulary
from sqlml.search.strength import Judge
from sqlml.search.target import Target
from sqlml.search.texts import MAX_TOPIC_ROWS, learn_topics, learn_vocabulary, weigh

MAX_LEVELS = 255
"""Of a CODE that trees read as a category."""
COUNTED_LEVELS = 30
"""A category with more levels gets their counts as a feature, and is worth target means."""
MANY_TEXTS = 50
"""With fewer different texts a column is a category, unless they are too long to be levels."""
TEXT_WORDS = 1.5
"""Texts have so many words on average."""
MIN_TERMS = 8
"""A vocabulary with fewer terms tells nothing."""
MAX_VOCABULARIES = 16
VOCABULARY_BYTES = 10_000_000
VOCABULARY_ROWS = 50_000
BYTES_PER_SECOND = 10_000_000
"""Of texts, that a second of the budget pays for."""
MAX_TOPICS = 30
TERMS_PER_TOPIC = 4
ROWS_PER_TOPIC = 100
"""With fewer rows for each topic trees find what is not there."""
RARE_TEXTS = 5
"""Texts that occur less often on average are looked into."""
MAX_ELEMENTS = 256
"""Arrays of one length up to this have a feature for every element."""

ONE_VALUE = "it has one value only"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FeatureSet:
    """
    The features of a search, and who may read which; all indexes are into `features`.

    `categories` (CODE) and `numbers` are for trees; what is in neither is there for others.
    `linear` is for linear models: numbers, and of each column the CODE with the most levels;
    of texts they read the tf-idf instead. `encodings` are the CODE features that are worth
    target means, `coordinates` the pairs of numbers that tell a place.
    """

    features: tuple[Feature, ...]
    vocabularies: tuple[Vocabulary, ...] = ()
    categories: tuple[int, ...] = ()
    numbers: tuple[int, ...] = ()
    linear: tuple[int, ...] = ()
    encodings: tuple[int, ...] = ()
    coordinates: tuple[tuple[int, int], ...] = ()
    decisions: tuple[Decision, ...] = ()

    @property
    def skipped(self) -> tuple[SkippedColumn, ...]:
        """The columns that gave no feature."""
        return tuple(
            SkippedColumn(each.column, each.type_name, each.reason)
            for each in self.decisions
            if not each.features
        )

    def encode(self, table: pa.Table) -> Encoded:
        """Compute features and texts of every row of a table with the same columns."""
        return encode_rows(self.features, self.vocabularies, table)


def learn_features(
    table: pa.Table,
    columns: Sequence[Column],
    target: Target,
    rng: np.random.Generator,
    seconds: float = math.inf,
    *,
    is_plain: bool = False,
) -> FeatureSet:
    """
    Choose the features of every column from the rows of a table, whose targets are `target`.

    After `seconds` the columns that are left get their plain features only, without a word on
    leaks; texts that would take longer are not read. With `is_plain` words and arrays are not
    read at all: SQL, where that is all there is, could not.
    """
    learner = _Learner(Judge(target, rng), int(rng.integers(2**31)), seconds, is_plain)
    for column in columns:
        learner.learn(column, table.column(column.name))
    return learner.feature_set()


def plain_features(table: pa.Table, columns: Sequence[Column]) -> tuple[Feature, ...]:
    """Make a feature of each number and category; of dates and arrays the parts that vary."""
    found: list[Feature] = []
    for column in columns:
        values = table.column(column.name)
        if column.kind is ColumnKind.CATEGORY:
            levels = read_category_facts(values).levels[:MAX_LEVELS]
            found += make_code(column.name, values, levels)
        else:
            found += make_numeric_features(column, values)
    return tuple(found)


@dataclass(slots=True)
class _Found:
    """What became of one column; sources and vocabularies count from the column's own first."""

    role: Role
    reason: str
    distinct_count: int
    null_count: int
    features: list[Feature] = field(default_factory=list)
    vocabulary: Vocabulary | None = None
    spare: list[Feature] = field(default_factory=list)
    """Features for want of any other."""


class _Learner:
    """Learns column after column, and keeps what they gave."""

    def __init__(self, judge: Judge, seed: int, seconds: float, is_plain: bool):
        self._judge = judge
        self._is_plain = is_plain
        self._seed = seed
        self._until = time.monotonic() + seconds
        self._columns: list[Column] = []
        self._found: list[_Found] = []
        self._numbers_seen: dict[bytes, str] = {}
        self._texts_seen: dict[CategoryFacts, list[tuple[str, pa.ChunkedArray]]] = {}

    def learn(self, column: Column, values: pa.ChunkedArray) -> None:
        """Decide about a column."""
        match column.kind:
            case ColumnKind.CATEGORY:
                found = self._category(column, values)
            case ColumnKind.ARRAY:
                found = self._array(column, values)
            case _:
                found = self._number(column, values)
        self._columns.append(column)
        self._found.append(found)

    def feature_set(self) -> FeatureSet:
        """Put together what was learnt."""
        if not any(found.features for found in self._found):
            for found in self._found:
                found.features = found.spare
        features: list[Feature] = []
        vocabularies: list[Vocabulary] = []
        for found in self._found:
            base = len(features)
            for feature in found.features:
                match feature.op:
                    case FeatureOp.LOOKUP:
                        features.append(replace(feature, source=base + feature.source))
                    case FeatureOp.TOPIC:
                        features.append(replace(feature, source=len(vocabularies)))
                    case _:
                        features.append(feature)
            if found.vocabulary is not None:
                vocabularies.append(found.vocabulary)
        values = {each.column: i for i, each in enumerate(features) if each.op is FeatureOp.VALUE}
        coordinates = find_coordinates(tuple(values))
        self._note_places(coordinates)
        return FeatureSet(
            features=tuple(features),
            vocabularies=tuple(vocabularies),
            decisions=tuple(map(_decision, self._columns, self._found)),
            coordinates=tuple((values[one], values[other]) for one, other in coordinates),
            **_readers(features),
        )

    def _note_places(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Write down which columns tell a place together."""
        found = {column.name: each for column, each in zip(self._columns, self._found, strict=True)}
        for one, other in pairs:
            for name, partner in ((one, other), (other, one)):
                found[name].reason += f', and with "{partner}" it tells a place'

    def _vocabulary_count(self) -> int:
        """Count the vocabularies learnt so far."""
        return sum(found.vocabulary is not None for found in self._found)

    def _has_time(self) -> bool:
        """Tell whether the seconds are not over."""
        return time.monotonic() < self._until

    def _number(self, column: Column, values: pa.ChunkedArray) -> _Found:
        """Decide about a number, a boolean or a date."""
        is_date = column.kind is ColumnKind.DATETIME
        numbers = read_numbers(values, FeatureOp.EPOCH if is_date else FeatureOp.VALUE)
        facts = read_number_facts(numbers)
        role = Role.DATETIME if is_date else Role.NUMBER
        if column.kind is ColumnKind.BOOLEAN:
            role = Role.FLAG
        found = _Found(role, f"it is {column.type_name}", facts.distinct_count, facts.null_count)
        found.features = list(make_numeric_features(column, values))
        if not found.features:
            found.role = Role.CONSTANT if facts.distinct_count else Role.EMPTY
            found.reason = ONE_VALUE if facts.distinct_count else _why_empty(values)
            return found
        fingerprint = hashlib.blake2b(numbers.tobytes(), digest_size=16).digest()
        twin = self._numbers_seen.setdefault(fingerprint, column.name)
        if twin != column.name:
            return _duplicate(found, twin)
        if self._has_time():
            strength = self._judge.strength(numbers, are_codes=False)
            if strength is not None and strength.is_leak:
                return _leak(found)
            if facts.is_numbered and not is_date and strength is not None and strength.is_noise:
                found.role, found.spare, found.features = Role.IDENTIFIER, found.features, []
                found.reason = "every row has a number of its own, which says nothing of the target"
        return found

    def _category(self, column: Column, values: pa.ChunkedArray) -> _Found:
        """Decide about a category or a text."""
        facts = read_category_facts(values)
        found = _Found(Role.CATEGORY, "", facts.distinct_count, facts.null_count)
        if facts.distinct_count == 0:
            found.role, found.reason = Role.EMPTY, _why_empty(values)
            return found
        if facts.distinct_count == 1 and facts.null_count == 0:
            found.role, found.reason = Role.CONSTANT, ONE_VALUE
            return found
        twins = self._texts_seen.setdefault(facts, [])
        for name, seen in twins:
            if seen.equals(values):
                return _duplicate(found, name)
        twins.append((column.name, values))
        found.features += make_code(column.name, values, facts.levels[:MAX_LEVELS])
        if len(facts.levels) > MAX_LEVELS:
            found.features += make_code(column.name, values, facts.levels)
        if len(facts.levels) > COUNTED_LEVELS:
            found.features.append(make_counts(column.name, facts, len(found.features) - 1))
        found.reason = f"{facts.distinct_count} different values"
        is_read = self._read_text(found, column, values, facts)
        if not found.features:
            found.role = Role.IDENTIFIER
            if is_read:
                found.reason = _why_no_level(facts)
            return found
        self._check_code(found, values)
        return found

    def _check_code(self, found: _Found, values: pa.ChunkedArray) -> None:
        """Look whether a category is a leak."""
        codes = [feature for feature in found.features if feature.op is FeatureOp.CODE]
        if codes and self._has_time():
            encoded = encode_codes(values, codes[-1].levels)
            strength = self._judge.strength(encoded, are_codes=True)
            if strength is not None and strength.is_leak:
                _leak(found)

    def _read_text(
        self, found: _Found, column: Column, values: pa.ChunkedArray, facts: CategoryFacts
    ) -> bool:
        """Add the features of a text, if it is one; tell whether there was time for it."""
        is_rare = facts.distinct_count * RARE_TEXTS > facts.present_count
        may_be_level = bool(facts.levels) or facts.mean_characters <= MAX_LEVEL_BYTES
        is_short = facts.distinct_count < MANY_TEXTS and may_be_level
        if is_short or facts.is_uuid or self._is_plain:
            return True
        left = self._until - time.monotonic()
        if values.nbytes > BYTES_PER_SECOND * left:
            found.reason += ", too long to be read as text in the time there is"
            return False
        is_text = facts.mean_words >= TEXT_WORDS and self._vocabulary_count() < MAX_VOCABULARIES
        vocabulary = self._vocabulary(column.name, values) if is_text else None
        if vocabulary is None:
            if found.features and is_rare:
                found.features += make_text_counts(column, values)
            return True
        found.role = Role.TEXT
        found.reason = (
            f"{facts.distinct_count} different texts, {facts.mean_words:.1f} words on average"
        )
        found.vocabulary = vocabulary
        found.features += make_text_counts(column, values)
        found.features += (
            Feature(column=column.name, op=FeatureOp.TOPIC, place=place)
            for place in range(vocabulary.components.shape[1])
        )
        return True

    def _vocabulary(self, name: str, values: pa.ChunkedArray) -> Vocabulary | None:
        """Learn the terms and topics of a text; None where too few terms occur twice."""
        rows = len(values)
        affordable = int(VOCABULARY_BYTES / max(values.nbytes / rows, 1)) + 1
        some = self._draw(values, min(VOCABULARY_ROWS, affordable))
        vocabulary = learn_vocabulary(name, some)
        if vocabulary.hashes.size < MIN_TERMS:
            return None
        weights = weigh(vocabulary, self._draw(some, MAX_TOPIC_ROWS))
        count = min(
            MAX_TOPICS, vocabulary.hashes.size // TERMS_PER_TOPIC, rows // ROWS_PER_TOPIC + 1
        )
        return replace(vocabulary, components=learn_topics(weights, count, self._seed))

    def _draw(self, values: pa.ChunkedArray, limit: int) -> pa.ChunkedArray:
        """Take rows at random where there are too many."""
        if len(values) <= limit:
            return values
        drawn = np.random.default_rng(self._seed).choice(len(values), limit, replace=False)
        return values.take(pa.array(np.sort(drawn)))

    def _array(self, column: Column, values: pa.ChunkedArray) -> _Found:
        """Decide about an array of numbers."""
        found = _Found(Role.ARRAY, "", 0, values.null_count)
        lengths = lists.list_lengths(values)
        if lengths.size == 0:
            found.role, found.reason = Role.EMPTY, _why_empty(values)
            return found
        low, high = int(lengths.min()), int(lengths.max())
        found.distinct_count = lists.count_distinct(values)
        if self._is_plain:
            found.reason = "SQL alone does not read arrays"
            return found
        if low == high <= MAX_ELEMENTS:
            found.reason = f"arrays of {low} numbers"
            for place in range(low):
                numbers = read_numbers(values, FeatureOp.ELEMENT, place)
                found.features += make_numeric_feature(column, FeatureOp.ELEMENT, numbers, place)
        else:
            found.reason = f"arrays of {low} to {high} numbers"
            found.features += make_numeric_features(column, values)
        if not found.features:
            found.role, found.reason = Role.CONSTANT, ONE_VALUE
        return found


def _readers(features: Sequence[Feature]) -> dict[str, tuple[int, ...]]:
    """Tell which features trees and linear models read, and which are worth target means."""
    codes = [i for i, each in enumerate(features) if each.op is FeatureOp.CODE]
    # The last CODE of a column has the most levels.
    widest = {features[i].column: i for i in codes}.values()
    numbers = [i for i, each in enumerate(features) if each.op is not FeatureOp.CODE]
    read = [i for i in numbers if features[i].op is not FeatureOp.TOPIC]
    return {
        "categories": tuple(i for i in codes if len(features[i].levels) <= MAX_LEVELS),
        "numbers": tuple(numbers),
        "linear": tuple(sorted([*read, *widest])),
        "encodings": tuple(i for i in widest if len(features[i].levels) > COUNTED_LEVELS),
    }


def _decision(column: Column, found: _Found) -> Decision:
    """Write down what became of a column."""
    return Decision(
        column=column.name,
        type_name=column.type_name,
        kind=column.kind,
        role=found.role,
        features=describe_features(found.features, found.vocabulary),
        reason=found.reason,
        distinct_count=found.distinct_count,
        null_count=found.null_count,
    )


def _duplicate(found: _Found, twin: str) -> _Found:
    """Drop a column that another one is equal to."""
    found.role, found.features = Role.DUPLICATE, []
    found.reason = f'it has the values of "{twin}"'
    return found


def _leak(found: _Found) -> _Found:
    """Keep a column that knows the target, with a warning."""
    found.role = Role.SUSPECTED_LEAK
    found.reason = "it alone tells the target: is it known when a prediction is asked for?"
    return found


def _why_no_level(facts: CategoryFacts) -> str:
    """Say why no value of a category is a level."""
    if facts.distinct_count == facts.present_count:
        return "no value occurs twice"
    return f"no value of up to {MAX_LEVEL_BYTES} bytes occurs twice"


def _why_empty(values: pa.ChunkedArray) -> str:
    """Say what is there instead of values."""
    if values.null_count == len(values):
        return "every value is NULL"
    return "every value is NULL or NaN"
