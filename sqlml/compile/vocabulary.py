"""
Vocabularies become the VOCABULARIES section.
"""

from collections.abc import Sequence

import numpy as np

from sqlml.compile.writer import Writer
from sqlml.enums import ColumnKind
from sqlml.errors import NotCompilable
from sqlml.extract.dataset import Column
from sqlml.search.fitted import Vocabulary

BIGRAMS, NORMALISE = 1, 2
MAX_FREQUENCY_WEIGHTS = 64


def write_vocabularies(vocabularies: Sequence[Vocabulary], columns: Sequence[Column]) -> bytes:
    """Write every vocabulary, or raise `NotCompilable`."""
    places = {
        column.name: place
        for place, column in enumerate(columns)
        if column.kind is ColumnKind.CATEGORY
    }
    writer = Writer()
    writer.u32(len(vocabularies))
    for vocabulary in vocabularies:
        if vocabulary.column not in places:
            raise NotCompilable(f'column "{vocabulary.column}" is no text that has a vocabulary')
        _check(vocabulary)
        writer.u32(places[vocabulary.column])
        writer.u32(vocabulary.bigrams * BIGRAMS | vocabulary.normalise * NORMALISE)
        writer.u32(len(vocabulary.frequency_weights))
        for weight in vocabulary.frequency_weights:
            writer.finite(weight)
        writer.u32(len(vocabulary.hashes))
        writer.raw(np.ascontiguousarray(vocabulary.hashes, dtype="<u8").tobytes())
        writer.doubles(vocabulary.idf)
        writer.u32(vocabulary.components.shape[1])
        writer.floats(vocabulary.components)
    return writer.take()


def _check(vocabulary: Vocabulary) -> None:
    name = f'the vocabulary of column "{vocabulary.column}"'
    count = len(vocabulary.hashes)
    if not 1 <= len(vocabulary.frequency_weights) <= MAX_FREQUENCY_WEIGHTS:
        raise NotCompilable(
            f"{name} has {len(vocabulary.frequency_weights)} weights of term frequencies"
        )
    if (
        vocabulary.hashes.shape != (count,)
        or vocabulary.idf.shape != (count,)
        or vocabulary.components.ndim != 2
        or len(vocabulary.components) != count
    ):
        raise NotCompilable(f"{name} has weights of another number of terms")
    if (
        vocabulary.hashes.dtype != np.uint64
        or (vocabulary.hashes[1:] <= vocabulary.hashes[:-1]).any()
    ):
        raise NotCompilable(f"{name} has terms that do not ascend")
