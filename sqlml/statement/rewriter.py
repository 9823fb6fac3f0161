"""
The proxy's `Rewriter`: finds what is ours in a text and puts SQL calls in its place.

Everything else in the text stays as it is, character for character.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress

from sqlml.errors import StatementSyntaxError
from sqlml.proxy.rewriting import Deallocation, ModelName, Refusal, Rewriting, Splice, Surroundings
from sqlml.statement.calls import Call, find_calls
from sqlml.statement.deallocate import read_deallocation
from sqlml.statement.grammar import ParsedStatement, parse_statement
from sqlml.statement.lexer import Lexer
from sqlml.statement.nodes import CreateModel, DropModel, Query, ShowProxy
from sqlml.statement.recognise import StatementKind, recognise
from sqlml.statement.split import find_starts
from sqlml.statement.sql_call import write_call, write_counters
from sqlml.wire.encodings import decode_head

Counters = Callable[[], Mapping[str, int]]
"""Gives the proxy's counters by name, at least one."""


class StatementRewriter:
    """Reads texts for the proxy; keeps nothing between two of them."""

    def __init__(self, counters: Counters | None = None):
        """Without counters, SHOW sqlml.proxy is no statement of ours."""
        self._counters = counters

    def decide(self, text: bytes, client_encoding: str, standard_conforming_strings: bool) -> bool:
        """Say whether a text, or one with this beginning, holds anything of ours."""
        head = decode_head(text, client_encoding)
        return self.rewrite(head, Surroundings(standard_conforming_strings)) is not None

    def rewrite(self, text: str, surroundings: Surroundings) -> Rewriting | None:
        """Return the text with what is ours rewritten, or None if it does not concern us."""
        lexer = Lexer(text, surroundings.standard_conforming_strings)
        starts = find_starts(lexer)
        ours = {index: start for index, start in enumerate(starts) if self._is_ours(text, start)}
        tells = surroundings.tells_deallocations
        deallocations = tuple(_deallocations(lexer, starts)) if tells else ()
        calls = find_calls(lexer, starts)
        if not ours and not calls and not deallocations:
            return None
        # Several statements in one message are one transaction, whatever it says itself.
        atomic = True if len(starts) > 1 else surroundings.atomic
        splices, refusal = self._splice_statements(lexer, ours, atomic)
        if refusal is not None:
            calls = [call for call in calls if call.start < refusal.start]
        splices += _splice_calls(calls, starts, surroundings.models)
        splices.sort(key=lambda splice: splice.start)
        models = surroundings.models
        return Rewriting(
            _put_in(text, splices),
            tuple(splices),
            refusal,
            unknown=tuple({call.model for call in calls if call.model not in models}),
            absent=tuple(
                call.name_start for call in calls if models.get(call.model, "unknown") is None
            ),
            deallocations=deallocations,
        )

    def _is_ours(self, text: str, start: int) -> bool:
        kind = recognise(text, start)
        return kind is not None and (kind is not StatementKind.SHOW_PROXY or bool(self._counters))

    def _splice_statements(
        self, lexer: Lexer, ours: dict[int, int], atomic: bool | None
    ) -> tuple[list[Splice], Refusal | None]:
        """Write the calls, up to the first statement that breaks the grammar."""
        splices: list[Splice] = []
        for index, start in ours.items():
            try:
                parsed = parse_statement(lexer, start)
            except StatementSyntaxError as error:
                return splices, Refusal(start, index, error)
            splices.append(self._splice(parsed, start, index, atomic))
        return splices, None

    def _splice(
        self, parsed: ParsedStatement, start: int, index: int, atomic: bool | None
    ) -> Splice:
        statement, end = parsed.statement, parsed.end
        if isinstance(statement, ShowProxy):
            counters = self._counters() if self._counters is not None else {}
            return Splice(start, end, write_counters(counters), index, tag="SHOW")
        sql = write_call(statement, atomic)
        match statement:
            case CreateModel(source=Query(query, query_start)):
                return Splice(
                    start,
                    end,
                    sql,
                    index,
                    tag="CREATE MODEL",
                    query=query,
                    query_start=query_start,
                )
            case CreateModel():
                return Splice(start, end, sql, index, tag="CREATE MODEL")
            case DropModel():
                return Splice(start, end, sql, index, tag="DROP MODEL")
            case _:
                return Splice(start, end, sql, index)


def _splice_calls(
    calls: Iterable[Call], starts: list[int], models: Mapping[ModelName, str | None]
) -> Iterator[Splice]:
    for call in calls:
        schema = models.get(call.model)
        if schema is not None:
            index = bisect_right(starts, call.start) - 1
            yield Splice(call.start, call.end, call.write(schema), index, is_statement=False)


def _put_in(text: str, splices: list[Splice]) -> str:
    pieces, position = [], 0
    for splice in splices:
        pieces += [text[position : splice.start], splice.sql]
        position = splice.end
    return "".join([*pieces, text[position:]])


def _deallocations(lexer: Lexer, starts: list[int]) -> Iterator[Deallocation]:
    for index, start in enumerate(starts):
        with suppress(StatementSyntaxError):
            name = read_deallocation(lexer, start)
            if name is not None:
                yield Deallocation(index, name)
