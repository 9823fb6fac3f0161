"""
Golden rows: what every evaluator of an artifact must answer for some rows.

Owns their JSON, which reads as the rows of predict() do.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlml.enums import ColumnKind
from sqlml.extract.dataset import Column

GOLDEN_ROWS = 16


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
