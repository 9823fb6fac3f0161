"""
Real workers that tests start, stop and kill.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import psycopg

from tests.stack import wait_until


class WorkerProcess:
    """A real worker in a process group of its own."""

    def __init__(self, dsn: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="sqlml-test-"))
        """Where it keeps temporary files."""
        self.process = subprocess.Popen(
            [sys.executable, "-c", f"from sqlml.job.worker import run_worker; run_worker({dsn!r})"],
            start_new_session=True,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "TMPDIR": str(self.folder)},
        )

    def find_children(self) -> list[int]:
        """The living child processes of the worker."""
        path = f"/proc/{self.process.pid}/task/{self.process.pid}/children"
        with open(path, encoding="ascii") as file:
            return [int(word) for word in file.read().split()]

    def find_searches(self) -> list[Path]:
        """The folders of searches that are there."""
        # A folder may go while it is looked at.
        with suppress(FileNotFoundError):
            return list(self.folder.glob("sqlml-*/sqlml-*"))
        return []

    def kill(self) -> None:
        """kill -9, as the kernel does when memory runs out."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """Stop it in order, as a service manager does."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(20)
        shutil.rmtree(self.folder, ignore_errors=True)


def is_running(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


@contextmanager
def running_worker(database: str, worker_dsn: str) -> Iterator[WorkerProcess]:
    """Start a worker, wait until it serves the queue, stop it in the end."""
    worker = WorkerProcess(worker_dsn)
    with closing(psycopg.connect(database, autocommit=True)) as session:
        wait_until(
            lambda: session.execute("SELECT sqlml.is_held(0)").fetchone() == (True,),
            20,
            "the worker announces itself",
        )
    try:
        yield worker
    finally:
        worker.stop()
