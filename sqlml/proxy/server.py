"""
The listening socket of the proxy, and its life as a process.

`run_proxy` blocks until SIGTERM or SIGINT; `serve` is the same inside an event loop.
"""

import asyncio
import logging
import signal
from collections.abc import Callable

import uvloop

from sqlml.proxy.address import ListenAddress, UpstreamAddress
from sqlml.proxy.rewriting import Rewriter
from sqlml.proxy.session import Session

log = logging.getLogger(__name__)

_BACKLOG = 1024
_SHUTDOWN_S = 5.0

Ready = Callable[[int], None]


async def serve(
    listen: ListenAddress,
    upstream: UpstreamAddress,
    rewriter: Rewriter,
    *,
    ready: Ready | None = None,
) -> None:
    """Serve until cancelled; `ready` is told the port once connections are accepted."""
    loop = asyncio.get_running_loop()
    sessions: set[Session] = set()
    listener = await loop.create_server(
        lambda: Session(upstream, rewriter, sessions).client,
        listen.host,
        listen.port,
        backlog=_BACKLOG,
    )
    try:
        port = listener.sockets[0].getsockname()[1]
        log.info("listening on %s:%s for the server at %s", listen.host, port, upstream)
        if ready is not None:
            ready(port)
        await loop.create_future()
    finally:
        listener.close()
        await _end(sessions)


async def _end(sessions: set[Session]) -> None:
    for session in tuple(sessions):
        session.close()
    if sessions:
        await asyncio.wait([session.ended for session in sessions], timeout=_SHUTDOWN_S)


def run_proxy(
    listen: ListenAddress,
    upstream: UpstreamAddress,
    rewriter: Rewriter,
    *,
    ready: Ready | None = None,
) -> None:
    """Serve in this process until SIGTERM or SIGINT."""
    uvloop.run(_serve_until_signal(listen, upstream, rewriter, ready))


async def _serve_until_signal(
    listen: ListenAddress, upstream: UpstreamAddress, rewriter: Rewriter, ready: Ready | None
) -> None:
    loop = asyncio.get_running_loop()
    serving = asyncio.create_task(serve(listen, upstream, rewriter, ready=ready), name="serve")
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, serving.cancel)
    try:
        await serving
    except asyncio.CancelledError:
        log.info("stopped")
