"""
The integration tests of node-postgres: programs, each of which is one test here.
"""

import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.driver_suites.outcomes import FAILED, PASSED, Outcomes
from scripts.driver_suites.suite import Target, build, is_made, run_logged, set_made

PROGRAM_TIMEOUT_S = 120
PLACE = ".environment"
BIN = Path(sys.executable).parent
# What the tests import beside the driver.
HELPERS = ("async@2.6.4", "bluebird@3.7.2", "co@4.6.0", "pg-copy-streams@0.3.0")


@dataclass(frozen=True, slots=True)
class NodeSuite:
    """The tests in packages/pg/test, moved into the installed release as they expect it."""

    name: str = "node-postgres"
    version: str = "8.23.0"
    setup: tuple[str, ...] = ()

    def prepare(self, sources: Path) -> None:
        """Install the release, and put the tests into its folder."""
        place, wanted = sources / PLACE, (f"pg@{self.version}", *HELPERS)
        if is_made(place, "\n".join(wanted)):
            return
        (place / "package.json").write_text("{}")
        build([BIN / "npm", "install", "--no-audit", "--no-fund", *wanted], place)
        shutil.copytree(sources / "packages" / "pg" / "test", self._driver(sources) / "test")
        set_made(place, "\n".join(wanted))

    def run(self, sources: Path, target: Target, folder: Path, tests: Sequence[str]) -> Outcomes:
        """Run one program after the other."""
        folder.mkdir()
        driver = self._driver(sources)
        names = tests or sorted(
            str(path.relative_to(driver)) for path in driver.glob("test/integration/**/*-tests.js")
        )
        return {name: self._run_one(name, driver, target, folder) for name in names}

    def _run_one(self, name: str, driver: Path, target: Target, folder: Path) -> str:
        log = folder / f"{name.replace('/', '-')}.log"
        # The argument stands where the tests look for a connection string; empty, it leaves
        # the address to the environment.
        command: list[str | Path] = [
            "timeout",
            str(PROGRAM_TIMEOUT_S),
            BIN / "node",
            name,
            "postgres://",
        ]
        code = run_logged(command, driver, target.environment, log)
        return PASSED if code == 0 else FAILED

    def _driver(self, sources: Path) -> Path:
        return sources / PLACE / "node_modules" / "pg"
