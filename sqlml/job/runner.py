"""
One job from its relation to its version: the stages of sqlml, in order.

The process of a worker's child. It waits for a job on its standard input, does it, writes
how it ended, and exits.
"""

import json
import logging
import os
import sys
import threading
import time
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
import psycopg
import pyarrow as pa
from psycopg.conninfo import make_conninfo

from sqlml.catalogue.version import GOLDEN_ROWS, Version, make_golden, publish
from sqlml.compile.artifact import Artifact, compile_model
from sqlml.compile.sql import ModelSql, make_sql
from sqlml.config import read_settings
from sqlml.db import connect, get_query
from sqlml.enums import EstimatorName, JobStatus, ProblemType
from sqlml.errors import ArtifactDisagrees, NotCompilable, SqlmlError, TrainingFailed
from sqlml.extract.dataset import Dataset
from sqlml.extract.reader import read_dataset
from sqlml.extract.source import Source, parse_columns
from sqlml.job.child import READY, THREADS
from sqlml.job.queue import Job, JobLog, Queue, make_application_name
from sqlml.log import start_logging
from sqlml.predict.scorer import Scorer
from sqlml.search.fitted import Blend, FittedModel, TreePart
from sqlml.search.leaderboard import Leaderboard, Progress, TrialResult
from sqlml.search.plan import Plan
from sqlml.search.study import search

log = logging.getLogger("sqlml.job.runner")

SMALL_MODEL = {"num_leaves": 15, "learning_rate": 0.1}
"""Options that stand, unless the statement has others, where models are evaluated as SQL."""
PUBLISH_SHARE = 0.03
"""The part of the time limit that is kept for compiling and publishing."""
TOLERANCE = 1e-9
"""
Relative, where not only the leaves of trees are added: scikit-learn adds a linear score's
terms in another order, and an exp of numpy's is not always the C library's.
"""


@dataclass(frozen=True, slots=True)
class Assignment:
    """A job, and when on the monotonic clock its time limit started."""

    job: Job
    started: float


@dataclass(frozen=True, slots=True)
class Compiled:
    """The winner in the forms that evaluators read, and the answers that they must give."""

    artifact: Artifact
    sql: ModelSql
    golden: list[dict[str, Any]]


def main() -> None:
    """Wait for one job and do it."""
    start_logging(read_settings().log_level)
    os.write(sys.stdout.fileno(), READY)
    line = sys.stdin.buffer.readline()
    if not line:
        return
    message = json.loads(line)
    _die_with_worker()
    run_job(Assignment(Job(**message["job"]), message["started"]), os.environ["SQLML_RUNNER_DSN"])


def run_job(assignment: Assignment, dsn: str) -> None:
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
            train(assignment, dsn, connection)
        except SqlmlError as error:
            Queue(connection).finish(job, JobStatus.FAILED, error)
        except psycopg.OperationalError:
            raise
        except Exception as error:
            log.exception("job %s failed", job.job_id)
            Queue(connection).finish(job, JobStatus.FAILED, _wrap(error))


def train(assignment: Assignment, dsn: str, connection: psycopg.Connection) -> None:
    """The stages: extract, search, compile, verify, publish."""
    job = assignment.job
    joblog = JobLog(connection, job)
    joblog.write_phase("extract")
    dataset = read_dataset(dsn, find_source(connection, job))
    joblog.write_phase("search", describe_dataset(dataset))
    needs_sql = is_sql_only(connection)
    plan = make_plan(assignment, small=needs_sql)
    leaderboard = search(dataset, plan, lambda step: report(joblog, step))
    joblog.write_phase("compile")
    artifact = compile_model(leaderboard.model)
    scorer = Scorer(artifact.data, job.model_name)
    verify(scorer, leaderboard)
    model_sql = make_sql(leaderboard.model)
    if needs_sql and model_sql.text is None:
        raise refuse_without_sql(job, model_sql)
    joblog.write_phase("publish", describe_result(leaderboard, assignment))
    compiled = Compiled(artifact, model_sql, draw_golden(scorer, leaderboard, plan.seed))
    publish(connection, job.job_id, make_version(dataset, leaderboard, compiled))


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
        max_rows=_get_int(job.options, "max_rows"),
        seed=int(job.options["seed"]),
    )


def is_sql_only(connection: psycopg.Connection) -> bool:
    """Whether nothing in the database can evaluate a model but its SQL."""
    return connection.execute(get_query("job", "is_sql_only")).fetchone() == (True,)


def make_plan(assignment: Assignment, *, small: bool) -> Plan:
    """Turn the statement's options into the search's plan; as SQL a model must be small."""
    options = {**(SMALL_MODEL if small else {}), **assignment.job.options}
    limit_s = float(options["time_limit"])
    problem_type = options.get("problem_type")
    estimators = options.get("estimators")
    return Plan(
        deadline=assignment.started + limit_s * (1 - PUBLISH_SHARE) - 0.1,
        problem_type=ProblemType(problem_type) if problem_type else None,
        metric=options.get("metric"),
        trials=_get_int(options, "trials"),
        seed=int(options["seed"]),
        folds=_get_int(options, "folds"),
        estimators=tuple(EstimatorName(name) for name in estimators) if estimators else None,
        threads=THREADS,
        hyperparameters={
            name: int(options[name]) if name.startswith("num_") else float(options[name])
            for name in ("num_trees", "num_leaves", "learning_rate")
            if name in options
        },
    )


