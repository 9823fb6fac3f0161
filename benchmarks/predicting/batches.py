"""
Batches outside PostgreSQL: LightGBM's own, and the scoring core on a dataset's buffers.
"""

import time
from collections.abc import Callable
from functools import partial

import numpy as np
import pyarrow as pa

from benchmarks.predicting.models import Boosted
from benchmarks.predicting.subject import Subject
from benchmarks.predicting.table import Rows
from sqlml import _scoring

LIGHTGBM_ROWS = {"a": 100_000, "an": 100_000, "b": 15_000, "bn": 20_000}
CORE_ROWS = 100_000

Buffers = tuple[tuple[object, ...], ...]


def make_batches(boosted: dict[str, Boosted], rows: Rows, row_count: int) -> list[Subject]:
    """LightGBM with one thread on a matrix that is encoded already."""
    subjects = []
    for name, wanted in LIGHTGBM_ROWS.items():
        count = min(wanted, row_count)
        matrix = boosted[name].matrix(rows, count)
        booster = boosted[name].booster
        run = timed(partial(booster.predict, matrix, num_threads=1))
        subjects.append(Subject(f"lightgbm, {name}", count, run))
    return subjects


def make_core(boosted: dict[str, Boosted], rows: Rows, row_count: int) -> list[Subject]:
    """The core from values to raw scores, encoding included."""
    subjects = []
    count = min(CORE_ROWS, row_count)
    for name in ("a", "b"):
        model = _scoring.open(boosted[name].artifact, name)
        buffers = make_buffers(boosted[name], rows, count)
        run = timed(partial(model.raw_scores, buffers, count))
        subjects.append(Subject(f"core, {name}", count, run))
    return subjects


def timed(run: Callable[[], object]) -> Callable[[], float]:
    """The CPU time that a function of this process takes."""

    def spend() -> float:
        before = time.process_time()
        run()
        return time.process_time() - before

    return spend


def make_buffers(boosted: Boosted, rows: Rows, count: int) -> Buffers:
    """Columns as the core's module takes them."""
    return tuple(
        _make_text_buffers(rows[name].slice(0, count))
        if type_name == "text"
        else _make_number_buffers(rows[name].slice(0, count))
        for name, type_name in boosted.shape.types.items()
    )


def _missing(values: pa.Array) -> object:
    return values.is_null().to_numpy(zero_copy_only=False).astype(np.uint8)


def _make_number_buffers(values: pa.Array) -> tuple[object, ...]:
    numbers = values.fill_null(0).to_numpy(zero_copy_only=False).astype(np.float64)
    return _missing(values), numbers


def _make_text_buffers(values: pa.Array) -> tuple[object, ...]:
    texts = [text.encode() for text in values.fill_null("").to_pylist()]
    offsets = np.cumsum([0, *map(len, texts)], dtype=np.int64)
    return _missing(values), np.frombuffer(b"".join(texts), dtype=np.uint8), offsets
