"""
How long the proxy looks at a long statement that is not its own.
"""

import timeit
from collections.abc import Callable
from importlib import import_module

from sqlml.statement.rewriter import StatementRewriter

TEXT = b"INSERT INTO notes VALUES ('" + b"nothing of ours is said here, " * 174_763 + b"')"
REPEATS = 5

Recogniser = Callable[[bytes], object]


def measure_recogniser() -> dict[str, float]:
    """Microseconds for a text of 5 MB, by recogniser, the one in use first."""
    return {name: _time_us(recognise) for name, recognise in _find_recognisers().items()}


def _time_us(recognise: Recogniser) -> float:
    assert not recognise(TEXT)
    timer = timeit.Timer("recognise(text)", globals={"recognise": recognise, "text": TEXT})
    count, _ = timer.autorange()
    return min(timer.repeat(REPEATS, count)) / count * 1e6


def _find_recognisers() -> dict[str, Recogniser]:
    found: dict[str, Recogniser] = {}
    for name, module in (("c", "sqlml.proxy._relay"), ("python", "sqlml.proxy.prefilter")):
        try:
            found[name] = import_module(module).may_concern_us
        except (ImportError, AttributeError):
            continue
    found["rewriter"] = StatementRewriter().may_hold_statement
    return found
