"""
What a search does with its time and its cores, through CREATE MODEL.

On each table: trials and the score of the test part with one process and with two, in turns;
the seconds until an `anytime` model answers; and whether two searches with the same seed and
number of trials, by one process and by two, give the same artifact. The processes need idle cores
to be worth comparing.

    python benchmarks/search.py --seconds 60 --seeds 0 1 --tables adult hotel_rates
"""

import argparse
import json
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[1]
sys.path.insert(0, str(REPOSITORY))

import psycopg
from psycopg import sql

from benchmarks.automl_peers.runs import Key
from benchmarks.automl_peers.statements import run_sqlml
from benchmarks.automl_peers.tables import BenchmarkTable, find_table
from tests.clients.tables import copy_table
from tests.data import TABLES
from tests.stack import temporary_stack

BUILD = REPOSITORY / "build" / "bench"
POLL_S = 0.02
PROCESSES = (1, 2)
Figures = dict[str, Any]


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--tables", nargs="+", choices=tuple(TABLES), default=list(TABLES))
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def compare_processes(table: BenchmarkTable, seconds: float, seeds: list[int]) -> Figures:
    """Trials that were done and test scores, by the number of processes."""
    trials: dict[int, list[int]] = {count: [] for count in PROCESSES}
    scores: dict[int, list[float | None]] = {count: [] for count in PROCESSES}
    for seed in seeds:
        for count in PROCESSES:
            key = Key(
                system="sqlml",
                version="",
                table=table.name,
                seconds=seconds,
                seed=seed,
                cores=count,
            )
            outcome = run_sqlml(key, table)
            trials[count].append(sum(outcome.facts["trials"].values()))
            scores[count].append(outcome.score)
    ratio = statistics.median(two / one for one, two in zip(*trials.values(), strict=True))
    return {"trials_ratio": ratio, "trials": trials, "scores": scores}


def create(connection: psycopg.Connection, table: BenchmarkTable, options: str) -> None:
    """Train a model that is named as its table."""
    query = sql.SQL("CREATE OR REPLACE MODEL {} PREDICT {} FROM {} WITH (" + options + ")")
    names = (table.name, table.target, f"{table.name}_train")
    connection.execute(query.format(*map(sql.Identifier, names)))


def wait_for_answer(dsn: str, model: str, has_ended: threading.Event) -> float:
    """The time at which the model predicts."""
    predict = sql.SQL("SELECT {}(t) FROM {} AS t LIMIT 1").format(
        sql.Identifier(f"predict_{model}"), sql.Identifier(f"{model}_train")
    )
    with closing(psycopg.connect(dsn, autocommit=True)) as connection:
        while not has_ended.is_set():
            try:
                connection.execute(predict)
                break
            except psycopg.Error:
                time.sleep(POLL_S)
    return time.perf_counter()


def measure_first_version(table: BenchmarkTable) -> Figures:
    """Seconds until a new `anytime` model answers."""
    with (
        temporary_stack() as stack,
        closing(psycopg.connect(stack.proxy_dsn, autocommit=True)) as connection,
    ):
        copy_table(connection, f"{table.name}_train", table.read("train"))
        has_ended, answers = threading.Event(), list[float]()
        watcher = threading.Thread(
            target=lambda: answers.append(wait_for_answer(stack.dsn, table.name, has_ended))
        )
        watcher.start()
        started = time.perf_counter()
        create(connection, table, "anytime = on, time_limit = '20 s'")
        has_ended.set()
        watcher.join()
        return {"first_version_s": answers[0] - started, "rows": table.read("train").num_rows}


def compare_seeds(table: BenchmarkTable) -> Figures:
    """Whether the artifact is the same when all is."""
    read = "SELECT sha256(artifact) FROM sqlml.version ORDER BY version_id DESC LIMIT 1"
    with (
        temporary_stack() as stack,
        closing(psycopg.connect(stack.proxy_dsn, autocommit=True)) as connection,
    ):
        copy_table(connection, f"{table.name}_train", table.read("train"))
        artifacts = []
        for count in PROCESSES:
            create(connection, table, f"trials = 6, seed = 3, processes = {count}")
            artifacts.append(connection.execute(read).fetchone())
        return {"is_reproducible": artifacts[0] == artifacts[1]}


def measure(options: argparse.Namespace) -> Iterator[tuple[str, Figures]]:
    """All of it, table by table."""
    for name in options.tables:
        table = find_table(name, 0, BUILD)
        figures = measure_first_version(table) | compare_seeds(table)
        yield name, figures | compare_processes(table, options.seconds, options.seeds)


def main() -> None:
    """Run, and print a line a table."""
    options = parse_arguments()
    figures: Figures = {}
    for name, found in measure(options):
        print(name, json.dumps(found), flush=True)
        figures |= {f"{name}.{fact}": value for fact, value in found.items()}
    ratios = [value for fact, value in figures.items() if fact.endswith("trials_ratio")]
    figures["trials_ratio"] = statistics.median(ratios)
    print(f"two processes do {figures['trials_ratio']:.2f} times the trials (median of tables)")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
