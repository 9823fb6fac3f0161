"""
Tokens → a model statement, or the first error that is in it.

Owns the grammar of `docs/statements.md`. Does not know options, types or databases: the
server checks what the words mean.
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from sqlml.errors import NameTooLong, StatementSyntaxError
from sqlml.statement.keywords import NOT_A_NAME
from sqlml.statement.lexer import Lexer, TokenKind, fold
from sqlml.statement.nodes import (
    Choice,
    CreateModel,
    DescribeModel,
    DropModel,
    Name,
    OptionValue,
    Query,
    Range,
    Scalar,
    ShowModel,
    ShowModels,
    ShowProxy,
    Statement,
)
from sqlml.statement.reader import TokenReader
from sqlml.statement.recognise import StatementKind, recognise
from sqlml.statement.unquote import unquote

_MAX_NAME_BYTES = 63
_BOOLEANS = {"true": True, "on": True, "false": False, "off": False}
_QUERY_BEGINNINGS = {"select", "with", "values", "table"}
_QUERY_TAILS = {"as", "where", "join", "group", "order", "limit", "tablesample"}
_CLOSING = {"[": "]", "(": ")"}
_SPACES = ("range", "choice")
_VALUE = "a number, a 'text', true, false, a word or a [list]"
_CHOICE = "a number, a 'text', true, false or a word"


@dataclass(frozen=True, slots=True)
class ParsedStatement:
    """A statement and where its last token ends."""

    statement: Statement
    end: int


def parse_statement(lexer: Lexer, start: int = 0) -> ParsedStatement:
    """Read the model statement that `recognise` found here, up to a semicolon or the end."""
    kind = recognise(lexer.text, start)
    if kind is None:
        raise ValueError("no model statement begins here")
    reader = TokenReader(lexer, start)
    statement = _RULES[kind](reader)
    if not reader.is_at_end():
        raise reader.error("the end of the statement", reader.late_keywords)
    return ParsedStatement(statement, reader.last_end)


def _create_model(reader: TokenReader) -> CreateModel:
    reader.accept_words("create")
    replace = reader.accept_words("or", "replace")
    reader.accept_words("model")
    if replace and reader.is_word("if") and reader.is_word("not", offset=1):
        raise reader.error("", hint="OR REPLACE and IF NOT EXISTS exclude each other.")
    if_not_exists = reader.accept_words("if", "not", "exists")
    model = _name(reader, "a model name")
    target, source = _clauses(reader)
    options = _options(reader)
    return CreateModel(model, target, source, options, replace, if_not_exists)


def _clauses(reader: TokenReader) -> tuple[str, Name | Query]:
    """Read PREDICT and FROM, each once, in the order the user likes."""
    if reader.accept_words("predict"):
        target = _identifier(reader, "the name of the target column")
        if not reader.accept_words("from"):
            raise reader.error("FROM <relation> or FROM (<query>)", ("from",))
        source = _source(reader)
        reader.late_keywords = ("with", "using")
        return target, source
    if reader.accept_words("from"):
        source = _source(reader)
        if not reader.accept_words("predict"):
            raise reader.error("PREDICT <column>", ("predict",), _row_selection_hint(reader))
        target = _identifier(reader, "the name of the target column")
        reader.late_keywords = ("with", "using")
        return target, source
    raise reader.error("PREDICT <column> or FROM <relation>", ("predict", "from"))


def _source(reader: TokenReader) -> Name | Query:
    if reader.is_symbol("("):
        return _query(reader)
    if reader.is_word(*_QUERY_BEGINNINGS):
        raise reader.error("", hint="Put the training query in parentheses: FROM (SELECT ...).")
    return _name(reader, "a relation or a query in parentheses")


def _query(reader: TokenReader) -> Query:
    """Read up to the parenthesis that closes this one; what is between is the user's own."""
    opening = reader.take()
    if reader.is_symbol(")"):
        raise reader.error("a query")
    reader.skip_nested()
    if reader.is_at_end():
        raise reader.error('")" after the training query')
    closing = reader.take()
    _skip_alias(reader)
    return Query(reader.text_from(opening.end, closing.start), opening.end)


def _skip_alias(reader: TokenReader) -> None:
    """Read the alias that a subquery has by habit; nothing can refer to it."""
    if reader.accept_words("as"):
        _identifier(reader, "an alias")
        return
    token = reader.peek()
    is_name = token.kind is TokenKind.WORD and token.value not in NOT_A_NAME
    if token.kind is TokenKind.QUOTED_NAME or (is_name and not reader.is_word("predict")):
        _identifier(reader, "an alias")


def _options(reader: TokenReader) -> tuple[tuple[str, OptionValue], ...]:
    if reader.accept_words("with"):
        reader.expect_symbol("(", "WITH (<option> = <value>, ...)")
        options = _option_list(reader)
        reader.expect_symbol(")", '"," or ")"')
    elif reader.accept_words("using"):
        options = _option_list(reader)
    elif hint := _row_selection_hint(reader):
        raise reader.error("", hint=hint)
    else:
        return ()
    reader.late_keywords = ()
    return options


def _row_selection_hint(reader: TokenReader) -> str | None:
    if reader.is_word(*_QUERY_TAILS):
        return "To train on a query, put it in parentheses: FROM (SELECT ...)."
    if reader.is_symbol("("):
        return "Options stand in WITH (...); a function's rows in a query: FROM (SELECT ...)."
    return None


