"""
Core, reference predictor and estimator give the same raw scores.
"""

import math
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sqlml.compile.artifact import compile_model
from sqlml.enums import ProblemType
from sqlml.predict.reference import ReferencePredictor
from sqlml.predict.scorer import Scorer
from sqlml.search.fitted import FittedModel
from tests.predict.models import (
    booster_of,
    draw_linear,
    fit_trees,
    hostile_rows,
    make_table,
    score_with_lightgbm,
    training_rows,
)

SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "zero_as_missing": {"zero_as_missing": True},
    "no_missing": {"use_missing": False},
    "one_leaf": {"min_data_in_leaf": 300},
    "one_against_rest": {"max_cat_to_onehot": 100},
    "extra_trees": {"extra_trees": True, "num_leaves": 127, "min_data_in_leaf": 1},
    "dart": {"boosting": "dart", "rounds": 12},
    "goss": {"data_sample_strategy": "goss"},
    "no_average": {"boost_from_average": False},
}
TREES = [(problem, name) for problem in ProblemType for name in SETTINGS]


@cache
def get_trees(problem_type: ProblemType, name: str) -> FittedModel:
    return fit_trees(problem_type, **SETTINGS[name])


@cache
def get_scorer(problem_type: ProblemType, name: str) -> tuple[Scorer, ReferencePredictor]:
    data = compile_model(get_trees(problem_type, name)).data
    return Scorer(data, "m"), ReferencePredictor(data)


@pytest.mark.parametrize(("problem_type", "name"), TREES)
@given(rows=st.lists(hostile_rows(), min_size=1, max_size=8))
@settings(max_examples=12, deadline=None)
def test_trees_are_bit_equal_to_lightgbm(problem_type, name, rows):
    model = get_trees(problem_type, name)
    scorer, reference = get_scorer(problem_type, name)
    table = make_table(rows)
    expected = score_with_lightgbm(model, table)
    assert scorer.raw_scores(table).tobytes() == expected.tobytes()
    assert np.array([reference.raw_scores(row) for row in rows]).tobytes() == expected.tobytes()


@pytest.mark.parametrize(("problem_type", "name"), TREES)
def test_training_rows_are_bit_equal_to_lightgbm(problem_type, name):
    table = make_table(training_rows(400, 0))
    scores = get_scorer(problem_type, name)[0].raw_scores(table)
    expected = score_with_lightgbm(get_trees(problem_type, name), table)
    assert scores.tobytes() == expected.tobytes()
    if name != "one_leaf":
        assert len(np.unique(scores)) > 10


def test_values_at_and_beside_every_threshold_are_bit_equal_to_lightgbm():
    model = get_trees(ProblemType.REGRESSION, "extra_trees")
    trees = booster_of(model).trees_to_dataframe()
    is_amount = (trees.split_feature == "Column_0") & (trees.decision_type == "<=")
    thresholds = np.unique(trees[is_amount].threshold.astype(float))
    assert len(thresholds) > 10
    values = np.concatenate(
        [thresholds, np.nextafter(thresholds, np.inf), np.nextafter(thresholds, -np.inf)]
    )
    base = {"größe": None, "is_new": True, "city": "Paris", "seen at": 0}
    table = make_table([{**base, "amount": float(value)} for value in values])
    scores = get_scorer(ProblemType.REGRESSION, "extra_trees")[0].raw_scores(table)
    assert scores.tobytes() == score_with_lightgbm(model, table).tobytes()


def test_numbers_as_good_as_zero_are_zero_as_in_lightgbm():
    model = get_trees(ProblemType.REGRESSION, "extra_trees")
    trees = booster_of(model).trees_to_dataframe()
    limit = float(np.float32(1e-35))
    # The root of LightGBM's own zero: there -1e-35f goes another way than it compares.
    assert -limit in set(trees[trees.split_feature == "Column_1"].threshold.astype(float))
    values = (-limit, np.nextafter(-limit, -1), np.nextafter(-limit, 1), limit, 5e-324, -5e-324)
    base = {"amount": None, "is_new": True, "city": "Paris", "seen at": 0}
    table = make_table([{**base, "größe": float(value)} for value in values])
    scores = get_scorer(ProblemType.REGRESSION, "extra_trees")[0].raw_scores(table)
    assert scores.tobytes() == score_with_lightgbm(model, table).tobytes()
    assert scores[0] == scores[2] != scores[1]


def test_numbers_that_are_categories_to_the_booster_are_cut_as_in_lightgbm():
    model = fit_trees(ProblemType.REGRESSION, as_codes=("größe",), num_leaves=127, rounds=30)
    base = {"amount": None, "is_new": True, "city": "Paris", "seen at": 0}
    values = (-2.0, -1.0, -0.9, -0.0, 0.9, 1.0, 1.9, 5.0, 63.0, 1e9, 2.0**31, 1e300, math.inf)
    table = make_table([{**base, "größe": value} for value in (*values, -math.inf)])
    data = compile_model(model).data
    scores = Scorer(data, "m").raw_scores(table)
    assert scores.tobytes() == score_with_lightgbm(model, table).tobytes()
    assert [[score] for score in scores[:, 0]] == [
        ReferencePredictor(data).raw_scores(row) for row in table.to_pylist()
    ]
    assert len(np.unique(scores)) > 3


@pytest.mark.parametrize("problem_type", ProblemType)
@given(rows=st.lists(hostile_rows(), min_size=1, max_size=8), seed=st.integers(0, 5))
@settings(max_examples=15, deadline=None)
def test_linear_scores_of_core_and_reference_are_bit_equal(problem_type, rows, seed):
    data = compile_model(draw_linear(problem_type, seed)).data
    reference = ReferencePredictor(data)
    expected = np.array([reference.raw_scores(row) for row in rows])
    assert Scorer(data, "m").raw_scores(make_table(rows)).tobytes() == expected.tobytes()


def test_scores_of_no_rows():
    scorer, _ = get_scorer(ProblemType.MULTICLASS, "plain")
    assert scorer.raw_scores(make_table([])).shape == (0, 3)


def test_scores_of_sliced_and_chunked_columns():
    rows = training_rows(30, 1)
    scorer, _ = get_scorer(ProblemType.BINARY, "plain")
    whole = scorer.raw_scores(make_table(rows))
    table = make_table(rows)
    assert (scorer.raw_scores(table.slice(7, 11)) == whole[7:18]).all()
    parts = [make_table(rows[:10]), make_table(rows[10:])]
    chunked = type(table).from_batches([b for part in parts for b in part.to_batches()])
    assert (scorer.raw_scores(chunked) == whole).all()
