"""
The proxy as an operator has it: options, limits, signals, workers, counters, the log.
"""

import ctypes
import os
import platform
import re
import resource
import shutil
import signal
import socket
import ssl
import struct
import threading
import time
from contextlib import ExitStack, closing
from pathlib import Path

import psutil
import psycopg
import pytest

from sqlml.cli import main
from sqlml.proxy.command import OPTIONS
from sqlml.proxy.counters import Counter
from sqlml.wire.messages import frame
from tests.proxy.certificates import make_authority
from tests.proxy.running import running_proxy
from tests.proxy.talk import SSL_REQUEST, codes, open_socket, query, startup, talk
from tests.stack import run_sqlml, wait_until

AUTHENTICATION_OK = frame(ord("R"), b"\0\0\0\0")
PATHS = pytest.mark.parametrize("path", [(), ("--no-relay",)], ids=["relay", "python"])


def backend_pid(connection):
    [pid] = connection.execute("SELECT pg_backend_pid()").fetchone()
    return pid


def counters(connection):
    return {name: int(value) for name, value in connection.execute("SHOW sqlml.proxy").fetchall()}


def wait_for_room(proxy):
    def is_there():
        try:
            proxy.connect().close()
        except psycopg.OperationalError:
            return False
        return True

    wait_until(is_there)


# The end


@PATHS
def test_sigterm_lets_busy_sessions_finish(dsn, path):
    with running_proxy(dsn, "--workers=1", *path) as proxy, ExitStack() as sessions:
        idle, busy, block = (sessions.enter_context(talk(proxy.dsn)) for _ in range(3))
        assert codes(block.ask(query("BEGIN"))) == "C[BEGIN] ZT"
        busy.send(query("SELECT pg_sleep(1)"))
        time.sleep(0.2)
        proxy.send(signal.SIGTERM)
        assert codes(idle.read()) == "E[57P01]"
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", proxy.port), 5)
        assert codes(busy.read(2)) == "T D C[SELECT 1] ZI E[57P01]"
        assert codes(block.ask(query("SELECT 1"))) == "T D C[SELECT 1] ZT"
        assert codes(block.ask(query("COMMIT"), 2)) == "C[COMMIT] ZI E[57P01]"
        assert proxy.wait_for_end() == 0
        # The server was told, and did not find its clients gone.
        assert "Traceback" not in proxy.log()


@PATHS
@pytest.mark.parametrize("second", [None, signal.SIGTERM, signal.SIGINT])
def test_patience_ends(dsn, path, second):
    patience = "0.3" if second is None else "60"
    with (
        running_proxy(dsn, "--workers=1", f"--drain-time={patience}", *path) as proxy,
        talk(proxy.dsn) as busy,
    ):
        busy.send(query("SELECT pg_sleep(20)"))
        time.sleep(0.2)
        proxy.send(signal.SIGTERM)
        proxy.wait_for_log("draining")
        if second is not None:
            proxy.send(second)
        assert proxy.wait_for_end() == 0
        # It was told so, or cut off; never left to wait.
        assert codes(busy.read()) in ("", "E[57P01]")


@PATHS
def test_sigint_ends_at_once(dsn, path):
    with running_proxy(dsn, "--workers=1", *path) as proxy, talk(proxy.dsn) as idle:
        proxy.send(signal.SIGINT)
        assert proxy.wait_for_end() == 0
        assert codes(idle.read()) == "E[57P01]"


# Reloading


def shown_certificate(port):
    with socket.create_connection(("127.0.0.1", port), 10) as sock:
        sock.sendall(SSL_REQUEST)
        assert sock.recv(1) == b"S"
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        with context.wrap_socket(sock) as encrypted:
            return encrypted.getpeercert(binary_form=True)


