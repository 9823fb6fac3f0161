"""
How long the proxy looks at a long statement that is not its own.
"""

import timeit
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec

# Letters with which words of ours begin, and beginnings of them, as any prose has.
_ROW = b"(17, 'customer 17', 'some prompt remarks: see the modern preface', 3.50), "
TEXT = b"INSERT INTO purchases VALUES " + _ROW * (5_000_000 // len(_ROW)) + b"(18)"
REPEATS = 5

Recogniser = Callable[[bytes], object]


def measure_recognisers() -> dict[str, float]:
    """Microseconds for a text of 5 MB: of the recogniser that is in use, and of each there is."""
    times = {name: _time_us(recognise) for name, recognise in _find_recognisers().items()}
    figures = {f"recognise_us_{name}": time_us for name, time_us in times.items()}
    in_use = times.get("c", times.get("python"))
    return figures if in_use is None else {"recognise_us": in_use, **figures}


def _time_us(recognise: Recogniser) -> float:
    assert not recognise(TEXT)
    timer = timeit.Timer("recognise(text)", globals={"recognise": recognise, "text": TEXT})
    count, _ = timer.autorange()
    return min(timer.repeat(REPEATS, count)) / count * 1e6


def _find_recognisers() -> dict[str, Recogniser]:
    found: dict[str, Recogniser] = {}
    for name, module in (("c", "sqlml.proxy._relay"), ("python", "sqlml.proxy.prefilter")):
        # Without a C compiler there is only the one in Python.
        if find_spec(module) is not None:
            found[name] = import_module(module).may_concern_us
    return found
