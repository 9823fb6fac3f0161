"""
A random sample of a stream whose length nobody knows.

Every row gets a random key, and the rows with the smallest keys are the sample (bottom-k
sampling; Cohen and Kaplan 2007). Memory stays below two samples and one batch.
"""

from collections.abc import Iterable

import numpy as np
import pyarrow as pa


def sample_batches(
    batches: Iterable[pa.RecordBatch], schema: pa.Schema, max_rows: int, seed: int
) -> pa.Table:
    """Draw at most `max_rows` rows, in the stream's order."""
    generator = np.random.default_rng(seed)
    kept = pa.Table.from_batches([], schema)
    keys = np.empty(0)
    for batch in batches:
        kept = pa.concat_tables([kept, pa.Table.from_batches([batch], schema)])
        keys = np.concatenate([keys, generator.random(batch.num_rows)])
        if kept.num_rows > 2 * max_rows:
            kept, keys = _smallest(kept, keys, max_rows)
    return _smallest(kept, keys, max_rows)[0]


def _smallest(
    table: pa.Table, keys: np.ndarray[tuple[int], np.dtype[np.float64]], count: int
) -> tuple[pa.Table, np.ndarray[tuple[int], np.dtype[np.float64]]]:
    if len(keys) <= count:
        return table, keys
    chosen = np.sort(np.argpartition(keys, count)[:count])
    return table.take(pa.array(chosen)), keys[chosen]
