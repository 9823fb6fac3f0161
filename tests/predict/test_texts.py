"""
Tokens of the scoring core are those of the reference predictor.
"""

import math
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sqlml import _scoring
from sqlml.predict.reference_features import count_in_text, hash_terms
from sqlml.search.fitted import FeatureOp

TEXTS = [
    "The quick brown fox",
    "",
    None,
    "\u00c4rger \u00fcber \u00d6L, 2\u00d73\u00f74 = x_1!",
    "\u6771\u4eac\u30bf\u30ef\u30fc is 333m",
    "\u0391\u0392\u0393",
    "\u0430\u0431\u0432",
    "\u0401\u0416",
    "\u0100\u0101\u0130\u0141\u0142\u0143\u0144\u0160\u0161\u0178\u00ff\u017d\u017e",
    "a" * 300,
    "\u00a1\u00bf\u00aa \u00b5\u00ba\u00bb",
    "\uff08\u5168\u89d2\uff09\uff21\uff22\uff23\uff10\uff11\uff12\uff1a\uff0c",
    "\u2014dash\u2026\U0001f600 emoji",
]


def find_terms(text: str | None, bigrams: bool) -> list[int]:
    return hash_terms(text or "", bigrams)


def count(text: str | None) -> list[float]:
    if text is None:
        return [math.nan] * 4
    ops = (FeatureOp.CHARACTERS, FeatureOp.WORDS, FeatureOp.DIGITS, FeatureOp.CAPITALS)
    return [count_in_text(op, text) for op in ops]


def lay_out(texts: list[str | None]) -> tuple[object, object, object]:
    array = pa.array(texts, pa.large_string())
    _, offsets, content = array.buffers()
    missing = np.array([text is None for text in texts], dtype=np.uint8)
    return content or b"", np.frombuffer(offsets, np.int64, len(texts) + 1), missing


@pytest.mark.parametrize("bigrams", [False, True])
def test_terms_are_those_of_the_rules(bigrams):
    starts, hashes = map(bytes, _scoring.tokenize(*lay_out(TEXTS), bigrams))
    terms = np.frombuffer(hashes, np.uint64)
    found = [terms[a:b].tolist() for a, b in pairwise(np.frombuffer(starts, np.int64))]
    assert found == [find_terms(text, bigrams) for text in TEXTS]


def test_counts_are_those_of_the_rules():
    counts = np.frombuffer(_scoring.text_counts(*lay_out(TEXTS))).reshape(-1, 4)
    np.testing.assert_array_equal(counts, [count(text) for text in TEXTS])


# Ranges that have rules; the rest of Unicode is drawn less often.
PARTS = st.one_of(
    st.characters(max_codepoint=0x250, exclude_categories=["Cs"]),
    st.characters(min_codepoint=0x370, max_codepoint=0x460),
    st.characters(min_codepoint=0x1FF0, max_codepoint=0x2080),
    st.characters(min_codepoint=0x2DF0, max_codepoint=0x3110),
    st.characters(min_codepoint=0xFEF0, max_codepoint=0xFF30),
    st.characters(exclude_categories=["Cs"]),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(st.none(), st.text(PARTS, max_size=20)), max_size=5))
def test_any_text_is_read_by_the_rules(texts):
    _, hashes = _scoring.tokenize(*lay_out([*texts, "end"]), True)
    expected = [term for text in [*texts, "end"] for term in find_terms(text, True)]
    assert np.frombuffer(hashes, np.uint64).tolist() == expected
    counts = np.frombuffer(_scoring.text_counts(*lay_out([*texts, "end"]))).reshape(-1, 4)
    np.testing.assert_array_equal(counts, [count(text) for text in [*texts, "end"]])


@pytest.mark.parametrize(
    "content",
    [b"\xff", b"\xc3", b"a\xf0\x9f\x98", b"\xe6\x9d", b"\x80\x80", b"\xed\xa0\x80", b"\xc1\x81"],
)
def test_bytes_that_are_no_text_are_read_to_their_end_only(content):
    offsets = np.array([0, len(content)], dtype=np.int64)
    starts, _ = _scoring.tokenize(content, offsets, b"\0", True)
    assert np.frombuffer(starts, np.int64)[0] == 0


@pytest.mark.parametrize("offsets", [[0, 4], [1, 0], [-1, 2], [0], [0, 1, 2]])
def test_texts_beyond_their_bytes_are_refused(offsets):
    with pytest.raises(ValueError, match="stated number of rows"):
        _scoring.text_counts(b"abc", np.array(offsets, dtype=np.int64), b"\0")
