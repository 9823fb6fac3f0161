"""
Find where the statements of a text begin, as PostgreSQL would.

A semicolon ends a statement unless it stands in a quote, a comment, parentheses or the
BEGIN ATOMIC body of a routine.
"""

import re
from collections.abc import Iterator
from contextlib import suppress

from sqlml.errors import StatementSyntaxError
from sqlml.statement.lexer import Lexer, Token, TokenKind, fold

_ROUTINES = {"function", "procedure"}
# Whatever can neither nest, nor quote, nor end a statement. A word before a quote may be
# the quote's prefix, so it is left to the lexer. The outermost repeat is not possessive:
# that of Python 3.11.2, which is Debian 12's, keeps what an alternative read before it failed.
_INERT = re.compile(
    r"(?:[^'\"$/\-;()A-Za-z_\x80-\U0010ffff]++|-(?!-)|/(?!\*)"
    r"|[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_$\x80-\U0010ffff]*+(?!['\"&]))+"
)


def find_starts(lexer: Lexer) -> list[int]:
    """Return where each statement's first token is. Empty statements do not count."""
    starts: list[int] = []
    nesting = _Nesting()
    is_between = True
    # Where a quote is left open, the server will refuse the whole text and say why.
    with suppress(StatementSyntaxError):
        for token in _tokens(lexer):
            if _is_semicolon(token) and nesting.is_outermost():
                nesting = _Nesting()
                is_between = True
            elif token.kind is not TokenKind.END:
                if is_between:
                    starts.append(token.start)
                    is_between = False
                nesting.see(token)
    return starts


def _is_semicolon(token: Token) -> bool:
    return token.kind is TokenKind.SYMBOL and token.value == ";"


def _tokens(lexer: Lexer) -> Iterator[Token]:
    """Yield the tokens that matter: all, or if no BEGIN ATOMIC can occur, far fewer."""
    if "atomic" in fold(lexer.text):
        yield from lexer.tokens()
        return
    position = 0
    while True:
        token = lexer.token(position)
        yield token
        if token.kind is TokenKind.END:
            return
        position = token.end
        if not _is_semicolon(token) and (inert := _INERT.match(lexer.text, position)):
            position = inert.end()


class _Nesting:
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