def report(joblog: JobLog, step: Progress) -> None:
    """Write a step of the search; improvements become notices."""
    is_news = step.best_score != joblog.best_score
    joblog.best_score = step.best_score
    if step.result is not None:
        _write_trial(joblog, step.result)
    joblog.write_phase(step.phase, step.message if is_news else None)


def verify(scorer: Scorer, leaderboard: Leaderboard) -> None:
    """Refuse an artifact whose answers are not its estimator's."""
    expected = leaderboard.checked_scores
    actual = scorer.raw_scores(leaderboard.checked_rows)
    tolerance = 0.0 if _is_exact(leaderboard.model) else TOLERANCE
    differs = ~np.isclose(actual, expected, rtol=tolerance, atol=tolerance).all(axis=1)
    if np.any(differs):
        first = int(np.argmax(differs))
        raise ArtifactDisagrees(
            "the compiled model does not give the answers of its estimator",
            detail=f"{np.count_nonzero(differs)} of {len(actual)} rows differ; the first by"
            f" {np.abs(actual[first] - expected[first]).max():g}.",
            hint="This is a defect of sqlml; nothing was published.",
        )


def _is_exact(model: FittedModel) -> bool:
    """Tell whether estimator and artifact add the same numbers in the same order."""
    return model.blend is Blend.RAW and all(isinstance(part, TreePart) for part in model.parts)


def refuse_without_sql(job: Job, model_sql: ModelSql) -> NotCompilable:
    """Where only SQL can predict, a model that it cannot hold is of no use."""
    return NotCompilable(
        f'model "{job.model_name}" cannot be written as SQL',
        detail=f"In this database models can be evaluated as SQL only: {model_sql.problem}.",
        hint="Train a smaller one, such as WITH (num_trees = 100, num_leaves = 15), or install"
        " an extension of sqlml.",
    )


def make_version(dataset: Dataset, leaderboard: Leaderboard, compiled: Compiled) -> Version:
    """Put together what the catalogue keeps."""
    return Version(
        problem_type=leaderboard.problem_type,
        classes=leaderboard.model.classes,
        columns=tuple(column.name for column in leaderboard.model.columns),
        estimator=leaderboard.winner.estimator,
        hyperparameters=dict(leaderboard.winner.hyperparameters),
        metric=leaderboard.metric,
        direction=leaderboard.direction,
        score=leaderboard.score,
        baseline_score=leaderboard.baseline_score,
        split=leaderboard.split,
        train_rows=leaderboard.train_row_count,
        holdout_rows=leaderboard.holdout_row_count,
        skipped_rows=dataset.null_target_count,
        artifact=compiled.artifact.data,
        golden=compiled.golden,
        sql=compiled.sql,
    )


def draw_golden(scorer: Scorer, leaderboard: Leaderboard, seed: int) -> list[dict[str, Any]]:
    """
    Put rows together of held-out values, with the scores that the verified artifact gives.

    Whoever may predict may read them: so each column is shuffled by itself, lest they be rows
    of the relation.
    """
    rng = np.random.default_rng(seed)
    held_out = leaderboard.checked_rows.slice(0, GOLDEN_ROWS)
    rows = pa.table(
        {
            name: held_out.column(name).take(rng.permutation(len(held_out)))
            for name in held_out.column_names
        }
    )
    return make_golden(
        leaderboard.model.columns, rows.to_pylist(), scorer.raw_scores(rows).tolist()
    )


def describe_dataset(dataset: Dataset) -> str:
    """What was read, and what was left out, in one line."""
    parts = [f"read {dataset.row_count} rows with {len(dataset.columns)} columns"]
    if dataset.sampled_from is not None:
        parts.append(f"a sample of {dataset.sampled_from}")
    if dataset.null_target_count:
        parts.append(f"left out {dataset.null_target_count} rows without a target")
    parts += [f'skipped column "{column.name}": {column.reason}' for column in dataset.skipped]
    return "; ".join(parts)


def describe_result(leaderboard: Leaderboard, assignment: Assignment) -> str:
    """How good the model is, beside the baseline, in one line."""
    return (
        f"{leaderboard.metric} {leaderboard.score:.4g}"
        f" (baseline {leaderboard.baseline_score:.4g}) by {leaderboard.winner.estimator}"
        f" after {len(leaderboard.trials)} trials in"
        f" {time.monotonic() - assignment.started:.1f} s; {leaderboard.split}"
    )


def _write_trial(joblog: JobLog, result: TrialResult) -> None:
    joblog.write_trial(
        dict(result.hyperparameters),
        number=result.number,
        estimator=result.estimator,
        score=result.score,
        score_sd=result.score_sd,
        fit_time_s=result.fit_time_s,
        state=result.state,
        error=result.error,
    )


def _get_int(options: dict[str, Any], name: str) -> int | None:
    value = options.get(name)
    return None if value is None else int(value)


def _wrap(error: Exception) -> TrainingFailed:
    lines = str(error).splitlines()
    return TrainingFailed(
        "training failed because of an unexpected error",
        detail=f"{type(error).__name__}: {lines[0] if lines else ''}",
        hint="The worker's log says more.",
    )


def _die_with_worker() -> None:
    """Exit at once when the worker's end of our standard input closes: it is dead."""

    def watch() -> None:
        # Not sys.stdin: its lock would be held when the interpreter shuts down.
        while os.read(sys.stdin.fileno(), 1024):
            pass
        os._exit(1)

    threading.Thread(target=watch, name="watch worker", daemon=True).start()


if __name__ == "__main__":
    main()
