"""
How much each column tells a model: what its answers change when the column's values are shuffled.

Permutation importance (Breiman 2001), of the raw scores rather than of a metric: it needs no
target, and few rows are enough.
"""

import numpy as np
import pyarrow as pa

from sqlml.predict.scorer import Scorer

ROWS = 1000
FEWEST_ROWS = 10
AFFORDABLE_BYTES = 2e10
"""Bytes of artifacts to go through, some tenths of a second; a clock would make it vary."""


def measure_importances(
    scorer: Scorer, rows: pa.Table, size_bytes: int, seed: int
) -> dict[str, float]:
    """
    Measure the share of each column of a model; they add up to 1.

    Empty where no column changes anything or the artifact, of so many bytes, is too large to be
    asked often.
    """
    names = [name for name, _ in scorer.columns]
    count = min(ROWS, rows.num_rows, int(AFFORDABLE_BYTES / (size_bytes * (len(names) + 1))))
    if count < FEWEST_ROWS:
        return {}
    rows = rows.slice(0, count)
    order = np.random.default_rng(seed).permutation(count)
    plain = scorer.raw_scores(rows)
    changes = {name: _change(plain, scorer, rows, name, order) for name in names}
    total = sum(changes.values())
    if not 0 < total < np.inf:
        return {}
    return {name: change / total for name, change in changes.items()}


def _change(
    plain: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    scorer: Scorer,
    rows: pa.Table,
    name: str,
    order: np.ndarray[tuple[int, ...], np.dtype[np.int64]],
) -> float:
    """Average the absolute change of the raw scores, shape (rows, outputs)."""
    place = rows.column_names.index(name)
    shuffled = rows.set_column(place, name, rows.column(name).take(pa.array(order)))
    changes = scorer.raw_scores(shuffled) - plain
    if changes.shape[1] > 1:
        # What is added to all classes changes no probability.
        changes -= changes.mean(axis=1, keepdims=True)
    return float(np.abs(changes).mean())
