"""
The ways to a new server: direct, or through the proxy, which reaches it over TCP or its socket.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.proxying.routes import started_proxy_process
from scripts.postgres_suites.cluster import Installation, started_cluster
from sqlml.config import LOOPBACK
from sqlml.server.ports import choose_port

DIRECT, THROUGH, SOCKET = "direct", "through", "socket"


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the tests connect, and where the server itself listens."""

    port: int
    server: int


@contextmanager
def started_route(
    route: str,
    installation: Installation,
    folder: Path,
    arguments: tuple[str, ...],
    settings: tuple[str, ...] = (),
) -> Iterator[Ports]:
    """A new server in a new subfolder, perhaps with the proxy before it."""
    with started_cluster(installation, folder / f"server-{folder.name}", settings) as cluster:
        if route == DIRECT:
            yield Ports(cluster.port, cluster.port)
            return
        proxy_port = choose_port(None, [], {cluster.port})
        place = cluster.folder if route == SOCKET else LOOPBACK
        if route == SOCKET:
            arguments = (*arguments, "--trust-socket")
        upstream, log = f"{place}:{cluster.port}", folder / "proxy.log"
        with started_proxy_process(proxy_port, upstream, log, arguments):
            yield Ports(proxy_port, cluster.port)
