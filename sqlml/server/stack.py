"""
The embedded stack as the command line sees it: run it, start it in the background, stop it.

Owns the order of the steps from an empty folder to a stack that answers, and back. Asking
for its status is `status`'s.
"""

import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psycopg

from sqlml.errors import StackError
from sqlml.server.assembly import (
    OWN_COMMAND,
    StackRequest,
    find_cluster,
    make_postgres,
    make_proxy,
    make_record,
    make_worker,
    prepare_folder,
)
from sqlml.server.cluster import STOP_SIGNALS, find_postmaster, read_major
from sqlml.server.install import install
from sqlml.server.process import POLL_S, find_process, is_alive, stop_process
from sqlml.server.record import DATABASE, Phase, StackFolder, StackRecord, SupervisorNote
from sqlml.server.status import has_worker, is_answering, is_up
from sqlml.server.supervisor import Supervisor

logger = logging.getLogger(__name__)

START_PATIENCE_S = 60.0
SUPERVISOR_SIGNALS = ((signal.SIGTERM, 90.0), (signal.SIGKILL, 5.0))
CHILD_SIGNALS = ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0))
WATCH_S = 0.2
LOG_TAIL_LINES = 20
END_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_stack(request: StackRequest, announce: Callable[[StackRecord], None]) -> None:
    """Run the stack until a signal asks for its end; announce it when everything answers."""
    folder = prepare_folder(request.data_dir)
    supervisor = Supervisor()
    with folder.supervise():
        for number in END_SIGNALS:
            # Under nohup the stack outlives the terminal.
            if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, signal.default_int_handler)
        try:
            _write_note(folder, supervisor, Phase.STARTING)
            record = _start_all(folder, request, supervisor)
            _write_note(folder, supervisor, Phase.RUNNING)
            announce(record)
            _watch(folder, supervisor)
        except KeyboardInterrupt:
            logger.info("stopping")
        finally:
            # No second signal may interrupt the stop that the first one asked for.
            for number in END_SIGNALS:
                signal.signal(number, signal.SIG_IGN)
            _write_note(folder, supervisor, Phase.STOPPING)
            supervisor.stop()


def start_stack(request: StackRequest, arguments: list[str]) -> StackRecord:
    """Run `sqlml` with the arguments in a session of its own; return when the stack is up."""
    folder = prepare_folder(request.data_dir)
    sizes = {path: path.stat().st_size for path in folder.logs.iterdir()}
    pid = _spawn_session([*OWN_COMMAND, *arguments], folder.log_file("supervisor"))
    try:
        while not is_up(folder):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                code = os.waitstatus_to_exitcode(status)
                raise StackError(
                    f"the stack did not start (exit code {code})", detail=_tail(folder, sizes)
                )
            time.sleep(POLL_S)
    except BaseException:
        _stop_session(pid)
        stop_stack(request.data_dir)
        raise
    record = folder.read_record()
    if record is None:
        raise StackError(f"the record of the stack in {folder.path} is gone")
    return record


def check_running(folder: StackFolder, record: StackRecord, request: StackRequest) -> None:
    """Refuse to take a stack that runs for one that was asked for with other ports."""
    for what, wanted, found in (
        ("port", request.port, record.port),
        ("proxy port", request.proxy_port, record.proxy_port),
        ("version of PostgreSQL", request.major, read_major(folder.cluster)),
    ):
        if wanted not in (None, found):
            raise StackError(
                f"the stack in {folder.path} is up already, and its {what} is {found}",
                hint="Stop it first with 'sqlml down', or choose another folder with --data-dir.",
            )


def stop_stack(data_dir: Path) -> bool:
    """
    Stop the stack of a data folder and whatever a killed supervisor left there.

    Return whether there was anything to stop.
    """
    folder = StackFolder(data_dir.absolute())
    note = folder.read_note()
    if note is None:
        return False
    found = False
    supervisor = find_process(note.pid)
    if folder.is_supervised() and supervisor is not None:
        found = True
        stop_process(supervisor, *SUPERVISOR_SIGNALS)
    for name, child in note.children.items():
        if name != "postgres" and is_alive(child):
            found = True
            stop_process(child, *CHILD_SIGNALS)
    postmaster = find_postmaster(folder.cluster)
    if postmaster is not None:
        found = True
        if not stop_process(postmaster, *STOP_SIGNALS):
            raise StackError(f"PostgreSQL (process {postmaster.pid}) does not stop")
    return found


