"""
Two thousand random models: the core's raw scores are LightGBM's to the last bit, and
scikit-learn's as near as another order of additions allows.
"""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression, Ridge

from sqlml.compile.artifact import compile_model
from sqlml.enums import ProblemType
from sqlml.predict.reference import ReferencePredictor
from sqlml.predict.scorer import Scorer
from sqlml.search.encoder import encode
from sqlml.search.fitted import CodeTerm, FittedModel, LinearPart, NumericTerm
from tests.predict.models import draw_linear, fit_trees
from tests.predict.random_models import (
    COLUMNS,
    Size,
    draw_features,
    draw_rows,
    draw_trees,
    score_drawn,
)

ROW_COUNT = 64
SEEDS = st.integers(0, 2**32 - 1)


def check_trees(model: FittedModel, table: pa.Table) -> None:
    """Core and LightGBM give the same bits; of a few rows also the reference predictor."""
    data = compile_model(model).data
    expected = score_drawn(model, table)
    assert Scorer(data, "m").raw_scores(table).tobytes() == expected.tobytes()
    reference = ReferencePredictor(data)
    rows = table.slice(0, 2).to_pylist()
    assert [reference.raw_scores(row) for row in rows] == expected[:2].tolist()


@pytest.mark.parametrize("problem_type", ProblemType)
@given(seed=SEEDS)
@settings(max_examples=500, deadline=None)
def test_drawn_trees_are_bit_equal_to_lightgbm(problem_type, seed):
    model = draw_trees(seed, problem_type, Size())
    check_trees(model, draw_rows(seed, model, ROW_COUNT))


@pytest.mark.parametrize("iterations", [60, 300])
@given(seed=SEEDS)
@settings(max_examples=8, deadline=None)
def test_large_drawn_models_are_bit_equal_to_lightgbm(iterations, seed):
    size = Size(iterations=iterations, leaf_counts=(31, 63, 64))
    model = draw_trees(seed, ProblemType.REGRESSION, size)
    check_trees(model, draw_rows(seed, model, ROW_COUNT))


@pytest.mark.parametrize("problem_type", ProblemType)
@given(
    seed=SEEDS,
    params=st.fixed_dictionaries(
        {
            "num_leaves": st.integers(2, 40),
            "max_bin": st.sampled_from((3, 255)),
            "rounds": st.integers(1, 10),
            "boosting": st.sampled_from(("gbdt", "dart")),
            "learning_rate": st.sampled_from((0.1, 1.0)),
            "zero_as_missing": st.booleans(),
            "use_missing": st.booleans(),
            "extra_trees": st.booleans(),
            "max_cat_to_onehot": st.sampled_from((1, 4, 100)),
        }
    ),
)
@settings(max_examples=100, deadline=None)
def test_trained_trees_are_bit_equal_to_lightgbm(problem_type, seed, params):
    features = draw_features(np.random.default_rng(seed))
    drawn = draw_trees(seed, problem_type, Size())
    table = draw_rows(seed, replace(drawn, features=features), 150)
    model = fit_trees(problem_type, seed, table=table, features=features, columns=COLUMNS, **params)
    check_trees(model, draw_rows(seed + 1, model, ROW_COUNT))


@pytest.mark.parametrize("problem_type", ProblemType)
@given(seed=SEEDS)
@settings(max_examples=100, deadline=None)
def test_drawn_linear_models_are_as_scikit_learn(problem_type, seed):
    features = draw_features(np.random.default_rng(seed))
    model = draw_linear(problem_type, seed, features=features, columns=COLUMNS)
    trees = draw_trees(seed, problem_type, Size())
    table = draw_rows(seed, trees, ROW_COUNT)
    data = compile_model(model).data
    scores = Scorer(data, "m").raw_scores(table)
    reference = ReferencePredictor(data)
    assert scores.tolist() == [reference.raw_scores(row) for row in table.to_pylist()]
    expected, magnitude = score_with_scikit_learn(model, table)
    # Each of n additions and multiplications may round by half an ulp of what it has added.
    tolerance = 4 * (len(features) + 2) * np.finfo(float).eps * magnitude
    assert (np.abs(scores - expected) <= tolerance).all()


def score_with_scikit_learn(model: FittedModel, table: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    """The estimator's own scores, and the sum of what each has added, signs left out."""
    (part,) = model.parts
    assert isinstance(part, LinearPart)
    encoded = encode(model.features, table)
    blocks, weights = [], []
    for term in part.terms:
        assert isinstance(term, CodeTerm | NumericTerm)
        values = encoded[:, term.feature]
        if isinstance(term, CodeTerm):
            blocks.append(np.eye(len(term.weights))[values.astype(int)])
            weights.append(term.weights)
        else:
            blocks.append(_make_numeric_columns(term, values))
            weights.append(np.vstack([term.weights, term.missing_weights]))
    design, coefficients = np.hstack(blocks), np.vstack(weights).T
    magnitude = np.abs(design) @ np.abs(coefficients.T) + np.abs(part.intercepts)
    estimator: Ridge | LogisticRegression
    if model.problem_type is ProblemType.REGRESSION:
        estimator = Ridge()
        estimator.coef_, estimator.intercept_ = coefficients[0], part.intercepts[0]
        return estimator.predict(design).reshape(-1, 1), magnitude
    estimator = LogisticRegression()
    estimator.classes_ = np.array(model.classes)
    estimator.coef_, estimator.intercept_ = coefficients, part.intercepts
    return estimator.decision_function(design).reshape(len(design), -1), magnitude


def _make_numeric_columns(term: NumericTerm, values: np.ndarray) -> np.ndarray:
    """The scaled value, 0 where it is missing, and whether it is missing."""
    is_missing = np.isnan(values)
    scaled = (np.clip(values, term.low, term.high) - term.mean) * term.inverse_scale
    return np.column_stack([np.where(is_missing, 0.0, scaled), is_missing])
