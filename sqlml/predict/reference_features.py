"""
Values of columns become features and terms, for the reference predictor.
"""

import math
from collections.abc import Sequence
from datetime import date, timedelta
from functools import cache

from sqlml.predict.reference_bytes import Feature, Vocabulary
from sqlml.search.fitted import FeatureOp

Value = float | bool | str | int | Sequence[float | None] | None

HOUR = 3_600_000_000
DAY = 24 * HOUR
DAYS_PER_400_YEARS = 146_097
UINT64 = 2**64 - 1
NO_WORD = (
    *((0x80, 0xA9), (0xAB, 0xB4), (0xB6, 0xB9), (0xBB, 0xBF), (0xD7, 0xD7), (0xF7, 0xF7)),
    *((0x2000, 0x206F), (0x2E00, 0x2E7F), (0x3000, 0x303F), (0xFF00, 0xFF0F), (0xFF1A, 0xFF20)),
)
"""From U+0080 on, what is no word character."""
WORDS_BY_THEMSELVES = ((0x3040, 0x30FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF))


def encode(feature: Feature, value: Value) -> float:
    """Compute a feature of a column's value."""
    if feature.op is FeatureOp.CODE:
        if value is None:
            return 0.0
        return 2.0 + feature.levels.index(str(value)) if value in feature.levels else 1.0
    if value is None:
        return feature.fill
    if isinstance(value, str):
        return float(count_in_text(feature.op, value))
    if isinstance(value, Sequence):
        number = _reduce(feature, [math.nan if item is None else float(item) for item in value])
    elif feature.op is FeatureOp.VALUE:
        number = float(value)
    else:
        number = _date_part(feature.op, int(value))
    return feature.fill if math.isnan(number) else number


def _reduce(feature: Feature, items: Sequence[float]) -> float:
    """Compute a feature of an array's elements; NaN is missing."""
    present = [item for item in items if not math.isnan(item)]
    match feature.op:
        case FeatureOp.ELEMENT:
            return items[feature.place] if feature.place < len(items) else math.nan
        case FeatureOp.LENGTH:
            return float(len(items))
        case FeatureOp.MINIMUM:
            return min(present, default=math.nan)
        case FeatureOp.MAXIMUM:
            return max(present, default=math.nan)
    total = 0.0
    for item in present:
        total += item
    return total / len(present) if present else math.nan


def count_in_text(op: FeatureOp, text: str) -> int:
    """Count characters, words, digits or capitals."""
    match op:
        case FeatureOp.WORDS:
            return len(cut_tokens(text))
        case FeatureOp.DIGITS:
            return sum("0" <= character <= "9" for character in text)
        case FeatureOp.CAPITALS:
            return sum(fold(character) != character for character in text)
    return len(text)


def cut_tokens(text: str) -> list[str]:
    """Cut a text into its tokens, folded."""
    tokens, token = [], ""
    for character in text:
        if _is_word_by_itself(character):
            tokens += [token, character]
            token = ""
        elif _is_word(character):
            token += fold(character)
        else:
            tokens.append(token)
            token = ""
    return [found for found in [*tokens, token] if found]


@cache
def _is_word_by_itself(character: str) -> bool:
    return _is_in(character, WORDS_BY_THEMSELVES)


@cache
def _is_word(character: str) -> bool:
    if character < "\x80":
        return character.isalnum() or character == "_"
    return not _is_in(character, NO_WORD)


def _is_in(character: str, ranges: Sequence[tuple[int, int]]) -> bool:
    return any(first <= ord(character) <= last for first, last in ranges)


@cache
def fold(character: str) -> str:
    """Fold the case of a code point."""
    code = ord(character)
    is_even, is_odd = code % 2 == 0, code % 2 == 1
    if _is_in(character, ((0x41, 0x5A), (0xC0, 0xDE), (0x391, 0x3A9), (0x410, 0x42F))):
        return character if code in (0xD7, 0x3A2) else chr(code + 32)
    if _is_in(character, ((0x400, 0x40F),)):
        return chr(code + 80)
    if is_even and code != 0x130 and _is_in(character, ((0x100, 0x137), (0x14A, 0x177))):
        return chr(code + 1)
    if is_odd and _is_in(character, ((0x139, 0x148), (0x179, 0x17E))):
        return chr(code + 1)
    return character


def hash_token(token: str) -> int:
    """Hash a folded token."""
    state = 0xCBF29CE484222325
    for byte in token.encode():
        state = (state ^ byte) * 0x100000001B3 & UINT64
    return _mix(state)


def hash_pair(left: int, right: int) -> int:
    """Hash two neighbours, given by their hashes."""
    return _mix(left * 0x9E3779B97F4A7C15 + right & UINT64)


def _mix(state: int) -> int:
    state = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 & UINT64
    state = (state ^ state >> 27) * 0x94D049BB133111EB & UINT64
    return state ^ state >> 31


def hash_terms(text: str, has_pairs: bool) -> list[int]:
    """Hash the terms of a text, in their order and with repeats."""
    hashes: list[int] = []
    tokens = [hash_token(token) for token in cut_tokens(text)]
    for place, token in enumerate(tokens):
        hashes.append(token)
        if place > 0 and has_pairs:
            hashes.append(hash_pair(tokens[place - 1], token))
    return hashes


def weigh_terms(vocabulary: Vocabulary, value: Value) -> dict[int, float]:
    """Weigh the known terms of a text, by their places and in the order of the text."""
    hashes = hash_terms(value, vocabulary.has_pairs) if isinstance(value, str) else []
    counts: dict[int, int] = {}
    for found in hashes:
        if found in vocabulary.places:
            term = vocabulary.places[found]
            counts[term] = counts.get(term, 0) + 1
    last = len(vocabulary.frequency_weights)
    weights = {
        term: vocabulary.frequency_weights[min(count, last) - 1] * vocabulary.idf[term]
        for term, count in counts.items()
    }
    squares = 0.0
    for weight in weights.values():
        squares += weight * weight
    if not vocabulary.is_normalised or squares == 0:
        return weights
    return {term: weight / math.sqrt(squares) for term, weight in weights.items()}


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
