"""
The regression tests of psqlODBC: programs whose output is compared with expected files.
"""

import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.driver_suites.outcomes import FAILED, PASSED, Outcomes
from scripts.driver_suites.suite import Target, build, is_made, run_logged, set_made

PROGRAM_TIMEOUT_S = 120
PLACE = ".environment"
DRIVERS = {"": "psqlodbcw.so", "_ansi": "psqlodbca.so"}
# How statements are fetched and prepared changes what the driver sends.
OPTIONS = (
    "UseDeclareFetch=0 UseServerSidePrepare=1",
    "UseDeclareFetch=0 UseServerSidePrepare=0",
    "UseDeclareFetch=1 UseServerSidePrepare=1",
)


@dataclass(frozen=True, slots=True)
class OdbcSuite:
    """The tests, compiled from the sources, with the installed driver."""

    name: str = "psqlodbc"
    version: str = "13.02.0000"
    setup: tuple[str, ...] = ()

    def prepare(self, sources: Path) -> None:
        """Compile the tests."""
        place, source = sources / PLACE, sources / "test"
        if is_made(place, self.version):
            return
        # What autoconf would write; the tests ask it for no more.
        (place / "config.h").write_text("#define WITH_UNIXODBC 1\n#define HAVE_SSIZE_T 1\n")
        compiler = ["cc", "-w", f"-I{place}", "-I/usr/include/postgresql"]
        common = source / "src" / "common.c"
        build([*compiler, source / "reset-db.c", common, "-lodbc", "-o", place / "reset-db"], place)
        for name in _names(sources):
            program = source / "src" / f"{name}-test.c"
            build([*compiler, program, common, "-lodbc", "-o", place / f"{name}-test"], place)
        set_made(place, self.version)

    def run(self, sources: Path, target: Target, folder: Path, tests: Sequence[str]) -> Outcomes:
        """Run each test under each set of options."""
        folder.mkdir()
        outcomes: Outcomes = {}
        for number, options in enumerate(OPTIONS):
            place = folder / str(number)
            place.mkdir()
            _configure(place, target, options)
            _reset(sources, place, target)
            for name in _names(sources):
                test = f"{options} {name}"
                if not tests or test in tests:
                    outcomes[test] = _run_one(name, sources, place, target)
        return outcomes


def _names(sources: Path) -> Iterator[str]:
    text = (sources / "test" / "tests").read_text()
    return iter(re.findall(r"exe/(\w[\w-]*)-test", text))


def _configure(place: Path, target: Target, options: str) -> None:
    libraries = {path.name: path for path in Path("/usr/lib").glob("**/odbc/psqlodbc?.so")}
    drivers, sources = [], []
    for suffix, library in DRIVERS.items():
        drivers += [f"[psqlODBC{suffix}]", f"Driver={libraries[library]}"]
        sources += [f"[psqlodbc_test_dsn{suffix}]", f"Driver=psqlODBC{suffix}"]
        sources += ["Database=contrib_regression", f"Servername={target.host}"]
        sources += [f"Port={target.port}", f"Username={target.user}", *options.split()]
        sources += ["ConnSettings=set lc_messages='C'"]
    (place / "odbcinst.ini").write_text("\n".join([*drivers, ""]))
    (place / "odbc.ini").write_text("\n".join([*sources, ""]))


def _environment(place: Path, target: Target) -> dict[str, str]:
    return target.environment | {"ODBCSYSINI": str(place), "ODBCINI": str(place / "odbc.ini")}


def _reset(sources: Path, place: Path, target: Target) -> None:
    with (sources / "test" / "sampletables.sql").open("rb") as statements:
        subprocess.run(
            [sources / PLACE / "reset-db"],
            cwd=place,
            env=_environment(place, target),
            stdin=statements,
            capture_output=True,
            check=True,
        )


def _run_one(name: str, sources: Path, place: Path, target: Target) -> str:
    log = place / f"{name}.out"
    program: list[str | Path] = [
        "timeout",
        str(PROGRAM_TIMEOUT_S),
        sources / PLACE / f"{name}-test",
    ]
    code = run_logged(program, place, _environment(place, target), log)
    output = log.read_bytes().replace(b"\r\n", b"\n")
    expected = (sources / "test" / "expected").glob(f"{name}*.out")
    wanted = (
        path.read_bytes().replace(b"\r\n", b"\n")
        for path in expected
        if re.fullmatch(rf"{name}(_\d+)?", path.stem)
    )
    return PASSED if code == 0 and output in wanted else FAILED