@pytest.mark.parametrize("workers", [1, 2])
def test_sighup_reads_certificates_again(dsn, tmp_path, workers):
    authority = make_authority(tmp_path)
    used, other = authority.vouch_for("used"), authority.vouch_for("other")
    options = (f"--tls-cert={used.certificate}", f"--tls-key={used.key}", f"--workers={workers}")
    with running_proxy(dsn, *options) as proxy, proxy.connect(sslmode="require") as session:
        before = shown_certificate(proxy.port)
        for file in (used.certificate, used.key):
            shutil.copyfile(str(file).replace("used", "other"), file)
        proxy.send(signal.SIGHUP)
        proxy.wait_for_log("read the settings again", workers)
        after = shown_certificate(proxy.port)
        assert before != after
        # A certificate that does not fit its key is not taken.
        used.key.write_bytes(authority.identity.key.read_bytes())
        proxy.send(signal.SIGHUP)
        proxy.wait_for_log("kept the old settings")
        assert shown_certificate(proxy.port) == after
        assert session.execute("SELECT 1").fetchone() == (1,)
        assert other.key.exists()


@PATHS
def test_sighup_reads_limits_again(dsn, tmp_path, path):
    config = tmp_path / "proxy.toml"
    config.write_text("max-connections = 1\nworkers = 1\n")
    with running_proxy(dsn, f"--config={config}", *path) as proxy, proxy.connect():
        with pytest.raises(psycopg.OperationalError, match="too many sessions"):
            proxy.connect()
        config.write_text("max-connections = 'many'\n")
        proxy.send(signal.SIGHUP)
        proxy.wait_for_log("kept the old settings")
        config.write_text("max-connections = 2\n")
        proxy.send(signal.SIGHUP)
        proxy.wait_for_log("read the settings again")
        with proxy.connect() as second:
            assert second.execute("SELECT 1").fetchone() == (1,)


# Limits


@PATHS
@pytest.mark.parametrize("workers", [1, 2])
def test_no_more_sessions_than_allowed(dsn, path, workers):
    with (
        running_proxy(dsn, f"--workers={workers}", "--max-connections=2", *path) as proxy,
        proxy.connect() as first,
        proxy.connect(),
    ):
        with open_socket(proxy.dsn) as talker:
            talker.send(startup(user="postgres", database="sqlml"))
            assert codes(talker.read()) == "E[53300]"
        timer = threading.Timer(0.3, first.cancel_safe)
        timer.start()
        with pytest.raises(psycopg.errors.QueryCanceled):
            first.execute("SELECT pg_sleep(20)")
        timer.join()
        assert counters(first)["sessions_refused"] >= 1
        first.close()
        wait_for_room(proxy)


def allow_100_files():
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))


@PATHS
def test_no_file_is_left(dsn, path):
    with (
        running_proxy(dsn, "--workers=1", *path, preexec_fn=allow_100_files) as proxy,
        proxy.connect() as session,
    ):
        with ExitStack() as sockets:
            for _ in range(150):
                sock = socket.create_connection(("127.0.0.1", proxy.port), 10)
                sockets.enter_context(sock)
            [worker] = proxy.workers()
            wait_until(lambda: worker.num_fds() > 80)
            used = worker.cpu_times().user
            time.sleep(0.5)
            # What cannot be accepted is not asked for without end.
            assert worker.cpu_times().user - used < 0.25
            assert session.execute("SELECT 1").fetchone() == (1,)
        wait_for_room(proxy)


@PATHS
def test_no_more_sessions_than_files(dsn, path):
    with (
        running_proxy(dsn, "--workers=1", *path, preexec_fn=allow_100_files) as proxy,
        ExitStack() as sessions,
    ):
        for _ in range(18):
            sessions.enter_context(closing(proxy.connect()))
        with pytest.raises(psycopg.OperationalError, match="too many sessions"):
            proxy.connect()
        sessions.close()
        wait_for_room(proxy)


# Workers


