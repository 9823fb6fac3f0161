"""
One job from its relation to its version: the stages of sqlml, in order.

The process of a worker's child. It waits for a job on its standard input, does it, writes
how it ended, and exits.
"""

import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing
from dataclasses import dataclass

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.rows import dict_row

from sqlml.catalogue.version import publish, publish_interim
from sqlml.config import read_settings
from sqlml.db import connect, get_query
from sqlml.enums import EstimatorName, JobStatus, TrialState
from sqlml.errors import SqlmlError, TrainingFailed
from sqlml.extract.reader import read_dataset
from sqlml.extract.source import Source, parse_columns
from sqlml.job.child import READY, THREADS
from sqlml.job.notices import (
    describe_dataset,
    describe_interim,
    describe_result,
    describe_resumption,
)
from sqlml.job.options import get_int, make_plan
from sqlml.job.publication import NS_PER_US, VersionMaker
from sqlml.job.queue import Job, JobLog, Queue, make_application_name
from sqlml.log import start_logging
from sqlml.search.leaderboard import Leaderboard, Phase, Progress, TrialResult
from sqlml.search.pool import Pool
from sqlml.search.study import search

log = logging.getLogger("sqlml.job.runner")

OUTLIVE_S = 1
"""How long after this process its files are deleted: those that fit end when they miss it."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """A job, and when on the monotonic clock its time limit started."""

    job: Job
    started: float


def main() -> None:
    """Wait for one job and do it."""
    start_logging(read_settings().log_level)
    # What runs trials needs no database.
    dsn = os.environ.pop("SQLML_RUNNER_DSN")
    tempfile.tempdir = os.environ.pop("SQLML_RUNNER_FOLDER")
    with closing(Pool(THREADS)) as pool:
        os.write(sys.stdout.fileno(), READY)
        line = sys.stdin.buffer.readline()
        if not line:
            shutil.rmtree(tempfile.tempdir, ignore_errors=True)
            return
        message = json.loads(line)
        die_with_worker(tempfile.tempdir)
        run_job(Assignment(Job(**message["job"]), message["started"]), dsn, pool)


def run_job(assignment: Assignment, dsn: str, pool: Pool) -> None:
    """Do a job; whatever happens, its end is written."""
    job = assignment.job
    dsn = make_conninfo(
        dsn,
        application_name=make_application_name(job),
        # The server notices within a second when this process was killed in mid-query.
        options="-c client_connection_check_interval=1s",
    )
    with closing(connect(dsn, make_application_name(job))) as connection:
        try:
            train(assignment, dsn, connection, pool)
        except SqlmlError as error:
            Queue(connection).finish(job, JobStatus.FAILED, error)
        except psycopg.OperationalError:
            raise
        except Exception as error:
            log.exception("job %s failed", job.job_id)
            Queue(connection).finish(job, JobStatus.FAILED, _wrap(error))


def train(assignment: Assignment, dsn: str, connection: psycopg.Connection, pool: Pool) -> None:
    """The stages: extract, search, compile, verify, publish."""
    job = assignment.job
    finished = read_trials(connection, job)
    joblog = JobLog(connection, job, first_trial=1 + max((t.number for t in finished), default=-1))
    joblog.write_phase("extract")
    dataset = read_dataset(dsn, find_source(connection, job))
    joblog.write_phase("search", describe_dataset(dataset))
    if finished:
        joblog.write_phase("search", describe_resumption(len(finished)))
    needs_sql = is_sql_only(connection)
    plan = make_plan(
        job.options,
        small=needs_sql,
        started=assignment.started,
        threads=THREADS,
        finished=finished,
    )
    maker = VersionMaker(
        model_name=job.model_name,
        skipped_rows=dataset.null_target_count,
        seed=plan.seed,
        needs_sql=needs_sql,
        first_trial=joblog.first_trial,
    )
    reporter = Reporter(joblog, maker)
    leaderboard = search(dataset, plan, reporter.report, offer=reporter.offer, pool=pool)
    joblog.write_phase("compile")
    version = maker.make(leaderboard)
    elapsed_s = time.monotonic() - assignment.started
    joblog.write_phase("publish", describe_result(leaderboard, plan, elapsed_s))
    publish(connection, job.job_id, version)


def find_source(connection: psycopg.Connection, job: Job) -> Source:
    """Find the training function; it must still belong to the model's owner."""
    row = connection.execute(
        get_query("extract", "find_training_function"), {"job_id": job.job_id}
    ).fetchone()
    if row is None:
        raise TrainingFailed(
            "the training function of the job is gone",
            detail=f'It was sqlml_training.job_{job.job_id}() and belonged to "{job.owner}".',
            hint="Create the model again.",
        )
    columns, target, skipped, roles = parse_columns(job.columns, job.target)
    return Source(
        function=row[0],
        columns=columns,
        target=target,
        skipped=skipped,
        roles=roles,
        max_rows=get_int(job.options, "max_rows"),
        seed=int(job.options["seed"]),
    )


