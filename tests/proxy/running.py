"""
A proxy as an operator runs it: a process of `sqlml proxy` with options of the test's own.
"""

import os
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg

from sqlml.server.ports import choose_port
from tests.proxy.talk import address
from tests.stack import COMMAND, wait_until


@dataclass(frozen=True)
class Running:
    """A proxy that listens."""

    process: "subprocess.Popen[bytes]"
    log_file: Path
    port: int
    server_dsn: str

    @property
    def dsn(self) -> str:
        """The server's own, through the proxy."""
        host, port = address(self.server_dsn)
        return self.server_dsn.replace(f"@{host}:{port}/", f"@127.0.0.1:{self.port}/")

    def connect(self, **parameters) -> psycopg.Connection:
        return psycopg.connect(self.dsn, **{"autocommit": True, **parameters})

    def log(self) -> str:
        return self.log_file.read_text()

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def workers(self) -> list[psutil.Process]:
        """The processes that serve: the children, or itself where it has none."""
        me = psutil.Process(self.process.pid)
        return me.children() or [me]

    def wait_for_log(self, text: str, times: int = 1) -> None:
        wait_until(lambda: self.log().count(text) >= times)

    def wait_for_end(self) -> int:
        return self.process.wait(20)


@contextmanager
def running_proxy(
    dsn: str, *options: str, preexec_fn=None, level: str = "info"
) -> Iterator[Running]:
    """Run a proxy before a server until the test is over."""
    host, server_port = address(dsn)
    port = choose_port(None, [], set())
    arguments = [f"--listen=127.0.0.1:{port}", f"--upstream={host}:{server_port}", *options]
    with tempfile.NamedTemporaryFile(prefix="sqlml-proxy-") as log:
        process = subprocess.Popen(
            [*COMMAND, "proxy", *arguments],
            stdin=subprocess.DEVNULL,
            stderr=log,
            env={**os.environ, "SQLML_LOG_LEVEL": level},
            preexec_fn=preexec_fn,
        )
        proxy = Running(process, Path(log.name), port, dsn)
        try:
            proxy.wait_for_log("listening")
            wait_until(lambda: _accepts(port))
            yield proxy
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
    except OSError:
        return False
    return True
