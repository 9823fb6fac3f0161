"""
Linear artifacts give what scikit-learn gives.
"""

import time

import numpy as np
import pytest

from sqlml.compile.artifact import compile_model
from sqlml.enums import ProblemType
from sqlml.predict.scorer import Scorer
from sqlml.search.encoder import Encoded, encode
from sqlml.search.estimators.estimator import Order, Sample, make_task
from sqlml.search.estimators.linear import LinearFitter
from sqlml.search.features import FeatureSet, plain_features
from sqlml.search.fitted import LinearPart
from sqlml.search.metrics import find_metric
from sqlml.search.target import Target
from tests.predict.models import (
    COLUMNS,
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
    found = FeatureSet(features=features, linear=tuple(range(len(features))))
    known = Target(problem_type=problem_type, classes=make_classes(problem_type), values=target)
    sample = Sample(
        task=make_task(known, found, find_metric(None, problem_type)),
        features=found,
        matrix=matrix,
        target=target,
    )
    hyperparameters = {"l2": 1.0, "segments": segments}
    fit = LinearFitter(sample).fit(hyperparameters, Order(until=time.monotonic() + 60))
    (part,) = fit.parts
    model = make_model(problem_type, features, part)
    table = make_table(training_rows(500, 4))
    scores = Scorer(compile_model(model).data, "m").raw_scores(table)
    expected = fit.raw(Encoded(encode(features, table)))
    assert isinstance(part, LinearPart)
    size = np.abs(part.intercepts).max() + sum(np.abs(term.weights).max() for term in part.terms)
    np.testing.assert_allclose(scores, expected, rtol=0, atol=TOLERANCE * max(size, 1.0))
    assert np.ptp(scores) > 0.1
