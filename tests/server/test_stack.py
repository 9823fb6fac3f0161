"""
The embedded stack: up, down, what happens when parts of it die, and who may connect.
"""

import os
import pwd
import signal
import stat
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from sqlml.errors import StackError
from sqlml.server.account import find_server_account
from sqlml.server.cluster import find_postmaster
from sqlml.server.ports import choose_port, is_free
from sqlml.server.process import is_alive
from sqlml.server.record import Phase
from sqlml.server.status import is_answering
from tests.stack import (
    COMMAND,
    Stack,
    run_sqlml,
    temporary_data_dir,
    temporary_stack,
    wait_until,
)


@pytest.fixture(scope="module")
def own_stack():
    with temporary_stack() as stack:
        yield stack


def fetch_one(dsn, query):
    with psycopg.connect(dsn) as connection:
        return connection.execute(query).fetchone()


def test_status_tells_dsns_that_psql_takes_as_they_are(stack):
    done = stack.run("status", "--json")
    assert done.returncode == 0
    status = stack.status()
    assert status["status"] == "up"
    for name in ("postgres", "proxy"):
        answer = subprocess.run(
            [f"{status['bin_dir']}/psql", status[name], "-XAtc", "SELECT current_database()"],
            capture_output=True,
            text=True,
            check=True,
        )
        assert answer.stdout == "sqlml\n"


def test_up_again_prints_the_same_line_and_changes_nothing(own_stack):
    note = own_stack.note()
    done = own_stack.run("up", "--detach")
    assert done.returncode == 0
    assert own_stack.proxy_dsn in done.stdout
    assert own_stack.note() == note


@pytest.mark.parametrize(
    ("option", "found"),
    [("--port", "port"), ("--proxy-port", "proxy_port"), ("--postgres", None)],
)
def test_up_again_as_something_else_is_refused(own_stack, option, found):
    note = own_stack.note()
    done = own_stack.run("up", "--detach", option, "18000")
    assert done.returncode == 1
    assert "is up already" in done.stderr
    if found:
        assert f"is {getattr(own_stack.record, found)}\n" in done.stderr
        port = str(getattr(own_stack.record, found))
        assert own_stack.run("up", "--detach", option, port).returncode == 0
    assert own_stack.note() == note


def test_data_and_ports_outlive_down_and_up(own_stack):
    dsn = own_stack.dsn
    with psycopg.connect(dsn) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    own_stack.down()
    status = own_stack.run("status", "--json")
    assert status.returncode == 3
    assert '"status": "down"' in status.stdout
    own_stack.up()
    assert own_stack.dsn == dsn
    assert fetch_one(dsn, "SELECT answer FROM kept") == (42,)


def test_down_of_a_stack_that_is_down_is_fine():
    with temporary_data_dir() as data_dir:
        done = run_sqlml("down", "--data-dir", str(data_dir))
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", ["worker", "proxy", "postgres"])
def test_a_killed_part_is_started_again(own_stack, name):
    killed = own_stack.kill(name)
    wait_until(lambda: not is_alive(killed))
    wait_until(lambda: own_stack.note().children[name] != killed)
    own_stack.wait_until_up()


def test_restarted_postgres_is_found_again_by_all(own_stack):
    own_stack.restart_postgres()
    assert own_stack.status()["status"] == "up"


def test_nothing_outlives_a_killed_supervisor():
    with temporary_stack() as stack:
        note = stack.note()
        os.kill(note.pid, signal.SIGKILL)
        wait_until(lambda: not any(is_alive(child) for child in note.children.values()))
        assert stack.run("status").returncode == 3
        stack.up()
        assert is_answering(stack.proxy_dsn)


def test_down_finds_postgres_when_its_supervisor_is_gone():
    with temporary_stack() as stack:
        note = stack.note()
        # A stopped process gets no signal of its parent's death until it goes on.
        os.kill(note.children["worker"].pid, signal.SIGSTOP)
        os.kill(note.pid, signal.SIGKILL)
        stack.down()
        assert not any(is_alive(child) for child in note.children.values())
        assert find_postmaster(stack.folder.cluster) is None


