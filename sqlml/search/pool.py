"""
Processes that do tasks: JSON lines to and fro, one task at a time each.

Owns starting, limits and ends of processes. They are exec'd, never forked: a fork after
OpenMP has run hangs LightGBM. A process that dies or does not answer in time is replaced,
and its task is answered with a failure.
"""

import contextlib
import json
import os
import resource
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlml.lines import READ_BYTES, Message

COMMAND = (sys.executable, "-m", "sqlml.search.process")
MAX_PROCESSES = 8
MEMORY_SHARE = 0.8
"""Of the memory that is available, all processes together may take so much for themselves."""
LEAST_MEMORY_BYTES = 1 << 30
MAX_IDLE_BYTES = 512 << 20
"""A process that keeps more than this after its job ends, which gives it back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What came of a task: an answer, or the reason why there is none."""

    task: int
    answer: Message | None = None
    error: str | None = None
    is_out_of_time: bool = False
    """Whether there was no time for it."""
    is_lost: bool = False
    """Whether the process died or was killed, rather than tell the error itself."""


class Process:
    """One process: it may be starting, idle, or busy with a task."""

    def __init__(self, command: tuple[str, ...], threads: int):
        limits = {f"{each}_NUM_THREADS": str(threads) for each in ("OMP", "OPENBLAS", "MKL")}
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **limits},
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input, self._output = self._process.stdin, self._process.stdout
        self._pending = b""
        self.is_ready = False
        """Whether it has imported everything and said so."""
        self.task: int | None = None
        self.kill_at = float("inf")

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    def fileno(self) -> int:
        """The descriptor that is readable when there is an answer, or the end."""
        return self._output.fileno()

    def send(self, message: Message) -> None:
        """Send a line; a process that is dead tells so by its output's end."""
        with contextlib.suppress(BrokenPipeError):
            self._input.write(json.dumps(message).encode() + b"\n")
            self._input.flush()

    def read(self) -> Message | None:
        """Read what has come; a whole line is a message. Raises EOFError at the end."""
        chunk = os.read(self.fileno(), READ_BYTES)
        if not chunk:
            raise EOFError
        self._pending += chunk
        line, newline, rest = self._pending.partition(b"\n")
        if not newline:
            return None
        self._pending = rest
        message: Message = json.loads(line)
        return message

    def end(self) -> int:
        """End the process now and close its pipes; the exit code, negative for a signal."""
        self._process.kill()
        code = self._process.wait()
        with contextlib.suppress(BrokenPipeError):
            self._input.close()
        self._output.close()
        return code

    def exit_code(self) -> int:
        """Wait for the end of a process whose output has ended."""
        try:
            return self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            return 0


