"""
What an idle session costs: thousands of clients, and a server that only answers their log-ins.

Both ends are here, so two descriptors a session are ours and two are the proxy's.
"""

import asyncio
import resource
import struct
from dataclasses import dataclass
from pathlib import Path

from benchmarks.proxying.routes import find_tree, started_proxy_process
from sqlml.config import LOOPBACK
from sqlml.server.ports import choose_port
from sqlml.wire.messages import Backend, frame

WANTED_SESSIONS = 9_900
SPARE_FILES = 200
WARM_UP_SESSIONS = 100
IN_FLIGHT = 50
TIMEOUT_S = 120.0
_STARTUP = struct.pack("!i", 196608) + b"user\0idle\0database\0idle\0application_name\0bench\0\0"
STARTUP_MESSAGE = struct.pack("!i", len(_STARTUP) + 4) + _STARTUP
READY = frame(Backend.READY_FOR_QUERY, b"I")
PARAMETERS = {
    "application_name": "bench",
    "client_encoding": "UTF8",
    "DateStyle": "ISO, MDY",
    "default_transaction_read_only": "off",
    "in_hot_standby": "off",
    "integer_datetimes": "on",
    "IntervalStyle": "postgres",
    "is_superuser": "off",
    "server_encoding": "UTF8",
    "server_version": "15.20",
    "session_authorization": "idle",
    "standard_conforming_strings": "on",
    "TimeZone": "Etc/UTC",
}


@dataclass(frozen=True, slots=True)
class Idleness:
    """What so many idle sessions cost."""

    session_count: int
    kb_per_session: float


def measure_idle(folder: Path, arguments: tuple[str, ...]) -> Idleness:
    """Start a proxy before a server that does nothing, and fill it with idle sessions."""
    session_count = min(WANTED_SESSIONS, (_raise_file_limit() - SPARE_FILES) // 2)
    return asyncio.run(_measure(session_count, folder / "proxy-idle.log", arguments))


async def _measure(session_count: int, log_file: Path, arguments: tuple[str, ...]) -> Idleness:
    loop = asyncio.get_running_loop()
    upstream, port = choose_port(None, [], set()), choose_port(None, [], set())
    server = await loop.create_server(_IdleServer, LOOPBACK, upstream, backlog=1024)
    with started_proxy_process(port, f"{LOOPBACK}:{upstream}", log_file, arguments) as pid:
        clients = await _open(port, WARM_UP_SESSIONS)
        before = read_resident_kb(pid)
        clients += await _open(port, session_count - WARM_UP_SESSIONS)
        after = read_resident_kb(pid)
        for client in clients:
            client.abort()
    server.close()
    return Idleness(session_count, (after - before) / (session_count - WARM_UP_SESSIONS))


def read_resident_kb(pid: int) -> int:
    """The resident memory of a process and its descendants."""
    return sum(_read_resident_kb(member) for member in find_tree(pid))


def _read_resident_kb(pid: int) -> int:
    # The sum over the pages themselves: /proc/PID/status lags behind by some.
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Rss:"):
            return int(line.split()[1])
    raise ValueError(f"no resident size of process {pid}")


def _raise_file_limit() -> int:
    """As high as we may; the limit is inherited by the proxy."""
    wanted = 2 * WANTED_SESSIONS + SPARE_FILES
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
        except ValueError:
            # Not even root may, in some containers; then fewer sessions must do.
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    else:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


async def _open(port: int, count: int) -> list[asyncio.Transport]:
    """Sessions that have logged in, a few at a time: a backlog is short."""
    loop, gate = asyncio.get_running_loop(), asyncio.Semaphore(IN_FLIGHT)

    async def open_one() -> asyncio.Transport:
        async with gate:
            transport, client = await loop.create_connection(_IdleClient, LOOPBACK, port)
            await client.is_ready
            return transport

    async with asyncio.timeout(TIMEOUT_S):
        return await asyncio.gather(*(open_one() for _ in range(count)))


class _IdleServer(asyncio.Protocol):
    """Lets everyone in, and says no more."""

    WELCOME = b"".join(
        (
            frame(ord("R"), struct.pack("!i", 0)),
            *(
                frame(Backend.PARAMETER_STATUS, f"{name}\0{value}\0".encode())
                for name, value in PARAMETERS.items()
            ),
            frame(ord("K"), struct.pack("!ii", 1, 1)),
            READY,
        )
    )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._received = b""

    def data_received(self, data: bytes) -> None:
        self._received += data
        if self._received == STARTUP_MESSAGE:
            self._transport.write(self.WELCOME)


class _IdleClient(asyncio.Protocol):
    """Logs in, and says no more."""

    def __init__(self) -> None:
        self.is_ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(STARTUP_MESSAGE)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if self._received.endswith(READY) and not self.is_ready.done():
            self.is_ready.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.is_ready.done():
            self.is_ready.set_exception(ConnectionError("the proxy closed an idle session"))
