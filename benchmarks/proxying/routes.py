"""
The ways to the server: direct, through pgbouncer, through the proxy.
"""

import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo

from benchmarks.proxying.server import Server
from sqlml.config import LOOPBACK
from sqlml.server.account import find_server_account, give_to
from sqlml.server.ports import choose_port
from tests.stack import COMMAND

DIRECT = "direct"
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 20.0
# Session mode, and nothing of what it could do beyond that.
PGBOUNCER_INI = """\
[databases]
* = {upstream}

[pgbouncer]
listen_addr = {host}
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {users}
pool_mode = session
default_pool_size = 500
max_client_conn = 10100
log_connections = 0
log_disconnections = 0
"""


@dataclass(frozen=True, slots=True)
class Route:
    """A way to the server."""

    name: str
    conninfo: str
    pid: int | None = None
    """The process that we started for it, whose children count too."""

    def find_processes(self) -> list[int]:
        """All processes that carry the route's bytes."""
        return find_tree(self.pid) if self.pid else []


def find_tree(pid: int) -> list[int]:
    """A process and its descendants."""
    tree = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            tree += find_tree(int(child))
    return tree


def make_direct(server: Server) -> Route:
    """The way without anyone between."""
    return Route(DIRECT, _make_conninfo(server, server.port))


@contextmanager
def started_pgbouncer(server: Server, kind: str, folder: Path) -> Iterator[Route]:
    """pgbouncer before the server, reaching it over `kind` (tcp or unix)."""
    port, account = choose_port(None, [], set()), find_server_account()
    users, settings = server.folder / "users.txt", server.folder / f"pgbouncer-{kind}.ini"
    users.write_text(f'"{server.user}" "{server.password}"\n')
    upstream = f"host={server.host(kind)} port={server.port}"
    settings.write_text(
        PGBOUNCER_INI.format(upstream=upstream, host=LOOPBACK, port=port, users=users)
    )
    give_to(account, users)
    command = ["pgbouncer", "--quiet", str(settings)]
    with (folder / f"pgbouncer-{kind}.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            stdout=log,
            stderr=log,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )
    route = Route(f"pgbouncer {kind}", _make_conninfo(server, port), process.pid)
    with _running(process):
        _wait_until_answering(route)
        yield route


@contextmanager
def started_proxy(
    server: Server, kind: str, folder: Path, arguments: tuple[str, ...] = ()
) -> Iterator[Route]:
    """`sqlml proxy` before the server, started as its user would."""
    port = choose_port(None, [], set())
    with started_proxy_process(
        port, f"{server.host(kind)}:{server.port}", folder / f"proxy-{kind}.log", arguments
    ) as pid:
        yield Route(f"sqlml {kind}", _make_conninfo(server, port), pid)


@contextmanager
def started_proxy_process(
    port: int, upstream: str, log_file: Path, arguments: tuple[str, ...] = ()
) -> Iterator[int]:
    """The proxy on a port before any upstream; its process id."""
    listen = f"{LOOPBACK}:{port}"
    command = [*COMMAND, "proxy", "--listen", listen, "--upstream", upstream, *arguments]
    with log_file.open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    with _running(process):
        _wait_until_listening(process, port)
        yield process.pid


@contextmanager
def _running(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_listening(process: "subprocess.Popen[bytes]", port: int) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            socket.create_connection((LOOPBACK, port)).close()
            return
        except ConnectionRefusedError:
            if time.monotonic() > deadline or process.poll() is not None:
                raise
            time.sleep(0.1)


def _wait_until_answering(route: Route) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            psycopg.connect(route.conninfo).close()
            return
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def _make_conninfo(server: Server, port: int) -> str:
    return make_conninfo(
        "",
        host=LOOPBACK,
        port=port,
        user=server.user,
        password=server.password,
        dbname=server.database,
        sslmode="disable",
        gssencmode="disable",
    )
