"""
Fuzz a proxy: `python -m tests.proxy.fuzz [SESSIONS [FIRST]] [OPTION...]`.

Starts `sqlml proxy` with the options (or what SQLML_TEST_PROXY_COMMAND names) before a server of
its own and plays planned sessions through it. A session that fails names its number; FIRST repeats
it. In the end the proxy must hold no more files than before and little more memory, and stop when
it is told.
"""

import argparse
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.proxy.fuzz_driver import Listener, play_all
from tests.proxy.proxies import Proxy, Usage, proxy_before

TOGETHER = 24
MEMORY_KB = 32_000
_WARM_UP = 200
_FAILURES = 10
_SETTLE_S = 20


def settle(proxy: Proxy, files: int) -> Usage:
    """Wait until no more than so many files are open, or in vain."""
    deadline = time.monotonic() + _SETTLE_S
    while (usage := proxy.usage()).files > files and time.monotonic() < deadline:
        time.sleep(0.1)
    return usage


def fuzz(sessions: int, first: int, *options: str, log: Path | None = None) -> Iterator[str]:
    """Play the sessions; yield what is wrong."""
    with (
        socket.create_server(("127.0.0.1", 0), backlog=256) as server,
        proxy_before("127.0.0.1", server.getsockname()[1], *options, log=log) as proxy,
    ):
        listener, idle = Listener(server), proxy.usage().files
        middle = first + min(_WARM_UP, sessions // 2)
        for number, fault in play_all(proxy.address, listener, range(first, middle), TOGETHER):
            yield f"session {number}: {fault}"
        before = settle(proxy, idle)
        end = first + sessions
        for number, fault in play_all(proxy.address, listener, range(middle, end), TOGETHER):
            yield f"session {number}: {fault}"
        after = settle(proxy, idle)
        if after.files > idle:
            yield (f"{after.files - idle} files are left open")
        if after.memory_kb - before.memory_kb > MEMORY_KB:
            yield (f"memory grew by {after.memory_kb - before.memory_kb} KB")


def main() -> int:
    parser = argparse.ArgumentParser(description="Fuzz a proxy.")
    parser.add_argument("sessions", type=int, nargs="?", default=100_000)
    parser.add_argument("first", type=int, nargs="?", default=0)
    options, of_proxy = parser.parse_known_args()
    log = Path(f"build/fuzz/proxy{'-'.join(of_proxy)}.log")
    log.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    for fault in fuzz(options.sessions, options.first, *of_proxy, log=log):
        sys.stderr.write(f"{fault}\n")
        count += 1
        if count == _FAILURES:
            break
    sys.stderr.write(f"{options.sessions} sessions, {count} faults\n")
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())
