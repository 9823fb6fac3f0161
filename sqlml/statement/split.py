"""
Find where the statements of a text begin, as PostgreSQL would.

A semicolon ends a statement unless it stands in a quote, a comment, the parentheses of a rule or
the BEGIN ATOMIC body of a routine.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import suppress

from sqlml.errors import StatementSyntaxError
from sqlml.statement.lexer import Lexer, Token, TokenKind

_ROUTINES = {"function", "procedure"}
# Whatever can neither nest nor end a statement. A word before a quote may be the quote's prefix,
# so it is left to the lexer. The repeat is not possessive: that of Python 3.11.2, which is Debian
# 12's, keeps what an alternative read before it failed. It is bounded, since each round of it
# takes memory.
_INERT = r"""(?:
    [^'"$/\-;()A-Za-z_\x80-\U0010ffff]++
    | -(?!-) | /(?!\*)
    | [A-Za-z_\x80-\U0010ffff][A-Za-z0-9_$\x80-\U0010ffff]*+(?!['"&])
    | "[^"]*+"
    | --[^\n\r]*+ | /\*[^*/]*+\*/
    | %s){1,1000}"""
# Strings without a backslash end at the next quote in either way of reading them.
_STRING = {True: "'[^']*+'", False: r"'[^'\\]*+'"}
_NOT_NESTING = r" | [()] | \$[0-9]++"
_NESTED = {on: re.compile(_INERT % string, re.VERBOSE) for on, string in _STRING.items()}
_FLAT = {
    on: re.compile(_INERT % (string + _NOT_NESTING), re.VERBOSE) for on, string in _STRING.items()
}


def find_starts(lexer: Lexer) -> list[int]:
    """Return where each statement's first token is. Empty statements do not count."""
    lowered = lexer.text.lower()
    if "atomic" in lowered:
        return _find_starts(lexer.tokens(), _Nesting)
    if "rule" in lowered:
        return _find_starts(_tokens(lexer, _NESTED[lexer.standard_conforming_strings]), _Nesting)
    # Nothing else has semicolons inside a statement, or the server refuses the text.
    return _find_starts(_tokens(lexer, _FLAT[lexer.standard_conforming_strings]), _Flat)


def _find_starts(tokens: Iterator[Token], nesting_of: Callable[[], "_Flat"]) -> list[int]:
    starts: list[int] = []
    nesting = nesting_of()
    is_between = True
    # Where a quote is left open, the server will refuse the whole text and say why.
    with suppress(StatementSyntaxError):
        for token in tokens:
            if _is_semicolon(token) and nesting.is_outermost():
                nesting = nesting_of()
                is_between = True
            elif token.kind is not TokenKind.END:
                if is_between:
                    starts.append(token.start)
                    is_between = False
                nesting.see(token)
    return starts


def skip_nested(lexer: Lexer, position: int) -> int:
    """
    Return where the parenthesis closes that was opened before this position.

    Stops before that at a semicolon, a parameter, a quote left open or the text's end.
    """
    text, inert = lexer.text, _NESTED[lexer.standard_conforming_strings]
    depth = 1
    with suppress(StatementSyntaxError):
        while True:
            while match := inert.match(text, position):
                position = match.end()
            # Parentheses are many, and a token takes longer than a look.
            if not text.startswith(("(", ")"), position):
                token = lexer.token(position)
                if _is_stop(token):
                    return token.start
                is_parenthesis = text[token.start] in "()"
                position = token.start if is_parenthesis else token.end
                continue
            depth += 1 if text[position] == "(" else -1
            if depth == 0:
                return position
            position += 1
    return position


def _is_stop(token: Token) -> bool:
    return token.kind in (TokenKind.END, TokenKind.PARAMETER) or _is_semicolon(token)


def _is_semicolon(token: Token) -> bool:
    return token.kind is TokenKind.SYMBOL and token.value == ";"


def _tokens(lexer: Lexer, inert: re.Pattern[str]) -> Iterator[Token]:
    """Yield the first token of each statement, and those of the others that matter."""
    position = 0
    while True:
        token = lexer.token(position)
        yield token
        if token.kind is TokenKind.END:
            return
        position = token.end
        while not _is_semicolon(token) and (match := inert.match(lexer.text, position)):
            position = match.end()


class _Flat:
    """The nesting of tokens among which every semicolon ends a statement."""

    def is_outermost(self) -> bool:
        return True

    def see(self, token: Token) -> None:
        """Nothing nests."""


class _Nesting(_Flat):
    """How deep in parentheses and in a routine's body a token is."""

    def __init__(self) -> None:
        self._parentheses = 0
        self._blocks = 0
        self._words: list[str] = []

    def is_outermost(self) -> bool:
        return self._parentheses <= 0 and self._blocks == 0

    def see(self, token: Token) -> None:
        if token.kind is TokenKind.SYMBOL:
            self._parentheses += (token.value == "(") - (token.value == ")")
        elif token.kind is TokenKind.WORD and self._parentheses <= 0:
            self._see_word(token.value)

    def _see_word(self, word: str) -> None:
        if self._blocks:
            self._blocks += (word == "case") - (word == "end")
        elif word == "atomic" and self._words[-1:] == ["begin"] and self._is_routine():
            self._blocks = 1
        # The first four tell CREATE [OR REPLACE] FUNCTION, the last one tells BEGIN.
        self._words = [*self._words[:4], word]

    def _is_routine(self) -> bool:
        return self._words[:1] == ["create"] and bool(_ROUTINES.intersection(self._words[1:4:2]))
