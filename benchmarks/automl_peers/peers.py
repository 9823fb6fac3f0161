"""
One run of a peer's program: started, watched, ended where it overruns, its answer scored.
"""

import json
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from benchmarks.automl_peers.environments import Peer
from benchmarks.automl_peers.runs import Key, Outcome
from benchmarks.automl_peers.scoring import score
from benchmarks.automl_peers.tables import BenchmarkTable

PROGRAMS = Path(__file__).with_name("programs")
PATIENCE = 3
"""A fit that takes so many times its limit is ended."""
START_S, UNLIMITED_S, PREDICT_S, END_S = 180, 1800, 600, 20
"""Bounds of importing and reading, of a fit without a limit, of predicting, and of ending."""
POLL_S = 0.2


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of a run: over when the program has made a file, or after too much time."""

    name: str
    mark: str
    bound_s: float


def run_peer(peer: Peer, python: Path, key: Key, table: BenchmarkTable) -> Outcome:
    """Run the program to its end; a failure is an outcome like others."""
    with tempfile.TemporaryDirectory(prefix="automl-") as name:
        folder = Path(name)
        bound_s = PATIENCE * key.seconds if peer.keeps_time else UNLIMITED_S
        stages = (
            Stage("importing and reading", "fitting", START_S),
            Stage("fitting", "fitted", bound_s),
            Stage("predicting", "answer.json", PREDICT_S),
        )
        with (folder / "log").open("w") as log:
            process = subprocess.Popen(
                [python, PROGRAMS / peer.program, *_arguments(key, table, folder)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=folder,
            )
        failure: str | None = "interrupted"
        try:
            failure = _watch(process, folder, stages)
        finally:
            _end(process, failure is None)
        if failure:
            is_late = (folder / "fitting").exists() and process.returncode == -signal.SIGKILL
            return Outcome(failure=failure, fit_s=bound_s if is_late else None)
        return _read_outcome(folder, table)


def _arguments(key: Key, table: BenchmarkTable, folder: Path) -> list[str]:
    values = {
        "train": table.path("train"),
        "test": table.path("test"),
        "target": table.target,
        "problem": table.problem,
        "metric": table.metric,
        "seconds": key.seconds,
        "seed": key.seed,
        "cores": key.cores,
        "folder": folder,
    }
    return [f"--{name}={value}" for name, value in values.items()]


def _watch(process: subprocess.Popen[bytes], folder: Path, stages: tuple[Stage, ...]) -> str | None:
    """Wait for the marks; the reason if one does not come."""
    for stage in stages:
        deadline = time.monotonic() + stage.bound_s
        while not (folder / stage.mark).exists():
            if process.poll() is not None and not (folder / stage.mark).exists():
                return f"failed in {stage.name}: {_last_line(folder / 'log')}"
            if time.monotonic() > deadline:
                return f"ended after {stage.bound_s:g} s of {stage.name}"
            time.sleep(POLL_S)
    return None


def _end(process: subprocess.Popen[bytes], is_answered: bool) -> None:
    """Let a program that has answered end; end it otherwise, and all that it started."""
    children = []
    if process.poll() is None:
        children = psutil.Process(process.pid).children(recursive=True)
    try:
        process.wait(END_S if is_answered else 0)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for child in children:
        if child.is_running():
            child.kill()
    psutil.wait_procs(children, END_S)


def _last_line(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines()]
    return next((line for line in reversed(lines) if line), "no message")[:300]


def _read_outcome(folder: Path, table: BenchmarkTable) -> Outcome:
    answer = json.loads((folder / "answer.json").read_text())
    predictions = np.load(folder / "predictions.npy", allow_pickle=False)
    found = {key: answer[key] for key in ("fit_s", "predict_us", "facts")}
    try:
        value = score(table.metric, table.read_target("test"), predictions, answer["classes"])
    except ValueError as error:
        return Outcome(failure=str(error), **found)
    return Outcome(score=value, **found)
