"""
What each column adds to a raw score: LightGBM's `pred_contrib` for trees, the terms
themselves for linear parts, and sums of these for models of several parts.
"""

import re
import struct
from dataclasses import replace

import lightgbm as lgb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sqlml.compile.artifact import compile_model
from sqlml.enums import ColumnKind, EstimatorName, ProblemType
from sqlml.errors import ContributionsNotSupported
from sqlml.extract.dataset import Column
from sqlml.predict.scorer import Scorer
from sqlml.search.encoder import encode
from sqlml.search.fitted import (
    Blend,
    CodeTerm,
    Feature,
    FeatureOp,
    FittedModel,
    ForestPart,
    LinearPart,
    Link,
    NumericTerm,
    Tree,
    TreePart,
)
from tests.predict.constructs import draw_model, draw_table
from tests.predict.forests import Shape, draw_booster
from tests.predict.models import (
    COLUMNS,
    booster_of,
    draw_linear,
    fit_trees,
    get_output_count,
    hostile_rows,
    make_model,
    make_table,
    seal,
    training_rows,
)
from tests.predict.test_agreement import SETTINGS
from tests.predict.test_parts import FEATURES, fitted_models

SUM_TOLERANCE = 1e-12
"""Of the sum of absolute contributions, as docs/artifact.md says."""
TOLERANCE = 1e-9
"""Of LightGBM's largest contribution."""
TREES = [(problem, name) for problem in ProblemType for name in SETTINGS]
ROWS = make_table(training_rows(60, 1))


def sum_columns(model: FittedModel, by_feature: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum LightGBM's (rows, outputs, features + 1) over the features of each column."""
    names = [column.name for column in model.columns]
    summed = np.zeros((*by_feature.shape[:2], len(names) + 1))
    for index, feature in enumerate(model.features):
        summed[:, :, names.index(feature.column)] += by_feature[:, :, index]
    summed[:, :, -1] = by_feature[:, :, -1]
    return summed


def expect_contributions(model: FittedModel, table: object) -> NDArray[np.float64]:
    """LightGBM's own, by column."""
    matrix = encode(model.features, table)
    booster = booster_of(model)
    by_feature = np.asarray(booster.predict(matrix, pred_contrib=True, num_threads=1))
    shape = (len(matrix), get_output_count(model.problem_type), len(model.features) + 1)
    return sum_columns(model, by_feature.reshape(shape))


def check_sum(model: FittedModel, table: object) -> NDArray[np.float64]:
    """Check that contributions and base give the raw score."""
    scorer = Scorer(compile_model(model).data, "m")
    contributions = scorer.contributions(table)
    scores = scorer.raw_scores(table)
    size = np.abs(contributions).sum(axis=2)
    assert (np.abs(contributions.sum(axis=2) - scores) <= SUM_TOLERANCE * size + 1e-300).all()
    return contributions


@pytest.mark.parametrize(("problem_type", "name"), TREES)
def test_contributions_of_trees_are_those_of_lightgbm(problem_type, name):
    model = fit_trees(problem_type, **SETTINGS[name])
    actual, expected = check_sum(model, ROWS), expect_contributions(model, ROWS)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=TOLERANCE * np.abs(expected).max())
    if name != "one_leaf":
        assert (np.abs(expected[:, :, :-1]).max(axis=(0, 1)) > 0).sum() >= 3


@given(seed=st.integers(0, 10_000), rows=st.lists(hostile_rows(), min_size=1, max_size=4))
@settings(max_examples=300, deadline=None)
def test_contributions_of_any_trees_are_those_of_lightgbm(seed, rows):
    shape = Shape(feature_count=len(FEATURES), max_leaves=1 + seed % 60, is_tame=True)
    part = TreePart(estimator=EstimatorName.LIGHTGBM, booster=draw_booster(shape, seed))
    model = make_model(ProblemType.REGRESSION, FEATURES, part)
    table = make_table(rows)
    actual, expected = check_sum(model, table), expect_contributions(model, table)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=TOLERANCE * np.abs(expected).max())


@pytest.mark.parametrize("problem_type", ProblemType)
def test_contributions_of_linear_parts_are_their_terms(problem_type):
    model = draw_linear(problem_type)
    (part,) = model.parts
    assert isinstance(part, LinearPart)
    matrix = encode(model.features, ROWS)
    by_feature = np.zeros((len(matrix), len(part.intercepts), len(model.features) + 1))
    by_feature[:, :, -1] = part.intercepts
    for term in part.terms:
        assert isinstance(term, CodeTerm | NumericTerm)
        values = matrix[:, term.feature]
        if isinstance(term, CodeTerm):
            by_feature[:, :, term.feature] = term.weights[values.astype(int)]
            continue
        scaled = (np.clip(values, term.low, term.high) - term.mean) * term.inverse_scale
        present = scaled[:, None] * term.weights
        by_feature[:, :, term.feature] = np.where(
            np.isnan(values)[:, None], term.missing_weights, present
        )
    np.testing.assert_allclose(check_sum(model, ROWS), sum_columns(model, by_feature), rtol=1e-12)


