"""
The kinds of work, and the figures that their slices give.

A figure without a suffix is that of proxies which reach the server over TCP; `_unix` is over its
Unix socket. A ratio is that of two routes within a cycle, its median over the cycles.
"""

from collections.abc import Iterator

from benchmarks.proxying.routes import DIRECT
from benchmarks.proxying.scripts import (
    Script,
    make_blobs,
    make_copy_in_frames,
    make_copy_in_rows,
    make_copy_out,
    make_select,
)
from benchmarks.proxying.server import TCP
from benchmarks.proxying.slices import Cell, Slice

Figures = dict[str, float]

CLIENTS = (1, 8, 64)


def name_routes(kind: str) -> tuple[str, str]:
    """Our route and pgbouncer's over a kind of socket."""
    return f"sqlml {kind}", f"pgbouncer {kind}"


def make_streams(rows: list[bytes]) -> dict[str, Script]:
    """Streams in both directions, by the name of their figures."""
    return {
        "blob": make_blobs(),
        "select": make_select(),
        "copy_out": make_copy_out(),
        "copy_in": make_copy_in_frames(rows),
        "copy_in_rows": make_copy_in_rows(rows),
    }


def describe_transactions(cell: Cell, name: str, kinds: list[str]) -> Figures:
    """Throughput and CPU time of small queries."""
    figures = {f"direct_tps_{name}": cell.median(DIRECT, Slice.rate)}
    for kind, suffix in _suffixes(kinds):
        ours, theirs = name_routes(kind)
        cell_name = f"{name}{suffix}"
        figures |= {
            f"vs_pgbouncer_{cell_name}": cell.ratio(ours, theirs, Slice.rate),
            f"cpu_vs_pgbouncer_{cell_name}": cell.ratio(ours, theirs, Slice.proxy_cpu_us),
            f"total_cpu_vs_pgbouncer_{cell_name}": cell.ratio(ours, theirs, Slice.total_cpu_us),
            f"vs_direct_{cell_name}": cell.ratio(ours, DIRECT, Slice.rate),
            f"pgbouncer_vs_direct_{cell_name}": cell.ratio(theirs, DIRECT, Slice.rate),
            f"cpu_us_{cell_name}": cell.median(ours, Slice.proxy_cpu_us),
            f"pgbouncer_cpu_us_{cell_name}": cell.median(theirs, Slice.proxy_cpu_us),
        }
    return figures


def describe_stream(cell: Cell, name: str, kinds: list[str]) -> Figures:
    """Throughput and CPU time of one stream."""
    figures = {f"direct_mb_s_{name}": cell.median(DIRECT, Slice.mb_rate)}
    for kind, suffix in _suffixes(kinds):
        ours, theirs = name_routes(kind)
        figures |= {
            f"{name}_vs_direct{suffix}": cell.ratio(ours, DIRECT, Slice.mb_rate),
            f"pgbouncer_{name}_vs_direct{suffix}": cell.ratio(theirs, DIRECT, Slice.mb_rate),
            f"{name}_cpu_vs_pgbouncer{suffix}": cell.ratio(ours, theirs, Slice.proxy_cpu_ms_per_mb),
            f"{name}_cpu_ms_per_mb{suffix}": cell.median(ours, Slice.proxy_cpu_ms_per_mb),
            f"pgbouncer_{name}_cpu_ms_per_mb{suffix}": cell.median(
                theirs, Slice.proxy_cpu_ms_per_mb
            ),
        }
    return figures


def describe_connections(cell: Cell, kinds: list[str]) -> Figures:
    """Rate and CPU time of sessions that log in with SCRAM."""
    figures = {"direct_scram_connect_ms": 1e3 / cell.median(DIRECT, Slice.rate)}
    for kind, suffix in _suffixes(kinds):
        ours, theirs = name_routes(kind)
        figures |= {
            f"scram_connect_vs_direct{suffix}": cell.ratio(ours, DIRECT, Slice.rate),
            f"pgbouncer_scram_connect_vs_direct{suffix}": cell.ratio(theirs, DIRECT, Slice.rate),
            f"scram_connect_cpu_ms{suffix}": cell.median(ours, Slice.proxy_cpu_us) / 1e3,
            f"pgbouncer_scram_connect_cpu_ms{suffix}": cell.median(theirs, Slice.proxy_cpu_us)
            / 1e3,
        }
    return figures


def describe_huge(cell: Cell, kinds: list[str]) -> Figures:
    """How much longer one huge Query takes than direct."""
    figures = {"direct_huge_query_s": cell.median(DIRECT, Slice.duration_s)}
    for kind, suffix in _suffixes(kinds):
        ours, theirs = name_routes(kind)
        figures |= {
            f"huge_query_vs_direct{suffix}": cell.ratio(ours, DIRECT, Slice.duration_s),
            f"pgbouncer_huge_query_vs_direct{suffix}": cell.ratio(theirs, DIRECT, Slice.duration_s),
        }
    return figures


def _suffixes(kinds: list[str]) -> Iterator[tuple[str, str]]:
    return ((kind, "" if kind == TCP else f"_{kind}") for kind in kinds)
