"""
Publish a version: one transaction that writes it and promotes it; the last one ends its job.

Owns the rows of `sqlml.version` and `sqlml.feature`. Does not decide whether a version is good
enough.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from sqlml.compile.sql import ModelSql
from sqlml.db import get_query
from sqlml.enums import Direction, EstimatorName, ProblemType
from sqlml.search.decisions import Decision


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionMember:
    """What a trial of the job is of a version."""

    trial: int
    estimator: EstimatorName
    weight: float
    """Its share; those of all members add up to 1."""
    fit_count: int
    """Fits of it that answer together: those of the folds, or one on all rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One immutable result of training a model, as the catalogue keeps it."""

    problem_type: ProblemType
    classes: tuple[str, ...]
    columns: tuple[str, ...]
    estimator: str
    hyperparameters: dict[str, Any]
    metric: str
    direction: Direction
    score: float
    baseline_score: float
    split: str
    train_rows: int
    holdout_rows: int
    skipped_rows: int
    artifact: bytes
    golden: list[dict[str, Any]]
    sql: ModelSql
    score_interval: tuple[float, float] | None = None
    """Where the score lies with 95 %."""
    predict_us: float | None = None
    """Microseconds in which one core predicts a row, estimated."""
    members: tuple[VersionMember, ...] = ()
    """Heaviest first."""
    decisions: tuple[Decision, ...] = ()
    importances: Mapping[str, float] = field(default_factory=dict)
    """By column, where they are known."""


def publish(connection: psycopg.Connection, job_id: int, version: Version) -> int | None:
    """
    Write the last version of a job, make it the current one and end the job.

    Returns its number, or None when the job was aborted or its model dropped meanwhile:
    then nothing is written.
    """
    with connection.transaction():
        model_id = _lock_job(connection, job_id)
        if model_id is None:
            return None
        version_id, number = _write(connection, _make_row(job_id, model_id, version), version)
        job = {"job_id": job_id, "version_id": version_id}
        connection.execute(get_query("catalogue", "delete_interim_versions"), job)
        with connection.cursor() as cursor:
            cursor.executemany(
                get_query("catalogue", "write_weight"),
                [job | {"trial": each.trial, "weight": each.weight} for each in version.members],
            )
        connection.execute(get_query("catalogue", "mark_succeeded"), job)
        return number


def publish_interim(connection: psycopg.Connection, job_id: int, version: Version) -> int | None:
    """
    Write a version that answers until the next one of the same job.

    Returns its number, or None when there may be none: the job was aborted, or the model has a
    version of an earlier job, which is no worse for all we know.
    """
    with connection.transaction():
        model_id = _lock_job(connection, job_id)
        if model_id is None:
            return None
        job = {"job_id": job_id, "model_id": model_id}
        if (
            connection.execute(get_query("catalogue", "may_publish_interim"), job).fetchone()
            is None
        ):
            return None
        row = _make_row(job_id, model_id, version) | {"is_interim": True}
        version_id, number = _write(connection, row, version)
        connection.execute(
            get_query("catalogue", "delete_interim_versions"), job | {"version_id": version_id}
        )
        return number


def _lock_job(connection: psycopg.Connection, job_id: int) -> int | None:
    """Keep a job from ending; its model, or None where nothing may be published."""
    found = connection.execute(
        get_query("catalogue", "lock_running_job"), {"job_id": job_id}
    ).fetchone()
    return None if found is None else int(found[0])


def _write(
    connection: psycopg.Connection, row: dict[str, object], version: Version
) -> tuple[int, int]:
    """Write a version with its features and promote it; its id and number."""
    written = connection.execute(get_query("catalogue", "write_version"), row).fetchone()
    assert written is not None
    with connection.cursor() as cursor:
        cursor.executemany(
            get_query("catalogue", "write_feature"),
            [
                _make_feature(decision, version.importances)
                | {"version_id": written[0], "number": number}
                for number, decision in enumerate(version.decisions, 1)
            ],
        )
    connection.execute(
        get_query("catalogue", "promote_version"),
        {"model_id": row["model_id"], "version_id": written[0]},
    )
    return int(written[0]), int(written[1])


def get_library_versions() -> dict[str, str]:
    """The libraries whose behaviour a version may depend on."""
    return {name: version(name) for name in ("sqlml", "lightgbm", "scikit-learn")}


def _make_row(job_id: int, model_id: int, version: Version) -> dict[str, object]:
    return {
        "job_id": job_id,
        "model_id": model_id,
        "problem_type": version.problem_type,
        "classes": _as_list(version.classes),
        "columns": _as_list(version.columns),
        "estimator": version.estimator,
        "hyperparameters": Jsonb(version.hyperparameters),
        "metric": version.metric,
        "direction": version.direction,
        "score": version.score,
        "baseline_score": version.baseline_score,
        "split": version.split,
        "train_rows": version.train_rows,
        "holdout_rows": version.holdout_rows,
        "skipped_rows": version.skipped_rows,
        "artifact": version.artifact,
        "golden": Jsonb(version.golden, dumps=lambda data: json.dumps(data, allow_nan=False)),
        "libraries": Jsonb(get_library_versions()),
        "sql": version.sql.text,
        "sql_problem": version.sql.problem,
        "inputs": Jsonb(version.sql.inputs),
        "score_low": version.score_interval and version.score_interval[0],
        "score_high": version.score_interval and version.score_interval[1],
        "predict_us": version.predict_us,
        "ensemble": Jsonb([asdict(member) for member in version.members]),
        "is_interim": False,
    }


def _make_feature(decision: Decision, importances: Mapping[str, float]) -> dict[str, object]:
    return {
        "column": decision.column,
        "type": decision.type_name,
        "kind": decision.kind,
        "role": decision.role,
        "features": _as_list(decision.features),
        "reason": decision.reason,
        "distinct_count": decision.distinct_count,
        "null_count": decision.null_count,
        "importance": importances.get(decision.column),
    }


def _as_list(names: Sequence[str]) -> list[str]:
    return list(names)
