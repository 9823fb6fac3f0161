"""
A run's outcome, and the file of all of them: one JSON object a line, only ever appended to.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """What a run is known by; a run whose key is in the file is not made again."""

    system: str
    version: str
    table: str
    seconds: float
    seed: int
    cores: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a run: a score, or the reason why there is none."""

    score: float | None = None
    fit_s: float | None = None
    """Wall seconds, as the user waits."""
    predict_us: float | None = None
    """Microseconds a row in a batch."""
    failure: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A line of the file."""

    key: Key
    outcome: Outcome
    constant_score: float
    """What a constant prediction scores on the same rows."""
    versions: dict[str, str]
    finished_at: str = field(
        default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds")
    )


def append_run(path: Path, run: Run) -> None:
    """Add a line in one write, so that two programs may share the file."""
    line = json.dumps(asdict(run)) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab", buffering=0) as file:
        file.write(line.encode())


def read_runs(path: Path) -> list[Run]:
    """All runs of the file, none if there is no file."""
    if not path.exists():
        return []
    return [_read_run(json.loads(line)) for line in path.read_text().splitlines()]


def take_latest(runs: Iterable[Run]) -> list[Run]:
    """Of each system the runs of the version that was run last."""
    runs = sorted(runs, key=lambda run: run.finished_at)
    latest = {run.key.system: run.key.version for run in runs}
    return [run for run in runs if run.key.version == latest[run.key.system]]


def _read_run(line: dict[str, Any]) -> Run:
    parts = {"key": Key(**line["key"]), "outcome": Outcome(**line["outcome"])}
    return Run(**(line | parts))
