"""
Terms, tf-idf and topics, against scikit-learn.
"""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

from sqlml.search import texts
from sqlml.search.texts import (
    count_texts,
    learn_topics,
    learn_vocabulary,
    read_terms,
    topics,
    weigh,
)
from tests.search.tables import read_table

SENTENCES = ["a red fox", "the red fox, the red hen", "The hen", None, "", "one-off"]


def column_of(*values):
    """Make a text column."""
    return pa.chunked_array([pa.array(values, pa.string())])


@pytest.fixture(scope="module")
def media():
    """Short texts of a real table."""
    return read_table("tate_text").table.column("medium").slice(0, 600)


def sorted_columns(matrix):
    """Sort the columns of a matrix, whose order is the terms' names in one and hashes in other."""
    dense = np.asarray(matrix.todense())
    return dense[:, np.lexsort(np.round(dense, 9))]


def test_tfidf_is_that_of_scikit_learn(media):
    vocabulary = learn_vocabulary("medium", media)
    theirs = TfidfVectorizer(
        sublinear_tf=True, ngram_range=(1, 2), min_df=2, token_pattern=r"\w+"
    ).fit_transform(media.to_pylist())
    ours = weigh(vocabulary, media)
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(sorted_columns(ours), sorted_columns(theirs), atol=1e-12)


def test_topics_span_what_scikit_learns_do(media):
    vocabulary = learn_vocabulary("medium", media)
    weights = weigh(vocabulary, media)
    components = learn_topics(weights, 5, seed=0)
    exact = TruncatedSVD(5, algorithm="arpack", random_state=0).fit(weights).components_
    alignment = np.linalg.svd(exact @ components, compute_uv=False)
    np.testing.assert_allclose(alignment, 1.0, atol=1e-3)


def test_the_same_seed_gives_the_same_topics(media):
    weights = weigh(learn_vocabulary("medium", media), media)
    assert learn_topics(weights, 4, seed=1).tobytes() == learn_topics(weights, 4, seed=1).tobytes()


def test_terms_are_tokens_and_pairs_without_case():
    values = column_of("Red fox", "red FOX", None, "fox red")
    terms = read_terms(values, bigrams=True)
    assert terms.starts.tolist() == [0, 3, 6, 6, 9]
    first, second, fourth = (terms.hashes[i : i + 3].tolist() for i in (0, 3, 6))
    assert first == second
    assert [fourth[1], fourth[0]] == first[:2]
    assert fourth[2] != first[2]


def test_a_slice_reads_its_own_rows():
    values = column_of(*SENTENCES)
    assert (
        read_terms(values.slice(2, 3), bigrams=True).hashes.tolist()
        == read_terms(column_of(*SENTENCES[2:5]), bigrams=True).hashes.tolist()
    )


def test_terms_of_one_text_only_are_unknown():
    vocabulary = learn_vocabulary("a", column_of(*SENTENCES))
    # red, fox, red fox, the, hen; "the red" is twice in one text.
    assert vocabulary.hashes.size == 5
    assert (np.diff(vocabulary.hashes.astype(object)) > 0).all()


def test_the_most_frequent_terms_are_kept():
    values = column_of("x y", "x y", "x z", "x z", "x z")
    vocabulary = learn_vocabulary("a", values, max_terms=1)
    assert vocabulary.hashes.tolist() == read_terms(column_of("x"), bigrams=False).hashes.tolist()
    assert vocabulary.idf.tolist() == [1.0]


def test_null_and_unknown_words_have_no_terms():
    vocabulary = learn_vocabulary("a", column_of(*SENTENCES))
    weights = weigh(vocabulary, column_of(None, "", "unheard of", "fox"))
    assert np.diff(weights.indptr).tolist() == [0, 0, 0, 1]
    assert weights.data.tolist() == [1.0]


def test_entries_stand_in_order_of_first_occurrence():
    vocabulary = learn_vocabulary("a", column_of("p q r", "r q p", "q", "p"))
    words = read_terms(column_of("r p q p"), bigrams=False).hashes[:3]
    weights = weigh(vocabulary, column_of("r p q p"))
    assert vocabulary.hashes[weights.indices].tolist() == words.tolist()


def test_chunks_make_no_difference(media, monkeypatch):
    vocabulary = learn_vocabulary("medium", media)
    whole = weigh(vocabulary, media)
    monkeypatch.setattr(texts, "CHUNK_BYTES", 1000)
    chunked = weigh(vocabulary, media)
    assert (whole != chunked).nnz == 0
    assert whole.indices.tolist() == chunked.indices.tolist()


def test_topics_are_float32():
    vocabulary = learn_vocabulary("a", column_of(*SENTENCES))
    weights = weigh(vocabulary, column_of(*SENTENCES))
    size = vocabulary.hashes.size
    components = np.linspace(0.1, 1, 2 * size, dtype=np.float32).reshape(size, 2)
    found = topics(replace(vocabulary, components=components), weights)
    assert (found == found.astype(np.float32)).all()
    np.testing.assert_allclose(found, weights.todense() @ components, rtol=1e-6)


def test_counts_of_texts():
    found = count_texts(column_of("Ab 12 É", "", None))
    assert found[:2].tolist() == [[7, 3, 2, 2], [0, 0, 0, 0]]
    assert np.isnan(found[2]).all()
