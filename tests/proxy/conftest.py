"""
Two ways to the same server: direct and through the proxy.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
import uvloop

from sqlml.proxy.address import ListenAddress
from sqlml.proxy.server import serve
from sqlml.server.ports import choose_port
from sqlml.statement.rewriter import StatementRewriter
from tests.proxy.proxies import Proxy, proxy_before
from tests.proxy.talk import Talker, address, talk


@pytest.fixture
def talker(proxy_dsn: str) -> Iterator[Talker]:
    """A raw session through the proxy."""
    with talk(proxy_dsn) as talker:
        yield talker


@pytest.fixture
def connection(proxy_dsn: str) -> Iterator[psycopg.Connection]:
    """A psycopg session through the proxy, in autocommit."""
    with psycopg.connect(proxy_dsn, autocommit=True) as connection:
        yield connection


@pytest.fixture
def proxy_usage(stack) -> Callable[[], tuple[int, int]]:
    """The open files and the resident memory, in KB, of the proxy's process."""
    pid = stack.note().children["proxy"].pid

    def measure() -> tuple[int, int]:
        status = Path(f"/proc/{pid}/status").read_text().split()
        return len(list(Path(f"/proc/{pid}/fd").iterdir())), int(status[status.index("VmRSS:") + 1])

    return measure


@pytest.fixture(scope="module", params=[(), ("--no-relay",)], ids=["relay", "python"])
def own_proxy(request: pytest.FixtureRequest, dsn: str) -> Iterator[Proxy]:
    """A proxy of the module's own before the stack's server, so that nobody else uses it."""
    with proxy_before(*address(dsn), *request.param) as proxy:
        yield proxy


@pytest.fixture
def own_dsn(dsn: str, own_proxy: Proxy) -> str:
    """The stack's database through the module's own proxy."""
    host, port = address(dsn)
    return dsn.replace(f"{host}:{port}", f"127.0.0.1:{own_proxy.port}")


@pytest.fixture
def canary(own_dsn: str) -> Iterator[psycopg.Connection]:
    """A session through the module's own proxy that must not notice anything."""
    with psycopg.connect(own_dsn, autocommit=True) as connection:
        yield connection
        assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.fixture
def proxy_of():
    """Start a proxy of the test's own in a thread; give its address."""
    stop = []

    def start(upstream, settings=None):
        port = choose_port(None, [], set())
        is_ready = threading.Event()

        async def main():
            loop, task = asyncio.get_running_loop(), asyncio.current_task()
            assert task is not None
            stop.append((thread, lambda: loop.call_soon_threadsafe(task.cancel)))
            listen = ListenAddress("127.0.0.1", port)
            rewriter = StatementRewriter()
            await serve(
                listen, upstream, rewriter, ready=lambda _: is_ready.set(), settings=settings
            )

        def run():
            with suppress(asyncio.CancelledError):
                uvloop.run(main())

        thread = threading.Thread(target=run)
        thread.start()
        assert is_ready.wait(10)
        return f"host=127.0.0.1 port={port} user=postgres dbname=sqlml"

    yield start
    for thread, cancel in stop:
        cancel()
        thread.join(10)
        assert not thread.is_alive()