@given(model=fitted_models(is_tame=True), row=hostile_rows())
@settings(max_examples=200, deadline=None)
def test_contributions_of_any_blend_of_raw_scores_sum_to_its_raw_scores(model, row):
    check_sum(replace(model, blend=Blend.RAW), make_table([row]))


def test_contributions_of_parts_are_weighted_and_calibrated():
    first, second = fit_trees(ProblemType.REGRESSION), draw_linear(ProblemType.REGRESSION)
    whole = replace(
        first,
        parts=(*first.parts, *second.parts),
        weights=(0.25, 3.0),
        scale=-2.0,
        offsets=(7.0,),
        link=Link.EXP,
    )
    alone = [check_sum(model, ROWS) for model in (first, second)]
    expected = -2 * (0.25 * alone[0] + 3 * alone[1])
    expected[:, :, -1] += 7
    np.testing.assert_allclose(check_sum(whole, ROWS), expected, rtol=1e-12, atol=1e-9)


def test_contributions_of_a_forest_are_averaged_and_those_of_a_sigmoid_multiplied():
    model = fit_trees(
        ProblemType.BINARY,
        boosting="rf",
        bagging_freq=1,
        bagging_fraction=0.6,
        rounds=7,
        sigmoid=0.5,
    )
    expected = expect_contributions(model, ROWS) / 7 * 0.5
    np.testing.assert_allclose(check_sum(model, ROWS), expected, rtol=0, atol=1e-12)


def test_a_blend_of_responses_has_no_contributions():
    model = replace(draw_linear(ProblemType.BINARY), blend=Blend.RESPONSE)
    with pytest.raises(ContributionsNotSupported) as caught:
        Scorer(compile_model(model).data, "churn").contributions(ROWS)
    assert caught.value.message == 'model "churn" has no contributions'
    assert caught.value.detail == (
        "a model that blends the responses of its parts has no contributions."
    )


def make_stair(
    depth: int, features: tuple[Feature, ...], columns: tuple[Column, ...]
) -> FittedModel:
    """A tree of which every split has a leaf on its left; the features take turns."""
    leaf_count = depth + 1
    nodes = range(depth)
    fields = {
        "num_leaves": leaf_count,
        "num_cat": 0,
        "split_feature": [node % len(features) for node in nodes],
        "split_gain": [1] * depth,
        "threshold": [-float(node) for node in nodes],
        "decision_type": [8] * depth,
        "left_child": [~node for node in nodes],
        "right_child": [*range(1, depth), ~depth],
        "leaf_value": [1 / (1 + leaf) for leaf in range(leaf_count)],
        "leaf_weight": [1] * leaf_count,
        "leaf_count": [3] * leaf_count,
        "internal_value": [0] * depth,
        "internal_weight": [1] * depth,
        "internal_count": [3 * (leaf_count - node) for node in nodes],
        "is_linear": 0,
        "shrinkage": 1,
    }
    tree = "".join(
        f"{key}={' '.join(map(str, value)) if isinstance(value, list) else value}\n"
        for key, value in fields.items()
    )
    text = draw_booster(Shape(feature_count=len(features), iterations=1), 0).model_to_string()
    head = "\n".join(line for line in text.split("\n\n")[0].split("\n") if "tree_sizes" not in line)
    booster = lgb.Booster(model_str=f"{head}\n\nTree=0\n{tree}\n\nend of trees\n")
    part = TreePart(estimator=EstimatorName.LIGHTGBM, booster=booster)
    return make_model(ProblemType.REGRESSION, features, part, columns)


def test_ways_through_many_features_have_contributions_that_sum_to_the_raw_score():
    columns = tuple(Column(f"x{i}", "real", ColumnKind.NUMERIC) for i in range(400))
    features = tuple(Feature(column=column.name, op=FeatureOp.VALUE) for column in columns)
    model = make_stair(400, features, columns)
    values = np.random.default_rng(0).normal(size=(20, 400)) - 2 * np.arange(400)
    table = pa.table({f"x{i}": values[:, i] for i in range(400)})
    contributions = check_sum(model, table)
    assert np.abs(contributions).max() < 1


def test_deep_trees_have_contributions_up_to_the_limit():
    check_sum(make_stair(512, FEATURES, COLUMNS), ROWS)
    with pytest.raises(ContributionsNotSupported) as caught:
        Scorer(compile_model(make_stair(513, FEATURES, COLUMNS)).data, "m").contributions(ROWS)
    assert caught.value.detail == "a tree of the model is too deep for contributions."


