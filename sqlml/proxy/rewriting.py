"""
What the proxy asks of whoever reads statements: the `Rewriter` and what it gives back.

The proxy comes before the statement stage, so it describes the help it needs and is handed it.
"""

from dataclasses import dataclass
from typing import Protocol

from sqlml.errors import StatementSyntaxError


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the proxy knows of the session at the moment a text arrives."""

    standard_conforming_strings: bool = True
    atomic: bool | None = None
    """Whether the text stands in a transaction block; None: not certain."""


@dataclass(frozen=True, slots=True)
class Splice:
    """One model statement of a text and the SQL call that takes its place."""

    start: int
    end: int
    """Its place in the user's text, counted in characters from 0."""
    call: str
    statement_index: int
    """Which of the text's statements it is, empty ones not counted."""
    tag: str | None = None
    """The command tag that the client shall read in place of CALL."""
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
class Rewriting:
    """A text with at least one model statement in it, and the text to send instead."""

    text: str
    splices: tuple[Splice, ...]
    refusal: Refusal | None = None

    def find_splice(self, statement_index: int) -> Splice | None:
        """Return the model statement with this index among the text's statements."""
        for splice in self.splices:
            if splice.statement_index == statement_index:
                return splice
        return None

    def original_position(self, position: int) -> int | None:
        """Turn a place in the new text into one in the user's; None inside a splice."""
        shift = 0
        for splice in self.splices:
            new_start = splice.start + shift
            if position < new_start:
                break
            if position < new_start + len(splice.call):
                return None
            shift += len(splice.call) - (splice.end - splice.start)
        return position - shift


class Rewriter(Protocol):
    """Reads texts for the proxy."""

    def may_hold_statement(self, raw: bytes) -> bool:
        """Say quickly whether a text, in any client encoding, may hold a model statement."""
        ...

    def may_begin_statement(self, head: str) -> bool:
        """Say whether a text with this beginning starts with a model statement."""
        ...

    def rewrite(self, text: str, surroundings: Surroundings) -> Rewriting | None:
        """Return the text with its model statements rewritten, or None if it has none."""
        ...
