"""
The grammar, case by case: `tests/fixtures/statements.sql`.
"""

import re
from pathlib import Path

import pytest

from sqlml.errors import StatementSyntaxError
from sqlml.statement.grammar import parse_statement
from sqlml.statement.lexer import Lexer
from sqlml.statement.nodes import ShowProxy
from sqlml.statement.recognise import recognise
from sqlml.statement.sql_call import write_call

FILE = Path(__file__).parents[1] / "fixtures" / "statements.sql"


def read_cases():
    """Yield each statement and what it means."""
    for block in re.split(r"\n\n+", FILE.read_text().rstrip("\n")):
        text, arrow, meaning = block.partition("\n=>\n")
        if arrow:
            yield text, meaning


def describe(text):
    """Say in the file's words what becomes of a text."""
    if recognise(text) is None:
        return "not ours"
    try:
        statement = parse_statement(Lexer(text)).statement
        assert not isinstance(statement, ShowProxy)
        return write_call(statement)
    except StatementSyntaxError as error:
        before = text[: error.position - 1]
        place = f"{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}"
        lines = [f"ERROR {error.sqlstate} at {place}: {error.message}"]
        lines += [f"DETAIL: {error.detail}"] if error.detail else []
        lines += [f"HINT: {error.hint}"] if error.hint else []
        return "\n".join(lines)


@pytest.mark.parametrize(("text", "meaning"), list(read_cases()))
def test_statement(text, meaning):
    assert describe(text) == meaning


def test_the_file_is_read_whole():
    assert len(list(read_cases())) == FILE.read_text().count("\n=>\n") >= 60
