"""
AutoML at equal time: sqlml through CREATE MODEL beside its peers from PyPI.

Same files, same seconds, same cores, same seeds, one definition of every metric. Each run starts
from nothing: sqlml in a stack of its own, a peer in a process of its own environment. A line of
`--results` is a run; runs that are in it already are not made again, so that a long benchmark
may be interrupted, or run in several lanes at once:

    python benchmarks/automl.py --systems all --seconds 60 --seeds 0 1 2 --cores 0 --lane 1/2
    python benchmarks/automl.py --systems all --seconds 60 --seeds 0 1 2 --cores 1 --lane 2/2
    python benchmarks/automl.py --report

Without arguments: sqlml alone on the tables of the test data, 20 seconds each, on one core.
`--report` runs nothing: it prints markdown about the results and draws the critical-difference
diagrams into `--diagrams`.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
sys.path.insert(0, str(REPOSITORY))

from benchmarks.automl_peers.environments import PEERS, make_environment
from benchmarks.automl_peers.peers import run_peer
from benchmarks.automl_peers.report import write_report
from benchmarks.automl_peers.runs import Key, Run, append_run, read_runs
from benchmarks.automl_peers.scoring import score_constant
from benchmarks.automl_peers.statements import SYSTEMS, find_version, run_sqlml
from benchmarks.automl_peers.tables import MADE, METRICS, BenchmarkTable, find_table
from tests.data import TABLES

BUILD = REPOSITORY / "build" / "bench"
ALL = (*SYSTEMS, *PEERS)
THREAD_VARIABLES = (
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_MAX_THREADS"),
    *("LOKY_MAX_CPU_COUNT", "POLARS_MAX_THREADS", "ARROW_NUM_THREADS"),
)


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument(
        "--systems", nargs="+", choices=(*ALL, "all", "peers"), default=["sqlml"], metavar="SYSTEM"
    )
    parser.add_argument(
        "--tables", nargs="+", choices=(*METRICS, "more", "all"), default=list(TABLES)
    )
    parser.add_argument("--seconds", nargs="+", type=float, default=[20.0])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--cores", default="0", help="numbers of the cores to use, such as 0,1")
    parser.add_argument("--lane", type=parse_lane, default=(1, 1), help="i/n: every n-th run only")
    parser.add_argument("--results", type=Path, default=BUILD / "automl.jsonl")
    parser.add_argument("--peers-dir", type=Path, default=BUILD / "automl_peers")
    parser.add_argument("--report", action="store_true", help="print the results as markdown")
    parser.add_argument("--diagrams", type=Path, default=REPOSITORY / "docs")
    parser.add_argument("--json", type=Path, help="write the figures of the runs")
    return parser.parse_args()


def parse_lane(text: str) -> tuple[int, int]:
    """`2/3` is the second of three lanes."""
    lane, count = (int(word) for word in text.split("/"))
    if not 1 <= lane <= count:
        raise ValueError(text)
    return lane, count


def pin(cores: str) -> int:
    """Keep this process and all that it will start on the cores; how many they are."""
    numbers = {int(core) for core in cores.split(",")}
    os.sched_setaffinity(0, numbers)
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(len(numbers))))
    return len(numbers)


def expand(words: list[str], groups: dict[str, tuple[str, ...]]) -> list[str]:
    """Replace the names of groups by their members, each once."""
    return list(dict.fromkeys(name for word in words for name in groups.get(word, (word,))))


class Benchmark:
    """The runs that were asked for."""

    def __init__(self, options: argparse.Namespace, core_count: int):
        self._options, self._core_count = options, core_count
        # pip and the peers' own programs are started with other working folders.
        self._peers_dir = options.peers_dir.absolute()
        tables = {"all": (*TABLES, *MADE), "more": tuple(MADE)}
        self._tables = expand(options.tables, tables)
        self._systems = expand(options.systems, {"all": ALL, "peers": tuple(PEERS)})
        self._versions: dict[str, dict[str, str]] = {}

    def run(self) -> Iterator[Run]:
        """Give all of them, made now where the file lacks them: seed by seed, table by table."""
        for key in self._take_lane():
            # Read again each time: another lane may have made it meanwhile.
            run = next((run for run in read_runs(self._options.results) if run.key == key), None)
            if run is None:
                run = self._make_run(key, find_table(key.table, key.seed, self._peers_dir))
                append_run(self._options.results, run)
            yield run

    def _take_lane(self) -> Iterator[Key]:
        lane, count = self._options.lane
        return islice(self._make_keys(), lane - 1, None, count)

    def _make_keys(self) -> Iterator[Key]:
        for seconds in self._options.seconds:
            for seed in self._options.seeds:
                for table in self._tables:
                    for system in self._systems:
                        yield Key(
                            system=system,
                            version=next(iter(self._find_versions(system).values())),
                            table=table,
                            seconds=seconds,
                            seed=seed,
                            cores=self._core_count,
                        )

    def _find_versions(self, system: str) -> dict[str, str]:
        if system not in self._versions:
            if system in SYSTEMS:
                self._versions[system] = {"sqlml": find_version()}
            else:
                self._versions[system] = self._find_environment(system)[1]
        return self._versions[system]

    def _find_environment(self, system: str) -> tuple[Path, dict[str, str]]:
        peer = PEERS[system]
        folder = self._peers_dir / peer.environment
        return make_environment(folder, peer.requirements, peer.distributions)

    def _make_run(self, key: Key, table: BenchmarkTable) -> Run:
        if key.system in SYSTEMS:
            outcome = run_sqlml(key, table)
        else:
            python, _ = self._find_environment(key.system)
            outcome = run_peer(PEERS[key.system], python, key, table)
        constant = score_constant(
            table.metric, table.read_target("train"), table.read_target("test")
        )
        versions = self._find_versions(key.system)
        return Run(key=key, outcome=outcome, constant_score=constant, versions=versions)


def describe(run: Run) -> str:
    """A run in a line."""
    key, outcome = run.key, run.outcome
    line = f"{key.table:19} {key.system:16} {key.seconds:5g} s  seed {key.seed}"
    if outcome.score is None:
        return f"{line}  {outcome.failure}"
    return (
        f"{line}  {outcome.score:12.5g}  (constant {run.constant_score:.5g})"
        f"  fit {outcome.fit_s:6.1f} s  predict {outcome.predict_us:8.1f} µs"
    )


def make_figures(run: Run) -> dict[str, object]:
    """A run's part of a flat object."""
    key, outcome = run.key, run.outcome
    name = f"{key.table}.{key.system}.{key.seconds:g}s.{key.seed}"
    figures = {
        "test_score": outcome.score,
        "constant_test_score": run.constant_score,
        "seconds_per_limit": outcome.fit_s and outcome.fit_s / key.seconds,
        "predict_us": outcome.predict_us,
        "failure": outcome.failure,
    }
    return {f"{name}.{fact}": value for fact, value in (figures | outcome.facts).items()}


def main() -> None:
    """Run or report."""
    options = parse_arguments()
    if options.report:
        print(write_report(read_runs(options.results), options.diagrams))
        return
    figures: dict[str, object] = {}
    for run in Benchmark(options, pin(options.cores)).run():
        print(describe(run), flush=True)
        figures |= make_figures(run)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
