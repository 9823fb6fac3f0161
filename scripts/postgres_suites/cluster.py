"""
A server for the tests, which log in under many names and without passwords.
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sqlml.config import LOOPBACK
from sqlml.server.account import find_server_account, give_to
from sqlml.server.ports import choose_port

SUPERUSER = "postgres"


@dataclass(frozen=True, slots=True)
class Installation:
    """Where a server's programs are, and what they need of the environment."""

    bin_dir: Path
    environment: dict[str, str] = field(default_factory=lambda: dict(os.environ))


@dataclass(frozen=True, slots=True)
class Cluster:
    """A running server; its folder holds its socket."""

    port: int
    folder: Path


def run_unprivileged(command: list[str], environment: dict[str, str], output: Path) -> int:
    """Run a program as the server's account, its output into a file; its exit code."""
    account = find_server_account()
    with output.open("ab") as file:
        return subprocess.run(
            command,
            stdout=file,
            stderr=file,
            stdin=subprocess.DEVNULL,
            cwd=output.parent,
            env=environment,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
            check=False,
        ).returncode


def make_folder(path: Path) -> Path:
    """Make a folder that the server's account may write to."""
    path.mkdir()
    give_to(find_server_account(), path)
    return path


@contextmanager
def started_cluster(
    installation: Installation, path: Path, settings: tuple[str, ...] = ()
) -> Iterator[Cluster]:
    """A server as the tests expect it, with more settings (`name=value`)."""
    folder, port = make_folder(path), choose_port(None, [], set())
    data, log = f"{folder}/data", folder / "log"

    def run(program: str, *arguments: str) -> None:
        command = [str(installation.bin_dir / program), "-D", data, *arguments]
        if run_unprivileged(command, installation.environment, log) != 0:
            raise RuntimeError(f"{program} failed: {log.read_text()}")

    run("initdb", "--no-locale", "-EUTF8", "-Atrust", f"-U{SUPERUSER}")
    wanted = ("max_prepared_transactions=10", "fsync=off", *settings)
    options = f"-p {port} -h {LOOPBACK} -k {folder} " + " ".join(f"-c {text}" for text in wanted)
    run("pg_ctl", "-w", "-l", f"{folder}/postgres.log", "-o", options, "start")
    try:
        yield Cluster(port, folder)
    finally:
        run("pg_ctl", "-w", "-m", "fast", "stop")
