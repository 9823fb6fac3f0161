"""
The proxy as processes: settings, signals, the end.

`run_proxy` blocks until SIGTERM or SIGINT; `serve` is one worker inside an event loop.
"""

import asyncio
import logging
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import uvloop

from sqlml.errors import SqlmlError
from sqlml.proxy.address import ListenAddress, UpstreamAddress
from sqlml.proxy.counters import Counters
from sqlml.proxy.events import log_event
from sqlml.proxy.listening import Listeners, open_listeners
from sqlml.proxy.rewriting import Rewriter
from sqlml.proxy.settings import ProxySettings, Service, make_service
from sqlml.proxy.supervisor import Supervisor
from sqlml.proxy.worker import Worker, WorkerId

Ready = Callable[[int], None]
ReadCounters = Callable[[], dict[str, int]]


@dataclass(frozen=True, slots=True)
class Setup:
    """What every worker of a proxy is made of; `read_settings` may give other ones later."""

    upstream: UpstreamAddress
    rewriter: Rewriter
    counters: Counters
    read_settings: Callable[[], ProxySettings]

    def make_service(self) -> Service:
        """Read the settings and the files that they name."""
        return make_service(self.upstream, self.read_settings())

    def remake_service(self) -> Service | None:
        """Read them again; None, and a line in the log, if they cannot be used."""
        try:
            return self.make_service()
        except SqlmlError as error:
            log_event(
                logging.ERROR, "kept the old settings", message=error.message, detail=error.detail
            )
            return None


async def serve(
    listen: ListenAddress,
    upstream: UpstreamAddress,
    rewriter: Rewriter,
    *,
    ready: Ready | None = None,
    settings: ProxySettings | None = None,
) -> None:
    """Serve until cancelled; `ready` is told the port once connections are accepted."""
    service = make_service(upstream, settings or ProxySettings())
    worker = Worker(service, rewriter, Counters(), WorkerId())
    [listeners] = open_listeners(listen)
    worker.listen(listeners)
    try:
        if ready is not None:
            ready(listeners[0].getsockname()[1])
        await asyncio.get_running_loop().create_future()
    finally:
        await worker.stop()


def run_proxy(
    listen: ListenAddress,
    upstream: UpstreamAddress,
    make_rewriter: Callable[[ReadCounters], Rewriter],
    read_settings: Callable[[], ProxySettings],
) -> None:
    """
    Serve until SIGTERM or SIGINT; read the settings now and at every SIGHUP.

    The rewriter is made with what reads the counters.
    """
    workers = read_settings().workers
    counters = Counters(workers)
    setup = Setup(upstream, make_rewriter(counters.read), counters, read_settings)
    # Here too, so that what cannot be used is told once and before anybody connects.
    setup.make_service()
    listeners = open_listeners(listen, workers)
    log_event(
        logging.INFO,
        "listening",
        address=f"{listen.host}:{listeners[0][0].getsockname()[1]}",
        upstream=str(upstream),
        workers=workers,
    )
    if workers == 1:
        run_worker(setup, listeners[0], WorkerId())
    else:
        Supervisor(
            lambda number, life: run_worker(setup, listeners[number], WorkerId(number, life)),
            listeners,
            setup.counters,
            may_reload=lambda: setup.remake_service() is not None,
        ).run()
    log_event(logging.INFO, "stopped")


def run_worker(setup: Setup, listeners: Listeners, me: WorkerId) -> None:
    """Serve in this process until SIGTERM, which drains, or SIGINT, which does not."""
    _let_others_finish()
    uvloop.run(_work(setup, listeners, me))


def _let_others_finish() -> None:
    """
    Do not push a server off its core with each block that it sends.

    A SCHED_BATCH process never preempts another when it wakes. Of a result that the server
    sends in blocks of 8 kB the proxy then finds many at once where both share a core; it
    waits no longer than any other process where something else keeps the core busy.
    """
    with suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


async def _work(setup: Setup, listeners: Listeners, me: WorkerId) -> None:
    worker = Worker(setup.make_service(), setup.rewriter, setup.counters, me)
    end, hurry = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def terminate() -> None:
        (hurry if end.is_set() else end).set()

    def interrupt() -> None:
        end.set()
        hurry.set()

    loop.add_signal_handler(signal.SIGTERM, terminate)
    loop.add_signal_handler(signal.SIGINT, interrupt)
    loop.add_signal_handler(signal.SIGHUP, _reload, setup, worker)
    # A supervisor holds them back until there is somebody to take them.
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    worker.listen(listeners)
    await end.wait()
    draining = asyncio.create_task(worker.drain(), name="drain")
    hurrying = asyncio.create_task(hurry.wait(), name="hurry")
    await asyncio.wait((draining, hurrying), return_when=asyncio.FIRST_COMPLETED)
    for task in (draining, hurrying):
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    await worker.stop()


def _reload(setup: Setup, worker: Worker) -> None:
    """Take new settings and certificates for the sessions to come, if they can be used."""
    service = setup.remake_service()
    if service is not None:
        worker.change(service)
        log_event(logging.INFO, "read the settings again")
