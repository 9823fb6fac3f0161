"""
The worker: takes jobs from the queue and gives each to a child process.

Owns limits and last words: whatever happens to the child, the job's end is written. Does
not learn anything itself, and so cannot be killed by learning.
"""

import logging
import signal
import threading
import time
from types import FrameType

import psycopg

from sqlml.db import connect
from sqlml.enums import JobStatus
from sqlml.errors import JobDeserted, SqlmlError, TrainingFailed, WorkerLost
from sqlml.job.child import Child
from sqlml.job.queue import Job, Queue, make_application_name

log = logging.getLogger(__name__)

POLL_S = 0.2
IDLE_S = 2.0
RECONNECT_S = 1.0
STATEMENT_POLLS = 5
"""How many polls there are to one look at the statement that waits, which costs the server more."""
DESERTED_LOOKS = 5
"""How often in a row a job must seem deserted to be so."""
GRACE_S = 10.0
"""How long a child may overrun its time limit before it is killed."""
MAX_WAIT_SHARE = 0.2
"""Waiting for a worker to be ready takes no more of a time limit than this."""


def run_worker(dsn: str) -> None:
    """Serve the queue of one database until SIGTERM or SIGINT."""
    stopping = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        stopping.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    worker = Worker(dsn, stopping)
    while not stopping.is_set():
        try:
            worker.serve()
        except psycopg.OperationalError as error:
            worker.log_loss(error)
            stopping.wait(RECONNECT_S)
    worker.close()


class Worker:
    """One worker with one child; one job at a time."""

    def __init__(self, dsn: str, stopping: threading.Event) -> None:
        self._dsn = dsn
        self._stopping = stopping
        self._child: Child | None = None
        self._loss = ""
        self._free_since = time.monotonic()

    def serve(self) -> None:
        """Connect, and run jobs until stopped or the connection is lost."""
        with connect(self._dsn, "sqlml worker") as connection:
            queue = Queue(connection)
            queue.announce()
            self._loss = ""
            log.info("serving the queue of %s", connection.info.dbname)
            while not self._stopping.is_set():
                child = self._ready_child()
                if child is None:
                    self._stopping.wait(POLL_S / 2)
                    continue
                job = queue.fetch()
                if job is None:
                    queue.wait(IDLE_S)
                else:
                    self._run(queue, child, job)

    def log_loss(self, error: psycopg.OperationalError) -> None:
        """Log why there is no connection, once: the server may be away for days."""
        loss = str(error).strip().partition("\n")[0]
        if loss != self._loss:
            log.warning("no connection, trying again every %g s: %s", RECONNECT_S, loss)
        self._loss = loss

    def close(self) -> None:
        """End the child, if there is one."""
        if self._child is not None:
            self._child.kill()
            self._child = None

    def _ready_child(self) -> Child | None:
        if self._child is None:
            self._child = Child(self._dsn)
        if self._child.exit_code is not None:
            if self._child.exit_code != 0:
                log.error("the child process ended before it had a job")
                self._stopping.wait(RECONNECT_S)
            self.close()
            return None
        return self._child if self._child.is_ready else None

    def _run(self, queue: Queue, child: Child, job: Job) -> None:
        log.info("job %s: training %s.%s", job.job_id, job.schema_name, job.model_name)
        try:
            now = time.monotonic()
            child.start(job, now - charged_wait_s(job, now - self._free_since))
            status, error = self._watch(queue, child, job)
        finally:
            if not child.is_done:
                self.close()
        queue.terminate_sessions(make_application_name(job))
        if status is JobStatus.WAITING:
            queue.give_back(job)
        else:
            queue.finish(job, status, error)
        queue.release(job)
        self._free_since = time.monotonic()
        log.info("job %s has ended", job.job_id)

    def _watch(self, queue: Queue, child: Child, job: Job) -> tuple[JobStatus, SqlmlError | None]:
        """Wait for a child's end, and cause it where it must be."""
        limit_s = float(job.options["time_limit"])
        give_up = time.monotonic() + limit_s + GRACE_S
        deserted_looks = 0
        poll = 0
        while True:
            if child.wait(POLL_S):
                return JobStatus.FAILED, _explain_exit(child.exit_code or 0)
            poll += 1
            asks_statement = poll % STATEMENT_POLLS == 0
            look = queue.look(job, asks_statement=asks_statement)
            if asks_statement:
                deserted_looks = deserted_looks + 1 if look.is_deserted else 0
            if look.is_abort_requested:
                return JobStatus.ABORTED, None
            if deserted_looks >= DESERTED_LOOKS:
                return JobStatus.ABORTED, JobDeserted(
                    "the session that waited for the training ended",
                    hint="Write CREATE MODEL again, or remove what is left with DROP MODEL.",
                )
            if self._stopping.is_set():
                return JobStatus.WAITING, None
            if time.monotonic() > give_up:
                return JobStatus.FAILED, TrainingFailed(
                    f"training did not end within its time limit of {limit_s:g} s",
                    hint="Give it more time, or fewer rows with the option max_rows.",
                )


def charged_wait_s(job: Job, free_s: float) -> float:
    """
    Compute the seconds of its time limit that a job has waited for a worker to be ready.

    The worker is free for `free_s` seconds; before that, the job waited for others.
    """
    limit_s = float(job.options["time_limit"])
    return max(min(job.waited_s, free_s, MAX_WAIT_SHARE * limit_s), 0.0)


def _explain_exit(code: int) -> SqlmlError:
    if code >= 0:
        return TrainingFailed(
            "the process that trained the model ended early",
            detail=f"Its exit code was {code}.",
            hint="The worker's log says more.",
        )
    return WorkerLost(
        "the process that trained the model was killed",
        detail=f"It got {signal.Signals(-code).name}.",
        hint="It may have run out of memory: try the option max_rows.",
    )
