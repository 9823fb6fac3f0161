"""
Linear artifacts give what scikit-learn gives.
"""

import time

import numpy as np
import pytest

from sqlml.compile.artifact import compile_model
from sqlml.enums import ProblemType
from sqlml.predict.scorer import Scorer
from sqlml.search.encoder import encode
from sqlml.search.estimators.estimator import Order, Sample
from sqlml.search.estimators.linear import Linear
from sqlml.search.features import plain_features
from sqlml.search.fitted import LinearPart
from tests.predict.models import (
    COLUMNS,
    get_output_count,
    make_classes,
    make_model,
    make_table,
    training_rows,
)

TOLERANCE = 1e-12
"""Of the largest sum of absolute terms: both sum the same terms in another order."""


@pytest.mark.parametrize("problem_type", ProblemType)
@pytest.mark.parametrize("segments", [1, 4])
def test_linear_scores_are_those_of_scikit_learn(problem_type, segments):
    table = make_table(training_rows(300, 3))
    features = plain_features(table, COLUMNS)
    matrix = encode(features, table)
    classes = len(make_classes(problem_type))
    target = np.nan_to_num(matrix[:, 1]) + np.random.default_rng(0).normal(size=300)
    if classes:
        target = (np.argsort(np.argsort(target)) * classes // 300).astype(np.float64)
    sample = Sample(
        problem_type=problem_type,
        output_count=get_output_count(problem_type),
        class_count=classes,
        features=features,
        matrix=matrix,
        target=target,
        metric="",
        seed=0,
        threads=1,
    )
    fit = Linear(sample).fit({"l2": 1.0, "segments": segments}, Order(until=time.monotonic() + 60))
    model = make_model(problem_type, features, fit.part)
    table = make_table(training_rows(500, 4))
    scores = Scorer(compile_model(model).data, "m").raw_scores(table)
    expected = fit.raw(encode(features, table))
    assert isinstance(fit.part, LinearPart)
    size = np.abs(fit.part.intercepts).max() + sum(
        np.abs(term.weights).max() for term in fit.part.terms
    )
    np.testing.assert_allclose(scores, expected, rtol=0, atol=TOLERANCE * max(size, 1.0))
    assert np.ptp(scores) > 0.1
