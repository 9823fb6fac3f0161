"""
PostgreSQL's tests, with a server and a psql of exactly their version.

A newer psql or server prints other things than the expected files hold, so both come from Debian's
packages of the version whose source package there is. Nothing of it is installed.
"""

import os
import re
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scripts.postgres_suites.cluster import Installation

PACKAGE = "postgresql-15"
MAJOR = "15"
DEBS = (PACKAGE, "postgresql-client-15", "postgresql-server-dev-15", "libpq5")
SOURCES_OF_DEBIAN = Path("/etc/apt/sources.list.d/debian.sources"), Path("/etc/apt/sources.list")
TESTS = ("src/test/regress/", "src/test/isolation/")


class NoSource(Exception):
    """There is no version of which both the source and the programs can be had."""


@dataclass(frozen=True, slots=True)
class Programs:
    """An extracted server with its tests."""

    version: str
    root: Path
    tests: Path
    """The folder `src/test` of the source."""
    libraries: Path
    """Where the tests find `regress.so` and its companions."""

    @property
    def installation(self) -> Installation:
        """The server, with the client library of the same version."""
        (libpq,) = self.root.glob("usr/lib/*/libpq.so.5")
        environment = {**os.environ, "LD_LIBRARY_PATH": str(libpq.parent), "PGSSLMODE": "disable"}
        return Installation(self._place / "bin", environment)

    def driver(self, suite: str) -> Path:
        """The program that runs a suite: regress or isolation."""
        name = "pg_regress" if suite == "regress" else f"pg_{suite}_regress"
        return self._place / "lib" / "pgxs" / "src" / "test" / suite / name

    @property
    def _place(self) -> Path:
        return self.root / "usr" / "lib" / "postgresql" / MAJOR


def get_programs(folder: Path) -> Programs:
    """Download and extract the newest version that is whole; raises NoSource."""
    apt = _Apt.make(folder / "apt")
    for version in apt.find_versions():
        downloads = folder / "downloads" / version
        downloads.mkdir(parents=True)
        if apt.download(version, downloads):
            return _extract(version, downloads, folder)
    raise NoSource(f"no version of {PACKAGE} has both a source package and programs")


def _extract(version: str, downloads: Path, folder: Path) -> Programs:
    root, libraries = folder / "root", folder / "libraries"
    for deb in downloads.glob("*.deb"):
        subprocess.run(["dpkg", "-x", str(deb), str(root)], check=True)
    (archive,) = downloads.glob("*.orig.tar.*")
    with tarfile.open(archive) as tar:
        members = [member for member in tar if any(part in member.name for part in TESTS)]
        tar.extractall(folder / "source", members, filter="data")
    (tests,) = (folder / "source").glob("*/src/test")
    programs = Programs(version, root, tests, libraries)
    libraries.mkdir()
    for name in ("refint.so", "autoinc.so"):
        (libraries / name).symlink_to(programs.installation.bin_dir.parent / "lib" / name)
    headers = root / "usr" / "include" / "postgresql" / MAJOR / "server"
    command = ["cc", "-O2", "-shared", "-fPIC", "-w", f"-I{headers}"]
    source = str(tests / "regress" / "regress.c")
    subprocess.run([*command, source, "-o", str(libraries / "regress.so")], check=True)
    return programs


@dataclass(frozen=True, slots=True)
class _Apt:
    """apt with lists of its own, sources among them, which the system's often lack."""

    options: tuple[str, ...]

    @classmethod
    def make(cls, folder: Path) -> "_Apt":
        (folder / "lists" / "partial").mkdir(parents=True)
        system = next(path for path in SOURCES_OF_DEBIAN if path.exists())
        text = system.read_text()
        if system.suffix == ".sources":
            text = re.sub(r"(?m)^Types: deb$", "Types: deb deb-src", text)
        else:
            text += "\n" + re.sub(r"(?m)^deb ", "deb-src ", text)
        sources = folder / system.name
        sources.write_text(text)
        settings = {
            "Dir::Etc::sourcelist": sources,
            "Dir::Etc::sourceparts": "-",
            "Dir::State::lists": folder / "lists",
            "Dir::Cache": folder,
            "APT::Sandbox::User": "root",
        }
        apt = cls(tuple(f"-o{name}={value}" for name, value in settings.items()))
        subprocess.run(["apt-get", *apt.options, "-qq", "update"], check=True)
        return apt

    def find_versions(self) -> Iterator[str]:
        """Versions of the source package, newest first."""
        done = subprocess.run(
            ["apt-cache", *self.options, "showsrc", PACKAGE],
            check=True,
            capture_output=True,
            text=True,
        )
        versions = re.findall(r"(?m)^Version: (.*)$", done.stdout)
        return iter(sorted(versions, key=_numbers, reverse=True))

    def download(self, version: str, folder: Path) -> bool:
        """Whether everything of a version could be had."""
        wanted = ["source", "--download-only", f"{PACKAGE}={version}"]
        debs = ["download", *(f"{name}={version}" for name in DEBS)]
        commands = ([*wanted], [*debs])
        return all(
            subprocess.run(
                ["apt-get", *self.options, "-qq", *command], cwd=folder, capture_output=True
            ).returncode
            == 0
            for command in commands
        )


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)]
