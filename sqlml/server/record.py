"""
What a data folder holds, and what stands in its record.

Owns the folder's layout, `stack.json` (ports and passwords; for its owner's eyes only) and
the lock by which a running supervisor is known. Does not start or stop anything.
"""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from sqlml.errors import StackError
from sqlml.server.process import POLL_S, ProcessId

DATABASE = "sqlml"
SUPERUSER = "postgres"
WORKER_ROLE = "sqlml_worker"
LOCK_PATIENCE_S = 2.0
# The kernel's limit for a socket's path, less the file name that PostgreSQL adds.
SOCKET_DIR_LIMIT = 107 - len("/.s.PGSQL.65535")


class Phase(StrEnum):
    """Where a supervisor is."""

    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"


@dataclass(frozen=True, slots=True, kw_only=True)
class StackRecord:
    """What must outlive the processes: where they listen, and the passwords."""

    port: int
    proxy_host: str
    proxy_port: int
    password: str
    worker_password: str
    bin_dir: str
    """The programs that belong to the cluster, `psql` among them."""

    def dsn(self) -> str:
        """The database, as its superuser, straight to PostgreSQL."""
        return f"postgresql://{SUPERUSER}:{self.password}@127.0.0.1:{self.port}/{DATABASE}"

    def proxy_dsn(self) -> str:
        """The same through the proxy."""
        return f"postgresql://{SUPERUSER}:{self.password}@127.0.0.1:{self.proxy_port}/{DATABASE}"

    def worker_dsn(self) -> str:
        """What the worker connects to; its password travels in the environment."""
        return f"postgresql://{WORKER_ROLE}@127.0.0.1:{self.port}/{DATABASE}"


@dataclass(frozen=True, slots=True)
class SupervisorNote:
    """What a supervisor says of itself in its lock file."""

    pid: int
    phase: Phase
    children: dict[str, ProcessId]


@dataclass(frozen=True, slots=True)
class StackFolder:
    """The layout of a data folder."""

    path: Path

    @property
    def cluster(self) -> Path:
        """PostgreSQL's own folder."""
        return self.path / "cluster"

    @property
    def binaries(self) -> Path:
        """Copies of a server that PostgreSQL's account could not reach."""
        return self.path / "binaries"

    @property
    def logs(self) -> Path:
        """One log file a process."""
        return self.path / "log"

    @property
    def socket_dir(self) -> Path | None:
        """Where PostgreSQL's socket is; None where the path would be too long for one."""
        folder = self.path / "socket"
        return folder if len(os.fsencode(folder)) <= SOCKET_DIR_LIMIT else None

    @property
    def record_file(self) -> Path:
        return self.path / "stack.json"

    @property
    def lock_file(self) -> Path:
        return self.path / "supervisor.lock"

    def log_file(self, name: str) -> Path:
        """The log of one process."""
        return self.logs / f"{name}.log"

    def holds_strangers(self) -> bool:
        """Whether the folder is somebody else's: no stack was ever made here."""
        # Also of a stack whose record is lost, which is another trouble.
        own = {"cluster", "cluster.new", "socket", "binaries", "log", self.lock_file.name}
        return not self.record_file.exists() and any(
            path.name not in own for path in self.path.iterdir()
        )

    def read_record(self) -> StackRecord | None:
        """The record, or None in a folder that has none yet."""
        fields = _read_json(self.record_file)
        if fields is None:
            return None
        try:
            return StackRecord(**fields)
        except TypeError as error:
            raise StackError(f"{self.record_file} is not a record of a stack") from error

    def write_record(self, record: StackRecord) -> None:
        """Write the record whole, readable by its owner alone."""
        draft = self.record_file.with_suffix(".new")
        draft.unlink(missing_ok=True)
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(asdict(record), file, indent=2)
        draft.replace(self.record_file)

    def read_note(self) -> SupervisorNote | None:
        """What the last supervisor wrote, whether it still runs or not."""
        fields = _read_json(self.lock_file)
        if fields is None:
            return None
        children = {name: ProcessId(*value) for name, value in fields["children"].items()}
        return SupervisorNote(fields["pid"], Phase(fields["phase"]), children)

    def write_note(self, note: SupervisorNote) -> None:
        """Write in place: the lock belongs to this very file."""
        children = {name: (process.pid, process.started) for name, process in note.children.items()}
        text = json.dumps({"pid": note.pid, "phase": note.phase, "children": children})
        with self.lock_file.open("r+") as file:
            file.write(text)
            file.truncate()

    def is_supervised(self) -> bool:
        """Whether a supervisor runs; the kernel frees its lock however it dies."""
        try:
            with self.lock_file.open() as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except BlockingIOError:
            return True
        return False

    @contextmanager
    def supervise(self) -> Iterator[None]:
        """Hold the lock; a folder has one supervisor."""
        deadline = time.monotonic() + LOCK_PATIENCE_S
        with open(os.open(self.lock_file, os.O_RDWR | os.O_CREAT, 0o600), "r+") as file:
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    # Somebody who only asks whether we run holds it for an instant.
                    if time.monotonic() > deadline:
                        raise StackError(f"a stack is already running in {self.path}") from None
                    time.sleep(POLL_S)
            yield


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        text = path.read_text()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except PermissionError:
        raise StackError(
            f"permission denied for {path}",
            hint="The folder belongs to another user; choose another one with --data-dir.",
        ) from None
    # An empty lock file is one whose supervisor has not written yet.
    try:
        fields = json.loads(text or "null")
    except json.JSONDecodeError as error:
        raise StackError(f"{path} is damaged", detail=str(error)) from error
    if fields is not None and not isinstance(fields, dict):
        raise StackError(f"{path} is damaged")
    return fields