def test_up_in_the_foreground_stops_all_on_a_signal(own_stack):
    own_stack.down()
    command = ["nohup", *COMMAND, "up", "--data-dir", str(own_stack.data_dir)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        assert "sqlml is up" in process.stdout.readline()
        children = own_stack.note().children
        process.send_signal(signal.SIGHUP)
        time.sleep(0.5)
        assert own_stack.note().phase is Phase.RUNNING
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0
    assert set(children) == {"postgres", "worker", "proxy"}
    assert not any(is_alive(child) for child in children.values())
    own_stack.up()


@pytest.mark.parametrize("delay_s", [0.2, 0.6, 1.5])
def test_interrupting_up_leaves_nothing_running(delay_s):
    with temporary_data_dir() as data_dir:
        command = ["up", "--detach", "--data-dir", str(data_dir)]
        with subprocess.Popen([*COMMAND, *command], stderr=subprocess.DEVNULL) as process:
            time.sleep(delay_s)
            process.send_signal(signal.SIGINT)
            if process.wait(timeout=60) == 0:
                # A quick machine: it was up before the signal came.
                run_sqlml("down", "--data-dir", str(data_dir))
        assert find_processes_of(data_dir) == []


def find_processes_of(data_dir):
    """The command lines of living processes that name the folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            found.append(path.read_bytes().replace(b"\0", b" ").decode())
    return [command for command in found if str(data_dir) in command]


def test_every_connection_needs_its_password(own_stack):
    for dsn in (own_stack.dsn, own_stack.proxy_dsn):
        for password in ("", "wrong"):
            with pytest.raises(psycopg.OperationalError, match=r"password|fe_sendauth"):
                psycopg.connect(make_conninfo(dsn, password=password)).close()


def test_socket_needs_the_password_too(own_stack):
    socket_dir = str(own_stack.folder.socket_dir)
    port = own_stack.record.port
    account = find_server_account()
    done = subprocess.run(
        [own_stack.bin_dir / "psql", "-Xwc", "SELECT 1", "postgres", "-U", "postgres"],
        env={"PGHOST": socket_dir, "PGPORT": str(port)},
        # The folder lets in nobody else, so the account itself must try.
        user=account.uid if account else None,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "no password supplied" in done.stderr


def test_secrets_are_for_their_owner_only(own_stack):
    for path in (own_stack.folder.record_file, own_stack.folder.log_file("supervisor")):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(own_stack.folder.logs.stat().st_mode) == 0o700


def test_no_log_shows_a_password(own_stack):
    record = own_stack.record
    for path in own_stack.folder.logs.iterdir():
        text = path.read_text()
        assert text
        assert record.password not in text
        assert record.worker_password not in text


def test_no_command_line_shows_a_password(own_stack):
    record = own_stack.record
    note = own_stack.note()
    for pid in (note.pid, *(child.pid for child in note.children.values())):
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            command = file.read().decode()
        assert record.password not in command
        assert record.worker_password not in command


def test_postgres_runs_as_the_servers_account_and_listens_on_loopback_only(own_stack):
    postmaster = find_postmaster(own_stack.folder.cluster)
    assert postmaster is not None
    account = find_server_account()
    owner = os.stat(f"/proc/{postmaster.pid}").st_uid
    assert owner == (account.uid if account else os.geteuid())
    assert fetch_one(own_stack.dsn, "SHOW listen_addresses") == ("127.0.0.1",)


def test_two_stacks_run_side_by_side(own_stack, stack):
    assert own_stack.dsn != stack.dsn
    assert is_answering(own_stack.dsn)
    assert is_answering(stack.dsn)


def test_a_port_in_use_is_an_error_of_one_line(stack):
    with temporary_data_dir() as data_dir:
        port = stack.record.port
        done = run_sqlml("up", "--detach", "--data-dir", str(data_dir), f"--port={port}")
        assert done.returncode == 1
        assert f"sqlml: port {port} is already in use\n" in done.stderr
        assert "Traceback" not in done.stderr
        assert Stack(data_dir).note().children == {}


def test_a_privileged_port_is_an_error_that_says_so():
    first = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    if first < 2:
        pytest.skip("this system has no privileged ports")
    if os.geteuid() == 0:
        os.seteuid(pwd.getpwnam("nobody").pw_uid)
    try:
        with pytest.raises(StackError, match="port 1 is for privileged users only"):
            choose_port(1, [], set())
    finally:
        os.seteuid(os.getuid())


def test_one_port_for_two_is_an_error():
    with temporary_data_dir() as data_dir:
        done = run_sqlml(
            "up", "--detach", "--port=18001", "--proxy-port=18001", "--data-dir", str(data_dir)
        )
    assert done.returncode == 1
    assert "port 18001 was asked for twice" in done.stderr


def test_ports_are_free_after_down():
    with temporary_stack() as stack:
        record = stack.record
        assert not is_free(record.port)
        stack.down()
        assert is_free(record.port)
        assert is_free(record.proxy_port)


def test_another_version_of_postgres_is_refused_for_an_existing_cluster(own_stack):
    own_stack.down()
    done = own_stack.run("up", "--detach", "--postgres=18")
    assert done.returncode == 1
    assert "the data folder belongs to PostgreSQL" in done.stderr
    own_stack.up()


def test_a_version_that_is_not_there_is_an_error():
    with temporary_data_dir() as data_dir:
        done = run_sqlml("up", "--detach", "--data-dir", str(data_dir), "--postgres=12")
        assert done.returncode == 1
        assert "sqlml: PostgreSQL 12 was not found on this machine" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's PostgreSQL has another account")
def test_a_folder_that_postgres_cannot_enter_is_an_error():
    with temporary_data_dir() as data_dir:
        data_dir.chmod(0o700)
        done = run_sqlml("up", "--detach", "--data-dir", str(data_dir / "stack"))
        assert done.returncode == 1
        assert "cannot enter" in done.stderr
        assert "hint: Choose a folder outside root's home" in done.stderr


def test_a_folder_of_somebody_elses_is_left_alone():
    with temporary_data_dir() as data_dir:
        (data_dir / "thesis.tex").touch()
        done = run_sqlml("up", "--detach", "--data-dir", str(data_dir))
        assert done.returncode == 1
        assert "holds other files and no stack" in done.stderr
        assert [path.name for path in data_dir.iterdir()] == ["thesis.tex"]


def test_a_lost_record_is_an_error_that_names_it():
    with temporary_stack() as stack:
        stack.down()
        stack.folder.record_file.unlink()
        done = stack.run("up", "--detach")
        assert done.returncode == 1
        assert f"the record {stack.folder.record_file} is missing" in done.stderr


@pytest.mark.parametrize("path", ["/dev/null", "/dev/null/stack", "/proc/stack"])
def test_a_folder_that_cannot_be_made_is_an_error(path):
    done = run_sqlml("up", "--detach", "--data-dir", path)
    assert done.returncode == 1
    assert done.stderr.startswith("sqlml: ")
    assert "hint: Choose another one with --data-dir." in done.stderr


def test_a_folder_with_a_long_path_does_without_a_socket():
    with temporary_data_dir() as data_dir:
        deep = data_dir / ("long" * 25)
        stack = Stack(deep)
        try:
            stack.up()
            assert fetch_one(stack.dsn, "SHOW unix_socket_directories") == ("",)
        finally:
            run_sqlml("down", "--data-dir", str(deep))


def test_matrix_runs_the_version_asked_for(matrix_stack):
    version = fetch_one(matrix_stack.dsn, "SHOW server_version")[0]
    assert version.startswith(
        matrix_stack.folder.cluster.joinpath("PG_VERSION").read_text().strip()
    )
