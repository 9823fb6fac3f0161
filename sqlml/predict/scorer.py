"""
Score Arrow tables with the scoring core.

Owns the way from Arrow columns, as a `Dataset` has them, to the core's buffers.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sqlml import _scoring
from sqlml.enums import ColumnKind, ProblemType
from sqlml.errors import ArtifactDamaged, ArtifactNotSupported, ContributionsNotSupported

Buffers = tuple[NDArray[np.generic], ...]


class Scorer:
    """An opened artifact. Raises `ArtifactDamaged` or `ArtifactNotSupported`."""

    def __init__(self, data: bytes, model_name: str):
        self._model = _open(data, model_name)
        self.problem_type = ProblemType(self._model.problem_type)
        self.classes = self._model.classes
        self.columns = tuple((name, ColumnKind(kind)) for name, kind in self._model.columns)

    def raw_scores(self, table: pa.Table) -> NDArray[np.float64]:
        """Compute the raw scores of every row, shape (rows, outputs)."""
        data = self._model.raw_scores(self._make_buffers(table), table.num_rows)
        scores = np.frombuffer(data, dtype=np.float64)
        return scores.reshape(table.num_rows, self._model.output_count)

    def contributions(self, table: pa.Table) -> NDArray[np.float64]:
        """
        Compute what each column adds to the raw scores: (rows, outputs, columns + 1).

        The last is the base that they are added to. Raises `ContributionsNotSupported`.
        """
        try:
            data = self._model.contributions(self._make_buffers(table), table.num_rows)
        except _scoring.ScoringError as error:
            _, message, detail, hint = error.args
            raise ContributionsNotSupported(message, detail=detail, hint=hint) from error
        numbers = np.frombuffer(data, dtype=np.float64)
        return numbers.reshape(table.num_rows, self._model.output_count, len(self.columns) + 1)

    def _make_buffers(self, table: pa.Table) -> tuple[Buffers, ...]:
        return tuple(_make_buffers(table.column(name), kind) for name, kind in self.columns)


def _open(data: bytes, model_name: str) -> _scoring.Model:
    try:
        return _scoring.open(data, model_name)
    except _scoring.ScoringError as error:
        sqlstate, message, detail, hint = error.args
        is_newer = sqlstate == ArtifactNotSupported.sqlstate
        error_class = ArtifactNotSupported if is_newer else ArtifactDamaged
        raise error_class(message, detail=detail, hint=hint) from error


def _make_buffers(values: pa.ChunkedArray, kind: ColumnKind) -> Buffers:
    """Lay out a column: which values are missing, the values, offsets of texts and arrays."""
    missing = values.is_null().to_numpy().astype(np.uint8)
    match kind:
        case ColumnKind.CATEGORY:
            return (missing, *_make_text_buffers(values))
        case ColumnKind.ARRAY:
            return (missing, *_make_array_buffers(values))
        case ColumnKind.NUMERIC:
            filled = pc.fill_null(pc.cast(values, pa.float64()), 0.0)
        case ColumnKind.BOOLEAN:
            filled = pc.cast(pc.fill_null(values, False), pa.uint8())
        case ColumnKind.DATETIME:
            filled = pc.fill_null(values, 0)
    return missing, np.ascontiguousarray(filled.to_numpy())


def _make_text_buffers(values: pa.ChunkedArray) -> Buffers:
    """The bytes of all texts, and where each begins and ends."""
    texts = _join_chunks(pc.cast(values, pa.large_string()))
    _, offsets, data = texts.buffers()
    if offsets is None:
        return np.zeros(0, dtype=np.uint8), np.zeros(1, dtype=np.int64)
    starts = np.frombuffer(offsets, dtype=np.int64, count=len(texts) + 1, offset=8 * texts.offset)
    content = np.frombuffer(data, dtype=np.uint8) if data else np.zeros(0, dtype=np.uint8)
    return content, starts


def _make_array_buffers(values: pa.ChunkedArray) -> Buffers:
    """The elements of all arrays, NaN for NULL, and where each array begins and ends."""
    arrays = _join_chunks(pc.cast(values, pa.large_list(pa.float64())))
    elements = arrays.values.to_numpy(zero_copy_only=False)
    return np.ascontiguousarray(elements, dtype=np.float64), arrays.offsets.to_numpy()


def _join_chunks(values: pa.ChunkedArray) -> pa.Array:
    joined = values.combine_chunks()
    return pa.concat_arrays(joined.chunks) if isinstance(joined, pa.ChunkedArray) else joined
