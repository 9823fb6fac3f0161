"""
The bars for the proxy's figures, and whether a run has met them.
"""

from collections.abc import Iterator

from benchmarks.predicting.goals import Bar, at_least, at_most
from benchmarks.proxying.cells import CLIENTS, Figures
from benchmarks.proxying.scripts import TRANSACTIONS
from benchmarks.proxying.server import UNIX

_BY_KIND = {
    **{f"vs_pgbouncer_{mode}_{n}": at_least(1.0) for mode in TRANSACTIONS for n in CLIENTS},
    **{f"cpu_vs_pgbouncer_{mode}_{n}": at_most(0.9) for mode in TRANSACTIONS for n in CLIENTS},
    "blob_vs_direct": at_least(0.75),
    "copy_out_vs_direct": at_least(0.95),
    "copy_in_vs_direct": at_least(0.95),
    "select_vs_direct": at_least(0.95),
    "copy_out_cpu_vs_pgbouncer": at_most(0.6),
    "select_cpu_vs_pgbouncer": at_most(0.6),
    "copy_in_rows_cpu_vs_pgbouncer": at_most(1.0),
    "scram_connect_vs_direct": at_least(0.95),
    "scram_connect_cpu_ms": at_most(0.3),
    "huge_query_vs_direct": at_most(2.0),
}
GOALS: dict[str, Bar] = {
    **_BY_KIND,
    **{f"{name}_{UNIX}": bar for name, bar in _BY_KIND.items()},
    "idle_kb": at_most(1.0),
    "recognise_us": at_most(1.0),
}


def judge(figures: Figures) -> Iterator[tuple[str, Bar, float]]:
    """Every goal that the run has measured."""
    for name, bar in GOALS.items():
        if name in figures:
            yield name, bar, figures[name]