def test_workers_share_clients_and_are_started_again(dsn):
    with running_proxy(dsn, "--workers=2", "--max-connections=40") as proxy, ExitStack() as opened:
        sessions = [opened.enter_context(closing(proxy.connect())) for _ in range(30)]
        before = {worker.pid for worker in proxy.workers()}
        assert len(before) == 2
        assert counters(sessions[0])["sessions"] == 30
        victim = psutil.Process(max(before))
        victim.kill()
        wait_until(lambda: len({worker.pid for worker in proxy.workers()} - {victim.pid}) == 2)
        proxy.wait_for_log("worker died")
        alive = [session for session in sessions if is_alive(session)]
        # The kernel shares them out: all on one side has the odds of 2 to the -29.
        assert 0 < len(alive) < 30
        found = counters(alive[0])
        assert found["worker_restarts"] == 1
        assert found["sessions"] == len(alive)
        fresh = [opened.enter_context(closing(proxy.connect())) for _ in "xyz"]
        with psycopg.connect(dsn) as direct:
            models = direct.execute("SELECT schema, model FROM sqlml.models").fetchall()
        for session in (alive[0], *fresh):
            shown = session.execute("SHOW MODELS").fetchall()
            assert sorted(row[:2] for row in shown) == sorted(models)


def is_alive(session):
    try:
        session.execute("SELECT 1")
    except psycopg.OperationalError:
        return False
    return True


def test_any_worker_takes_a_cancel_request(dsn):
    with running_proxy(dsn, "--workers=3") as proxy, proxy.connect() as session:
        for _ in range(4):
            timer = threading.Timer(0.2, session.cancel_safe)
            timer.start()
            with pytest.raises(psycopg.errors.QueryCanceled):
                session.execute("SELECT pg_sleep(20)")
            timer.join()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_workers_do_not_outlive_their_parent(dsn, number):
    with running_proxy(dsn, "--workers=2") as proxy, proxy.connect() as session:
        workers = proxy.workers()
        proxy.send(number)
        assert proxy.wait_for_end() == (-9 if number is signal.SIGKILL else 0)
        _, alive = psutil.wait_procs(workers, timeout=10)
        assert alive == []
        assert not is_alive(session)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_second_proxy_does_not_take_the_first_one_s_clients(dsn, workers):
    with running_proxy(dsn, f"--workers={workers}") as proxy:
        done = run_sqlml("proxy", f"--listen=127.0.0.1:{proxy.port}", f"--workers={workers}")
        assert done.returncode == 1
        assert "address already in use" in done.stderr


# Counters and the log


@pytest.mark.parametrize("workers", [1, 2])
def test_no_worker_preempts_a_server(dsn, workers):
    with running_proxy(dsn, f"--workers={workers}") as proxy, proxy.connect() as connection:
        connection.execute("SELECT 1")
        threads = [thread.id for worker in proxy.workers() for thread in worker.threads()]
        assert {os.sched_getscheduler(thread) for thread in threads} == {os.SCHED_BATCH}


SCHED_GETATTR = {"x86_64": 315, "aarch64": 275}


def read_slice_ns(thread: int) -> int:
    """What the scheduler gives a thread in one go; 0 where the kernel does not say."""
    attributes = ctypes.create_string_buffer(48)
    number = SCHED_GETATTR.get(platform.machine())
    if number is None or ctypes.CDLL(None).syscall(number, thread, attributes, 48, 0) != 0:
        return 0
    # struct sched_attr: size, policy, flags, nice, priority, runtime
    return int(struct.unpack_from("<IIQiIQ", attributes.raw)[-1])


@pytest.mark.skipif(not read_slice_ns(0), reason="slices are of Linux 6.12")
def test_the_relay_asks_for_a_longer_slice(dsn):
    with running_proxy(dsn, "--workers=1") as proxy, proxy.connect() as connection:
        connection.execute("SELECT 1")
        [worker] = proxy.workers()
        slices = [read_slice_ns(thread.id) for thread in worker.threads()]
    assert sorted(slices)[-1] > 3 * min(slices)