def is_sql_only(connection: psycopg.Connection) -> bool:
    """Whether nothing in the database can evaluate a model but its SQL."""
    return connection.execute(get_query("job", "is_sql_only")).fetchone() == (True,)


def read_trials(connection: psycopg.Connection, job: Job) -> tuple[TrialResult, ...]:
    """Read what an earlier attempt at the job has tried, in the order in which it did."""
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(get_query("job", "read_trials"), {"job_id": job.job_id}).fetchall()
    return tuple(
        TrialResult(
            number=row["number"],
            estimator=EstimatorName(row["estimator"]),
            hyperparameters=row["hyperparameters"],
            state=TrialState(row["state"]),
            score=row["score"],
            score_sd=row["score_sd"],
            fit_time_s=row["fit_time_s"],
            predict_cost_ns=row["predict_us"] and row["predict_us"] * NS_PER_US,
            error=row["error"],
        )
        for row in rows
    )


@dataclass(slots=True)
class Reporter:
    """
    Writes what a search tells.

    What it searches for, improvements and the first interim version become notices.
    """

    joblog: JobLog
    maker: VersionMaker
    has_interim: bool = False

    def report(self, step: Progress) -> None:
        """Write one step."""
        is_news = step.phase is Phase.PREPARE or step.best_score != self.joblog.best_score
        self.joblog.best_score = step.best_score
        if step.result is not None:
            _write_trial(self.joblog, step.result)
        self.joblog.write_phase(step.phase, step.message if is_news else None)

    def offer(self, leaderboard: Leaderboard) -> None:
        """Publish a model that is good enough until the next one."""
        job = self.joblog.job
        version = self.maker.make(leaderboard)
        number = publish_interim(self.joblog.connection, job.job_id, version)
        if number is not None and not self.has_interim:
            self.has_interim = True
            self.joblog.write_phase(Phase.SEARCH, describe_interim(number, leaderboard))


def _write_trial(joblog: JobLog, result: TrialResult) -> None:
    cost_ns = result.predict_cost_ns
    joblog.write_trial(
        dict(result.hyperparameters),
        number=joblog.first_trial + result.number,
        estimator=result.estimator,
        score=result.score,
        score_sd=result.score_sd,
        fit_time_s=result.fit_time_s,
        predict_us=None if cost_ns is None else round(cost_ns / NS_PER_US, 3),
        state=result.state,
        error=result.error,
    )


def _wrap(error: Exception) -> TrainingFailed:
    lines = str(error).splitlines()
    return TrainingFailed(
        "training failed because of an unexpected error",
        detail=f"{type(error).__name__}: {lines[0] if lines else ''}",
        hint="The worker's log says more.",
    )


def die_with_worker(folder: str) -> None:
    """Exit when the worker's end of our standard input closes: it died. Our files go after us."""

    def watch() -> None:
        # Not sys.stdin: its lock would be held when the interpreter shuts down.
        while os.read(sys.stdin.fileno(), 1024):
            pass
        # Not deleted here: the search would find its files missing, and write that it failed.
        subprocess.Popen(
            ["/bin/sh", "-c", f'sleep {OUTLIVE_S}; exec rm -rf -- "$1"', "sh", folder],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        os._exit(1)

    threading.Thread(target=watch, name="watch worker", daemon=True).start()


if __name__ == "__main__":
    main()
