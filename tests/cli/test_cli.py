"""
The command line: help, usage errors, exit codes and the tone of errors.
"""

import json
import os
import pwd
import socket
import subprocess
import sys

import pytest

from sqlml import __version__
from sqlml.cli import make_parser
from sqlml.config import read_settings
from sqlml.server.doctor import examine
from tests.stack import run_sqlml, temporary_data_dir

COMMANDS = ("up", "down", "status", "install", "worker", "proxy", "doctor")


def test_version():
    assert run_sqlml("--version").stdout == f"sqlml {__version__}\n"


def test_help_names_every_command_with_its_deed():
    text = run_sqlml("--help").stdout
    for command in COMMANDS:
        assert f"\n    {command} " in text


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_explains_every_option(command):
    parser = make_parser(read_settings({}))
    with pytest.raises(SystemExit, match="0"):
        parser.parse_args([command, "--help"])
    [commands] = [a for a in parser._actions if isinstance(a.choices, dict)]
    assert isinstance(commands.choices, dict)
    assert all(action.help for action in commands.choices[command]._actions)


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("dance",),
        ("up", "--port", "0"),
        ("up", "--port", "70000"),
        ("up", "--port", "x"),
        ("up", "--postgres", "newest"),
        ("up", "--data-dir", ""),
        ("proxy", "--listen", "6432"),
        ("status", "--yaml"),
    ],
)
def test_wrong_usage_is_exit_code_2(arguments):
    done = run_sqlml(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: ")
    assert "Traceback" not in done.stderr


def test_an_empty_variable_is_none():
    names = ("DATA_DIR", "DSN", "WORKER_PASSWORD", "PROXY_HOST")
    assert read_settings({f"SQLML_{name}": "" for name in names}) == read_settings({})


@pytest.mark.parametrize("command", ["install", "worker"])
def test_a_missing_dsn_is_an_error_with_a_hint(command):
    done = run_sqlml(command, SQLML_DSN="")
    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == "sqlml: no database given"
    assert "hint: Use --dsn" in done.stderr


def test_status_of_an_empty_folder_is_down():
    with temporary_data_dir() as data_dir:
        done = run_sqlml("status", "--json", "--data-dir", str(data_dir))
        assert done.returncode == 3
        status = json.loads(done.stdout)
        assert status["status"] == "down"
        assert status["postgres"] is None
        assert list(data_dir.iterdir()) == []


def test_light_commands_load_no_learning_library():
    program = "import sys, sqlml.cli; print(*{'lightgbm', 'sklearn', 'pyarrow'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "\n"


def test_address_in_use_is_an_error_not_a_traceback():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run_sqlml("proxy", "--listen", f"127.0.0.1:{port}")
    assert done.returncode == 1
    assert "address already in use" in done.stderr
    assert "Traceback" not in done.stderr


def test_damaged_record_is_an_error_not_a_traceback():
    with temporary_data_dir() as data_dir:
        (data_dir / "stack.json").write_text('{"port": ')
        for command in ("status", "up"):
            done = run_sqlml(command, "--data-dir", str(data_dir))
            assert done.returncode == 1
            assert "stack.json is damaged" in done.stderr
            assert "Traceback" not in done.stderr


def test_doctor_finds_a_folder_that_nothing_can_be_written_in():
    with temporary_data_dir() as data_dir:
        data_dir.chmod(0o555)
        if os.geteuid() == 0:
            os.seteuid(pwd.getpwnam("nobody").pw_uid)
        try:
            finding = examine(data_dir / "new")[-1]
        finally:
            os.seteuid(os.getuid())
    assert finding.state == f"nothing can be written in {data_dir}"
    assert finding.remedy is not None


def test_doctor_looks_at_the_servers():
    with temporary_data_dir() as data_dir:
        done = run_sqlml("doctor", "--data-dir", str(data_dir))
        assert done.returncode == 0, done.stdout
        assert "ok    PostgreSQL" in done.stdout
        assert "(default)" in done.stdout