@PATHS
def test_counters(dsn, path):
    with running_proxy(dsn, "--workers=1", *path) as proxy, proxy.connect() as session:
        with open_socket(proxy.dsn) as talker:
            talker.send(b"GET / HTTP/1.1\r\n\r\n")
            talker.read()
        session.cancel_safe()
        session.execute("SELECT repeat('x', 100000)")
        found = counters(session)
        assert found["sessions"] == found["sessions_total"] == 1
        assert found["connections_total"] >= 3
        assert found["cancel_requests"] == 1
        assert found["start_ups_refused"] == 1
        assert found["bytes_from_upstream"] > 100_000 > found["bytes_from_clients"] > 0


@PATHS
def test_the_log_holds_no_literal_and_no_line_of_a_client(dsn, path):
    with running_proxy(dsn, "--workers=1", *path, level="debug") as proxy:
        with proxy.connect(application_name="x\n2026 ERROR forged=1") as session:
            session.execute("SELECT 'geheim'")
            for statement in (
                "SELECT geheim",
                "CREATE MODEL geheim",
                "CREATE MODEL m PREDICT y FROM (SELECT 'geheim' AS y)",
            ):
                with pytest.raises(psycopg.Error):
                    session.execute(statement)
        with open_socket(proxy.dsn) as talker:
            talker.send(b"\0\0\0\3")
            talker.read()
        proxy.wait_for_log("session refused session=")
        assert "geheim" not in proxy.log()
        assert "sqlstate=08P01" in proxy.log()
        assert not any(line.startswith("2026 ERROR") for line in proxy.log().splitlines())


def get_client(talker):
    host, port = talker.socket.getsockname()
    return f"client={host}:{port}"


def find_line(proxy, client):
    """The only line about a client, from the event on."""
    wait_until(lambda: client in proxy.log())
    [line] = [line for line in proxy.log().splitlines() if client in line]
    return line.partition(": ")[2]


@PATHS
def test_what_is_refused_is_logged(dsn, path):
    options = ("--workers=1", "--max-connections=1", "--start-time=0.4", *path)
    with running_proxy(dsn, *options) as proxy, proxy.connect():
        with open_socket(proxy.dsn) as talker:
            client = get_client(talker)
            talker.send(b"\0\0")
            assert talker.read() == []
        words = f"client said too little session=[0-9a-f]{{16}} {client}"
        assert re.fullmatch(words, find_line(proxy, client))
        with open_socket(proxy.dsn) as talker:
            client = get_client(talker)
            talker.send(startup(user="geheim", database="geheim"))
            assert codes(talker.read()) == "E[53300]"
        words = f"session refused session=[0-9a-f]{{16}} {client} sqlstate=53300 message=.*"
        assert re.fullmatch(words, find_line(proxy, client))
        assert "geheim" not in proxy.log()


@PATHS
def test_who_is_let_in_unchallenged_is_logged(dsn, path, tmp_path):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / ".s.PGSQL.5432"))
        server.listen()
        with running_proxy(dsn, "--workers=1", f"--upstream={tmp_path}:5432", *path) as proxy:
            with open_socket(proxy.dsn) as talker:
                client = get_client(talker)
                talker.send(startup(user="postgres", database="sqlml"))
                with server.accept()[0] as backend:
                    backend.sendall(AUTHENTICATION_OK)
                    assert codes(talker.read()) == "E[28000]"
            words = f"session ended session=[0-9a-f]{{16}} {client} sqlstate=28000 message=.*"
            assert re.fullmatch(words, find_line(proxy, client))


def test_a_storm_of_refusals_does_not_fill_the_log(dsn):
    """Those that are not told one by one are told by their number."""
    with running_proxy(dsn, "--workers=1", "--max-connections=1") as proxy, proxy.connect() as one:
        before = counters(one)["sessions_refused"]

        def refuse():
            with open_socket(proxy.dsn) as talker:
                talker.send(startup(user="postgres", database="sqlml"))
                assert codes(talker.read()) == "E[53300]"
                return get_client(talker)

        for _ in range(300):
            refuse()
        # The next second begins.
        time.sleep(1.1)
        find_line(proxy, refuse())
        refused = counters(one)["sessions_refused"] - before
        told = proxy.log().count("session refused")
        untold = sum(map(int, re.findall(r" untold=(\d+)", proxy.log())))
        assert told + untold == refused == 301
        assert told < 200


