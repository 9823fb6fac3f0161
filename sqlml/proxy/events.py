"""
The proxy's log: one line for an event, with what is known of it as `key=value`.

A line names a session by its id. It never holds a statement or a part of one, and what a client
chose is quoted, so that nobody can write lines of his own.
"""

import json
import logging
import re

log = logging.getLogger("sqlml.proxy")

_PLAIN = re.compile(r"[\w.:/@+-]+", re.ASCII)

Fact = str | int | float | bytes | None


def log_event(level: int, event: str, **facts: Fact) -> None:
    """Write one line; facts that are None are left out."""
    if log.isEnabledFor(level):
        words = [f"{key}={_write(fact)}" for key, fact in facts.items() if fact is not None]
        log.log(level, " ".join([event, *words]))


def name_session(session_id: int) -> str:
    """Return a session's id as the log has it."""
    return f"{session_id:016x}"


def _write(fact: Fact) -> str:
    text = fact.decode(errors="backslashreplace") if isinstance(fact, bytes) else str(fact)
    return text if _PLAIN.fullmatch(text) else json.dumps(text)
