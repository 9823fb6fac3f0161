"""
The proxy's `Rewriter`: finds the model statements of a text and puts SQL calls in their place.

Everything else in the text stays as it is, character for character.
"""

from sqlml.errors import StatementSyntaxError
from sqlml.proxy.rewriting import Refusal, Rewriting, Splice, Surroundings
from sqlml.statement.grammar import ParsedStatement, parse_statement
from sqlml.statement.lexer import Lexer
from sqlml.statement.nodes import CreateModel, DropModel, Query
from sqlml.statement.recognise import recognise
from sqlml.statement.split import find_starts
from sqlml.statement.sql_call import write_call


class StatementRewriter:
    """Reads texts for the proxy; keeps nothing between two of them."""

    def may_hold_statement(self, raw: bytes) -> bool:
        """Say whether the one word that every model statement has occurs at all."""
        return b"model" in raw.lower()

    def may_begin_statement(self, head: str) -> bool:
        """Say whether a text with this beginning starts with a model statement."""
        return recognise(head) is not None

    def rewrite(self, text: str, surroundings: Surroundings) -> Rewriting | None:
        """Return the text with its model statements rewritten, or None if it has none."""
        if ";" not in text and recognise(text) is None:
            return None
        lexer = Lexer(text, surroundings.standard_conforming_strings)
        starts = find_starts(lexer)
        ours = {index: start for index, start in enumerate(starts) if recognise(text, start)}
        if not ours:
            return None
        # Several statements in one message are one transaction, whatever it says itself.
        return _rewrite(lexer, ours, True if len(starts) > 1 else surroundings.atomic)


def _rewrite(lexer: Lexer, ours: dict[int, int], atomic: bool | None) -> Rewriting:
    """Splice the calls in, up to the first statement that breaks the grammar."""
    splices: list[Splice] = []
    refusal = None
    for index, start in ours.items():
        try:
            splices.append(_splice(parse_statement(lexer, start), start, index, atomic))
        except StatementSyntaxError as error:
            refusal = Refusal(start, index, error)
            break
    pieces, position = [], 0
    for splice in splices:
        pieces += [lexer.text[position : splice.start], splice.call]
        position = splice.end
    pieces.append(lexer.text[position:])
    return Rewriting("".join(pieces), tuple(splices), refusal)


def _splice(parsed: ParsedStatement, start: int, index: int, atomic: bool | None) -> Splice:
    call = write_call(parsed.statement, atomic)
    match parsed.statement:
        case CreateModel(source=Query(query, query_start)):
            return Splice(start, parsed.end, call, index, "CREATE MODEL", query, query_start)
        case CreateModel():
            return Splice(start, parsed.end, call, index, "CREATE MODEL")
        case DropModel():
            return Splice(start, parsed.end, call, index, "DROP MODEL")
        case _:
            return Splice(start, parsed.end, call, index)
