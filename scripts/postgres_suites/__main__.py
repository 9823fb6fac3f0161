"""
Run PostgreSQL's regression and isolation suites direct and through the proxy, and compare.

    python -m scripts.postgres_suites [--only regress isolation mutated] [--rounds 1]
                                      [--proxy-arguments "--workers 2"] [--results FOLDER]

`mutated` is the regression suite with words of model statements strewn into its texts. The tests
and the server that they belong to come from Debian's packages and stay in a temporary folder.
Fails if a test ends in another way than direct; a few of the isolation tests do so by chance,
which more rounds show: only what differs in every round counts.
"""

import argparse
import shlex
import shutil
import signal
import sys
from collections import Counter
from pathlib import Path

from scripts.postgres_suites.routes import DIRECT, THROUGH, started_route
from scripts.postgres_suites.source import Programs, get_programs
from scripts.postgres_suites.suites import ISOLATION, MUTATED, REGRESS, Run, compare, run_suite
from tests.stack import temporary_data_dir


def run_pair(suite: str, programs: Programs, folder: Path, arguments: tuple[str, ...]) -> list[str]:
    """Run a suite on both routes; the tests that differ."""
    runs: dict[str, Run] = {}
    for route in (DIRECT, THROUGH):
        place = folder / route
        place.mkdir()
        with started_route(route, programs.installation, place, arguments) as ports:
            runs[route] = run_suite(suite, programs, ports.port, place / suite)
        if suite == MUTATED:
            print(f"{suite}, {route}: {len(runs[route].outputs)} outputs", flush=True)
        else:
            results = Counter(runs[route].results.values())
            print(f"{suite}, {route}: {results['ok']} ok, {results['FAILED']} failed", flush=True)
    different = compare(suite, runs[DIRECT], runs[THROUGH])
    print(f"{suite}: {len(different)} tests differ", *different, flush=True)
    return different


def main() -> int:
    """Run everything that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    suites = (REGRESS, ISOLATION, MUTATED)
    parser.add_argument("--only", nargs="+", choices=suites, default=suites, help="suites to run")
    parser.add_argument("--rounds", type=int, default=1, help="at most, while tests differ")
    parser.add_argument("--proxy-arguments", default="", help="more arguments of `sqlml proxy`")
    parser.add_argument("--results", type=Path, help="a new folder for what the suites wrote")
    options = parser.parse_args()
    arguments = tuple(shlex.split(options.proxy_arguments))
    # A server must not outlive us.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    is_same = True
    with temporary_data_dir() as folder:
        programs = get_programs(folder)
        print(f"PostgreSQL {programs.version}", flush=True)
        for suite in options.only:
            different: set[str] | None = None
            for number in range(options.rounds):
                place = folder / f"{suite}-{number}"
                place.mkdir()
                found = set(run_pair(suite, programs, place, arguments))
                different = found if different is None else different & found
                if options.results:
                    shutil.copytree(place, options.results / place.name)
                if not different:
                    break
            is_same &= not different
    return 0 if is_same else 1


if __name__ == "__main__":
    sys.exit(main())
