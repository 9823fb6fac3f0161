"""
The text that a string or name token stands for.

Apart from the lexer, because only the tokens of our own statements are ever asked: what
stands in the strings of others is none of our business.
"""

import re

from sqlml.errors import StatementSyntaxError
from sqlml.statement.lexer import Quoting, Token, TokenKind

_ESCAPE = re.compile(
    r"\\(?:(?P<octal>[0-7]{1,3})|x(?P<byte>[0-9A-Fa-f]{1,2})"
    r"|u(?P<short>[0-9A-Fa-f]{4})|U(?P<long>[0-9A-Fa-f]{8})|(?P<one>.))",
    re.DOTALL,
)
_UNICODE_ESCAPE = re.compile(r"\\(?:([0-9A-Fa-f]{4})|\+([0-9A-Fa-f]{6})|(\\)|)")
_CONTROL = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


def unquote(token: Token) -> str:
    """Return the token's text with doubled quotes and escapes resolved."""
    if token.quoting is Quoting.NONE:
        return token.value
    quote = '"' if token.kind is TokenKind.QUOTED_NAME else "'"
    value = token.value.replace(quote * 2, quote)
    if token.quoting is Quoting.ESCAPED:
        return _ESCAPE.sub(lambda escape: _escaped(escape, token), value)
    if token.quoting is Quoting.UNICODE:
        return _UNICODE_ESCAPE.sub(lambda escape: _unicode_escaped(escape, token), value)
    return value


def _escaped(escape: re.Match[str], token: Token) -> str:
    one = escape["one"]
    if one is not None:
        return _CONTROL.get(one, one)
    for group, base in (("octal", 8), ("byte", 16)):
        if digits := escape[group]:
            code = int(digits, base)
            if code > 127:
                raise _invalid("byte escapes above 127 are not supported here", token)
            return _character(code, token)
    return _character(int(escape["short"] or escape["long"], 16), token)


def _unicode_escaped(escape: re.Match[str], token: Token) -> str:
    if escape[3]:
        return "\\"
    digits = escape[1] or escape[2]
    if not digits:
        raise _invalid("invalid Unicode escape", token)
    return _character(int(digits, 16), token)


def _character(code: int, token: Token) -> str:
    if code == 0 or code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
        raise _invalid("invalid Unicode escape value", token)
    return chr(code)


def _invalid(message: str, token: Token) -> StatementSyntaxError:
    return StatementSyntaxError(
        message, position=token.start + 1, hint="Write the character itself."
    )
