"""
The server of the benchmark, with the tables that are read through the routes.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from benchmarks.proxying.scripts import ACCOUNT_COUNT, WIDE_ROW_COUNT
from sqlml.config import LOOPBACK
from sqlml.server.record import DATABASE, SUPERUSER
from tests.stack import Stack, temporary_stack

TCP, UNIX = "tcp", "unix"
TABLES = Path(__file__).with_name("tables.sql")
SETTINGS = {
    # 64 clients on each of five routes.
    "max_connections": "500",
    "shared_buffers": "512MB",
    "autovacuum": "off",
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Where the server is, and as whom to log in; every log-in is SCRAM."""

    port: int
    socket_dir: Path
    user: str
    password: str
    database: str
    bin_dir: Path
    folder: Path
    """Where the server's account can read."""

    def host(self, kind: str) -> str:
        """Its host over TCP or over its Unix socket."""
        return LOOPBACK if kind == TCP else str(self.socket_dir)


@contextmanager
def private_server() -> Iterator[Server]:
    """A server of our own, filled."""
    with temporary_stack() as stack:
        stack.configure_postgres(SETTINGS)
        _fill(stack)
        yield _describe(stack)


def read_rows(server: Server) -> list[bytes]:
    """The rows of the wide table as COPY writes them."""
    query = "COPY wide TO STDOUT"
    with (
        psycopg.connect(
            host=LOOPBACK,
            port=server.port,
            user=server.user,
            password=server.password,
            dbname=server.database,
        ) as connection,
        connection.cursor().copy(query) as copy,
    ):
        return [bytes(row) for row in copy]


def _fill(stack: Stack) -> None:
    text = TABLES.read_text().format(accounts=ACCOUNT_COUNT, rows=WIDE_ROW_COUNT)
    with psycopg.connect(stack.dsn, autocommit=True) as connection:
        connection.execute(text.encode())
        connection.execute("VACUUM ANALYZE")


def _describe(stack: Stack) -> Server:
    socket_dir = stack.folder.socket_dir
    assert socket_dir is not None
    record = stack.record
    return Server(
        port=record.port,
        socket_dir=socket_dir,
        user=SUPERUSER,
        password=record.password,
        database=DATABASE,
        bin_dir=stack.bin_dir,
        folder=stack.data_dir,
    )
