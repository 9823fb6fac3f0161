"""
The lexer against PostgreSQL: both must see the same quotes, whatever stands in them.
"""

from contextlib import closing, suppress

import psycopg
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from psycopg.pq import DiagnosticField

from sqlml.errors import StatementSyntaxError
from sqlml.statement.keywords import NOT_A_NAME
from sqlml.statement.lexer import Lexer, TokenKind
from sqlml.statement.split import find_starts, skip_nested
from sqlml.statement.sql_call import quote_literal, quote_name
from sqlml.statement.unquote import unquote

# Pieces that meet in unlucky ways.
PIECES = ["'", "''", '"', "\\", "\\'", "$$", "$a$", "$", "--", "/*", "*/", "\n", ";", "(", ")"]
PIECES += ["E'", "a", "E", "1", " ", "ä", "select", "-", "/", "&", "."]
NESTING = ["(", ")", ";", "$1", "'a'", "'(\\'", "E'\\')'", '")"', "$$)$$", "-- )\n", "/*)*/"]
NESTING += ["/* /*(*/ ) */", "a", " ", "1", "'", "/*", "[", "U&", "x$y", "--", "\n'b'", "b')'"]
contents = st.lists(st.sampled_from(PIECES), max_size=8).map("".join)
# Every kind of quote and comment around any content. Some come out broken: the server decides.
FORMS = (
    lambda content: "'" + content.replace("'", "''") + "'",
    lambda content: "E'" + content.replace("\\", "\\\\").replace("'", "\\'") + "'",
    lambda content: "N'" + content.replace("'", "''") + "'\n'" + content.replace("'", "''") + "'",
    lambda content: "$a$" + content.replace("$a$", "") + "$a$",
    lambda content: "$$" + content + "$$",
    lambda content: '1 AS "' + content.replace('"', '""') + '"',
    lambda content: "1 /*" + content + "*/",
    lambda content: "1 --" + content.replace("\n", "") + "\n",
    lambda content: "1" + content,
)
items = st.tuples(st.sampled_from(FORMS), contents).map(lambda item: item[0](item[1]))
texts = st.lists(items, min_size=1, max_size=4).map(lambda items: "SELECT " + ", ".join(items))


@pytest.fixture(scope="module")
def connection(stack):
    with closing(psycopg.connect(stack.dsn, autocommit=True)) as connection:
        yield connection


def set_conforming(connection, is_on):
    connection.execute("SET escape_string_warning = off")
    connection.execute(f"SET standard_conforming_strings = {'on' if is_on else 'off'}")


@pytest.mark.parametrize("is_on", [True, False])
@given(text=st.text(st.characters(codec="utf-8", exclude_characters="\0")))
@settings(max_examples=60, deadline=None)
def test_a_literal_reads_as_its_text(connection, is_on, text):
    set_conforming(connection, is_on)
    literal = quote_literal(text)
    found = connection.pgconn.exec_(f"SELECT {literal}::text".encode()).get_value(0, 0)
    assert found.decode() == text
    token = Lexer(literal, is_on).token(0)
    assert (unquote(token), token.end) == (text, len(literal))


@pytest.mark.parametrize("is_on", [True, False])
@given(text=texts)
@settings(max_examples=250, deadline=None)
def test_a_statement_ends_where_the_server_ends_it(connection, is_on, text):
    set_conforming(connection, is_on)
    marked = f"{text}; !"
    starts = find_starts(Lexer(marked, is_on))
    result = connection.pgconn.exec_(marked.encode())
    place = int(result.error_field(DiagnosticField.STATEMENT_POSITION) or 0)
    message = (result.error_field(DiagnosticField.MESSAGE_PRIMARY) or b"").decode()
    if place == len(marked):
        event("closed")
        assert starts[-1] == len(marked) - 1
    elif message.startswith("unterminated"):
        event("open")
        assert starts[-1] != len(marked) - 1


@given(contents)
def test_tokens_lie_in_the_text_in_order(text):
    position = 0
    with suppress(StatementSyntaxError):
        for token in Lexer(text).tokens():
            assert position <= token.start <= token.end <= len(text)
            assert token.kind is TokenKind.END or token.start < token.end
            position = token.end
        assert position == len(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r"E'a\nb\x41\101\u00e4\\\'\q'", "a\nbAAä\\'q"),
        (r"'a\nb'", r"a\nb"),
        ("'one'\n -- comment\n 'two'", "onetwo"),
        ("'one' 'two'", "one"),
        ("E'one\\t'\n'two\\t'", "one\ttwo\t"),
        ("$a$ $b$ ' $a$", " $b$ ' "),
        ("$$$$", ""),
        (r"U&'\0064\+000061t\\'", r"dat\\"[:-1]),
        ("N'x'", "x"),
    ],
)
def test_strings(connection, text, value):
    set_conforming(connection, True)
    token = Lexer(text).token(0)
    assert token.kind is TokenKind.STRING
    assert unquote(token) == value
    if token.end == len(text):
        assert connection.execute(f"SELECT {text}::text").fetchone() == (value,)


def test_names_that_need_quotes(connection):
    """PostgreSQL takes every keyword as a name that we leave without quotes."""
    set_conforming(connection, True)
    keywords = connection.execute("SELECT word FROM pg_get_keywords()").fetchall()
    assert len(keywords) > 400
    for (word,) in keywords:
        name = quote_name(word)
        with connection.transaction(force_rollback=True):
            connection.execute(f"CREATE TEMPORARY TABLE {name} ({name} integer)")
            connection.execute(f"SELECT {name}.{name} FROM {name}")
    reserved = connection.execute("SELECT word FROM pg_get_keywords() WHERE catcode IN ('R', 'T')")
    assert {word for (word,) in reserved} <= NOT_A_NAME


@given(st.lists(st.sampled_from(NESTING), max_size=12).map("".join), st.booleans())
def test_what_nests_is_skipped_as_token_by_token(text, is_on):
    lexer = Lexer(text, is_on)
    depth, expected = 1, None
    tokens = lexer.tokens()
    while expected is None:
        try:
            token = next(tokens)
        except StatementSyntaxError:
            break
        symbol = token.value if token.kind is TokenKind.SYMBOL else ""
        depth += (symbol == "(") - (symbol == ")")
        is_stop = token.kind in (TokenKind.END, TokenKind.PARAMETER) or symbol == ";"
        expected = token.start if is_stop or depth == 0 else None
    found = skip_nested(lexer, 0)
    if expected is None:
        with pytest.raises(StatementSyntaxError):
            lexer.token(found)
    else:
        assert lexer.token(found).start == expected
