"""
Features of arrays of numbers.

An array comes as Arrow's list of float64; a NULL or NaN element is missing.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.sparse import csr_matrix

from sqlml.search.arrays import F64, I64
from sqlml.search.fitted import FeatureOp

OPS = frozenset(
    {FeatureOp.ELEMENT, FeatureOp.LENGTH, FeatureOp.MEAN, FeatureOp.MINIMUM, FeatureOp.MAXIMUM}
)
MIXER = np.uint64(0x9E3779B97F4A7C15)


def read_lists(values: pa.ChunkedArray, op: FeatureOp, place: int = 0) -> F64:
    """Compute one feature of every array; NaN where it is missing."""
    lengths = _lengths(values)
    if op is FeatureOp.LENGTH:
        return np.where(values.is_null().to_numpy(), np.nan, lengths)
    elements = np.asarray(
        pc.cast(pc.list_flatten(values), pa.float64()).to_numpy(), dtype=np.float64
    )
    starts = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths)])
    if op is FeatureOp.ELEMENT:
        found = np.full(lengths.size, np.nan)
        rows = np.flatnonzero(lengths > place)
        found[rows] = elements[starts[rows] + place]
        return found
    return _summary(elements, np.repeat(np.arange(lengths.size), lengths), lengths.size, op)


def list_lengths(values: pa.ChunkedArray) -> I64:
    """Count the elements of the arrays that are not NULL."""
    return _lengths(values.drop_null())


def count_distinct(values: pa.ChunkedArray) -> int:
    """Count different arrays, NULL not among them, by a hash of 64 bits."""
    lengths = list_lengths(values)
    elements = pc.fill_null(pc.cast(pc.list_flatten(values), pa.float64()), float("nan"))
    bits = np.asarray(elements.to_numpy(), dtype=np.float64).view(np.uint64)
    ends = np.cumsum(lengths)
    places = np.arange(bits.size) - np.repeat(ends - lengths, lengths)
    # The high half is mixed in: round numbers differ there only.
    mixed = (bits ^ bits >> np.uint64(32)) * (2 * places.astype(np.uint64) + 1) * MIXER
    sums = np.concatenate([np.zeros(1, dtype=np.uint64), np.cumsum(mixed ^ mixed >> np.uint64(29))])
    hashes = sums[ends] - sums[ends - lengths] + lengths.astype(np.uint64) * MIXER
    return int(np.unique(hashes).size)


def _lengths(values: pa.ChunkedArray) -> I64:
    """Count the elements of every array; a NULL has none."""
    return np.asarray(pc.fill_null(pc.list_value_length(values), 0).to_numpy(), dtype=np.int64)


def _summary(elements: F64, rows: I64, row_count: int, op: FeatureOp) -> F64:
    """Compute mean, minimum or maximum of the elements that are present."""
    kept = ~np.isnan(elements)
    elements, rows = elements[kept], rows[kept]
    counts = np.bincount(rows, minlength=row_count)
    starts = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(counts)])
    found = np.full(row_count, np.nan)
    some = np.flatnonzero(counts)
    if some.size == 0:
        return found
    if op is FeatureOp.MEAN:
        # A product with a sparse matrix adds the elements one after the other, as the core does.
        places = np.arange(elements.size) - np.repeat(starts[:-1], counts)
        width = int(counts.max())
        sums = csr_matrix((elements, places, starts), shape=(row_count, width)) @ np.ones(width)
        found[some] = sums[some] / counts[some]
    elif op is FeatureOp.MINIMUM:
        found[some] = np.minimum.reduceat(elements, starts[:-1][some])
    else:
        found[some] = np.maximum.reduceat(elements, starts[:-1][some])
    return found
