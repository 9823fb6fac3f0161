"""
An embedded stack in a temporary folder, driven by the command `sqlml` as a user would.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from sqlml.server.cluster import find_postmaster
from sqlml.server.ports import choose_port
from sqlml.server.process import ProcessId, is_alive
from sqlml.server.record import StackFolder, StackRecord, SupervisorNote
from sqlml.server.status import has_worker, is_answering

COMMAND = (sys.executable, "-m", "sqlml.cli")


def run_sqlml(*arguments: str, timeout_s: float = 120, **environment: str) -> "Completed":
    """Run one `sqlml` command to its end."""
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **environment},
        check=False,
    )


Completed = subprocess.CompletedProcess[str]


@contextmanager
def temporary_data_dir() -> Iterator[Path]:
    """A folder that PostgreSQL's account can reach; pytest's own is closed to others."""
    path = Path(tempfile.mkdtemp(prefix="sqlml-test-"))
    if os.geteuid() == 0:
        path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path)


@contextmanager
def temporary_stack(*up_arguments: str) -> Iterator["Stack"]:
    """A stack that is up, on free ports; gone in the end, whatever the test did to it."""
    with temporary_data_dir() as data_dir:
        stack = Stack(data_dir)
        try:
            stack.up(*up_arguments)
            yield stack
        finally:
            run_sqlml("down", "--data-dir", str(data_dir))


def wait_until(condition: Callable[[], Any], timeout_s: float = 20, what: str = "it") -> Any:
    """Poll until the condition is true, and return its value; fail the test after that time."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        time.sleep(0.05)
    return value


@dataclass
class Stack:
    """A stack, known by its folder."""

    data_dir: Path

    @property
    def folder(self) -> StackFolder:
        return StackFolder(self.data_dir)

    @property
    def record(self) -> StackRecord:
        """Its ports and passwords."""
        record = self.folder.read_record()
        assert record is not None
        return record

    @property
    def dsn(self) -> str:
        """As superuser, straight to PostgreSQL."""
        return self.record.dsn()

    @property
    def proxy_dsn(self) -> str:
        """As superuser, through the proxy."""
        return self.record.proxy_dsn()

    @property
    def bin_dir(self) -> Path:
        """PostgreSQL's programs, psql among them."""
        return Path(self.record.bin_dir)

    def run(self, command: str, *arguments: str) -> Completed:
        """Run a command of `sqlml` on this stack."""
        return run_sqlml(command, "--data-dir", str(self.data_dir), *arguments)

    def up(self, *arguments: str) -> None:
        """Start it; it keeps the ports of the last time."""
        if self.folder.read_record() is None:
            port = choose_port(None, [], set())
            proxy_port = choose_port(None, [], {port})
            arguments = (f"--port={port}", f"--proxy-port={proxy_port}", *arguments)
        done = self.run("up", "--detach", *arguments)
        assert done.returncode == 0, done.stderr

    def down(self) -> None:
        """Stop it."""
        done = self.run("down")
        assert done.returncode == 0, done.stderr

    def status(self) -> dict[str, Any]:
        """What `sqlml status --json` says."""
        status: dict[str, Any] = json.loads(self.run("status", "--json").stdout)
        return status

    def note(self) -> SupervisorNote:
        """The processes of the stack."""
        note = self.folder.read_note()
        assert note is not None
        return note

    def log(self, name: str) -> str:
        """The text of one log: postgres, worker, proxy or supervisor."""
        return self.folder.log_file(name).read_text()

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> ProcessId:
        """Send a signal to the worker, the proxy or postgres; the supervisor starts it again."""
        child = self.note().children[name]
        os.kill(child.pid, number)
        return child

    def configure_postgres(self, settings: Mapping[str, str]) -> None:
        """Change settings of the server, those too that take a restart."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            for name, value in settings.items():
                connection.execute(f"ALTER SYSTEM SET {name} = '{value}'".encode())
        self.restart_postgres()

    def restart_postgres(self) -> None:
        """Stop PostgreSQL as an administrator would, and wait until all answers again."""
        before = find_postmaster(self.folder.cluster)
        assert before is not None
        os.kill(before.pid, signal.SIGINT)
        wait_until(lambda: not is_alive(before))
        self.wait_until_up()

    def wait_until_up(self) -> None:
        """Wait until everything answers."""
        wait_until(lambda: is_answering(self.proxy_dsn) and has_worker(self.dsn), 60)
