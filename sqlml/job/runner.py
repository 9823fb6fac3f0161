"""
One job from its relation to its version: the stages of sqlml, in order.
"""

import logging
import time
from contextlib import closing
from dataclasses import dataclass

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.rows import dict_row

from sqlml.catalogue.version import publish, publish_interim
from sqlml.db import connect, get_query
from sqlml.enums import EstimatorName, JobStatus, TrialState
from sqlml.errors import SqlmlError, TrainingFailed
from sqlml.extract.reader import read_dataset
from sqlml.extract.source import Source, parse_columns
from sqlml.job.child import THREADS
from sqlml.job.notices import (
    describe_dataset,
    describe_interim,
    describe_result,
    describe_resumption,
)
from sqlml.job.options import get_int, make_plan
from sqlml.job.publication import NS_PER_US, VersionMaker
from sqlml.job.queue import Job, JobLog, Queue, make_application_name
from sqlml.lines import Message
from sqlml.search.leaderboard import Leaderboard, Phase, Progress, TrialResult
from sqlml.search.pool import Pool
from sqlml.search.study import search

log = logging.getLogger("sqlml.job.runner")


@dataclass(frozen=True, slots=True)
class Assignment:
    """A job, and when on the monotonic clock its time limit started."""

    job: Job
    started: float


def make_assignment(message: Message) -> Assignment:
    """Read what the worker hands over."""
    return Assignment(Job(**message["job"]), message["started"])


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
