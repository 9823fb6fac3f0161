"""
A server for the tests, which log in under many names and without passwords.
"""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scripts.postgres_suites.source import Programs
from sqlml.config import LOOPBACK
from sqlml.server.account import find_server_account, give_to
from sqlml.server.ports import choose_port

SUPERUSER = "postgres"


def run_unprivileged(command: list[str], programs: Programs, output: Path) -> int:
    """Run a program as the server's account, its output into a file; its exit code."""
    account = find_server_account()
    with output.open("ab") as file:
        return subprocess.run(
            command,
            stdout=file,
            stderr=file,
            stdin=subprocess.DEVNULL,
            cwd=output.parent,
            env=programs.environment,
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
def started_cluster(programs: Programs, path: Path) -> Iterator[int]:
    """A server as the tests expect it; its port."""
    folder, port = make_folder(path), choose_port(None, [], set())
    data, log = f"{folder}/data", folder / "log"

    def run(program: str, *arguments: str) -> None:
        command = [str(programs.bin_dir / program), "-D", data, *arguments]
        if run_unprivileged(command, programs, log) != 0:
            raise RuntimeError(f"{program} failed: {log.read_text()}")

    run("initdb", "--no-locale", "-EUTF8", "-Atrust", f"-U{SUPERUSER}")
    settings = f"-p {port} -h {LOOPBACK} -k {folder} -c max_prepared_transactions=10 -c fsync=off"
    run("pg_ctl", "-w", "-l", f"{folder}/postgres.log", "-o", settings, "start")
    try:
        yield port
    finally:
        run("pg_ctl", "-w", "-m", "fast", "stop")
