"""
The load generator: compiled here, run for one cell at a time.
"""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from benchmarks.proxying.routes import Route
from benchmarks.proxying.scripts import Script
from benchmarks.proxying.slices import Cell, read_slices

SOURCES = Path(__file__).with_name("load")
WARNINGS = ("-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror")


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how often."""

    cycles: int
    slice_s: float
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Generator:
    """The compiled program, and a folder for its scripts."""

    program: Path
    folder: Path

    def replay(self, script: Script, clients: int, routes: list[Route], plan: Plan) -> Cell:
        """Run exchanges within sessions."""
        path = self.folder / "script"
        script.write(path)
        return self._run(str(path), clients, routes, plan)

    def connect(self, routes: list[Route], plan: Plan) -> Cell:
        """Open and close sessions, one after the other."""
        return self._run("-", 1, routes, plan)

    def _run(self, script: str, clients: int, routes: list[Route], plan: Plan) -> Cell:
        command = [str(self.program), script, str(clients), str(plan.cycles), str(plan.slice_s)]
        command.append(str(plan.seed))
        for route in routes:
            command += [route.name, route.conninfo, ",".join(map(str, route.find_processes()))]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        return read_slices(done.stdout.splitlines())


def make_generator(folder: Path, pg_config: Path) -> Generator:
    """Compile it with the libpq of an installation; raises CalledProcessError where that fails."""
    headers, libraries = (_ask(pg_config, option) for option in ("--includedir", "--libdir"))
    program = folder / "load"
    sources = sorted(map(str, SOURCES.glob("*.c")))
    libpq = [f"-L{libraries}", f"-Wl,-rpath,{libraries}", "-lpq"]
    command = ["cc", "-O2", *WARNINGS, f"-I{headers}", *sources, *libpq, "-o", str(program)]
    subprocess.run(command, check=True)
    return Generator(program, folder)


def _ask(pg_config: Path, option: str) -> str:
    done = subprocess.run([str(pg_config), option], check=True, capture_output=True, text=True)
    return done.stdout.strip()
