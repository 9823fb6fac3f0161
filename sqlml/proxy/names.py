"""
Which of a session's prepared statements and portals are ours, from their making to their end.

Learns it from the server's replies alone: a name lives once the server has said so. Follows
PostgreSQL's lifetimes: a Query takes the unnamed statement away, a transaction's end every portal.
"""

from sqlml.proxy.rewriting import Rewriting

_UNNAMED = b""
_MAX_NAME_BYTES = 63
_ENDS_STATEMENTS = (b"DEALLOCATE ALL", b"DISCARD ALL")
# ROLLBACK is the tag of ROLLBACK TO as well, after which older portals live on.
_ENDS_PORTALS = (b"COMMIT", b"PREPARE TRANSACTION", b"DISCARD ALL")


class Names:
    """Our prepared statements and portals by their names, which are cut as the server does."""

    def __init__(self) -> None:
        self._statements: dict[bytes, Rewriting] = {}
        self._portals: dict[bytes, Rewriting] = {}

    def is_empty(self) -> bool:
        return not self._statements and not self._portals

    def statement(self, name: bytes) -> Rewriting | None:
        return self._statements.get(name[:_MAX_NAME_BYTES])

    def portal(self, name: bytes) -> Rewriting | None:
        return self._portals.get(name[:_MAX_NAME_BYTES])

    def parsed(self, name: bytes, rewriting: Rewriting | None) -> None:
        """Take note of a new statement: it is ours, or it is not."""
        _remember(self._statements, name, rewriting)

    def bound(self, portal: bytes, statement: bytes) -> None:
        """Take note of a new portal; it is what its statement is."""
        _remember(self._portals, portal, self.statement(statement))

    def end_statement(self, name: bytes) -> None:
        """Forget a statement: closed, deallocated, or unknown to the server."""
        self._statements.pop(name[:_MAX_NAME_BYTES], None)

    def end_portal(self, name: bytes) -> None:
        """Forget a portal: closed, or unknown to the server."""
        self._portals.pop(name[:_MAX_NAME_BYTES], None)

    def parse_failed(self, name: bytes) -> None:
        """The unnamed statement is gone before the server reads the new text; a named one stays."""
        if name == _UNNAMED:
            self.end_statement(name)

    def query_ended(self) -> None:
        """A Query takes the unnamed statement away, whatever becomes of it."""
        self.end_statement(_UNNAMED)

    def query_ran(self) -> None:
        """Each statement of a Query runs in the unnamed portal."""
        self.end_portal(_UNNAMED)

    def transaction_ended(self) -> None:
        self._portals.clear()

    def completed(self, tag: bytes) -> None:
        """Take note of a command that ends names which it does not tell."""
        if tag in _ENDS_STATEMENTS:
            unnamed = self._statements.get(_UNNAMED)
            self._statements.clear()
            _remember(self._statements, _UNNAMED, unnamed)
        if tag in _ENDS_PORTALS:
            self._portals.clear()


def _remember(names: dict[bytes, Rewriting], name: bytes, rewriting: Rewriting | None) -> None:
    if rewriting is None:
        names.pop(name[:_MAX_NAME_BYTES], None)
    else:
        names[name[:_MAX_NAME_BYTES]] = rewriting
