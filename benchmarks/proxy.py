"""
The proxy against direct connections and pgbouncer.

Starts a server of its own, pgbouncer in session mode and `sqlml proxy`, each once for every kind
of socket to the server. One load generator holds connections to all of them and gives each a
slice of a fraction of a second, in random order, many cycles over; ratios are taken within a
cycle. CPU time is that of all processes of a proxy.

    python benchmarks/proxy.py [--only transactions streams …] [--cycles 40] [--slice-ms 200]
                               [--sockets tcp unix] [--clients 1 8 64] [--cpus 0 1]
                               [--proxy-arguments "--workers 1"] [--json FILE]

Server, proxies and clients share one core unless --cpus names more: the worst case for a proxy,
and the steadiest figures, as it is no matter then who runs where. Needs pgbouncer (apt-get install
pgbouncer) and a C compiler with libpq.
"""

import argparse
import json
import os
import shlex
import shutil
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
sys.path.insert(0, str(REPOSITORY))

from benchmarks.proxying.cells import (
    CLIENTS,
    Figures,
    describe_connections,
    describe_huge,
    describe_stream,
    describe_transactions,
    make_streams,
    name_routes,
)
from benchmarks.proxying.generator import Generator, Plan, make_generator
from benchmarks.proxying.goals import judge
from benchmarks.proxying.idle import measure_idle
from benchmarks.proxying.recogniser import measure_recognisers
from benchmarks.proxying.routes import (
    DIRECT,
    Route,
    make_direct,
    started_pgbouncer,
    started_proxy,
)
from benchmarks.proxying.scripts import TRANSACTIONS, make_huge
from benchmarks.proxying.server import TCP, UNIX, private_server, read_rows
from benchmarks.proxying.slices import Cell, Measure, Slice

BUILD = REPOSITORY / "build" / "bench" / "proxy"
GROUPS = ("transactions", "streams", "connections", "huge", "idle", "recogniser")
HUGE_CYCLES = 3
STARTED = time.monotonic()


@dataclass(frozen=True, slots=True)
class Bench:
    """What the cells of a run share."""

    generator: Generator
    routes: list[Route]
    kinds: list[str]
    plan: Plan


def report(message: str) -> None:
    """Say how far it is; the figures come in the end."""
    print(f"{time.monotonic() - STARTED:6.0f} s  {message}", file=sys.stderr, flush=True)


def report_cell(name: str, cell: Cell, kinds: list[str], speed: Measure, cpu: Measure) -> None:
    """Ratios of a cell's speed with their quartiles, and the CPU time of the proxies."""
    report(f"{name}: direct {cell.median(DIRECT, speed):.4g}/s")
    for kind in kinds:
        ours, theirs = name_routes(kind)
        for over, under in ((ours, theirs), (ours, DIRECT), (theirs, DIRECT)):
            report(f"    {over} by {under}: {cell.spread(over, under, speed)}")
        report(
            f"    CPU: {ours} {cell.median(ours, cpu):.3g}, {theirs} {cell.median(theirs, cpu):.3g}"
        )


def measure(options: argparse.Namespace) -> Figures:
    """Whatever was asked for."""
    BUILD.mkdir(parents=True, exist_ok=True)
    arguments = tuple(shlex.split(options.proxy_arguments))
    figures: Figures = {}
    if set(options.only) & {"transactions", "streams", "connections", "huge"}:
        figures |= measure_routes(options, arguments)
    if "idle" in options.only:
        idleness = measure_idle(BUILD, arguments)
        figures |= {"idle_sessions": idleness.session_count, "idle_kb": idleness.kb_per_session}
        report("idle sessions measured")
    if "recogniser" in options.only:
        figures |= measure_recognisers()
    return figures