# Options


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--tls-cert={used}.crt",), "--tls-cert and --tls-key go together"),
        (("--upstream-key={used}.key",), "--upstream-cert and --upstream-key go together"),
        (("--tls-cert={used}.crt", "--tls-key={none}"), "cannot use the certificate"),
        (("--tls-cert={used}.crt", "--tls-key={authority}.key"), "cannot use the certificate"),
        (("--tls-cert={used}.key", "--tls-key={used}.key"), "cannot use the certificate"),
        (("--tls-cert={used}.crt", "--tls-key={locked}.key"), "is locked by a passphrase"),
        (("--tls-cert={used}.crt", "--tls-key={used}.key", "--tls-ca={used}.key"), "authorities"),
        (("--client-tls=require",), "the proxy has no certificate"),
        (("--tls-ca={used}.crt",), "--tls-ca needs TLS"),
        (("--upstream-cert={used}.crt", "--upstream-key={used}.key"), "needs TLS towards"),
        (("--upstream-tls=require", "--upstream-ca={used}.crt"), "is not looked at"),
        (("--upstream-tls=verify-ca", "--upstream-ca={none}"), "cannot use the authorities"),
        (("--upstream=/tmp:5432", "--upstream-tls=require"), "not spoken over a Unix socket"),
        (("--config={none}",), "cannot read the settings"),
        (("--config={used}.key",), "cannot read the settings"),
        (("--config={unknown}",), 'unknown setting "colour"'),
        (("--config={wrong}",), 'cannot use the setting "workers"'),
        (("--config={flag}",), 'cannot use the setting "trust-socket"'),
        (("--listen=192.0.2.1:7000",), "cannot listen on 192.0.2.1:7000"),
        (("--listen=no.such.host.invalid:7000",), "cannot listen on no.such.host.invalid:7000"),
    ],
)
def test_what_cannot_be_used_is_told_at_the_start(files, capsys, options, words):
    assert main(["proxy", *(option.format(**files) for option in options)]) == 1
    told = capsys.readouterr().err
    assert told.startswith("sqlml: ")
    assert words in told


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("options")
    authority = make_authority(folder)
    used = authority.vouch_for("used")
    run = ("openssl", "ec", "-aes128", "-passout", "pass:secret", "-in", str(used.key))
    assert os.spawnlp(os.P_WAIT, run[0], *run, "-out", str(folder / "locked.key")) == 0
    (folder / "unknown").write_text("colour = 'red'\n")
    (folder / "wrong").write_text("workers = 0\n")
    (folder / "flag").write_text("trust-socket = 'yes'\n")
    names = ("used", "authority", "locked", "none", "unknown", "wrong", "flag")
    return {name: str(folder / name) for name in names}


@pytest.mark.parametrize(
    "option",
    [
        "--client-tls=maybe",
        "--upstream-tls=yes",
        "--workers=0",
        "--max-connections=-1",
        "--drain-time=soon",
        "--start-time=nan",
        "--connect-time=0",
        "--upstream=localhost",
    ],
)
def test_wrong_usage(capsys, option):
    with pytest.raises(SystemExit, match="2"):
        main(["proxy", option])
    assert capsys.readouterr().err.startswith("usage: ")


def test_the_command_line_goes_before_the_file(dsn, tmp_path):
    config = tmp_path / "proxy.toml"
    config.write_text("workers = 3\nmax-connections = 1\n")
    options = (f"--config={config}", "--max-connections=2")
    with running_proxy(dsn, *options) as proxy, proxy.connect(), proxy.connect():
        assert len(proxy.workers()) == 3


def test_every_option_and_counter_is_documented():
    page = (Path(__file__).parents[2] / "docs" / "proxy.md").read_text()
    names = [f"`--{option.name}" for option in OPTIONS] + [
        f"`{counter.name.lower()}`" for counter in Counter
    ]
    assert [name for name in names if name not in page] == []
