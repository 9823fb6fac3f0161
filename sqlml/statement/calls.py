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
from sqlml.statement.lexer import Lexer, Token, TokenKind, find_word, skip_blanks
from sqlml.statement.sql_call import quote_literal, quote_name
from sqlml.statement.unquote import unquote

_CALL = re.compile(
    r"(?<![A-Za-z0-9_$.\"\x80-\U0010ffff])(?:sqlml[ \t\n\r\f\v]*\.[ \t\n\r\f\v]*)?"
    r"(predict(?:_proba)?)[ \t\n\r\f\v]*\(",
    re.IGNORECASE | re.ASCII,
)
_CODE = re.compile(
    r"(?:[^'\"$/\-A-Za-z_\x80-\U0010ffff]++|-(?!-)|/(?!\*)"
    r"|[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_$\x80-\U0010ffff]*+(?!['\"&])){1,1000}"
)
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


def find_calls(lexer: Lexer, starts: list[int]) -> list[Call]:
    """Return the calls in the statements that start at these places, in order."""
    if "predict" not in lexer.text.lower():
        return []
    found = [match for match in _CALL.finditer(lexer.text) if _may_stand(lexer.text, match, starts)]
    code = set(_in_code(lexer, [match.start() for match in found]))
    calls = (_read(lexer, match) for match in found if match.start() in code)
    return [call for call in calls if call is not None]


def _may_stand(text: str, match: re.Match[str], starts: list[int]) -> bool:
    """Say whether the function is no other schema's and its statement computes."""
    if text[: match.start()].rstrip(" \t\n\r\f\v").endswith("."):
        return False
    index = bisect_right(starts, match.start())
    return index > 0 and _computes(text, starts[index - 1])


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


def _in_code(lexer: Lexer, places: list[int]) -> Iterator[int]:
    """Yield those of these places, which ascend, that are not in quotes or comments."""
    todo = iter(places)
    place = next(todo, None)
    position = 0
    # Where a quote is left open, what is behind it is no code.
    with suppress(StatementSyntaxError):
        while place is not None:
            token = lexer.token(position)
            if token.kind is TokenKind.END:
                return
            start = token.start if token.kind is TokenKind.WORD else token.end
            position = token.end
            while match := _CODE.match(lexer.text, position):
                position = match.end()
            while place is not None and place < position:
                if place >= start:
                    yield place
                place = next(todo, None)


def _read(lexer: Lexer, match: re.Match[str]) -> Call | None:
    """Read the arguments of a call; None if the first one is more than a name, or the last."""
    with suppress(StatementSyntaxError):
        first = lexer.token(match.end())
        mark = lexer.token(first.end)
        parts = [first]
        if mark.value == "." and mark.kind is TokenKind.SYMBOL:
            parts.append(lexer.token(mark.end))
            mark = lexer.token(parts[-1].end)
        if mark.kind is not TokenKind.SYMBOL or mark.value != "," or not all(map(_is_name, parts)):
            return None
        names = [unquote(part) for part in parts]
        model = ModelName(names[-1], names[0] if len(names) == 2 else None)
        count = _count_arguments(lexer, mark.end)
        if count:
            function = match[1].lower()
            return Call(match.start(), mark.end, first.start, function, model, count)
    return None


def _is_name(token: Token) -> bool:
    if token.kind is TokenKind.WORD:
        return token.value not in NOT_A_NAME
    return token.kind is TokenKind.QUOTED_NAME and token.value != ""


def _count_arguments(lexer: Lexer, position: int) -> int:
    """Count the arguments up to the parenthesis that closes the call; 0 if none does."""
    depth, commas = 0, 0
    for token in lexer.tokens(position):
        if token.kind is not TokenKind.SYMBOL:
            continue
        if token.value in "([":
            depth += 1
        elif token.value in ")]":
            depth -= 1
            if depth < 0:
                return commas + 1
        elif token.value == "," and depth == 0:
            commas += 1
        elif token.value == ";":
            return 0
    return 0
