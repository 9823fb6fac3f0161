"""
The tokens of one statement, with as much look-ahead as the grammar asks for.

Owns how an unexpected token is told: near what, where, and what was probably meant. Knows no
statement.
"""

import difflib

from sqlml.errors import ParameterNotAllowed, StatementSyntaxError
from sqlml.statement.lexer import Lexer, Token, TokenKind
from sqlml.statement.split import skip_nested


class TokenReader:
    """What the grammar reads from."""

    def __init__(self, lexer: Lexer, start: int):
        self._text = lexer.text
        self._lexer = lexer
        self._source = lexer.tokens(start)
        self._ahead: list[Token] = []
        self.last_end = start
        self.late_keywords: tuple[str, ...] = ()
        """Keywords that could still follow where the statement seems to end."""

    def peek(self, offset: int = 0) -> Token:
        while len(self._ahead) <= offset:
            token = next(self._source)
            if token.kind is TokenKind.PARAMETER:
                raise ParameterNotAllowed(
                    f"there is no parameter {token.value}",
                    position=token.start + 1,
                    detail="Model statements take no parameters.",
                    hint="Write the value itself into the statement.",
                )
            self._ahead.append(token)
        return self._ahead[offset]

    def take(self) -> Token:
        token = self.peek()
        if token.kind is not TokenKind.END:
            self._ahead.pop(0)
            self.last_end = token.end
        return token

    def skip_nested(self) -> None:
        """Go on where the parenthesis closes that was taken last, or with what is in the way."""
        self._ahead.clear()
        self._source = self._lexer.tokens(skip_nested(self._lexer, self.last_end))

    def is_at_end(self) -> bool:
        return self.peek().kind is TokenKind.END or self.is_symbol(";")

    def is_symbol(self, symbol: str) -> bool:
        token = self.peek()
        return token.kind is TokenKind.SYMBOL and token.value == symbol

    def is_word(self, *words: str, offset: int = 0) -> bool:
        token = self.peek(offset)
        return token.kind is TokenKind.WORD and token.value in words

    def accept_words(self, *words: str) -> bool:
        """Take these words if all of them come next."""
        for offset, word in enumerate(words):
            if not self.is_word(word, offset=offset):
                return False
        for _ in words:
            self.take()
        return True

    def accept_symbol(self, symbol: str) -> bool:
        if self.is_symbol(symbol):
            self.take()
            return True
        return False

    def expect_symbol(self, symbol: str, expected: str) -> None:
        if not self.accept_symbol(symbol):
            raise self.error(expected)

    def text_from(self, start: int, end: int) -> str:
        return self._text[start:end]

    def error(
        self, expected: str, keywords: tuple[str, ...] = (), hint: str | None = None
    ) -> StatementSyntaxError:
        """Make the error that the next token is not what was expected."""
        token = self.peek()
        if hint is None:
            hint = self._meant(token, keywords) or f"Expected {expected}."
        if token.kind is TokenKind.END:
            message = "syntax error at end of input"
        else:
            near = self._text[token.start : token.end]
            message = f'syntax error at or near "{near}"'
        return StatementSyntaxError(message, position=token.start + 1, hint=hint)

    @staticmethod
    def _meant(token: Token, keywords: tuple[str, ...]) -> str | None:
        if token.kind is not TokenKind.WORD:
            return None
        close = difflib.get_close_matches(token.value, keywords, n=1, cutoff=0.7)
        return f"Did you mean {close[0].upper()}?" if close else None