class Pool:
    """As many processes as are allowed; one is started at once, so that it can be ready."""

    def __init__(self, threads: int = 1, command: tuple[str, ...] = COMMAND):
        self._command = command
        self._threads = threads
        self._greeting: Message = {}
        self._limit = 1
        self._processes = [Process(command, threads)]

    def open(self, folder: Path, processes: int) -> None:
        """Work on the files of a folder from now on, with so many processes."""
        self._limit = min(max(processes, 1), MAX_PROCESSES)
        self._greeting = {"open": str(folder), "memory_bytes": memory_share(self._limit)}
        for process in [each for each in self._processes if each.task is not None]:
            self._drop(process)
        for process in self._processes:
            process.send(self._greeting)
        self.fill()
        for process in self._processes[self._limit :]:
            self._drop(process)

    def rest(self, until: float) -> None:
        """
        Forget the job, and be ready for another one with a process that is idle.

        It is waited for until a time at most.
        """
        self.drop_tasks()
        self._limit, self._greeting = 1, {}
        while len(self._processes) > self._limit:
            self._drop(self._processes[-1])
        used = [each for each in self._processes if each.is_ready]
        for process in used:
            process.is_ready = False
            process.send({"rest": True})
        self.fill()
        self._await_free(until)
        for process in used:
            if process in self._processes and keeps_much_memory(process.pid):
                self._drop(process)
        self.fill()
        self._await_free(until)

    def fill(self) -> None:
        """Start the processes that are missing."""
        while len(self._processes) < self._limit:
            self._start()

    def close(self) -> None:
        """End all processes."""
        while self._processes:
            self._drop(self._processes[-1])

    @property
    def has_free(self) -> bool:
        """Whether a task could be taken at once."""
        return any(each.is_ready and each.task is None for each in self._processes)

    @property
    def is_busy(self) -> bool:
        """Whether a task is being done."""
        return any(each.task is not None for each in self._processes)

    def submit(self, task: int, message: Message, kill_at: float) -> None:
        """Give a task to a free process, which is killed if there is no answer in time."""
        process = next(each for each in self._processes if each.is_ready and each.task is None)
        process.task, process.kill_at = task, kill_at
        process.send(message)

    def wait(self, until: float) -> list[Reply]:
        """Wait for answers, or for a process to be free, until a time at most."""
        while True:
            had_free = self.has_free
            ends = [each.kill_at for each in self._processes if each.task is not None]
            timeout_s = max(min([until, *ends]) - time.monotonic(), 0.0)
            spoken, _, _ = select.select(self._processes, [], [], timeout_s)
            replies = [*self._read(spoken), *self._kill_late()]
            if replies or time.monotonic() >= until or (self.has_free and not had_free):
                return replies

    def drop_tasks(self) -> None:
        """Give up what is being done; `fill` replaces the processes that did it."""
        for process in [each for each in self._processes if each.task is not None]:
            self._drop(process)

    def _await_free(self, until: float) -> None:
        """Wait for a process to be free, until a time at most."""
        while not self.has_free and time.monotonic() < until:
            self.wait(until)

    def _read(self, spoken: list[Process]) -> Iterator[Reply]:
        """Read the answers of the processes that have something to say."""
        for process in spoken:
            try:
                message = process.read()
            except EOFError:
                yield from self._bury(process)
                continue
            if message is None:
                continue
            if process.task is None:
                process.is_ready = True
                continue
            task, process.task = process.task, None
            yield Reply(
                task=task,
                answer=message.get("answer"),
                error=message.get("error"),
                is_out_of_time=message.get("is_out_of_time", False),
            )

    def _bury(self, process: Process) -> Iterator[Reply]:
        """Replace a process that has ended by itself; do without one that could not start."""
        task, reason = process.task, explain_exit(process.exit_code())
        self._drop(process)
        if process.is_ready:
            self._start()
        elif any(each.is_ready for each in self._processes):
            # The next one would not start either: there is one less.
            self._limit -= 1
        else:
            raise RuntimeError(f"a process for trials did not start: {reason}")
        if task is not None:
            yield Reply(task=task, error=reason, is_lost=True)

    def _kill_late(self) -> Iterator[Reply]:
        """Kill and replace the processes whose time is over."""
        now = time.monotonic()
        for process in list(self._processes):
            if process.task is not None and now >= process.kill_at:
                task = process.task
                self._drop(process)
                self._start()
                yield Reply(
                    task=task, error="it did not end in its time and was killed", is_lost=True
                )

    def _start(self) -> None:
        """Start one more process."""
        process = Process(self._command, self._threads)
        if self._greeting:
            process.send(self._greeting)
        self._processes.append(process)

    def _drop(self, process: Process) -> None:
        """End a process and forget it."""
        self._processes.remove(process)
        process.end()


def count_processes() -> int:
    """Count the processes that run side by side where a plan does not say."""
    # macOS does not know which cores a process may use.
    has_affinity = hasattr(os, "sched_getaffinity")
    cores = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    return min(cores, MAX_PROCESSES)


def explain_exit(code: int) -> str:
    """Say how a process ended."""
    if code >= 0:
        return f"its process ended with exit code {code}"
    name = signal.Signals(-code).name
    hint = "; it may have run out of memory" if name == "SIGKILL" else ""
    return f"its process was ended by {name}{hint}"


def memory_share(processes: int) -> int | None:
    """Bytes that each of some processes may take for itself; None where unknown."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    facts = dict(line.split(":", 1) for line in lines)
    available = int(facts["MemAvailable"].split()[0]) * 1024
    return max(int(available * MEMORY_SHARE / processes), LEAST_MEMORY_BYTES)


def keeps_much_memory(pid: int) -> bool:
    """Tell whether an idle process should rather end; it should where nothing is known."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return True
    return pages * resource.getpagesize() > MAX_IDLE_BYTES
