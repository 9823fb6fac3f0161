"""
The model statements as data: what a text asks for, whatever its spelling was.

Names are as PostgreSQL would store them: folded or unquoted. Nothing here is checked
against a database.
"""

from dataclasses import dataclass
from decimal import Decimal

Scalar = str | bool | Decimal


@dataclass(frozen=True, slots=True)
class Range:
    """RANGE(low, high): the search may choose any number in between."""

    low: Decimal
    high: Decimal


@dataclass(frozen=True, slots=True)
class Choice:
    """CHOICE(value, ...): the search may choose one of these."""

    values: tuple[Scalar, ...]


OptionValue = Scalar | tuple[str, ...] | Range | Choice


@dataclass(frozen=True, slots=True)
class Name:
    """A model's or relation's name, with its schema if one was written."""

    name: str
    schema: str | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """A training query, character for character as the user wrote it."""

    text: str
    start: int
    """Its place in the user's text, counted from 0: errors inside it are shown there."""


@dataclass(frozen=True, slots=True)
class CreateModel:
    """CREATE MODEL: learn the target from a relation or a query."""

    model: Name
    target: str
    source: Name | Query
    options: tuple[tuple[str, OptionValue], ...] = ()
    replace: bool = False
    if_not_exists: bool = False


@dataclass(frozen=True, slots=True)
class DropModel:
    """DROP MODEL."""

    model: Name
    if_exists: bool = False


@dataclass(frozen=True, slots=True)
class ShowModels:
    """SHOW MODELS: the list of models."""


@dataclass(frozen=True, slots=True)
class ShowModel:
    """SHOW MODEL: the properties of one model."""

    model: Name


@dataclass(frozen=True, slots=True)
class DescribeModel:
    """DESCRIBE MODEL: the columns of one model."""

    model: Name


@dataclass(frozen=True, slots=True)
class ShowProxy:
    """SHOW sqlml.proxy: the counters of the proxy."""


Statement = CreateModel | DropModel | ShowModels | ShowModel | ShowProxy | DescribeModel
