"""
Put a stack's parts together: folder, cluster, record, child processes.

Owns what each part needs in order to start. Does not start them; `stack` does.
"""

import os
import secrets
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

from sqlml.config import DEFAULT_PORT, DEFAULT_PROXY_PORT, LOOPBACK
from sqlml.errors import StackError
from sqlml.server.account import can_reach, find_server_account
from sqlml.server.binaries import choose_binaries
from sqlml.server.cluster import STOP_SIGNALS, Cluster, make_reachable, read_major
from sqlml.server.ports import choose_port
from sqlml.server.process import spawn
from sqlml.server.record import StackFolder, StackRecord
from sqlml.server.supervisor import Child

PASSWORD_BYTES = 24
PROXY_DRAIN_S = 5
# -P: the folder in which the user happens to stand is no place for modules.
OWN_COMMAND = (sys.executable, "-P", "-m", "sqlml.cli")


@dataclass(frozen=True, slots=True, kw_only=True)
class StackRequest:
    """What `sqlml up` was asked for."""

    data_dir: Path
    proxy_host: str
    port: int | None = None
    proxy_port: int | None = None
    major: int | None = None
    load_samples: bool = False


def prepare_folder(data_dir: Path) -> StackFolder:
    """Make the data folder and see that PostgreSQL's account can reach it."""
    folder = StackFolder(data_dir.absolute())
    account = find_server_account()
    try:
        if not folder.path.exists():
            folder.path.mkdir(parents=True)
            # PostgreSQL's account must pass through root's folder; nobody through a user's.
            folder.path.chmod(0o700 if account is None else 0o755)
        if folder.holds_strangers():
            raise StackError(
                f"the folder {folder.path} holds other files and no stack",
                hint="Choose an empty or a new one with --data-dir.",
            )
        folder.logs.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise StackError(
            f"cannot use the data folder {folder.path}: {error.strerror}",
            hint="Choose another one with --data-dir.",
        ) from error
    if account is not None and not can_reach(account, folder.path):
        raise StackError(
            f"PostgreSQL runs as the account {account.name}, which cannot enter {folder.path}",
            hint="Choose a folder outside root's home with --data-dir: /var/lib/sqlml/demo, say.",
        )
    return folder


def find_cluster(folder: StackFolder, major: int | None) -> Cluster:
    """The cluster of the folder, with the programs of the version that it belongs to."""
    existing = read_major(folder.cluster)
    if existing is not None and major not in (None, existing):
        raise StackError(
            f"the data folder belongs to PostgreSQL {existing}, not {major}",
            hint="Choose another folder with --data-dir, or leave --postgres out.",
        )
    account = find_server_account()
    binaries = make_reachable(choose_binaries(existing or major), account, folder)
    return Cluster(folder, binaries, account)


def make_record(folder: StackFolder, request: StackRequest, cluster: Cluster) -> StackRecord:
    """The record of the last time with today's ports; new passwords for a new folder."""
    last = folder.read_record()
    if last is None and folder.cluster.exists():
        raise StackError(
            f"the record {folder.record_file} is missing, and with it the password",
            hint="Restore the file, or choose another folder with --data-dir.",
        )
    port = choose_port(request.port, [last.port] if last else [DEFAULT_PORT], set())
    proxy_port = choose_port(
        request.proxy_port, [last.proxy_port] if last else [DEFAULT_PROXY_PORT], {port}
    )
    record = StackRecord(
        port=port,
        proxy_host=request.proxy_host,
        proxy_port=proxy_port,
        password=last.password if last else secrets.token_urlsafe(PASSWORD_BYTES),
        worker_password=last.worker_password if last else secrets.token_urlsafe(PASSWORD_BYTES),
        bin_dir=str(cluster.binaries.bin_dir),
    )
    folder.write_record(record)
    return record


def make_postgres(cluster: Cluster) -> Child:
    """PostgreSQL itself."""
    return Child("postgres", cluster.start, STOP_SIGNALS)


def make_worker(folder: StackFolder, record: StackRecord) -> Child:
    """A worker; it finds its password in the environment, as a command line is public."""
    command = [*OWN_COMMAND, "worker", "--dsn", record.worker_dsn()]
    environment = {**os.environ, "PGPASSWORD": record.worker_password}
    return _make_child(folder, "worker", command, environment)


def make_proxy(folder: StackFolder, record: StackRecord) -> Child:
    """The proxy; it knows no password, so the cluster asks for one on its socket too."""
    command = [
        *OWN_COMMAND,
        "proxy",
        f"--listen={record.proxy_host}:{record.proxy_port}",
        f"--upstream={folder.socket_dir or LOOPBACK}:{record.port}",
        "--workers=1",
        f"--drain-time={PROXY_DRAIN_S}",
    ]
    return _make_child(folder, "proxy", command, dict(os.environ))


def _make_child(
    folder: StackFolder, name: str, command: list[str], environment: dict[str, str]
) -> Child:
    def start() -> "Popen[bytes]":
        return spawn(
            command,
            log_file=folder.log_file(name),
            death_signal=signal.SIGTERM,
            environment=environment,
        )

    return Child(name, start, ((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0)))