def _option_list(reader: TokenReader) -> tuple[tuple[str, OptionValue], ...]:
    options: dict[str, OptionValue] = {}
    while True:
        token = reader.peek()
        if token.kind not in (TokenKind.WORD, TokenKind.QUOTED_NAME):
            raise reader.error("the name of an option")
        name = fold(unquote(token))
        if name in options:
            raise StatementSyntaxError(
                f'option "{name}" is given more than once', position=token.start + 1
            )
        reader.take()
        reader.expect_symbol("=", f'"=" after the option "{name}"')
        options[name] = _value(reader)
        if not reader.accept_symbol(","):
            break
    last = reader.peek()
    if last.kind is TokenKind.WORD and isinstance(options[name], Decimal):
        raise reader.error("", hint="Put a value with a unit in quotes, such as '30 s'.")
    return tuple(options.items())


def _value(reader: TokenReader) -> OptionValue:
    if reader.is_word("array") and reader.peek(1).value == "[":
        reader.take()
    for opening, closing in _CLOSING.items():
        if reader.accept_symbol(opening):
            return tuple(str(item) for item in _items(reader, closing, _text_or_number))
    if reader.peek().kind is TokenKind.WORD and reader.peek(1).value == "(":
        return _space(reader)
    return _scalar(reader, _VALUE)


def _space(reader: TokenReader) -> Range | Choice:
    """Read what the search may choose from; what looks like a call is nothing else."""
    if reader.accept_words("range"):
        reader.take()
        low = _number(reader, "the lower bound, a number")
        reader.expect_symbol(",", '"," and the upper bound')
        high = _number(reader, "the upper bound, a number")
        reader.expect_symbol(")", '")" after the two bounds')
        return Range(low, high)
    if reader.accept_words("choice"):
        reader.take()
        if reader.is_symbol(")"):
            raise reader.error(_CHOICE)
        return Choice(_items(reader, ")", lambda inner: _scalar(inner, _CHOICE)))
    raise reader.error("RANGE(low, high) or CHOICE(a, b, ...)", _SPACES)


def _items(
    reader: TokenReader, closing: str, read_item: Callable[[TokenReader], Scalar]
) -> tuple[Scalar, ...]:
    items: list[Scalar] = []
    while not reader.accept_symbol(closing):
        if items:
            reader.expect_symbol(",", f'"," or "{closing}"')
        items.append(read_item(reader))
    return tuple(items)


def _scalar(reader: TokenReader, expected: str) -> Scalar:
    if reader.is_word("null"):
        raise reader.error("", hint="Leave the option out to have its default.")
    if reader.is_word(*_BOOLEANS):
        return _BOOLEANS[reader.take().value]
    return _text_or_number(reader, expected)


def _text_or_number(reader: TokenReader, expected: str = _VALUE) -> str | Decimal:
    if reader.peek().kind in (TokenKind.STRING, TokenKind.WORD, TokenKind.QUOTED_NAME):
        return unquote(reader.take())
    return _number(reader, expected)


def _number(reader: TokenReader, expected: str) -> Decimal:
    sign = ""
    if reader.is_symbol("-") or reader.is_symbol("+"):
        if reader.peek(1).kind is not TokenKind.NUMBER:
            raise reader.error("a value")
        sign = reader.take().value
    token = reader.peek()
    if token.kind is not TokenKind.NUMBER:
        raise reader.error(expected)
    try:
        number = Decimal(sign + token.value)
    except InvalidOperation:
        raise StatementSyntaxError(
            f'number "{token.value}" is out of range', position=token.start + 1
        ) from None
    reader.take()
    return number


def _name(reader: TokenReader, expected: str) -> Name:
    first = _identifier(reader, expected)
    if not reader.accept_symbol("."):
        return Name(first)
    return Name(_identifier(reader, f"{expected} after the schema"), schema=first)


def _identifier(reader: TokenReader, expected: str) -> str:
    token = reader.peek()
    if token.kind is TokenKind.WORD and token.value in NOT_A_NAME:
        raise reader.error(f"{expected}; a reserved word needs double quotes")
    if token.kind not in (TokenKind.WORD, TokenKind.QUOTED_NAME):
        raise reader.error(expected)
    name = unquote(token)
    if not name:
        raise StatementSyntaxError(
            'zero-length delimited identifier at or near """"', position=token.start + 1
        )
    if len(name.encode("utf-8", "surrogateescape")) > _MAX_NAME_BYTES:
        raise NameTooLong(
            f'name "{name}" is too long',
            position=token.start + 1,
            detail=f"Names have at most {_MAX_NAME_BYTES} bytes.",
        )
    reader.take()
    return name


def _drop_model(reader: TokenReader) -> DropModel:
    reader.accept_words("drop", "model")
    if_exists = reader.accept_words("if", "exists")
    return DropModel(_name(reader, "a model name"), if_exists)


def _show_models(reader: TokenReader) -> ShowModels:
    reader.accept_words("show", "models")
    return ShowModels()


def _show_model(reader: TokenReader) -> ShowModel:
    reader.accept_words("show", "model")
    return ShowModel(_name(reader, "a model name"))


def _show_proxy(reader: TokenReader) -> ShowProxy:
    reader.accept_words("show", "sqlml")
    reader.accept_symbol(".")
    reader.accept_words("proxy")
    return ShowProxy()


def _describe_model(reader: TokenReader) -> DescribeModel:
    reader.take()
    reader.accept_words("model")
    return DescribeModel(_name(reader, "a model name"))


_RULES: dict[StatementKind, Callable[[TokenReader], Statement]] = {
    StatementKind.CREATE_MODEL: _create_model,
    StatementKind.DROP_MODEL: _drop_model,
    StatementKind.SHOW_MODELS: _show_models,
    StatementKind.SHOW_MODEL: _show_model,
    StatementKind.SHOW_PROXY: _show_proxy,
    StatementKind.DESCRIBE_MODEL: _describe_model,
}
