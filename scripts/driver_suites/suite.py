"""
What all suites have in common.
"""

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from scripts.driver_suites.outcomes import Outcomes
from scripts.postgres_suites.cluster import SUPERUSER
from sqlml.config import LOOPBACK

DATABASE = "test"
RUN_TIMEOUT_S = 3600


@dataclass(frozen=True, slots=True)
class Target:
    """Where a suite connects; it logs in as the superuser, without a password."""

    port: int
    host: str = LOOPBACK
    user: str = SUPERUSER
    database: str = DATABASE

    @property
    def dsn(self) -> str:
        return f"host={self.host} port={self.port} user={self.user} dbname={self.database}"

    @property
    def environment(self) -> dict[str, str]:
        """Our own environment with libpq's variables for this address, and no others of those."""
        own = {name: text for name, text in os.environ.items() if not name.startswith("PG")}
        return own | {
            "LC_ALL": "C.UTF-8",
            "PGHOST": self.host,
            "PGPORT": str(self.port),
            "PGUSER": self.user,
            "PGDATABASE": self.database,
        }


class Suite(Protocol):
    """The tests of a driver."""

    @property
    def name(self) -> str:
        """Also the name of the folder with its sources."""

    @property
    def version(self) -> str:
        """The release that is tested, whose sources these must be."""

    @property
    def setup(self) -> Sequence[str]:
        """Statements that make its database ready."""

    def prepare(self, sources: Path) -> None:
        """Install the driver and build the tests in a hidden folder of the sources, once."""

    def run(self, sources: Path, target: Target, folder: Path, tests: Sequence[str]) -> Outcomes:
        """Run these tests, or all if none is named, in a new folder that keeps their output."""


def run_logged(
    command: Sequence[str | Path], folder: Path, environment: dict[str, str], log: Path
) -> int:
    """Run a program with its output appended to a file; its exit code."""
    with log.open("ab") as file:
        return subprocess.run(
            [str(word) for word in command],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            timeout=RUN_TIMEOUT_S,
            check=False,
        ).returncode


def build(command: Sequence[str | Path], folder: Path) -> None:
    """Run a program that prepares something; raises RuntimeError with what it said."""
    log = folder / "build.log"
    if run_logged(command, folder, dict(os.environ), log) != 0:
        raise RuntimeError(f"{command[0]} failed: {log.read_text()[-2000:]}")


def is_made(folder: Path, inputs: str) -> bool:
    """Whether a folder was made from these inputs; otherwise it is new and empty now."""
    if (folder / "inputs").exists() and (folder / "inputs").read_text() == inputs:
        return True
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return False


def set_made(folder: Path, inputs: str) -> None:
    """Note that a folder is whole."""
    (folder / "inputs").write_text(inputs)
