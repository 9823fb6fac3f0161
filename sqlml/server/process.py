"""
Child processes that cannot outlive us, and processes known by their number.

Owns the calls to the kernel. Does not know what the processes do.
"""

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sqlml.server.account import Account

PR_SET_PDEATHSIG = 1
POLL_S = 0.05

# Loaded here because a child may not load libraries between fork and exec.
_LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class ProcessId:
    """A process number together with its start, since the kernel uses numbers again."""

    pid: int
    started: int
    """Clock ticks after boot."""


def spawn(
    arguments: Sequence[str],
    *,
    log_file: Path,
    death_signal: signal.Signals,
    account: Account | None = None,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a child in a session of its own; it is sent `death_signal` when we die."""

    with log_file.open("ab") as log:
        return subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # Ctrl-C reaches the supervisor alone, which stops its children in order.
            start_new_session=True,
            # The kernel forgets the signal when the account changes; this runs after that.
            preexec_fn=lambda: die_with_parent(death_signal),
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
            env=dict(environment) if environment is not None else None,
        )


def die_with_parent(death_signal: signal.Signals) -> None:
    """Have the kernel send this process a signal when its parent dies."""
    _LIBC.prctl(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)


def find_process(pid: int) -> ProcessId | None:
    """The living process of that number, or None."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name stands in parentheses and may hold blanks and parentheses itself.
    fields = stat.rpartition(")")[2].split()
    state, started = fields[0], int(fields[19])
    return None if state in "ZX" else ProcessId(pid, started)


def is_alive(process: ProcessId) -> bool:
    """Whether the process still runs, and is not another one of the same number."""
    return find_process(process.pid) == process


def stop_process(process: ProcessId, *signals: tuple[signal.Signals, float]) -> bool:
    """Send each signal in turn, waiting its seconds for the end; tell whether it came."""
    for number, patience_s in signals:
        if not is_alive(process):
            return True
        try:
            os.kill(process.pid, number)
        except ProcessLookupError:
            return True
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            if not is_alive(process):
                return True
            time.sleep(POLL_S)
    return not is_alive(process)


def kill_session(leader: int) -> None:
    """Kill what is left of the session that a child of ours led."""
    with suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)
