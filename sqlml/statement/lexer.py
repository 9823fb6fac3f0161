"""
Text → tokens, by the rules of PostgreSQL's own scanner (`scan.l`).

Owns blanks, nested comments, all kinds of quotes and where each ends. Knows no keyword and
no statement. sqlglot's tokenizer was measured and not taken: `docs/decisions/0002-own-grammar.md`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

from sqlml.errors import StatementSyntaxError


class TokenKind(Enum):
    """What a token is, as far as a model statement can tell them apart."""

    WORD = auto()
    QUOTED_NAME = auto()
    STRING = auto()
    BIT_STRING = auto()
    NUMBER = auto()
    PARAMETER = auto()
    SYMBOL = auto()
    END = auto()


class Quoting(Enum):
    """How the value of a quoted token is to be unquoted."""

    NONE = auto()
    DOUBLED = auto()
    ESCAPED = auto()
    UNICODE = auto()


@dataclass(frozen=True, slots=True)
class Token:
    """One token and its place, counted from 0."""

    kind: TokenKind
    value: str
    """A word folded; what stands between the quotes of a string or name; else as written."""
    start: int
    end: int
    quoting: Quoting = Quoting.NONE


_BLANKS = re.compile(r"(?:[ \t\n\r\f\v]++|--[^\n\r]*+)++")
_COMMENT_EDGE = re.compile(r"/\*|\*/")
_WORD = re.compile(r"[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_$\x80-\U0010ffff]*+")
_NUMBER = re.compile(r"(?:[0-9]++(?:\.(?!\.)[0-9]*+)?|\.[0-9]++)(?:[eE][+-]?[0-9]++)?")
_PARAMETER = re.compile(r"\$[0-9]++")
_DOLLAR_QUOTE = re.compile(r"\$(?:[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_\x80-\U0010ffff]*+)?\$")
_STRING_PREFIX = re.compile(r"(?:[eEbBxXnN]|[uU]&)?'")
_NAME_PREFIX = re.compile(r'(?:[uU]&)?"')
_PLAIN_BODY = re.compile(r"((?:[^']++|'')*+)'")
_ESCAPED_BODY = re.compile(r"((?:[^'\\]++|''|\\.)*+)'", re.DOTALL)
_NAME_BODY = re.compile(r'((?:[^"]++|"")*+)"')
# Strings that only a line break stands between are one string. Atomic groups instead of
# possessive repeats of a group, which Python 3.11.2 gets wrong (see `split._INERT`).
_CONTINUATION = re.compile(
    r"(?>(?:[ \t\f\v]|--[^\n\r]*+)*)[\n\r](?>(?:[ \t\n\r\f\v]|--[^\n\r]*+[\n\r])*)'"
)
_QUOTINGS = {"u": Quoting.UNICODE}
_ASCII_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


def fold(name: str) -> str:
    """Lower the ASCII letters only, as PostgreSQL does with multi-byte encodings."""
    return name.translate(_ASCII_LOWER)


def skip_blanks(text: str, position: int) -> int:
    """Return where the next token starts; an endless comment leads to the text's end."""
    return _skip_blanks(text, position)[0]


def _skip_blanks(text: str, position: int) -> tuple[int, int | None]:
    """Return where the next token starts, and the start of a comment left open."""
    while True:
        if blanks := _BLANKS.match(text, position):
            position = blanks.end()
        elif text.startswith("/*", position):
            end = _comment_end(text, position)
            if end is None:
                return len(text), position
            position = end
        else:
            return position, None


def _comment_end(text: str, start: int) -> int | None:
    depth = 0
    for edge in _COMMENT_EDGE.finditer(text, start):
        depth += 1 if edge.group() == "/*" else -1
        if depth == 0:
            return edge.end()
    return None


def find_word(text: str, position: int) -> str | None:
    """Return the folded word that starts exactly here, or None."""
    word = _WORD.match(text, position)
    return fold(word.group()) if word else None


@dataclass(frozen=True, slots=True)
class Lexer:
    """The scanner of one text under one value of standard_conforming_strings."""

    text: str
    standard_conforming_strings: bool = True

    def tokens(self, position: int = 0) -> Iterator[Token]:
        """Yield the tokens from here on, and END last. Raises where PostgreSQL's would."""
        while True:
            token = self.token(position)
            yield token
            if token.kind is TokenKind.END:
                return
            position = token.end

    def token(self, position: int) -> Token:
        """Return the first token at or after this position."""
        text = self.text
        start, open_comment = _skip_blanks(text, position)
        if open_comment is not None:
            raise self._unterminated("/* comment", open_comment)
        if start == len(text):
            return Token(TokenKind.END, "", start, start)
        if prefix := _STRING_PREFIX.match(text, start):
            return self._string(prefix)
        if prefix := _NAME_PREFIX.match(text, start):
            return self._quoted_name(prefix)
        if word := _WORD.match(text, start):
            return Token(TokenKind.WORD, fold(word.group()), start, word.end())
        if number := _NUMBER.match(text, start):
            return Token(TokenKind.NUMBER, number.group(), start, number.end())
        if text[start] == "$":
            return self._dollar(start)
        return Token(TokenKind.SYMBOL, text[start], start, start + 1)

    def _string(self, prefix: re.Match[str]) -> Token:
        mark = prefix.group()[0].lower()
        is_escaped = mark == "e" or (mark in "'n" and not self.standard_conforming_strings)
        body = _ESCAPED_BODY if is_escaped else _PLAIN_BODY
        pieces, position = [], prefix.end()
        while True:
            match = body.match(self.text, position)
            if match is None:
                raise self._unterminated("quoted string", prefix.start())
            pieces.append(match.group(1))
            continuation = _CONTINUATION.match(self.text, match.end())
            if continuation is None:
                break
            position = continuation.end()
        # Bit strings are not text: no place in a model statement takes one.
        kind = TokenKind.BIT_STRING if mark in "bx" else TokenKind.STRING
        quoting = Quoting.ESCAPED if is_escaped else _QUOTINGS.get(mark, Quoting.DOUBLED)
        return Token(kind, "".join(pieces), prefix.start(), match.end(), quoting)

    def _quoted_name(self, prefix: re.Match[str]) -> Token:
        body = _NAME_BODY.match(self.text, prefix.end())
        if body is None:
            raise self._unterminated("quoted identifier", prefix.start())
        quoting = _QUOTINGS.get(prefix.group()[0].lower(), Quoting.DOUBLED)
        return Token(TokenKind.QUOTED_NAME, body.group(1), prefix.start(), body.end(), quoting)

    def _dollar(self, start: int) -> Token:
        if parameter := _PARAMETER.match(self.text, start):
            return Token(TokenKind.PARAMETER, parameter.group(), start, parameter.end())
        opening = _DOLLAR_QUOTE.match(self.text, start)
        if opening is None:
            return Token(TokenKind.SYMBOL, "$", start, start + 1)
        closing = self.text.find(opening.group(), opening.end())
        if closing < 0:
            raise self._unterminated("dollar-quoted string", start)
        value = self.text[opening.end() : closing]
        return Token(TokenKind.STRING, value, start, closing + len(opening.group()))

    def _unterminated(self, what: str, start: int) -> StatementSyntaxError:
        near = self.text[start : start + 40]
        return StatementSyntaxError(f'unterminated {what} at or near "{near}"', position=start + 1)
