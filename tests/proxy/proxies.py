"""
A proxy of the test's own before any server, run as users run it, and what it uses.
"""

import os
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from sqlml.server.ports import choose_port

START_S = 30
STOP_S = 60
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
            _wait_for(listen, process)
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


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        assert process.poll() is None, f"the proxy ended with {process.returncode}"
        with suppress(OSError), closing(socket.create_connection(("127.0.0.1", port), 1)):
            return
        time.sleep(0.05)
    raise AssertionError("the proxy did not start")


def _wait_until_steady(proxy: Proxy) -> None:
    """Wait for the workers: the socket listens before they run."""
    counts = [-1, -2]
    while len(set(counts[-3:])) > 1:
        time.sleep(0.1)
        counts.append(proxy.usage().files)
