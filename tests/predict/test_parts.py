"""
Models of many parts, drawn at random: core and reference predictor agree to the last bit,
with LightGBM where it is one booster, and with numpy on what a blend is.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import expit, softmax

from sqlml import _scoring
from sqlml.compile.artifact import compile_model
from sqlml.enums import EstimatorName, ProblemType
from sqlml.predict.reference import ReferencePredictor
from sqlml.predict.scorer import Scorer
from sqlml.search.features import plain_features
from sqlml.search.fitted import LINKS, Blend, FittedModel, Link, Part, TreePart
from tests.predict.forests import Shape, draw_booster
from tests.predict.models import (
    COLUMNS,
    Row,
    draw_linear,
    get_output_count,
    hostile_rows,
    make_model,
    make_table,
    score_with_lightgbm,
    training_rows,
)
from tests.predict.test_json import as_json

FEATURES = plain_features(make_table(training_rows(400, 0)), COLUMNS)
OBJECTIVES = {
    ProblemType.BINARY: "binary sigmoid:1",
    ProblemType.MULTICLASS: "multiclass num_class:3",
    ProblemType.REGRESSION: "regression",
}
UNBLENDED = (Link.EXPM1, Link.SQUARE)
RESPONSES = [
    (problem, link) for problem in ProblemType for link in LINKS[problem] if link not in UNBLENDED
]
ROWS = st.lists(hostile_rows(), min_size=1, max_size=6)


def draw_part(problem_type: ProblemType, seed: int, is_tame: bool = False) -> Part:
    """Draw linear terms or trees."""
    if seed % 3 == 0:
        (part,) = draw_linear(problem_type, seed, features=FEATURES).parts
        return part
    shape = Shape(
        feature_count=len(FEATURES),
        output_count=get_output_count(problem_type),
        iterations=1 + seed % 5,
        max_leaves=2 + seed % 40,
        objective=OBJECTIVES[problem_type],
        is_average=seed % 4 == 1,
        is_tame=is_tame,
    )
    return TreePart(estimator=EstimatorName.LIGHTGBM, booster=draw_booster(shape, seed))


@st.composite
def fitted_models(draw: st.DrawFn, is_tame: bool = False) -> FittedModel:
    """Any model that can be compiled, on the columns of `models`."""
    problem_type = draw(st.sampled_from(ProblemType))
    numbers = st.floats(-3, 3) if is_tame else st.floats(-1e12, 1e12)
    blend = draw(st.sampled_from(Blend))
    links = [link for link in LINKS[problem_type] if blend is Blend.RAW or link not in UNBLENDED]
    seeds = draw(st.lists(st.integers(0, 10_000), min_size=1, max_size=4))
    outputs = get_output_count(problem_type)
    is_binary = problem_type is ProblemType.BINARY
    return replace(
        make_model(problem_type, FEATURES, draw_part(problem_type, seeds[0])),
        parts=tuple(draw_part(problem_type, seed, is_tame) for seed in seeds),
        weights=tuple(
            draw(st.lists(numbers, min_size=len(seeds), max_size=len(seeds)).filter(any))
        ),
        blend=blend,
        link=draw(st.sampled_from(links)),
        scale=draw(st.just(1.0) | numbers),
        offsets=tuple(draw(st.just([]) | st.lists(numbers, min_size=outputs, max_size=outputs))),
        threshold=draw(numbers) if is_binary else 0.0,
    )


@given(model=fitted_models(), rows=ROWS)
@settings(max_examples=1000, deadline=None)
def test_core_and_reference_are_bit_equal(model, rows):
    data = compile_model(model).data
    reference = ReferencePredictor(data)
    expected = np.array([reference.raw_scores(row) for row in rows])
    actual = Scorer(data, "m").raw_scores(make_table(rows))
    # The sign of a NaN is the compiler's choice.
    assert np.array_equal(np.isnan(actual), np.isnan(expected))
    assert np.nan_to_num(actual).tobytes() == np.nan_to_num(expected).tobytes()


@given(model=fitted_models(), row=hostile_rows())
@settings(max_examples=300, deadline=None)
def test_answers_of_core_and_reference_are_equal(model, row):
    text = as_json(row)
    if text is None:
        return
    data = compile_model(model).data
    opened, reference = _scoring.open(data, "m"), ReferencePredictor(data)
    if model.problem_type is ProblemType.REGRESSION:
        np.testing.assert_array_equal(opened.predict_json(text, True), reference.predict(row))
        return
    assert opened.predict_json(text, True) == reference.predict(row)
    np.testing.assert_array_equal(
        [opened.probability_json(text, True, label) for label in model.classes],
        reference.probabilities(row),
    )


@given(
    problem_type=st.sampled_from(ProblemType),
    seed=st.integers(0, 100_000),
    is_average=st.booleans(),
    rows=ROWS,
)
@settings(max_examples=1000, deadline=None)
def test_boosters_of_any_shape_are_bit_equal_to_lightgbm(problem_type, seed, is_average, rows):
    shape = Shape(
        feature_count=len(FEATURES),
        output_count=get_output_count(problem_type),
        iterations=3,
        max_leaves=1 + seed % 90,
        objective=OBJECTIVES[problem_type],
        is_average=is_average,
    )
    part = TreePart(estimator=EstimatorName.LIGHTGBM, booster=draw_booster(shape, seed))
    model = make_model(problem_type, FEATURES, part)
    table = make_table(rows)
    expected = score_with_lightgbm(model, table) / (shape.iterations if is_average else 1)
    data = compile_model(model).data
    assert Scorer(data, "m").raw_scores(table).tobytes() == expected.tobytes()
    reference = ReferencePredictor(data)
    assert np.array([reference.raw_scores(row) for row in rows]).tobytes() == expected.tobytes()


@dataclass(frozen=True, slots=True)
class Blended:
    """A model of several parts, and the models that the parts are alone."""

    whole: FittedModel
    alone: tuple[FittedModel, ...]

    def score(self, rows: list[Row]) -> tuple[NDArray[np.float64], list[NDArray[np.float64]]]:
        table = make_table(rows)
        return (
            Scorer(compile_model(self.whole).data, "m").raw_scores(table),
            [Scorer(compile_model(each).data, "m").raw_scores(table) for each in self.alone],
        )


def make_blended(problem_type: ProblemType, seed: int, **settings: Any) -> Blended:
    alone = tuple(
        make_model(problem_type, FEATURES, draw_part(problem_type, seed + step, is_tame=True))
        for step in range(3)
    )
    parts = tuple(part for each in alone for part in each.parts)
    return Blended(replace(alone[0], parts=parts, **settings), alone)


@pytest.mark.parametrize("problem_type", ProblemType)
@pytest.mark.parametrize("seed", range(4))
def test_raw_scores_are_blended_in_order_and_calibrated(problem_type, seed):
    weights, scale = (0.3, -1.7, 0.9), 1.3
    offsets = (0.2, -0.1, 5.5)[: get_output_count(problem_type)]
    blended = make_blended(problem_type, seed, weights=weights, scale=scale, offsets=offsets)
    actual, alone = blended.score(training_rows(50, seed))
    total = weights[0] * alone[0] + weights[1] * alone[1] + weights[2] * alone[2]
    assert actual.tobytes() == (scale * total + np.array(offsets)).tobytes()


@pytest.mark.parametrize(("problem_type", "link"), RESPONSES)
@pytest.mark.parametrize("seed", range(4))
def test_responses_are_blended_and_turned_back(problem_type, link, seed):
    weights = (0.5, 0.3, 0.2)
    blended = make_blended(
        problem_type, seed, weights=weights, blend=Blend.RESPONSE, link=link, scale=2.0
    )
    actual, alone = blended.score(training_rows(50, seed))
    respond = {
        Link.IDENTITY: lambda raw: raw,
        Link.EXP: np.exp,
        Link.LOGISTIC: expit,
        Link.SOFTMAX: lambda raw: softmax(raw, axis=1),
    }[link]
    with np.errstate(over="ignore"):
        blend = sum(weight * respond(raw) for weight, raw in zip(weights, alone, strict=True))
        # Near 1 the logit magnifies the last bit of a probability.
        np.testing.assert_allclose(respond(actual / 2), blend, rtol=1e-9, atol=1e-13)
    assert len(np.unique(actual)) > 3


@pytest.mark.parametrize(("weight", "expected"), [(2.0, 1 - 1e-15), (-1.0, 1e-15)])
def test_a_probability_beyond_its_range_is_clipped(weight, expected):
    part = draw_part(ProblemType.BINARY, 3)
    model = make_model(ProblemType.BINARY, FEATURES, part)
    whole = replace(model, parts=(part,) * 3, weights=(weight,) * 3, blend=Blend.RESPONSE)
    rows = training_rows(20, 0)
    scores = Scorer(compile_model(whole).data, "m").raw_scores(make_table(rows))
    assert np.log(expected) - np.log1p(-expected) in scores[:, 0]


def test_the_threshold_decides_between_the_classes():
    part = draw_part(ProblemType.BINARY, 3)
    model = make_model(ProblemType.BINARY, FEATURES, part)
    row = {**training_rows(1, 0)[0], "seen at": None}
    (score,) = ReferencePredictor(compile_model(model).data).raw_scores(row)
    answers = []
    for threshold in (score, np.nextafter(score, -np.inf)):
        moved = compile_model(replace(model, threshold=float(threshold)))
        opened = _scoring.open(moved.data, "m")
        answers.append(opened.predict_json(as_json(row), True))
    assert answers == list(model.classes)
