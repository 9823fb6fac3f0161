"""
Keep the processes of a stack: start, watch, start again, stop.

Owns the children and the order of their end. Knows nothing of folders and databases.
"""

import logging
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from sqlml.server.process import POLL_S, ProcessId, find_process, kill_session

logger = logging.getLogger(__name__)

FIRST_BACKOFF_S = 0.2
LONGEST_BACKOFF_S = 30.0
# A child that lived so long is not one that cannot start.
HEALTHY_S = 60.0


@dataclass(slots=True)
class Child:
    """A process to keep alive."""

    name: str
    start: Callable[[], "subprocess.Popen[bytes]"]
    stop_signals: tuple[tuple[signal.Signals, float], ...]
    """Signals to stop it by, each with the seconds to wait for its effect."""
    process: "subprocess.Popen[bytes] | None" = None
    started_at: float = 0.0
    backoff_s: float = FIRST_BACKOFF_S
    restart_at: float | None = None


@dataclass(slots=True)
class Supervisor:
    """The children in the order in which they were started."""

    children: list[Child] = field(default_factory=list)

    def start(self, child: Child) -> None:
        """Start a child and keep it from now on."""
        self.children.append(child)
        _start(child)

    def watch(self) -> bool:
        """Look after the children once; tell whether one was started again."""
        return any([_keep_alive(child) for child in self.children])

    def find_dead(self) -> Child | None:
        """A child that has ended, if there is one."""
        for child in self.children:
            if child.process is not None and child.process.poll() is not None:
                return child
        return None

    def process_ids(self) -> dict[str, ProcessId]:
        """The living children, for whoever must find them when we are gone."""
        found = {
            child.name: find_process(child.process.pid)
            for child in self.children
            if child.process is not None
        }
        return {name: process for name, process in found.items() if process is not None}

    def stop(self) -> None:
        """Stop all children, the last started first."""
        for child in reversed(self.children):
            _stop(child)


def _start(child: Child) -> None:
    child.process = child.start()
    child.started_at = time.monotonic()
    child.restart_at = None
    logger.info("%s started as process %d", child.name, child.process.pid)


def _keep_alive(child: Child) -> bool:
    if child.process is None or child.process.poll() is None:
        return False
    now = time.monotonic()
    if child.restart_at is None:
        if now - child.started_at > HEALTHY_S:
            child.backoff_s = FIRST_BACKOFF_S
        logger.error(
            "%s ended (%s); starting it again in %g s",
            child.name,
            _describe_end(child.process.returncode),
            child.backoff_s,
        )
        kill_session(child.process.pid)
        child.restart_at = now + child.backoff_s
        child.backoff_s = min(2 * child.backoff_s, LONGEST_BACKOFF_S)
    if now < child.restart_at:
        return False
    _start(child)
    return True


def _stop(child: Child) -> None:
    process = child.process
    if process is None:
        return
    for number, patience_s in child.stop_signals:
        if process.poll() is not None:
            break
        process.send_signal(number)
        deadline = time.monotonic() + patience_s
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(POLL_S)
    # Also what the child left behind, such as a training in its middle.
    kill_session(process.pid)
    process.wait()
    logger.info("%s stopped", child.name)


def _describe_end(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    return f"signal {signal.Signals(-code).name}"
