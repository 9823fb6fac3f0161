"""
The worker's side of the process that does its jobs.

Started by exec, never by fork: a fork after OpenMP has run hangs LightGBM.
"""

import json
import os
import select
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict
from enum import StrEnum
from tempfile import TemporaryDirectory

from sqlml.job.queue import Job
from sqlml.lines import READ_BYTES

COMMAND = (sys.executable, "-m", "sqlml.job.process")
THREADS = 1
"""Threads of one job. Two were no faster where measured (docs/benchmarks.md), much slower
beside other work, and the model would depend on the machine."""


class ChildState(StrEnum):
    """What a child says of itself, and what its worker knows before it does."""

    BUSY = "busy"
    """It is starting, or at a job."""
    DONE = "done"
    """The end of its job is written."""
    READY = "ready"
    """It can take a job."""


class Child:
    """One process: it gets ready, does a job, and is ready again, or ends."""

    def __init__(self, dsn: str, command: tuple[str, ...] = COMMAND) -> None:
        # A process that is killed leaves its files to us.
        self._folder = TemporaryDirectory(prefix="sqlml-", ignore_cleanup_errors=True)
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={
                **os.environ,
                # Not an argument: everybody may read the arguments of a process.
                "SQLML_CHILD_DSN": dsn,
                "SQLML_CHILD_FOLDER": self._folder.name,
                "OMP_NUM_THREADS": str(THREADS),
            },
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input, self._output = self._process.stdin, self._process.stdout
        self._state = ChildState.BUSY

    @property
    def is_ready(self) -> bool:
        """Whether it has imported everything and can take a job."""
        self._listen(0)
        return self._state is ChildState.READY

    @property
    def is_done(self) -> bool:
        """Whether it has written the end of the job that it was given."""
        return self._state is not ChildState.BUSY

    @property
    def exit_code(self) -> int | None:
        """How the process ended, negative for a signal; None while it lives."""
        return self._process.poll()

    def start(self, job: Job, started: float) -> None:
        """Hand over a job, whose time limit started at that `time.monotonic()`."""
        self._state = ChildState.BUSY
        message = {"job": asdict(job), "started": started}
        # One that is dead tells so by its output's end.
        with suppress(BrokenPipeError):
            self._input.write(json.dumps(message).encode() + b"\n")
            self._input.flush()

    def wait(self, timeout_s: float) -> bool:
        """Wait for the end of the job, or of the process; tell if there was one."""
        return self.is_done or not self._listen(timeout_s) or self.is_done

    def kill(self) -> None:
        """End the process now, close its pipes and delete its files."""
        self._process.kill()
        self._process.wait()
        with suppress(BrokenPipeError):
            self._input.close()
        self._output.close()
        self._folder.cleanup()

    def _listen(self, timeout_s: float) -> bool:
        """Wait for it to say something; tell if it still lives."""
        if select.select([self._output], [], [], timeout_s)[0]:
            # It says short lines, each with one write: whole ones come.
            lines = os.read(self._output.fileno(), READ_BYTES).splitlines()
            if not lines:
                self._process.wait()
                return False
            self._state = ChildState(json.loads(lines[-1])["state"])
        return True
