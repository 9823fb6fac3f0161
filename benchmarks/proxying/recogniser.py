"""
How long the proxy looks at a long statement that is not its own.
"""

import timeit
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec

SIZE = 5_000_000
_ROW = b"(17, 'customer 17', 'nothing of ours is said here', 3.50), "
# Words that begin as ours do or hold the same letters, in every row.
_NEAR_ROW = b"(17, 'product 17', 'some modern code: see the preface, predicate', 3.50), "
# Many short ones: the best of them had the core for itself.
CALLS, REPEATS = 100, 50

Recogniser = Callable[[bytes], object]


def measure_recognisers() -> dict[str, float]:
    """Microseconds for a text of 5 MB: of the recogniser that is in use, and of each there is."""
    plain, near = (
        b"INSERT INTO purchases VALUES " + row * (SIZE // len(row)) for row in (_ROW, _NEAR_ROW)
    )
    figures: dict[str, float] = {}
    for name, recognise in _find_recognisers().items():
        figures.setdefault("recognise_us", _time_us(recognise, plain))
        figures.setdefault("recognise_near_misses_us", _time_us(recognise, near))
        figures[f"recognise_us_{name}"] = _time_us(recognise, plain)
    return figures


def _time_us(recognise: Recogniser, text: bytes) -> float:
    assert not recognise(text)
    names = {"recognise": recognise, "text": text}
    best_s = min(timeit.repeat("recognise(text)", globals=names, number=CALLS, repeat=REPEATS))
    return best_s / CALLS * 1e6


def _find_recognisers() -> dict[str, Recogniser]:
    """The one in use comes first."""
    found: dict[str, Recogniser] = {}
    for name, module in (("c", "sqlml.proxy._relay"), ("python", "sqlml.proxy.prefilter")):
        # Without a C compiler there is only the one in Python.
        if find_spec(module) is not None:
            found[name] = import_module(module).may_concern_us
    return found
