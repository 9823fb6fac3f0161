"""
The relay without Python, under AddressSanitizer and UndefinedBehaviorSanitizer.
"""

import os
import shutil
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from sqlml.server.ports import choose_port
from tests.proxy.fuzz_driver import Listener, play_all
from tests.proxy.fuzz_sessions import draw_plan
from tests.stack import wait_until

ROOT = Path(__file__).parents[2]
RELAY = ROOT / "sqlml/proxy/relay_src"
SANDBOX = (sys.executable, str(Path(__file__).parent / "sandbox.py"))
SESSIONS = 400
TOGETHER = 24


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    target = tmp_path_factory.mktemp("relay") / "relay"
    sources = [str(file) for file in RELAY.glob("*.c") if file.name != "module.c"]
    subprocess.run(
        [
            *(compiler, "-std=c11", "-D_GNU_SOURCE", "-O1", "-g", "-pthread", f"-I{RELAY}"),
            *("-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
            *(*sources, str(ROOT / "tests/proxy/relay_program.c"), "-o", str(target)),
        ],
        check=True,
    )
    return target


def can_connect(port):
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
    except OSError:
        return False
    return True


def is_relayed_as_it_is(number):
    """Whether the relay alone can play a session: a plain start, nothing rewritten."""
    plan = draw_plan(number)
    is_plain = not plan.is_refused and plan.opening[4:6] == b"\0\3"
    return is_plain and all(
        exchange.sent_by_client == exchange.got_by_server
        and exchange.sent_by_server == exchange.got_by_client
        for exchange in plan.exchanges
    )


def is_ring_allowed():
    """Whether this kernel has rings such as the relay's, and lets everybody have them."""
    switch = Path("/proc/sys/kernel/io_uring_disabled")
    version = tuple(map(int, os.uname().release.split("-")[0].split(".")[:2]))
    return version >= (6, 6) and switch.exists() and switch.read_text().strip() == "0"


def count_rings(process):
    """The rings of requests that a process has open."""
    rings = 0
    for file in Path(f"/proc/{process.pid}/fd").iterdir():
        # The last sessions may just be closing.
        with suppress(FileNotFoundError):
            rings += os.readlink(file) == "anon_inode:[io_uring]"
    return rings


def play(process, port, server):
    """Play sessions through the relay, many at the same time; what went wrong."""
    numbers = list(filter(is_relayed_as_it_is, range(SESSIONS)))
    assert len(numbers) > SESSIONS / 4
    wait_until(lambda: can_connect(port))
    return list(play_all(("127.0.0.1", port), Listener(server), numbers, TOGETHER))


@pytest.mark.parametrize(
    ("sandbox", "rings"),
    [
        pytest.param((), 1, id="ring"),
        pytest.param((*SANDBOX, "io_uring_setup"), 0, id="no-ring"),
        # It opens, but takes nothing: what was to be sent by it goes by calls of its own.
        pytest.param((*SANDBOX, "io_uring_enter"), 0, id="failing-ring"),
    ],
)
def test_planned_sessions_leave_no_report(program, tmp_path, sandbox, rings):
    port, report = choose_port(None, [], set()), tmp_path / "report"
    with socket.create_server(("127.0.0.1", 0), backlog=256) as server, report.open("wb") as output:
        server_port = server.getsockname()[1]
        command = (*sandbox, str(program), str(port), str(server_port))
        process = subprocess.Popen(command, stderr=output)
        try:
            faults = play(process, port, server)
            found = count_rings(process)
        finally:
            process.terminate()
            code = process.wait(20)
    # The program's code says whether a session or a count of one was left behind.
    assert (faults, code, report.read_text()) == ([], 0, "")
    assert found == rings or not is_ring_allowed()