def measure_routes(options: argparse.Namespace, arguments: tuple[str, ...]) -> Figures:
    """What is measured in slices, on all routes side by side."""
    if shutil.which("pgbouncer") is None:
        sys.exit("pgbouncer was not found\nhint: apt-get install pgbouncer")
    figures: Figures = {}
    with ExitStack() as stack:
        server = stack.enter_context(private_server())
        routes = [make_direct(server)]
        for kind in options.sockets:
            routes.append(stack.enter_context(started_pgbouncer(server, kind, BUILD)))
            routes.append(stack.enter_context(started_proxy(server, kind, BUILD, arguments)))
        generator = make_generator(BUILD, server.bin_dir / "pg_config")
        plan = Plan(options.cycles, options.slice_ms / 1e3, options.seed)
        bench = Bench(generator, routes, options.sockets, plan)
        report("everything is up")
        if "transactions" in options.only:
            figures |= measure_transactions(bench, options.modes, options.clients)
        if "streams" in options.only:
            figures |= measure_streams(bench, read_rows(server))
        if "connections" in options.only:
            cell = generator.connect(routes, plan)
            report_cell(
                "connections, CPU us", cell, options.sockets, Slice.rate, Slice.proxy_cpu_us
            )
            figures |= describe_connections(cell, options.sockets)
        if "huge" in options.only:
            plan = Plan(min(options.cycles, HUGE_CYCLES), 0.0, options.seed)
            cell = generator.replay(make_huge(), 1, routes, plan)
            report_cell("huge, CPU us", cell, options.sockets, Slice.rate, Slice.proxy_cpu_us)
            figures |= describe_huge(cell, options.sockets)
    return figures


def measure_transactions(bench: Bench, modes: list[str], clients: list[int]) -> Figures:
    """Point queries, by protocol and number of clients."""
    figures: Figures = {}
    for mode in modes:
        for count in clients:
            name = f"{mode}_{count}"
            cell = bench.generator.replay(TRANSACTIONS[mode](), count, bench.routes, bench.plan)
            report_cell(f"{name}, CPU us", cell, bench.kinds, Slice.rate, Slice.proxy_cpu_us)
            figures |= describe_transactions(cell, name, bench.kinds)
    return figures


def measure_streams(bench: Bench, rows: list[bytes]) -> Figures:
    """Streams, one client each."""
    figures: Figures = {}
    for name, script in make_streams(rows).items():
        cell = bench.generator.replay(script, 1, bench.routes, bench.plan)
        report_cell(
            f"{name}, CPU ms per MB", cell, bench.kinds, Slice.mb_rate, Slice.proxy_cpu_ms_per_mb
        )
        figures |= describe_stream(cell, name, bench.kinds)
    return figures


def print_figures(figures: Figures) -> None:
    """All figures, then the goals among them."""
    for name, value in figures.items():
        print(f"{name:48} {value:12.4g}")
    print(f"\n{'goal':48} {'bar':>8} {'measured':>9}  met")
    for name, bar, value in judge(figures):
        print(f"{name:48} {bar!s:>8} {value:9.3g}  {'yes' if bar.is_met_by(value) else 'NO'}")


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--only", nargs="+", choices=GROUPS, default=GROUPS, help="parts to run")
    parser.add_argument("--cycles", type=int, default=40, help="slices of every route and cell")
    parser.add_argument("--slice-ms", type=float, default=200, help="length of a slice")
    parser.add_argument("--seed", type=int, default=0, help="of the order of the slices")
    parser.add_argument("--sockets", nargs="+", choices=(TCP, UNIX), default=[TCP, UNIX])
    parser.add_argument("--modes", nargs="+", choices=TRANSACTIONS, default=[*TRANSACTIONS])
    parser.add_argument("--clients", nargs="+", type=int, default=CLIENTS)
    parser.add_argument("--cpus", nargs="+", type=int, help="run everything on these cores")
    parser.add_argument("--proxy-arguments", default="", help="more arguments of `sqlml proxy`")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    os.sched_setaffinity(0, options.cpus or [min(os.sched_getaffinity(0))])
    figures = measure(options)
    print_figures(figures)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