def test_leaves_without_rows_do_no_harm():
    model = fit_trees(ProblemType.REGRESSION, rounds=1, num_leaves=8)
    data = bytearray(compile_model(model).data)
    struct.pack_into("<8I", data, len(data) - 32 - 4 * count_words(model), *[0] * 8)
    scorer = Scorer(seal(bytes(data)), "m")
    contributions = scorer.contributions(ROWS)
    assert np.isfinite(contributions).all()
    np.testing.assert_allclose(contributions.sum(axis=2), scorer.raw_scores(ROWS), rtol=1e-9)


def count_words(model: FittedModel) -> int:
    """The words of category sets of a booster's only tree."""
    text = booster_of(model).model_to_string()
    (words,) = re.findall("cat_threshold=(.*)", text) or [""]
    return len(words.split())


@given(seed=st.integers(0, 2**32 - 1), problem_type=st.sampled_from(ProblemType))
@settings(max_examples=60, deadline=None)
def test_contributions_of_every_construct_sum_to_the_raw_score(seed, problem_type):
    model = draw_model(seed, problem_type)
    if model.blend is Blend.RESPONSE:
        model = replace(model, blend=Blend.RAW, links=())
    # Leaves of 1e300 leave nothing of the others.
    weights = tuple(
        0.0 if isinstance(part, TreePart) else weight
        for part, weight in zip(model.parts, model.weights, strict=True)
    )
    if not any(weights):
        return
    model = replace(model, weights=weights)
    check_sum(model, draw_table(seed, model, 6))


def make_scored(line: LinearPart, features: tuple[Feature, ...]) -> FittedModel:
    """A tree of two splits on a number and on the score of a linear part without weight."""
    tree = Tree(
        feature=np.array([0, 1], dtype=np.int32),
        threshold=np.array([0.25, 1.5]),
        left=np.array([1, -1], dtype=np.int32),
        right=np.array([-3, -2], dtype=np.int32),
        missing_left=np.array([True, False]),
        values=np.array([[1.0], [5.0], [-2.0]]),
        counts=np.array([30, 20, 50], dtype=np.int32),
    )
    score = Feature(column="", op=FeatureOp.SCORE, source=0)
    forest = ForestPart(
        estimator=EstimatorName.LIGHTGBM,
        trees=(tree,),
        features=(len(features), 0),
        is_average=False,
    )
    return FittedModel(
        problem_type=ProblemType.REGRESSION,
        target=COLUMNS[0],
        classes=(),
        columns=COLUMNS,
        features=(*features, score),
        parts=(line, forest),
        weights=(0.0, 1.0),
    )


def make_number_term(feature: int, weight: float) -> NumericTerm:
    return NumericTerm(
        feature=feature,
        low=-1e6,
        high=1e6,
        mean=0.0,
        inverse_scale=1.0,
        weights=np.array([weight]),
        missing_weights=np.zeros(1),
    )


def share(amount: float, size: float) -> NDArray[np.float64]:
    """
    The contributions of `make_scored` with the line 2 amount - 3 größe, by hand: the score
    first asks whether it is at most 0.25, then the amount whether it is at most 1.5.
    """
    left, low = 0.5, 0.6

    def value(has_score: bool, has_amount: bool) -> float:
        low_share = float(amount <= 1.5) if has_amount else low
        left_share = float(2 * amount - 3 * size <= 0.25) if has_score else left
        return left_share * (1.0 * low_share + 5.0 * (1 - low_share)) - 2.0 * (1 - left_share)

    nothing, both = value(False, False), value(True, True)
    of_score = (value(True, False) - nothing + both - value(False, True)) / 2
    of_amount = (value(False, True) - nothing + both - value(True, False)) / 2
    terms = np.array([2 * amount, -3 * size])
    total = terms.sum()
    shares = terms / total if abs(total) >= 1e-12 else np.full(2, 0.5)
    return np.array([of_amount + of_score * shares[0], of_score * shares[1], 0, 0, 0, nothing])


def test_what_a_score_adds_goes_to_the_columns_of_its_part():
    features = (
        Feature(column="amount", op=FeatureOp.VALUE),
        Feature(column="größe", op=FeatureOp.VALUE),
    )
    terms = (make_number_term(0, 2.0), make_number_term(1, -3.0))
    line = LinearPart(estimator=EstimatorName.LINEAR, intercepts=np.zeros(1), terms=terms)
    values = [(1.0, 0.5), (2.0, 0.5), (2.0, 3.0), (0.1, -4.0), (3.0, 2.0), (0.0, 0.0), (1.5, 1.0)]
    base = {"is_new": None, "city": None, "seen at": None}
    table = make_table([{"amount": amount, "größe": size, **base} for amount, size in values])
    actual = check_sum(make_scored(line, features), table)[:, 0, :]
    expected = [share(amount, size) for amount, size in values]
    np.testing.assert_allclose(actual, expected, rtol=1e-12, atol=1e-12)
