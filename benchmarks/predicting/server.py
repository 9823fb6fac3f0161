"""
The private server, and sessions whose CPU time is known.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from tests.stack import Stack, temporary_stack

SETTINGS = {
    # A table beyond a quarter of the buffers would be read through a small ring of them.
    "shared_buffers": "2GB",
    "max_connections": "150",
    "max_wal_size": "8GB",
    "autovacuum": "off",
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
    "synchronize_seqscans": "off",
}


@contextmanager
def private_server() -> Iterator[Stack]:
    """A stack of our own, with settings that leave nothing to chance."""
    with temporary_stack() as stack:
        stack.configure_postgres(SETTINGS)
        yield stack


def read_cpu_s(pid: int) -> float:
    """The CPU time of another process, all its threads, to the nanosecond."""
    # The clock of a process is named by its number: see clock_getcpuclockid(3).
    return time.clock_gettime((~pid << 3) | 2)


class Session:
    """A connection with the CPU clock of its backend."""

    def __init__(self, dsn: str):
        # A prepared query would keep the plan of the settings that it was planned with.
        self.connection = psycopg.connect(dsn, autocommit=True, prepare_threshold=None)
        self.pid = self.connection.info.backend_pid

    def cpu_s(self) -> float:
        """CPU time of the backend since it began."""
        return read_cpu_s(self.pid)

    def spend(self, query: str) -> float:
        """Run a query to its end; the CPU time that its backend took."""
        before = self.cpu_s()
        self.connection.execute(query.encode()).fetchall()
        return self.cpu_s() - before

    def run(self, *statements: str) -> None:
        """Run statements that give no rows."""
        for statement in statements:
            self.connection.execute(statement.encode())

    def has_function(self, name: str) -> bool:
        """Whether there is a function of this qualified name."""
        row = self.connection.execute(
            "SELECT count(*) FROM pg_proc JOIN pg_namespace AS n ON n.oid = pronamespace"
            " WHERE n.nspname || '.' || proname = %s",
            (name,),
        ).fetchone()
        assert row is not None
        return bool(row[0])
