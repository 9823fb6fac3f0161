"""
A private PostgreSQL cluster: made, configured, started, stopped.

Owns the cluster's folder. Every connection needs its password (SCRAM), also local ones: the
proxy connects for others, so nothing may be trusted for coming from this machine.
"""

import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from sqlml.config import LOOPBACK
from sqlml.errors import StackError
from sqlml.server.account import Account, can_reach, give_to
from sqlml.server.binaries import ServerBinaries, read_binaries
from sqlml.server.process import ProcessId, find_process, spawn
from sqlml.server.record import SUPERUSER, StackFolder

HBA = f"""\
# Written by sqlml. No line may trust or identify by account: the proxy connects for others.
local all all              scram-sha-256
host  all all {LOOPBACK}/32 scram-sha-256
"""
SETTINGS_FILE = "sqlml.conf"
# A fast stop disconnects the clients; an immediate one is for where that hangs.
STOP_SIGNALS = ((signal.SIGINT, 30.0), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 5.0))


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster in a stack's folder, with the programs and the account that run it."""

    folder: StackFolder
    binaries: ServerBinaries
    account: Account | None

    def make(self, password: str) -> None:
        """Run initdb. The folder appears whole or not at all."""
        draft = self.folder.path / "cluster.new"
        password_file = self.folder.path / "initdb.password"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        give_to(self.account, draft)
        password_file.touch(mode=0o600)
        password_file.write_text(password)
        give_to(self.account, password_file)
        try:
            self._run(
                "initdb",
                f"--pgdata={draft}",
                f"--username={SUPERUSER}",
                f"--pwfile={password_file}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
            )
        finally:
            password_file.unlink()
        (draft / "pg_hba.conf").write_text(HBA)
        with (draft / "postgresql.conf").open("a") as file:
            file.write(f"include_if_exists '{SETTINGS_FILE}'\n")
        draft.rename(self.folder.cluster)

    def write_settings(self, port: int) -> None:
        """Write what PostgreSQL reads at its next start."""
        socket_dir = self.folder.socket_dir
        if socket_dir is not None:
            socket_dir.mkdir(mode=0o700, exist_ok=True)
            give_to(self.account, socket_dir)
        lines = {
            "listen_addresses": LOOPBACK,
            "port": str(port),
            "unix_socket_directories": str(socket_dir or ""),
            "unix_socket_permissions": "0700",
            "password_encryption": "scram-sha-256",
            "log_line_prefix": "%m [%p] %q%u@%d ",
            # A client that is gone stops its query, as the wait for a training job must.
            "client_connection_check_interval": "2s",
        }
        text = "".join(f"{name} = {_quote(value)}\n" for name, value in lines.items())
        path = self.folder.cluster / SETTINGS_FILE
        path.write_text("# Written by sqlml at each start.\n" + text)
        path.chmod(0o600)
        give_to(self.account, path)

    def start(self) -> "subprocess.Popen[bytes]":
        """Start the postmaster as our child; it does not answer yet."""
        return spawn(
            [self.binaries.program("postgres"), "-D", str(self.folder.cluster)],
            log_file=self.folder.log_file("postgres"),
            death_signal=signal.SIGINT,
            account=self.account,
        )

    def _run(self, program: str, *arguments: str) -> None:
        account = self.account
        done = subprocess.run(
            [self.binaries.program(program), *arguments],
            capture_output=True,
            text=True,
            cwd="/",
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
            check=False,
        )
        if done.returncode != 0:
            raise StackError(f"{program} failed", detail=done.stderr.strip() or done.stdout.strip())


def find_postmaster(cluster: Path) -> ProcessId | None:
    """The postmaster that serves a cluster's folder, whoever started it."""
    try:
        lines = (cluster / "postmaster.pid").read_text().splitlines()
        process = find_process(int(lines[0]))
        if process is None:
            return None
        command = Path(f"/proc/{process.pid}/cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError, IndexError, ValueError):
        return None
    # The file may be a dead server's and its number somebody else's by now.
    is_ours = Path(command[0].decode()).name == "postgres" and str(cluster).encode() in command
    return process if is_ours else None


def read_major(cluster: Path) -> int | None:
    """The PostgreSQL version that a cluster belongs to; None where there is no cluster."""
    try:
        return int((cluster / "PG_VERSION").read_text())
    except FileNotFoundError:
        return None


def make_reachable(
    binaries: ServerBinaries, account: Account | None, folder: StackFolder
) -> ServerBinaries:
    """
    The same binaries where the server's account can run them.

    A virtual environment of root's often lies below /root, which nobody else may enter.
    """
    if can_reach(account, Path(binaries.program("postgres"))):
        return binaries
    if not binaries.from_wheel:
        raise StackError(
            f"the account {account.name if account else ''} cannot run {binaries.bin_dir}",
            hint="Give others the right to enter its folders (chmod o+x).",
        )
    install_dir = binaries.bin_dir.parent
    package = install_dir.parent
    shutil.rmtree(folder.binaries, ignore_errors=True)
    shutil.copytree(install_dir, folder.binaries / package.name / install_dir.name, symlinks=True)
    # The programs look for their libraries beside the package.
    libraries = package.with_name(f"{package.name}.libs")
    shutil.copytree(libraries, folder.binaries / libraries.name, symlinks=True)
    bin_dir = folder.binaries / package.name / install_dir.name / "bin"
    copied = read_binaries(bin_dir, from_wheel=True)
    if copied is None:
        raise StackError(f"the copy of PostgreSQL in {bin_dir} does not run")
    return copied


def _quote(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
