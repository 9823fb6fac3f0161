"""
One suite on one route, and what differs between two routes.
"""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from scripts.postgres_suites.cluster import SUPERUSER, make_folder, run_unprivileged
from scripts.postgres_suites.source import Programs
from sqlml.config import LOOPBACK

REGRESS, ISOLATION, MUTATED = "regress", "isolation", "mutated"
SCHEDULES = {REGRESS: "parallel_schedule", ISOLATION: "isolation_schedule"}
MUTATION = b" /* create model m predict y from t; predict(m, t) */;"
_RESULT = re.compile(r"^(?:test)?\s+(?P<name>\S+)\s+\.\.\. (?P<result>ok|FAILED)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Run:
    """What a suite said on one route."""

    results: dict[str, str]
    """ok or FAILED by test."""
    outputs: dict[str, str]
    """What each test printed."""


def run_suite(suite: str, programs: Programs, port: int, folder: Path) -> Run:
    """Run a suite against whoever listens on the port; its files stay in the folder."""
    base = REGRESS if suite == MUTATED else suite
    output = make_folder(folder)
    source = programs.tests / base
    if suite == MUTATED:
        source = output / "input"
        _mutate(programs.tests / base, source)
    command = [
        str(programs.driver(base)),
        f"--inputdir={source}",
        f"--outputdir={output}",
        f"--bindir={programs.installation.bin_dir}",
        f"--dlpath={programs.libraries}",
        f"--schedule={source / SCHEDULES[base]}",
        f"--host={LOOPBACK}",
        f"--port={port}",
        f"--user={SUPERUSER}",
        "--max-connections=20",
    ]
    report = output / "report"
    run_unprivileged(command, programs.installation.environment, report)
    results = {match["name"]: match["result"] for match in _RESULT.finditer(report.read_text())}
    if not results:
        raise RuntimeError(f"{suite} did not run: {report.read_text()}")
    outputs = {path.stem: path.read_text("latin-1") for path in output.glob("results/*.out")}
    return Run(results, outputs)


def compare(suite: str, direct: Run, through: Run) -> list[str]:
    """
    The tests that end in another way than direct.

    The mutated texts have no expected files, so there it is what psql printed that is compared.
    """
    one, other = (
        (direct.outputs, through.outputs) if suite == MUTATED else (direct.results, through.results)
    )
    return sorted(name for name in one | other if one.get(name) != other.get(name))


def _mutate(source: Path, target: Path) -> None:
    """Copy the suite with words of ours in a comment of most statements."""
    shutil.copytree(source, target)
    for path in target.glob("sql/*.sql"):
        path.write_bytes(re.sub(rb";(?=\n)", MUTATION, path.read_bytes()))
