"""
Whatever LightGBM makes of its raw scores, core and reference predictor make of them too.
"""

import math
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sqlml import _scoring
from sqlml.compile.artifact import compile_model
from sqlml.enums import ProblemType
from sqlml.predict.reference import ReferencePredictor
from sqlml.predict.scorer import Scorer
from sqlml.search.encoder import encode
from sqlml.search.fitted import FittedModel, Link
from tests.predict.models import (
    Row,
    booster_of,
    fit_trees,
    hostile_rows,
    make_table,
    score_with_lightgbm,
    training_rows,
)
from tests.predict.test_json import as_json

ULPS = 4 * np.finfo(np.float64).eps
"""LightGBM may order the same operations otherwise, and its exp may be another one."""
FOREST = {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.6, "rounds": 7}
ROOT = {"reg_sqrt": True, "link": Link.SQUARE}
BINARY, MULTICLASS, REGRESSION = ProblemType.BINARY, ProblemType.MULTICLASS, ProblemType.REGRESSION
CONSTRUCTS: dict[str, tuple[ProblemType, dict[str, Any]]] = {
    **{
        name: (REGRESSION, {"objective": name})
        for name in ("regression", "regression_l1", "huber", "fair", "quantile", "mape")
    },
    **{
        f"{name} of roots": (REGRESSION, {"objective": name, **ROOT})
        for name in ("regression", "regression_l1", "fair", "quantile", "mape")
    },
    **{
        name: (REGRESSION, {"objective": name, "link": Link.EXP})
        for name in ("poisson", "gamma", "tweedie")
    },
    "cross_entropy": (REGRESSION, {"objective": "cross_entropy", "link": Link.LOGISTIC}),
    "cross_entropy of classes": (BINARY, {"objective": "cross_entropy"}),
    "binary": (BINARY, {}),
    "binary unbalanced": (BINARY, {"is_unbalance": True}),
    "binary sigmoid": (BINARY, {"sigmoid": 0.7}),
    "multiclass": (MULTICLASS, {}),
    "forest": (REGRESSION, FOREST),
    "forest of classes": (MULTICLASS, FOREST),
    "forest sigmoid": (BINARY, {"sigmoid": 2.5, **FOREST}),
    "forest poisson": (REGRESSION, {"objective": "poisson", "link": Link.EXP, **FOREST}),
    "dart gamma": (REGRESSION, {"objective": "gamma", "link": Link.EXP, "boosting": "dart"}),
    "monotone": (REGRESSION, {"monotone_constraints": [1, -1, *[0] * 9]}),
    "quantized": (REGRESSION, {"use_quantized_grad": True}),
    "path_smooth": (REGRESSION, {"path_smooth": 3.0, "num_leaves": 127}),
    "forced bins": (REGRESSION, {"max_bin": 4, "max_depth": 3}),
}


@cache
def get_model(name: str) -> FittedModel:
    problem_type, params = CONSTRUCTS[name]
    return fit_trees(problem_type, **params)


@cache
def get_data(name: str) -> bytes:
    return compile_model(get_model(name)).data


def expect_raw(name: str, rows: list[Row]) -> NDArray[np.float64]:
    """LightGBM's raw scores, with what it does to them before its link."""
    params = CONSTRUCTS[name][1]
    raw = score_with_lightgbm(get_model(name), make_table(rows))
    if params.get("boosting") == "rf":
        raw /= params["rounds"]
    return raw * float(params.get("sigmoid", 1.0))


@pytest.mark.parametrize("name", CONSTRUCTS)
@given(rows=st.lists(hostile_rows(), min_size=1, max_size=8))
@settings(max_examples=12, deadline=None)
def test_raw_scores_are_bit_equal_to_lightgbm(name, rows):
    expected = expect_raw(name, rows)
    data = get_data(name)
    assert Scorer(data, "m").raw_scores(make_table(rows)).tobytes() == expected.tobytes()
    reference = ReferencePredictor(data)
    assert np.array([reference.raw_scores(row) for row in rows]).tobytes() == expected.tobytes()


@pytest.mark.parametrize("name", CONSTRUCTS)
def test_responses_are_those_of_lightgbm(name):
    rows = [row for row in training_rows(400, 0) if as_json(row)][:150]
    model = get_model(name)
    predicted = booster_of(model).predict(encode(model.features, make_table(rows)))
    expected = np.asarray(predicted).reshape(len(rows), -1)
    opened, reference = _scoring.open(get_data(name), "m"), ReferencePredictor(get_data(name))
    for row, responses in zip(rows, expected, strict=True):
        text = as_json(row)
        if model.problem_type is REGRESSION:
            answers: list[Any] = [opened.predict_json(text, True)]
            assert answers == [reference.predict(row)]
        else:
            answers = [opened.probability_json(text, True, label) for label in model.classes]
            assert answers == reference.probabilities(row)
            assert opened.predict_json(text, True) == reference.predict(row)
        # LightGBM gives only the second class of two.
        np.testing.assert_allclose(answers[-len(responses) :], responses, rtol=ULPS)
    assert len(np.unique(expected[:, -1])) > 5


@pytest.mark.parametrize("best", [1, 5])
def test_the_trees_are_those_that_predict_uses(best):
    model = fit_trees(REGRESSION, rounds=8)
    booster = booster_of(model)
    table = make_table(training_rows(50, 1))
    assert booster.num_trees() == 8
    booster.best_iteration = best
    scores = Scorer(compile_model(model).data, "m").raw_scores(table)
    assert scores.tobytes() == score_with_lightgbm(model, table).tobytes()
    booster.best_iteration = -1
    assert scores.tobytes() != score_with_lightgbm(model, table).tobytes()


@pytest.mark.parametrize("link", [Link.EXP, Link.EXPM1, Link.SQUARE, Link.LOGISTIC])
def test_a_target_that_was_transformed_before_training_is_turned_back(link):
    model = fit_trees(REGRESSION, link=link)
    data = compile_model(model).data
    row = {**training_rows(1, 0)[0], "seen at": None}
    (raw,) = ReferencePredictor(data).raw_scores(row)
    expected = {
        Link.EXP: math.exp(raw),
        Link.EXPM1: math.expm1(raw),
        Link.SQUARE: math.copysign(raw**2, raw),
        Link.LOGISTIC: 1 / (1 + math.exp(-raw)),
    }[link]
    assert _scoring.open(data, "m").predict_json(as_json(row), True) == expected
    assert expected != raw
