"""
The peers from PyPI, in an environment of their own: lleaves and ONNX Runtime, from memory.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks.predicting.models import Boosted
from benchmarks.predicting.subject import Subject
from benchmarks.predicting.table import Rows

PACKAGES = (
    "lleaves>=1.3,<2",
    "llvmlite<0.44",
    "onnxruntime>=1.31,<2",
    "onnxmltools>=1.16,<2",
    "lightgbm>=4.7,<5",
)
PROGRAM = Path(__file__).with_name("peer_program.py")
ROWS = {"lleaves": 100_000, "onnx": 20_000}
BY_DEFAULT = (("lleaves", "a"), ("onnx", "a"), ("onnx", "an"))
SLOW = (("lleaves", "b"),)
"""Compiling takes about ten minutes of CPU, the first time."""


class Peers:
    """The process that runs them."""

    def __init__(self, environment: Path):
        self._log = environment.with_suffix(".log")
        self._process = subprocess.Popen(
            [make_environment(environment), PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log.open("w"),
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def order(self, **order: str) -> float:
        """Have one thing done; the CPU seconds that it took."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise SystemExit(f"the peers' process died of {order}; see {self._log}")
        return float(answer)

    def close(self) -> None:
        """Let it end."""
        self._process.communicate()


@contextmanager
def started_peers(environment: Path) -> Iterator[Peers]:
    """The process, gone in the end."""
    peers = Peers(environment)
    try:
        yield peers
    finally:
        peers.close()


def make_environment(path: Path) -> Path:
    """Install the packages once; give its Python."""
    python = path / "bin" / "python"
    mark = path / "packages"
    if not mark.exists() or mark.read_text() != repr(PACKAGES):
        subprocess.run([sys.executable, "-m", "venv", "--clear", path], check=True)
        install = ("-m", "pip", "install", "--quiet", "--quiet", "--disable-pip-version-check")
        subprocess.run([python, *install, *PACKAGES], check=True)
        mark.write_text(repr(PACKAGES))
    return python


def make_peers(
    peers: Peers,
    boosted: dict[str, Boosted],
    rows: Rows,
    row_count: int,
    folder: Path,
    *,
    with_slow: bool,
) -> list[Subject]:
    """Load every peer's models."""
    subjects = []
    for kind, name in (*BY_DEFAULT, *(SLOW if with_slow else ())):
        subject = f"{kind}, {name}"
        count = min(ROWS[kind], row_count)
        matrix, model = folder / f"{kind}-{name}.npy", folder / f"{name}.txt"
        np.save(matrix, boosted[name].matrix(rows, count))
        boosted[name].booster.save_model(model)
        # A compiled model is good for its own booster only.
        cache = folder / f"{name}-{boosted[name].digest}.{kind}"
        peers.order(load=subject, kind=kind, model=str(model), matrix=str(matrix), cache=str(cache))
        subjects.append(Subject(subject, count, run_later(peers, subject)))
    return subjects


def run_later(peers: Peers, subject: str) -> Callable[[], float]:
    """One prediction of the whole matrix."""
    return lambda: peers.order(run=subject)
