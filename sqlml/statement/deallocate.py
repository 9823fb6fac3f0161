"""
DEALLOCATE: which prepared statement a statement of PostgreSQL's ends.
"""

from sqlml.statement.lexer import Lexer, TokenKind, find_word
from sqlml.statement.unquote import unquote


def read_deallocation(lexer: Lexer, start: int) -> str | None:
    """Return the name of the prepared statement if a DEALLOCATE of one begins here."""
    if find_word(lexer.text, start) != "deallocate":
        return None
    name = lexer.token(start + len("deallocate"))
    behind = lexer.token(name.end)
    # DEALLOCATE PREPARE x, or a statement that is called prepare.
    if name.value == "prepare" and behind.kind in (TokenKind.WORD, TokenKind.QUOTED_NAME):
        name = behind
    if name.kind is TokenKind.QUOTED_NAME:
        return unquote(name)
    return name.value if name.kind is TokenKind.WORD and name.value != "all" else None
