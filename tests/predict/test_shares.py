"""
Contributions of models with scores and texts: they sum to the raw score, and what a score adds
goes to the columns of its linear part.
"""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from sqlml.compile.artifact import compile_model
from sqlml.enums import ColumnKind, EstimatorName, ProblemType
from sqlml.extract.dataset import Column
from sqlml.predict.scorer import Scorer
from sqlml.search.fitted import (
    Blend,
    Feature,
    FeatureOp,
    FittedModel,
    ForestPart,
    LinearPart,
    NumericTerm,
    Tree,
)
from tests.predict.constructs import draw_model, draw_table

SUM_TOLERANCE = 1e-12
"""Of the sum of absolute contributions, as docs/artifact.md says."""
ORDINARY = 1e9
NUMBERS = tuple(Column(name, "double precision", ColumnKind.NUMERIC) for name in "abc")
FEATURES = (
    *(Feature(column=column.name, op=FeatureOp.VALUE) for column in NUMBERS),
    Feature(column="", op=FeatureOp.SCORE),
)
STUMP = Tree(
    feature=np.array([3], dtype=np.int32),
    threshold=np.array([0.5]),
    left=np.array([-1], dtype=np.int32),
    right=np.array([-2], dtype=np.int32),
    missing_left=np.array([False]),
    values=np.array([[1.0], [5.0]]),
    counts=np.array([3, 1], dtype=np.int32),
)


def make_line(**weights: float) -> LinearPart:
    """A linear part with an intercept of 0.25 and a term for each named column."""
    terms = tuple(
        NumericTerm(
            feature="abc".index(name),
            low=-10.0,
            high=10.0,
            mean=0.0,
            inverse_scale=1.0,
            weights=np.array([weight]),
            missing_weights=np.zeros(1),
        )
        for name, weight in weights.items()
    )
    return LinearPart(estimator=EstimatorName.LINEAR, intercepts=np.array([0.25]), terms=terms)


def explain(line: LinearPart, row: tuple[float, ...]) -> list[float]:
    """What a, b, c and the base add in a model of one split on the line's score."""
    model = FittedModel(
        problem_type=ProblemType.REGRESSION,
        target=NUMBERS[0],
        classes=(),
        columns=NUMBERS,
        features=FEATURES,
        parts=(
            line,
            ForestPart(
                estimator=EstimatorName.LIGHTGBM,
                trees=(STUMP,),
                features=(0, 1, 2, 3),
                is_average=False,
            ),
        ),
        weights=(0.0, 2.0),
    )
    table = pa.table({column.name: [value] for column, value in zip(NUMBERS, row, strict=True)})
    return list(Scorer(compile_model(model).data, "m").contributions(table)[0, 0])


@pytest.mark.parametrize("problem_type", ProblemType)
def test_contributions_of_every_construct_sum_to_the_raw_score(problem_type):
    checked = 0
    for seed in range(40):
        model = draw_model(seed, problem_type)
        if model.blend is Blend.RESPONSE:
            continue
        table = draw_table(seed, model, 6)
        scorer = Scorer(compile_model(model).data, "m")
        shares = scorer.contributions(table)
        sizes = np.abs(shares).sum(axis=2)
        errors = np.abs(shares.sum(axis=2) - scorer.raw_scores(table))
        # Leaves and numbers that cancel out within a column leave only their rounding.
        ordinary = sizes < ORDINARY
        checked += ordinary.sum()
        assert (errors[ordinary] <= SUM_TOLERANCE * sizes[ordinary]).all()
    assert checked > 0


def test_what_a_score_adds_goes_to_columns_by_their_terms():
    # The base is 2 * (3 * 1 + 1 * 5) / 4 = 4, the row has 10; terms add 3 and -1.
    found = explain(make_line(a=3.0, b=-1.0), (1.0, 1.0, 7.0))
    np.testing.assert_allclose(found, [6 * 1.5, 6 * -0.5, 0.0, 4.0], rtol=1e-14)


def test_two_terms_of_a_column_share_as_one():
    line = make_line(a=1.0, b=2.0)
    twice = replace(line, terms=(*line.terms, line.terms[0]))
    np.testing.assert_allclose(explain(twice, (1.0, 1.0, 0.0)), [3.0, 3.0, 0.0, 4.0], rtol=1e-14)


def test_terms_that_cancel_out_share_equally():
    # The score is 0.25, which goes left: 2 in all.
    found = explain(make_line(a=3.0, c=-3.0), (1.0, 7.0, 1.0))
    np.testing.assert_allclose(found, [-1.0, 0.0, -1.0, 4.0], rtol=1e-14)


def test_a_score_without_terms_is_part_of_the_base():
    np.testing.assert_allclose(explain(make_line(), (1.0, 2.0, 3.0)), [0.0, 0.0, 0.0, 2.0])
