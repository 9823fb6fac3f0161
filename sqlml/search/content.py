"""
Rows as numbers: a hash of what a row holds, the same wherever and whenever it is read.

The hash depends on the columns' names and values only, not on the order of rows or columns,
so that rows of one content share their fate in every version of a model.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sqlml.search.arrays import U64

_MISSING = np.uint64(0x6E756C6C)


def content_hashes(table: pa.Table, columns: Sequence[str]) -> U64:
    """Hash the given columns of each row, shape (rows,). NULL and NaN are the same."""
    hashes = np.zeros(table.num_rows, dtype=np.uint64)
    for name in columns:
        # A sum does not know the order of columns; the name keeps their values apart.
        hashes += mix(_hash_values(table.column(name)) ^ _hash_text(name))
    return mix(hashes)


def mix(values: U64) -> U64:
    """Scramble 64 bits: the finaliser of splitmix64 (Steele, Lea and Flood 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(values ^ (values >> np.uint64(31)), dtype=np.uint64)


def _hash_values(column: pa.ChunkedArray) -> U64:
    """Hash each value of a column."""
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        return _hash_lists(column)
    if pa.types.is_floating(column.type):
        numbers = pc.cast(column, pa.float64()).to_numpy().astype(np.float64)
        # Adding 0 makes the negative zero the other one.
        hashes = mix((numbers + 0.0).view(np.uint64))
        hashes[np.isnan(numbers)] = _MISSING
        return hashes
    encoded = column.combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    codes = encoded.indices.fill_null(len(encoded.dictionary)).to_numpy(zero_copy_only=False)
    values = [_hash_text(str(value)) for value in encoded.dictionary.to_pylist()]
    return np.asarray(np.array([*values, _MISSING], dtype=np.uint64)[codes])


def _hash_lists(column: pa.ChunkedArray) -> U64:
    """Hash lists of values: the sum of the elements' hashes, each mixed with its place."""
    elements = pc.list_flatten(column)
    sizes = pc.fill_null(pc.list_value_length(column), 0).to_numpy().astype(np.int64)
    ends = np.cumsum(sizes)
    places = np.arange(len(elements)) - np.repeat(ends - sizes, sizes)
    hashes = mix(_hash_values(elements) + mix(places.astype(np.uint64)))
    # Sums of unsigned integers go round, and so do their differences.
    sums = np.concatenate([np.zeros(1, dtype=np.uint64), np.cumsum(hashes, dtype=np.uint64)])
    result = mix(sums[ends] - sums[ends - sizes] + sizes.astype(np.uint64))
    result[column.is_null().to_numpy()] = _MISSING
    return result


def _hash_text(text: str) -> np.uint64:
    """Hash a text."""
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return np.uint64(int.from_bytes(digest, "little"))
