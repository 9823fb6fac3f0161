"""
The queue as a worker sees it: fetch, report, finish.

Owns what is written about a job. Does not run it.
"""

from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from sqlml.db import get_query
from sqlml.enums import JobStatus
from sqlml.errors import SqlmlError


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One request to train a model."""

    job_id: int
    model_id: int
    schema_name: str
    model_name: str
    owner: str
    target: str
    columns: list[dict[str, str | None]]
    options: dict[str, Any]
    attempts: int
    waited_s: float
    """Seconds between the statement that waits for it and the worker that took it; else 0."""


@dataclass(frozen=True, slots=True)
class Look:
    """What a job's worker saw of those who may want it to end."""

    is_abort_requested: bool
    """The job was aborted, or its model was dropped."""
    is_deserted: bool
    """The statement that made the job has ended without it; for a moment it may seem so."""


@dataclass(slots=True)
class Queue:
    """The jobs of one database, through one connection in autocommit mode."""

    connection: psycopg.Connection

    def announce(self) -> None:
        """Tell everybody that a worker is here, and listen for jobs and aborts."""
        self._execute("announce_worker")
        self.connection.execute("LISTEN sqlml_job")
        self.connection.execute("LISTEN sqlml_abort")

    def fetch(self) -> Job | None:
        """Take the oldest job that can be taken, and hold it until `release`."""
        with self.connection.cursor(row_factory=dict_row) as cursor:
            row = cursor.execute(get_query("job", "fetch_job")).fetchone()
        return Job(**row) if row else None

    def release(self, job: Job) -> None:
        """Let go of a job that has ended."""
        self._execute("release_job", job_id=job.job_id)

    def give_back(self, job: Job) -> None:
        """Let the next worker start the job afresh: this one has to stop."""
        self._execute("give_back_job", job_id=job.job_id)

    def look(self, job: Job, *, asks_statement: bool) -> Look:
        """Look whether anybody still wants the job; at the statement that made it only if asked."""
        parameters = {"job_id": job.job_id, "asks_statement": asks_statement}
        row = self._execute("look_at_job", **parameters).fetchone()
        return Look(*row) if row else Look(is_abort_requested=True, is_deserted=False)

    def finish(self, job: Job, status: JobStatus, error: SqlmlError | None = None) -> None:
        """Write how a job ended, unless that stands already."""
        self._execute(
            "finish_job",
            job_id=job.job_id,
            status=status,
            sqlstate=error.sqlstate if error else None,
            message=error.message if error else None,
            detail=error.detail if error else None,
            hint=error.hint if error else None,
        )

    def wait(self, timeout_s: float) -> None:
        """Sleep until somebody defers or aborts a job, or the time is over."""
        for _ in self.connection.notifies(timeout=timeout_s, stop_after=1):
            pass

    def terminate_sessions(self, application_name: str) -> None:
        """End what a killed child left running in the server."""
        self.connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = %s AND usename = current_user",
            [application_name],
        )

    def _execute(self, name: str, **parameters: object) -> psycopg.Cursor[Any]:
        return self.connection.execute(get_query("job", name), parameters)


@dataclass(slots=True)
class JobLog:
    """What a running job tells: its phase, its trials, and notices for whoever waits."""

    connection: psycopg.Connection
    job: Job
    first_trial: int = 0
    """The number of this attempt's first trial; earlier attempts have those below."""
    trial_count: int = 0
    best_score: float | None = None

    def write_phase(self, phase: str, notice: str | None = None) -> None:
        """Write where the job is; a notice also reaches the waiting session."""
        self.connection.execute(
            get_query("job", "write_progress"),
            {
                "job_id": self.job.job_id,
                "phase": phase,
                "message": notice,
                "trial_count": self.trial_count,
                "best_score": self.best_score,
            },
        )
        if notice is not None:
            self.connection.execute(
                get_query("job", "write_event"), {"job_id": self.job.job_id, "message": notice}
            )

    def write_trial(self, hyperparameters: dict[str, Any], **trial: object) -> None:
        """Write one finished trial."""
        self.trial_count += 1
        self.connection.execute(
            get_query("job", "write_trial"),
            {"job_id": self.job.job_id, "hyperparameters": Jsonb(hyperparameters), **trial},
        )


def make_application_name(job: Job) -> str:
    """The name under which a job's sessions stand in pg_stat_activity."""
    return f"sqlml:job {job.job_id} train {job.model_name}".encode()[:63].decode("utf-8", "ignore")
