"""
What is learnt from is what is served: the scoring core gives the same features bit by bit.

Each class of a model of many has the raw score of one feature, or the sum of a text's tf-idf.
"""

import numpy as np
import pyarrow as pa
import pytest

from sqlml.compile.artifact import compile_model
from sqlml.enums import ColumnKind, EstimatorName, ProblemType
from sqlml.extract.dataset import Column
from sqlml.predict.reference import ReferencePredictor
from sqlml.predict.scorer import Scorer
from sqlml.search.features import learn_features
from sqlml.search.fitted import (
    CodeTerm,
    FeatureOp,
    FittedModel,
    LinearPart,
    NumericTerm,
    TextTerm,
)
from sqlml.search.target import Target, read_target
from tests.search.tables import read_table

LARGEST = 1e300
MISSING = -987654321.0
ROWS = 700
EXTRA = {
    "Name": ["Köhler, Mr. ÄNNE  (Mrs of   Mr)", "", None, "Mr " * 200, "東京 master"],
    "Cabin": ["C85", "", None, "B96 B98", "unseen"],
    "artist": ["Lucas, Sarah", None, "LUCAS", "Sarah Sarah Lucas", "nobody"],
    "medium": ["Paper on PAPER on paper", None, "", "oil", "?"],
    "agent": ["alexander_drake", None, "", "unseen", "not_applicable"],
}


def term_of(index, feature, output_count):
    """Make a term that gives output `index` the feature itself."""
    weights = np.eye(output_count)[index]
    if feature.op is FeatureOp.CODE:
        codes = np.arange(len(feature.levels) + 2.0)
        return CodeTerm(feature=index, weights=codes[:, None] * weights)
    return NumericTerm(
        feature=index,
        low=-LARGEST,
        high=LARGEST,
        mean=0.0,
        inverse_scale=1.0,
        weights=weights,
        missing_weights=weights * MISSING,
    )


def model_of(found, columns):
    """Make a model whose raw scores are features, then texts."""
    feature_count = len(found.features)
    output_count = feature_count + len(found.vocabularies)
    terms = [term_of(i, each, output_count) for i, each in enumerate(found.features)]
    for index, vocabulary in enumerate(found.vocabularies):
        weights = np.zeros((vocabulary.hashes.size, output_count), dtype=np.float32)
        weights[:, feature_count + index] = 1
        terms.append(TextTerm(vocabulary=index, weights=weights))
    part = LinearPart(
        estimator=EstimatorName.LINEAR, intercepts=np.zeros(output_count), terms=tuple(terms)
    )
    used = {each.column for each in found.features}
    return FittedModel(
        problem_type=ProblemType.MULTICLASS,
        target=Column("y", "text", ColumnKind.CATEGORY),
        classes=tuple(f"{index:04}" for index in range(output_count)),
        columns=tuple(column for column in columns if column.name in used),
        features=found.features,
        vocabularies=found.vocabularies,
        parts=(part,),
    )


def encoded_scores(found, table):
    """Compute the raw scores that the model must have."""
    encoded = found.encode(table)
    matrix = np.where(np.isnan(encoded.matrix), MISSING, encoded.matrix)
    sums = [text @ np.ones(text.shape[1]) for text in encoded.texts]
    return np.column_stack([matrix, *sums])


def asked_rows(dataset):
    """Take rows that were learnt from, and some with other texts."""
    rows = dataset.table.slice(0, 150)
    for name, values in EXTRA.items():
        if name in rows.column_names:
            place = rows.column_names.index(name)
            texts = [*values, *rows.column(name).to_pylist()[len(values) :]]
            rows = rows.set_column(place, name, pa.chunked_array([pa.array(texts, pa.string())]))
    return rows


@pytest.mark.parametrize("name", ["titanic", "tate_text", "hotel_rates", "seoul_bike"])
def test_features_of_real_tables(name):
    dataset = read_table(name)
    table = dataset.table.slice(0, ROWS)
    target = read_target(dataset, None)
    known = Target(
        problem_type=target.problem_type, classes=target.classes, values=target.values[:ROWS]
    )
    found = learn_features(table, dataset.columns, known, np.random.default_rng(0))
    data = compile_model(model_of(found, dataset.columns)).data
    asked = asked_rows(dataset)
    expected = encoded_scores(found, asked)
    np.testing.assert_array_equal(Scorer(data, "m").raw_scores(asked), expected)
    reference = ReferencePredictor(data)
    for row, scores in zip(asked.slice(0, 8).to_pylist(), expected, strict=False):
        assert reference.raw_scores(row) == scores.tolist()


def test_features_of_arrays():
    rng = np.random.default_rng(0)
    even = [rng.normal(size=3).tolist() for _ in range(60)]
    odd = [rng.normal(size=rng.integers(0, 9)).tolist() for _ in range(60)]
    even[:3] = [[1.0, None, float("nan")], None, [1e300, 2.0, 3.0]]
    odd[:3] = [[0.1] * 40, None, [None, float("nan")]]
    kind = pa.list_(pa.float64())
    table = pa.table({"even": pa.array(even, kind), "odd": pa.array(odd, kind)})
    columns = tuple(
        Column(name, "double precision[]", ColumnKind.ARRAY) for name in ("even", "odd")
    )
    target = Target(problem_type=ProblemType.REGRESSION, classes=(), values=rng.normal(size=60))
    found = learn_features(table, columns, target, rng)
    data = compile_model(model_of(found, columns)).data
    expected = encoded_scores(found, table)
    np.testing.assert_array_equal(Scorer(data, "m").raw_scores(table), expected)
    reference = ReferencePredictor(data)
    for row, scores in zip(table.to_pylist(), expected, strict=True):
        assert reference.raw_scores(row) == scores.tolist()
