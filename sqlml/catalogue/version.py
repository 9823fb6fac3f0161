"""
Publish a version: one transaction that writes it, promotes it and ends its job.

Owns the rows of `sqlml.version`. Does not decide whether a version is good enough.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.metadata import version
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from sqlml.compile.sql import ModelSql
from sqlml.db import get_query
from sqlml.enums import ColumnKind, Direction, ProblemType
from sqlml.extract.dataset import Column

GOLDEN_ROWS = 16


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


def publish(connection: psycopg.Connection, job_id: int, version: Version) -> int | None:
    """
    Write a version and make it the current one.

    Returns its number, or None when the job was aborted or its model dropped meanwhile:
    then nothing is written.
    """
    with connection.transaction():
        job = connection.execute(
            get_query("catalogue", "lock_running_job"), {"job_id": job_id}
        ).fetchone()
        if job is None:
            return None
        written = connection.execute(
            get_query("catalogue", "write_version"), _make_row(job_id, job[0], version)
        ).fetchone()
        assert written is not None
        connection.execute(
            get_query("catalogue", "promote_version"),
            {"model_id": job[0], "version_id": written[0]},
        )
        connection.execute(get_query("catalogue", "mark_succeeded"), {"job_id": job_id})
        return int(written[1])


def make_golden(
    columns: Sequence[Column],
    rows: Sequence[Mapping[str, Any]],
    raw_scores: Sequence[Sequence[float]],
) -> list[dict[str, Any]]:
    """
    Pair held-out rows with the raw scores that every evaluator must give for them.

    The rows are written as predict() reads JSON.
    """
    return [
        {
            "row": {column.name: _make_json(column.kind, row[column.name]) for column in columns},
            "raw": [_make_json(ColumnKind.NUMERIC, score) for score in scores],
        }
        for row, scores in zip(rows, raw_scores, strict=True)
    ]


def get_library_versions() -> dict[str, str]:
    """The libraries whose behaviour a version may depend on."""
    return {name: version(name) for name in ("sqlml", "lightgbm", "scikit-learn")}


def _make_json(kind: ColumnKind, value: Any) -> object:
    if value is None:
        return None
    if kind is ColumnKind.DATETIME:
        return _write_timestamp(int(value))
    if kind is ColumnKind.ARRAY:
        return [_make_json(ColumnKind.NUMERIC, element) for element in value]
    # jsonb knows neither NaN nor infinity.
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def _write_timestamp(micros: int) -> str:
    """Write microseconds since 2000 as PostgreSQL puts a timestamp into JSON."""
    days, rest = divmod(micros, 86_400_000_000)
    # Python's calendar ends in 9999; the real one repeats itself every 400 years.
    cycles, days = divmod(days, 146_097)
    moment = datetime(2000, 1, 1) + timedelta(days=days, microseconds=rest)
    year = moment.year + 400 * cycles
    era = "" if year > 0 else " BC"
    return f"{year if year > 0 else 1 - year:04}-{moment:%m-%dT%H:%M:%S.%f}{era}"


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
    }


def _as_list(names: Sequence[str]) -> list[str]:
    return list(names)
