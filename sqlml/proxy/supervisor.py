"""
The parent of several workers: starts them, starts them again, stops them, passes signals on.

Does no work of its own, so that there is nothing in it that could fail.
"""

import logging
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

from sqlml.proxy.counters import Counter, Counters
from sqlml.proxy.events import log_event
from sqlml.proxy.listening import Listeners
from sqlml.server.process import die_with_parent

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
_SHORT_LIFE_S = 1.0
_WORKER_FAILED = 1


@dataclass(frozen=True, slots=True)
class Child:
    """A worker's process."""

    number: int
    life: int
    started: float


class Supervisor:
    """The workers of one proxy, by their process numbers."""

    def __init__(
        self,
        run_worker: Callable[[int, int], None],
        listeners: list[Listeners],
        counters: Counters,
        *,
        may_reload: Callable[[], bool],
    ):
        self._run_worker = run_worker
        self._listeners = listeners
        self._counters = counters
        self._may_reload = may_reload
        self._children: dict[int, Child] = {}
        self._is_ending = False

    def run(self) -> None:
        """Keep the workers alive until a signal asks for the end; return when all are gone."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        for number in range(len(self._listeners)):
            self._start(number, life=0)
        while self._children:
            number = signal.Signals(signal.sigwait(_SIGNALS))
            if number is signal.SIGCHLD:
                self._reap()
            elif number is not signal.SIGHUP:
                self._end(number)
            elif self._may_reload():
                self._send(number)

    def _start(self, number: int, life: int) -> None:
        parent = os.getpid()
        pid = os.fork()
        if pid:
            self._children[pid] = Child(number, life, time.monotonic())
            return
        status = _WORKER_FAILED
        try:
            die_with_parent(signal.SIGTERM)
            if os.getppid() == parent:
                self._close_listeners(besides=number)
                self._run_worker(number, life)
            status = 0
        except BaseException:
            logging.getLogger(__name__).exception("worker %d failed", number)
        finally:
            # The stack above is the parent's: nothing of it may run here.
            logging.shutdown()
            os._exit(status)

    def _reap(self) -> None:
        """Take note of dead workers and start them again."""
        while self._children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            child = self._children.pop(pid)
            self._counters.forget_gauges(child.number)
            if self._is_ending:
                continue
            code = os.waitstatus_to_exitcode(status)
            log_event(logging.ERROR, "worker died", worker=child.number, exit_code=code)
            if time.monotonic() - child.started < _SHORT_LIFE_S:
                time.sleep(_SHORT_LIFE_S)
            self._counters.event_loop(child.number).add(Counter.WORKER_RESTARTS)
            self._start(child.number, child.life + 1)

    def _end(self, number: signal.Signals) -> None:
        self._is_ending = True
        self._close_listeners()
        self._send(number)

    def _send(self, number: signal.Signals) -> None:
        for pid in self._children:
            os.kill(pid, number)

    def _close_listeners(self, besides: int | None = None) -> None:
        """Close our copies; a socket accepts as long as anybody has it open."""
        for number, listeners in enumerate(self._listeners):
            if number != besides:
                for listener in listeners:
                    listener.close()
