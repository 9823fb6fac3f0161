"""
The suites that pytest runs: psycopg, psycopg2, asyncpg, SQLAlchemy.
"""

import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.driver_suites.outcomes import Outcomes, parse_junit
from scripts.driver_suites.suite import Target, build, is_made, run_logged, set_made

TEST_TIMEOUT_S = 120
RUNNER = ("pytest", "pytest-timeout")
ENVIRONMENT = ".environment"


def _nothing(_: Target) -> dict[str, str]:
    return {}


@dataclass(frozen=True, slots=True)
class PytestSuite:
    """A suite of Python's, with the driver's release in a virtual environment of its own."""

    name: str
    version: str
    requirements: tuple[str, ...]
    files: tuple[str, ...]
    """What the tests consist of; the driver's own source beside them only where they want it."""
    tests: tuple[str, ...]
    arguments: Callable[[Target], Sequence[str]]
    variables: Callable[[Target], dict[str, str]] = _nothing
    setup: tuple[str, ...] = ()

    def prepare(self, sources: Path) -> None:
        """Make the virtual environment."""
        place, wanted = sources / ENVIRONMENT, (*self.requirements, *RUNNER)
        if is_made(place, "\n".join(wanted)):
            return
        build([sys.executable, "-m", "venv", place], place)
        build([place / "bin" / "python", "-m", "pip", "install", "--quiet", *wanted], place)
        set_made(place, "\n".join(wanted))

    def run(self, sources: Path, target: Target, folder: Path, tests: Sequence[str]) -> Outcomes:
        """Run pytest on a copy of the tests."""
        folder.mkdir()
        for name in self.files:
            source = sources / name
            copy = shutil.copytree if source.is_dir() else shutil.copy
            copy(source, folder / name)
        report = folder / "report.xml"
        command: list[str | Path] = [
            sources / ENVIRONMENT / "bin" / "python",
            *("-m", "pytest", f"--timeout={TEST_TIMEOUT_S}", "--color=no"),
            # The old family says which file a test is in.
            *(f"--junitxml={report}", "-o", "junit_family=xunit1"),
            *self.arguments(target),
            *(tests or self.tests),
        ]
        environment = target.environment | self.variables(target)
        run_logged(command, folder, environment, folder / "output.log")
        if not report.exists():
            text = (folder / "output.log").read_text(errors="replace")
            raise RuntimeError(f"{self.name} did not run: {text[-2000:]}")
        return parse_junit(report)


def _psycopg_arguments(target: Target) -> Sequence[str]:
    # Those that need quiet cores say so by these marks.
    return (f"--test-dsn={target.dsn}", "-m", "not slow and not timing")


def _psycopg2_variables(target: Target) -> dict[str, str]:
    return {
        "PSYCOPG2_TESTDB": target.database,
        "PSYCOPG2_TESTDB_HOST": target.host,
        "PSYCOPG2_TESTDB_PORT": str(target.port),
        "PSYCOPG2_TESTDB_USER": target.user,
        # Empty: the replication tests use the same database.
        "PSYCOPG2_TEST_REPL_DSN": "",
    }


def _sqlalchemy_arguments(target: Target) -> Sequence[str]:
    address = f"{target.user}@{target.host}:{target.port}/{target.database}"
    return (f"--dburi=postgresql+psycopg://{address}", "--maxfail=100000")


PSYCOPG = PytestSuite(
    "psycopg",
    "3.3.4",
    ("psycopg[binary,pool]==3.3.4", "anyio", "dnspython", "numpy", "pproxy"),
    ("tests", "tools", "pyproject.toml"),
    ("tests",),
    _psycopg_arguments,
)
PSYCOPG2 = PytestSuite(
    "psycopg2",
    "2.9.12",
    ("psycopg2-binary==2.9.12",),
    ("tests",),
    ("tests",),
    lambda _: (),
    _psycopg2_variables,
    ("CREATE EXTENSION hstore",),
)
ASYNCPG = PytestSuite(
    "asyncpg",
    "0.32.0",
    ("asyncpg==0.32.0", "uvloop", "distro"),
    ("tests",),
    ("tests",),
    # It reads the driver's own source.
    lambda _: ("--ignore=tests/test__sourcecode.py",),
)
SQLALCHEMY = PytestSuite(
    "sqlalchemy",
    "2.1.9",
    ("sqlalchemy[asyncio]==2.1.9", "psycopg[binary]==3.3.4"),
    ("lib", "test", "pyproject.toml", "setup.cfg"),
    ("test/dialect/postgresql", "test/dialect/test_suite.py"),
    _sqlalchemy_arguments,
    setup=(
        "CREATE SCHEMA test_schema",
        "CREATE SCHEMA test_schema_2",
        "CREATE EXTENSION hstore",
        "CREATE EXTENSION citext",
    ),
)
