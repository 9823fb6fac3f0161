"""
What the proxy asks of whoever reads statements: the `Rewriter` and what it gives back.

The proxy comes before the statement stage, so it describes the help it needs and is handed it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from sqlml.errors import StatementSyntaxError


@dataclass(frozen=True, slots=True)
class ModelName:
    """A model as a call names it, folded or unquoted; without a schema the path finds it."""

    name: str
    schema: str | None = None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the proxy knows of the session at the moment a text arrives."""

    standard_conforming_strings: bool = True
    atomic: bool | None = None
    """Whether the text stands in a transaction block; None: not certain."""
    models: Mapping[ModelName, str | None] = field(default_factory=dict)
    """The schemas of the models that were looked up; None: there is no such model."""
    tells_deallocations: bool = False
    """Whether to say which prepared statements the text deallocates."""


@dataclass(frozen=True, slots=True)
class Splice:
    """A piece of the user's text that is ours, and the SQL that takes its place."""

    start: int
    end: int
    """Its place in the user's text, counted in characters from 0."""
    sql: str
    statement_index: int
    """Which of the text's statements it is (in), empty ones not counted."""
    is_statement: bool = True
    """Whether it is a statement of its own rather than a call inside another one."""
    tag: str | None = None
    """The command tag that the client shall read in place of the server's."""
    query: str | None = None
    query_start: int = 0
    """The training query and its place in the user's text."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A model statement that breaks its grammar; the server will refuse its text as well."""

    start: int
    statement_index: int
    error: StatementSyntaxError


@dataclass(frozen=True, slots=True)
class Deallocation:
    """A statement of the text that ends a prepared statement."""

    statement_index: int
    name: str


@dataclass(frozen=True, slots=True)
class Rewriting:
    """A text that concerns us, and the text to send instead."""

    text: str
    splices: tuple[Splice, ...] = ()
    refusal: Refusal | None = None
    unknown: tuple[ModelName, ...] = ()
    """Names in calls which were left because nobody has looked for such models."""
    absent: tuple[int, ...] = ()
    """Where in the user's text names stand that were looked for and are no model's."""
    deallocations: tuple[Deallocation, ...] = ()

    def find_splice(self, statement_index: int) -> Splice | None:
        """Return the model statement with this index among the text's statements."""
        for splice in self.splices:
            if splice.is_statement and splice.statement_index == statement_index:
                return splice
        return None

    def find_deallocation(self, statement_index: int) -> str | None:
        """Return the name of the prepared statement that this statement ends."""
        for deallocation in self.deallocations:
            if deallocation.statement_index == statement_index:
                return deallocation.name
        return None

    def original_position(self, position: int) -> int | None:
        """Turn a place in the new text into one in the user's; None inside a model statement."""
        shift = 0
        for splice in self.splices:
            new_start = splice.start + shift
            if position < new_start:
                break
            if position < new_start + len(splice.sql):
                return None if splice.is_statement else splice.start
            shift += len(splice.sql) - (splice.end - splice.start)
        return position - shift


class Rewriter(Protocol):
    """Reads texts for the proxy."""

    def decide(self, text: bytes, client_encoding: str, standard_conforming_strings: bool) -> bool:
        """Say whether a text, or one with this beginning, holds anything of ours."""
        ...

    def rewrite(self, text: str, surroundings: Surroundings) -> Rewriting | None:
        """Return the text with what is ours rewritten, or None if it does not concern us."""
        ...
