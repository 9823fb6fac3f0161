"""
A proxy of the test's own before any server, run as users run it, and what it uses.
"""

import os
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil

from sqlml.server.ports import choose_port
from tests.stack import wait_until

START_S = 30
STOP_S = 60
STEADY_LOOKS = 5
# Another build of the proxy, such as one under AddressSanitizer; it takes the same options.
COMMAND = shlex.split(os.environ.get("SQLML_TEST_PROXY_COMMAND", ""))


@dataclass(frozen=True)
class Usage:
    """What the processes of a proxy hold, together."""

    files: int
    memory_kb: int


@dataclass(frozen=True)
class Proxy:
    """A running proxy."""

    port: int
    pid: int

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self.port

    def connect(self) -> socket.socket:
        """Open a connection; nothing is sent."""
        return socket.create_connection(self.address, 20)

    def usage(self) -> Usage:
        """Measure the process and its workers."""
        parent = psutil.Process(self.pid)
        files = memory = 0
        for process in (parent, *parent.children(recursive=True)):
            files += process.num_fds()
            memory += process.memory_info().rss // 1024
        return Usage(files, memory)


@contextmanager
def proxy_before(host: str, port: int, *options: str, log: Path | None = None) -> Iterator[Proxy]:
    """Start a proxy before the server at this address; it must end well in the end."""
    listen = choose_port(None, [], {port})
    command = COMMAND or [sys.executable, "-m", "sqlml.cli", "proxy"]
    addresses = ("--listen", f"127.0.0.1:{listen}", "--upstream", f"{host}:{port}")
    with (log or Path(os.devnull)).open("wb") as output:
        process = subprocess.Popen([*command, *addresses, *options], stderr=output)
        try:
            wait_until(partial(_accepts, listen, process), START_S, "the proxy listens")
            proxy = Proxy(listen, process.pid)
            _wait_until_steady(proxy)
            yield proxy
        finally:
            process.terminate()
            try:
                code = process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
    assert code == 0, f"the proxy ended with {code}"


def _accepts(port: int, process: "subprocess.Popen[bytes]") -> bool:
    assert process.poll() is None, f"the proxy ended with {process.returncode}"
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def _wait_until_steady(proxy: Proxy) -> None:
    """Wait for the workers: the socket listens before they run."""
    counts: list[int] = []

    def is_steady() -> bool:
        counts.append(proxy.usage().files)
        return len(counts) >= STEADY_LOOKS and len(set(counts[-STEADY_LOOKS:])) == 1

    wait_until(is_steady)
