"""
The child process that does one job.

A spare child has already imported the learning libraries when a job comes, so that the
job's time limit is spent on learning. Started by exec, never by fork: a fork after
OpenMP has run hangs LightGBM.
"""

import json
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict
from tempfile import TemporaryDirectory

from sqlml.job.queue import Job

READY = b"ready\n"
THREADS = 1
"""Threads of one job. Two were no faster where measured (docs/benchmarks.md), much slower
beside other work, and the model would depend on the machine."""


class Child:
    """One process: idle until `start`, gone after its job."""

    def __init__(self, dsn: str) -> None:
        # A process that is killed leaves its files to us.
        self._folder = TemporaryDirectory(prefix="sqlml-", ignore_cleanup_errors=True)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "sqlml.job.runner"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={
                **os.environ,
                # Not an argument: everybody may read the arguments of a process.
                "SQLML_RUNNER_DSN": dsn,
                "SQLML_RUNNER_FOLDER": self._folder.name,
                "OMP_NUM_THREADS": str(THREADS),
            },
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        os.set_blocking(self._process.stdout.fileno(), False)
        self._is_ready = False

    def is_ready(self) -> bool:
        """Whether the child has imported everything and can take a job."""
        assert self._process.stdout is not None
        if not self._is_ready:
            self._is_ready = self._process.stdout.read() == READY
        return self._is_ready

    def start(self, job: Job, started: float) -> None:
        """Hand over a job, whose time limit started at that `time.monotonic()`."""
        assert self._process.stdin is not None
        message = {"job": asdict(job), "started": started}
        self._process.stdin.write(json.dumps(message).encode() + b"\n")
        self._process.stdin.flush()

    def wait(self, timeout_s: float) -> int | None:
        """Wait for the end; the exit code, negative for a signal, or None."""
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def kill(self) -> None:
        """End the process now, close its pipes and delete its files."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.stdout.close()
        self._folder.cleanup()
