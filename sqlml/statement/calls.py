"""
Calls of predict whose model is a bare name: `predict(churn, c)`.

Finds them in any statement that computes, and writes the call that PostgreSQL understands. Does
not know which models there are.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from sqlml.errors import StatementSyntaxError
from sqlml.proxy.rewriting import ModelName
from sqlml.statement.keywords import NOT_A_NAME
from sqlml.statement.lexer import Lexer, Token, TokenKind, find_word, fold, skip_blanks
from sqlml.statement.sql_call import quote_literal, quote_name
from sqlml.statement.unquote import unquote

_BLANKS = " \t\n\r\f\v"
_CALL = re.compile(rf"(predict(?:_proba)?)[{_BLANKS}]*+\(", re.IGNORECASE | re.ASCII)
_SCHEMA = re.compile(rf"sqlml[{_BLANKS}]*+\.[{_BLANKS}]*+\Z", re.IGNORECASE | re.ASCII)
_SCHEMA_SIZE = 64
_PART_OF_NAME = re.compile(r"[A-Za-z0-9_$\"\x80-\U0010ffff]")
# What is neither quoted nor a comment, up to the next mark. For the repeat see `split._INERT`.
_CODE = re.compile(
    r"(?:[^'\"$/\-()\[\],;A-Za-z_\x80-\U0010ffff]++|-(?!-)|/(?!\*)"
    r"|[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_$\x80-\U0010ffff]*+(?!['\"&])){1,1000}"
)
_MARKS = frozenset("()[],;")
_QUOTED = (TokenKind.STRING, TokenKind.BIT_STRING, TokenKind.QUOTED_NAME)
_COMPUTING_WORDS = """
    select with values table insert update delete merge explain prepare declare copy execute call
"""
_COMPUTING = frozenset(_COMPUTING_WORDS.split())
_MODIFIER_WORDS = """
    or replace temp temporary local global unlogged recursive materialized
"""
_MODIFIERS = frozenset(_MODIFIER_WORDS.split())


@dataclass(frozen=True, slots=True)
class Call:
    """The beginning of one call: the function's name, the model and the comma behind it."""

    start: int
    end: int
    """Behind the comma, counted as the start is, from 0."""
    name_start: int
    """Where the model's name is."""
    function: str
    model: ModelName
    argument_count: int
    """How many arguments follow the model."""

    def write(self, schema: str) -> str:
        """Return the SQL that takes its place, the model being one of this schema."""
        if self.function == "predict" and self.argument_count == 1:
            return f"{quote_name(schema)}.{quote_name('predict_' + self.model.name)}("
        model = f"{quote_name(schema)}.{quote_name(self.model.name)}"
        return f"sqlml.{self.function}({quote_literal(model)},"


@dataclass(frozen=True, slots=True)
class _Candidate:
    """What looks like a call up to its parenthesis."""

    start: int
    parenthesis: int
    function: str


def find_calls(lexer: Lexer, starts: list[int]) -> list[Call]:
    """Return the calls in the statements that start at these places, in order."""
    found = [
        candidate
        for candidate in _find_candidates(lexer.text)
        if (index := bisect_right(starts, candidate.start)) > 0
        and _computes(lexer.text, starts[index - 1])
    ]
    if not found:
        return []
    start = starts[bisect_right(starts, found[0].start) - 1]
    counts = _count_arguments(lexer, start, {item.parenthesis: item.start for item in found})
    calls = (_read(lexer, item, counts.get(item.parenthesis, 0)) for item in found)
    return [call for call in calls if call is not None]


def _find_candidates(text: str) -> Iterator[_Candidate]:
    lowered = text.lower()
    if len(lowered) != len(text):
        lowered = fold(text)
    # Many times as fast as a regular expression that ignores case.
    place = lowered.find("predict")
    while place >= 0:
        match = _CALL.match(text, place)
        if match is not None:
            schema = _SCHEMA.search(text, max(0, place - _SCHEMA_SIZE), place)
            start = place if schema is None else schema.start()
            if _may_begin(text, start):
                yield _Candidate(start, match.end() - 1, match[1].lower())
        place = lowered.find("predict", place + 1)


def _may_begin(text: str, place: int) -> bool:
    """Say whether no word and no other schema's name runs into this place."""
    if place and _PART_OF_NAME.match(text, place - 1):
        return False
    while place and text[place - 1] in _BLANKS:
        place -= 1
    return not place or text[place - 1] != "."


def _computes(text: str, start: int) -> bool:
    """Say whether a statement may call functions rather than define, drop or grant them."""
    if text[start] == "(":
        return True
    word = find_word(text, start)
    if word != "create":
        return word in _COMPUTING
    while word == "create" or word in _MODIFIERS:
        start = skip_blanks(text, start + len(word))
        word = find_word(text, start)
    return word in ("table", "view")


def _count_arguments(lexer: Lexer, position: int, places: dict[int, int]) -> dict[int, int]:
    """
    Count the commas in parentheses, from this position on and outside quotes and comments.

    `places` has the parentheses that matter, each with the place where its function's name
    begins. Those that are not closed are left out.
    """
    text = lexer.text
    counts: dict[int, int] = {}
    code_start = position
    opened: list[list[int]] = []
    # Where a quote is left open, what is behind it is no code.
    with suppress(StatementSyntaxError):
        while True:
            while match := _CODE.match(text, position):
                position = match.end()
            if text[position : position + 1] in _MARKS:
                if text[position] == "(" and places.get(position, -1) < code_start:
                    places.pop(position, None)
                _see_mark(text[position], position, opened, counts)
                position += 1
                continue
            token = lexer.token(position)
            if token.kind is TokenKind.END:
                break
            position = token.end
            code_start = token.end if token.kind in _QUOTED else token.start
            if text[token.start] in _MARKS:
                position = token.start
    return {place: counts[place] for place in places if place in counts}


def _see_mark(mark: str, position: int, opened: list[list[int]], counts: dict[int, int]) -> None:
    if mark in "([":
        opened.append([position, 0])
    elif mark == ";":
        opened.clear()
    elif opened and mark == ",":
        opened[-1][1] += 1
    elif opened:
        place, commas = opened.pop()
        counts[place] = commas


def _read(lexer: Lexer, candidate: _Candidate, count: int) -> Call | None:
    """Read the model's name; None if the first argument is more than that, or the last."""
    with suppress(StatementSyntaxError):
        first = lexer.token(candidate.parenthesis + 1)
        mark = lexer.token(first.end)
        parts = [first]
        if mark.value == "." and mark.kind is TokenKind.SYMBOL:
            parts.append(lexer.token(mark.end))
            mark = lexer.token(parts[-1].end)
        is_comma = mark.kind is TokenKind.SYMBOL and mark.value == ","
        # PostgreSQL's own words about the asterisk are better than those about a call without it.
        is_star = is_comma and lexer.text.startswith("*", skip_blanks(lexer.text, mark.end))
        if not count or not is_comma or is_star or not all(map(_is_name, parts)):
            return None
        names = [unquote(part) for part in parts]
        model = ModelName(names[-1], names[0] if len(names) == 2 else None)
        return Call(candidate.start, mark.end, first.start, candidate.function, model, count)
    return None


def _is_name(token: Token) -> bool:
    if token.kind is TokenKind.WORD:
        return token.value not in NOT_A_NAME
    return token.kind is TokenKind.QUOTED_NAME and token.value != ""
