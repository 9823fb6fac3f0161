"""
Texts as terms: tokens, vocabularies, tf-idf and topics.

Owns the arithmetic on texts, which the scoring core replays: sums are taken in the order in
which a text's terms first occur. What a token is, is the core's.

Sources: Salton & Buckley 1988 (term weights); Deerwester et al. 1990 (topics as singular
vectors); Halko, Martinsson & Tropp 2011 (how they are found).
"""

import math
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.utils.extmath import randomized_svd

from sqlml import _scoring
from sqlml.search.arrays import F64, I64
from sqlml.search.fitted import Vocabulary

MAX_TERMS = 10_000
MIN_DOCUMENTS = 2
MAX_TOPIC_ROWS = 20_000
FREQUENCY_WEIGHTS = tuple(1 + math.log(count) for count in range(1, 65))
"""1 + log(tf), as scikit-learn's `sublinear_tf`."""
CHUNK_BYTES = 32_000_000
"""Texts are cut into terms so many bytes at a time."""

U64 = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Terms:
    """Terms of texts, in order and with repeats; those of row i from `starts[i]` on."""

    starts: I64
    hashes: U64


def read_terms(values: pa.ChunkedArray, *, bigrams: bool) -> Terms:
    """Cut texts into terms; a NULL has none."""
    starts, hashes = _scoring.tokenize(*_buffers(values), bigrams)
    return Terms(np.frombuffer(starts, dtype=np.int64), np.frombuffer(hashes, dtype=np.uint64))


def count_texts(values: pa.ChunkedArray) -> F64:
    """Count characters, words, digits and capitals, shape (rows, 4); NaN for NULL."""
    counts = _scoring.text_counts(*_buffers(values))
    return np.frombuffer(counts, dtype=np.float64).reshape(-1, 4)


def learn_vocabulary(
    column: str, values: pa.ChunkedArray, *, max_terms: int = MAX_TERMS
) -> Vocabulary:
    """
    Choose the terms that at least two texts have, the most frequent ones; without topics.

    A NULL is no text. The idf is scikit-learn's smooth one: log((1 + n) / (1 + df)) + 1.
    """
    texts = values.drop_null()
    terms = read_terms(texts, bigrams=True)
    hashes, places = np.unique(terms.hashes, return_inverse=True)
    # A text counts once however often it has a term.
    pairs = np.unique(_row_of_term(terms) * max(hashes.size, 1) + places)
    documents = np.bincount(pairs % max(hashes.size, 1), minlength=hashes.size)
    frequent = np.flatnonzero(documents >= MIN_DOCUMENTS)
    if frequent.size > max_terms:
        frequent = frequent[np.argsort(-documents[frequent], kind="stable")[:max_terms]]
        frequent.sort()
    return Vocabulary(
        column=column,
        bigrams=True,
        normalise=True,
        frequency_weights=FREQUENCY_WEIGHTS,
        hashes=hashes[frequent],
        idf=np.log((1 + len(texts)) / (1 + documents[frequent])) + 1,
        components=np.empty((frequent.size, 0), dtype=np.float32),
    )


def weigh(vocabulary: Vocabulary, values: pa.ChunkedArray) -> csr_matrix:
    """
    Compute the tf-idf of texts, shape (rows, V).

    The entries of a row stand in the order in which its terms first occur, not by index.
    """
    texts = pa.chunked_array([values]) if isinstance(values, pa.Array) else values
    parts = [_weigh(vocabulary, chunk) for chunk in _chunks(texts)]
    if len(parts) == 1:
        return parts[0]
    starts = [np.zeros(1, dtype=np.int64)]
    for part in parts:
        starts.append(part.indptr[1:] + starts[-1][-1])
    return csr_matrix(
        (
            np.concatenate([part.data for part in parts]),
            np.concatenate([part.indices for part in parts]),
            np.concatenate(starts),
        ),
        shape=(len(texts), vocabulary.hashes.size),
    )


def learn_topics(weights: csr_matrix, topic_count: int, seed: int) -> NDArray[np.float32]:
    """Find the first right singular vectors of tf-idf rows, shape (V, topics)."""
    _, _, components = randomized_svd(weights, topic_count, n_iter=4, random_state=seed)
    return np.ascontiguousarray(components.T, dtype=np.float32)


def topics(vocabulary: Vocabulary, weights: csr_matrix) -> F64:
    """Compute the topics of tf-idf rows, shape (rows, K), as the core does: rounded to float32."""
    exact = weights @ vocabulary.components.astype(np.float64)
    return np.asarray(exact, dtype=np.float32).astype(np.float64)


def _weigh(vocabulary: Vocabulary, values: pa.ChunkedArray) -> csr_matrix:
    """Compute the tf-idf of one chunk."""
    terms = read_terms(values, bigrams=vocabulary.bigrams)
    size = vocabulary.hashes.size
    places = np.searchsorted(vocabulary.hashes, terms.hashes)
    places[places == size] = 0
    known = (
        np.flatnonzero(vocabulary.hashes[places] == terms.hashes) if size else np.empty(0, np.int64)
    )
    pairs = _row_of_term(terms)[known] * max(size, 1) + places[known]
    distinct, first, counts = np.unique(pairs, return_index=True, return_counts=True)
    # Rows come one after the other, so this sorts by row, and in a row by first occurrence.
    order = np.argsort(first)
    rows, columns = np.divmod(distinct[order], max(size, 1))
    frequencies = np.asarray(vocabulary.frequency_weights)
    data = frequencies[np.minimum(counts[order], frequencies.size) - 1] * vocabulary.idf[columns]
    starts = np.zeros(len(values) + 1, dtype=np.int64)
    np.cumsum(np.bincount(rows, minlength=len(values)), out=starts[1:])
    if vocabulary.normalise:
        # A product with a sparse matrix adds a row's entries one after the other.
        squares = csr_matrix((data * data, columns, starts), shape=(len(values), size))
        norms = np.sqrt(squares @ np.ones(size))
        data = data / norms[rows]
    return csr_matrix((data, columns, starts), shape=(len(values), size))


def _row_of_term(terms: Terms) -> I64:
    """Number the row of every term."""
    return np.repeat(np.arange(terms.starts.size - 1), np.diff(terms.starts))


def _chunks(values: pa.ChunkedArray) -> list[pa.ChunkedArray]:
    """Cut a column into parts of about `CHUNK_BYTES`."""
    parts = max(-(-values.nbytes // CHUNK_BYTES), 1)
    rows = max(-(-len(values) // parts), 1)
    return [values.slice(start, rows) for start in range(0, max(len(values), 1), rows)]


def _buffers(values: pa.ChunkedArray) -> tuple[NDArray[np.uint8], I64, NDArray[np.uint8]]:
    """Get bytes, offsets and marks of NULL of a text column."""
    texts = pc.cast(values, pa.large_string()).combine_chunks()
    _, offsets, content = texts.buffers()
    ends = np.frombuffer(offsets, dtype=np.int64)[texts.offset : texts.offset + len(texts) + 1]
    data = np.frombuffer(content, dtype=np.uint8) if content else np.empty(0, np.uint8)
    missing = texts.is_null().to_numpy(zero_copy_only=False).astype(np.uint8)
    return data, ends, missing
