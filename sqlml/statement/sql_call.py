"""
A model statement → the CALL or SELECT of the SQL API that does it.

Owns quoting: whatever the names and texts hold, under whichever setting of
standard_conforming_strings, the server reads them back as they were.
"""

import json
import re
from collections.abc import Mapping
from decimal import Decimal

from sqlml.statement.keywords import NOT_A_NAME
from sqlml.statement.nodes import (
    Choice,
    CreateModel,
    DescribeModel,
    DropModel,
    Name,
    OptionValue,
    Query,
    Range,
    ShowModel,
    ShowModels,
)

_PLAIN_NAME = re.compile(r"[a-z_][a-z0-9_$]*")


SqlStatement = CreateModel | DropModel | ShowModels | ShowModel | DescribeModel
"""What the SQL API does."""


def write_call(statement: SqlStatement, atomic: bool | None = None) -> str:
    """Return the SQL text. `atomic` says whether it stands in a transaction block, if known."""
    match statement:
        case CreateModel():
            return _create_model(statement, atomic)
        case DropModel(model, if_exists):
            arguments = {"model": quote_literal(_quoted(model))}
            if if_exists:
                arguments["if_exists"] = "true"
            return _call("drop_model", arguments)
        case ShowModels():
            return "SELECT * FROM sqlml.show_models()"
        case ShowModel(model):
            return f"SELECT * FROM sqlml.show_model({quote_literal(_quoted(model))})"
        case DescribeModel(model):
            return f"SELECT * FROM sqlml.describe_model({quote_literal(_quoted(model))})"


def write_counters(counters: Mapping[str, int]) -> str:
    """Return the SQL text that gives these, one row each; there must be one."""
    rows = ", ".join(
        f"({quote_literal(name)}::text, {count}::bigint)" for name, count in counters.items()
    )
    return f"SELECT name, value FROM (VALUES {rows}) AS proxy (name, value)"


def _create_model(statement: CreateModel, atomic: bool | None) -> str:
    arguments = {
        "model": quote_literal(_quoted(statement.model)),
        "target": quote_literal(statement.target),
    }
    match statement.source:
        case Query(text):
            arguments["query"] = quote_literal(text)
        case Name() as relation:
            arguments["relation"] = quote_literal(_quoted(relation))
    if statement.options:
        arguments["options"] = quote_literal(_json(dict(statement.options)))
    if statement.replace:
        arguments["replace"] = "true"
    if statement.if_not_exists:
        arguments["if_not_exists"] = "true"
    if atomic is not None:
        arguments["atomic"] = "true" if atomic else "false"
    return _call("create_model", arguments)


def _call(procedure: str, arguments: dict[str, str]) -> str:
    listed = ", ".join(f"{name} => {value}" for name, value in arguments.items())
    return f"CALL sqlml.{procedure}({listed})"


def quote_literal(text: str) -> str:
    """Return a literal that reads as this text with either kind of string parsing."""
    doubled = text.replace("'", "''")
    if "\\" not in text:
        return f"'{doubled}'"
    escaped = doubled.replace("\\", "\\\\")
    return f"E'{escaped}'"


def _quoted(name: Name) -> str:
    parts = [name.name] if name.schema is None else [name.schema, name.name]
    return ".".join(map(quote_name, parts))


def quote_name(name: str) -> str:
    """Return the name as SQL has it, in quotes where it needs them."""
    if _PLAIN_NAME.fullmatch(name) and name not in NOT_A_NAME:
        return name
    doubled = name.replace('"', '""')
    return f'"{doubled}"'


def _json(options: dict[str, OptionValue]) -> str:
    # The characters themselves, not \u escapes: a server whose encoding is not UTF-8
    # may refuse those.
    members = (
        f"{json.dumps(name, ensure_ascii=False)}: {_json_value(value)}"
        for name, value in options.items()
    )
    return "{" + ", ".join(members) + "}"


def _json_value(value: OptionValue) -> str:
    match value:
        case Decimal():
            return str(value)
        case Range(low, high):
            return f'{{"range": [{low}, {high}]}}'
        case Choice(values):
            return f'{{"choice": [{", ".join(map(_json_value, values))}]}}'
        case _:
            return json.dumps(value, ensure_ascii=False)