def _start_all(folder: StackFolder, request: StackRequest, supervisor: Supervisor) -> StackRecord:
    cluster = find_cluster(folder, request.major)
    record = make_record(folder, request, cluster)
    if not folder.cluster.exists():
        logger.info("making a cluster of PostgreSQL %d", cluster.binaries.major)
        cluster.make(record.password)
    cluster.write_settings(record.port)

    supervisor.start(make_postgres(cluster))
    _write_note(folder, supervisor, Phase.STARTING)
    maintenance_dsn = record.dsn().removesuffix(DATABASE) + "postgres"
    _wait_until(supervisor, folder, "PostgreSQL", lambda: is_answering(maintenance_dsn))
    _make_database(maintenance_dsn)
    report = install(record.dsn(), record.worker_password)
    logger.info("schema installed; extension: %s", report.extension)

    supervisor.start(make_worker(folder, record))
    supervisor.start(make_proxy(folder, record))
    _write_note(folder, supervisor, Phase.STARTING)
    _wait_until(supervisor, folder, "the worker", lambda: has_worker(record.dsn()))
    _wait_until(supervisor, folder, "the proxy", lambda: is_answering(record.proxy_dsn()))
    if request.load_samples:
        # Here because scikit-learn takes a second to import.
        from sqlml.samples.load import load_samples

        load_samples(record.dsn())
    return record


def _watch(folder: StackFolder, supervisor: Supervisor) -> None:
    """Keep the children alive for ever."""
    while True:
        time.sleep(WATCH_S)
        if supervisor.watch():
            _write_note(folder, supervisor, Phase.RUNNING)


def _wait_until(
    supervisor: Supervisor, folder: StackFolder, what: str, is_ready: Callable[[], bool]
) -> None:
    hint = f"The logs in {folder.logs} say why."
    deadline = time.monotonic() + START_PATIENCE_S
    while not is_ready():
        dead = supervisor.find_dead()
        if dead is not None:
            raise StackError(f"{what} did not start: the process {dead.name} ended", hint=hint)
        if time.monotonic() > deadline:
            raise StackError(f"{what} did not answer within {START_PATIENCE_S:g} s", hint=hint)
        time.sleep(POLL_S)


def _make_database(maintenance_dsn: str) -> None:
    with psycopg.connect(maintenance_dsn, autocommit=True) as connection:
        found = connection.execute("SELECT FROM pg_database WHERE datname = 'sqlml'").fetchone()
        if found is None:
            connection.execute("CREATE DATABASE sqlml")
            # So that predict('churn', c) is found without its schema. Last in the path, our
            # names hide nobody's.
            connection.execute('ALTER DATABASE sqlml SET search_path = "$user", public, sqlml')


def _write_note(folder: StackFolder, supervisor: Supervisor, phase: Phase) -> None:
    folder.write_note(SupervisorNote(os.getpid(), phase, supervisor.process_ids()))


def _spawn_session(command: list[str], log_file: Path) -> int:
    append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    return os.posix_spawn(
        sys.executable,
        command,
        os.environ,
        setsid=True,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            # Its standard output is how to connect, with the password: nothing for a log.
            (os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0),
            (os.POSIX_SPAWN_OPEN, 2, log_file, append, 0o600),
        ],
    )


def _stop_session(pid: int) -> None:
    """Stop our own supervisor, which may be too young to hold its lock."""
    supervisor = find_process(pid)
    if supervisor is not None:
        stop_process(supervisor, *SUPERVISOR_SIGNALS)


def _tail(folder: StackFolder, sizes: dict[Path, int]) -> str:
    """The last lines that the logs gained since they had those sizes."""
    tails = []
    # The supervisor's own comes last, where the reason is seen first.
    own = folder.log_file("supervisor")
    for path in sorted(folder.logs.iterdir(), key=lambda path: (path == own, path)):
        with path.open(errors="replace") as file:
            file.seek(sizes.get(path, 0))
            lines = file.read().splitlines()[-LOG_TAIL_LINES:]
        if lines:
            tails.append("\n".join([f"{path}:", *("  " + line for line in lines)]))
    return "\n".join(tails)
