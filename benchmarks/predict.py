"""
predict() against the goals: ratios to the scan, to LightGBM, to PL/Python and to its peers.

Starts a server of its own, fills a table, puts models into the catalogue, and measures
everything in interleaved rounds: CPU time of the backend (of the client too where it works),
best of the rounds, beside it the median of the ratios within each round. One thread, no JIT,
no parallel query.

    python benchmarks/predict.py [--rows 1000000] [--rounds 7] [--only scans peers …]
                                 [--parallel] [--lleaves-b] [--json FILE]

--parallel needs two idle cores: it compares wall times. --lleaves-b compiles B with lleaves,
ten minutes of CPU the first time.
"""

import argparse
import json
import sys
import time
from contextlib import ExitStack
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
sys.path.insert(0, str(REPOSITORY))

from benchmarks.predicting.batches import make_batches, make_core
from benchmarks.predicting.facts import (
    Facts,
    check_parity,
    make_first_calls,
    measure_memory,
    measure_parallel,
)
from benchmarks.predicting.goals import ANY, judge
from benchmarks.predicting.models import publish_all, train_boosters, train_linear
from benchmarks.predicting.peers import make_peers, started_peers
from benchmarks.predicting.plpython import make_plpython
from benchmarks.predicting.points import make_points
from benchmarks.predicting.roundtrip import make_roundtrips
from benchmarks.predicting.scans import make_noop, make_scans
from benchmarks.predicting.server import Session, private_server
from benchmarks.predicting.subject import Samples, Subject, run_rounds
from benchmarks.predicting.table import load, make_rows, take_first

BUILD = REPOSITORY / "build" / "bench"
GROUPS = (
    *("scans", "batches", "plpython", "roundtrip", "points", "peers"),
    *("first-call", "memory", "parity"),
)
STARTED = time.monotonic()


def report(message: str) -> None:
    """Say how far it is; the figures come in the end."""
    print(f"{time.monotonic() - STARTED:6.0f} s  {message}", file=sys.stderr, flush=True)


def measure(options: argparse.Namespace) -> tuple[Samples, Facts]:
    """Make everything, run the rounds, then what needs no rounds."""
    row_count, groups = options.rows, options.only
    folder = BUILD / "predict"
    folder.mkdir(parents=True, exist_ok=True)
    rows, label = make_rows(row_count)
    boosted = train_boosters(rows, label, folder)
    linear = train_linear(rows, label)
    report("trained")
    with ExitStack() as stack:
        server = stack.enter_context(private_server())
        load(server.dsn, rows)
        publish_all(server.dsn, boosted, linear)
        report("loaded and published")
        session = Session(server.dsn)
        stack.enter_context(session.connection)
        subjects: list[Subject] = []
        if "scans" in groups:
            make_noop(session, server)
            tenth = take_first(server.dsn, row_count // 10)
            subjects += make_scans(session, linear, row_count, tenth)
        if "batches" in groups:
            subjects += make_batches(boosted, rows, row_count)
        if "plpython" in groups:
            subjects += make_plpython(session, server.dsn, boosted, row_count)
        if "roundtrip" in groups:
            subjects += make_roundtrips(session, server.dsn, boosted, row_count)
        if "points" in groups:
            subjects += make_points(session, row_count)
        if "first-call" in groups:
            subjects += make_first_calls(server.dsn)
        if "peers" in groups:
            peers = stack.enter_context(started_peers(BUILD / "peers"))
            subjects += make_core(boosted, rows, row_count)
            subjects += make_peers(
                peers, boosted, rows, row_count, folder, with_slow=options.lleaves_b
            )
        report(f"ready with {len(subjects)} subjects")
        samples = run_rounds(subjects, options.rounds, report)
        facts: Facts = {}
        if "memory" in groups:
            facts |= measure_memory(server.dsn, boosted["a"])
        if "parity" in groups:
            facts |= check_parity(server.dsn, boosted, linear, rows, row_count)
        if options.parallel:
            facts |= measure_parallel(session, options.rounds)
    report("done")
    return samples, facts


def print_times(samples: Samples) -> None:
    """The best of every subject."""
    print(f"{'subject':44} {'ns':>14}")
    for name in samples.by_subject:
        print(f"{name:44} {samples.best(name) * 1e9:14,.0f}")


def print_goals(samples: Samples, facts: Facts) -> None:
    """The goals in their order."""
    print(f"{'goal':48} {'bar':>11} {'best':>9} {'paired':>9}  met")
    for goal, outcome in judge(samples, facts):
        if outcome is None:
            print(f"{goal.name:48} {goal.bar!s:>11} {'-':>9} {'-':>9}  not measured")
            continue
        paired = "" if outcome.paired is None else f"{outcome.paired:.3g}"
        met = "" if goal.bar == ANY else "yes" if outcome.is_met else "NO"
        print(f"{goal.name:48} {goal.bar!s:>11} {outcome.value:9.3g} {paired:>9}  {met}")


def make_figures(
    options: argparse.Namespace, samples: Samples, facts: Facts
) -> dict[str, float | bool]:
    """Everything as one flat object."""
    figures: dict[str, float | bool] = {"rows": options.rows, "rounds": options.rounds}
    figures |= {f"ns.{name}": samples.best(name) * 1e9 for name in samples.by_subject}
    figures |= {f"fact.{name}": value for name, value in facts.items()}
    for goal, outcome in judge(samples, facts):
        if outcome is not None:
            figures[f"ratio.{goal.name}"] = outcome.value
            if goal.bar != ANY:
                figures[f"met.{goal.name}"] = outcome.is_met
            if outcome.paired is not None:
                figures[f"paired.{goal.name}"] = outcome.paired
    return figures


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the table")
    parser.add_argument("--rounds", type=int, default=7, help="samples of everything")
    parser.add_argument("--only", nargs="+", choices=GROUPS, default=GROUPS, help="parts to run")
    parser.add_argument("--parallel", action="store_true", help="also parallel workers")
    parser.add_argument("--lleaves-b", action="store_true", help="also lleaves on B")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    samples, facts = measure(options)
    print_times(samples)
    for name, value in facts.items():
        print(f"{name:44} {value:14,.6g}")
    print_goals(samples, facts)
    if options.json:
        options.json.write_text(json.dumps(make_figures(options, samples, facts), indent=2) + "\n")


if __name__ == "__main__":
    main()
