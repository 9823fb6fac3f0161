"""
A row that comes as lists of numbers, texts and moments is scored as the row that it was.
"""

import struct

import pytest
from hypothesis import given, settings

from sqlml import _scoring
from sqlml.compile.artifact import compile_model
from sqlml.enums import ProblemType
from sqlml.predict.reference import ReferencePredictor
from tests.predict.models import INT64, draw_linear, fit_trees, hostile_rows

MODELS = {
    problem_type: compile_model(make(problem_type)).data
    for problem_type, make in (
        (ProblemType.REGRESSION, fit_trees),
        (ProblemType.BINARY, fit_trees),
        (ProblemType.MULTICLASS, draw_linear),
    )
}
NUMBERS, TEXTS, MOMENTS = ["unused", "is_new", "größe", "amount"], ["city"], ["seen at"]


def make_lists(row):
    """Lay a row out as PL/Python gets it; the moments as timestamp_send writes them."""
    micros = row["seen at"]
    return (
        [0.5, None if row["is_new"] is None else float(row["is_new"]), row["größe"], row["amount"]],
        [row["city"]],
        [None if micros is None else struct.pack(">q", micros)],
    )


@pytest.mark.parametrize("problem_type", ProblemType)
@given(row=hostile_rows())
@settings(max_examples=60, deadline=None)
def test_lists_are_scored_as_their_row(problem_type, row):
    data = MODELS[problem_type]
    binding = _scoring.open(data, "m").bind(NUMBERS, TEXTS, MOMENTS)
    reference = ReferencePredictor(data)
    # PostgreSQL's infinite timestamps, which are missing.
    expected = row | ({"seen at": None} if row["seen at"] in INT64 else {})
    numbers, texts, moments = make_lists(row)
    assert binding.predict(numbers, texts, moments) == reference.predict(expected)
    for label, probability in zip(
        reference.classes,
        reference.probabilities(expected) if reference.classes else (),
        strict=True,
    ):
        assert binding.probability(numbers, texts, moments, label) == probability


def test_a_column_without_an_argument_is_named():
    model = _scoring.open(MODELS[ProblemType.BINARY], "churn")
    for lists in ((NUMBERS[:3], TEXTS, MOMENTS), ([], [*TEXTS, *NUMBERS], MOMENTS)):
        with pytest.raises(_scoring.ScoringError) as caught:
            model.bind(*lists)
        sqlstate, message, detail, hint = caught.value.args
        assert (sqlstate, message) == ("42703", 'the function has no argument for column "amount"')
        assert detail == 'Model "churn" has changed since the function was made.'
        assert hint is not None
        assert "create_function" in hint


@pytest.mark.parametrize(
    "lists",
    [
        ([1.0], ["a"], [None]),
        (None, ["a"], [None]),
        ([None] * 4, ["a"], [b"123"]),
        ([None] * 4, [5], [None]),
        (["1", None, None, "1"], ["a"], [None]),
        ([None] * 4, ["a"]),
        ([None] * 4, ["\ud800"], [None]),
    ],
)
def test_lists_that_do_not_fit_are_refused(lists):
    binding = _scoring.open(MODELS[ProblemType.BINARY], "m").bind(NUMBERS, TEXTS, MOMENTS)
    with pytest.raises((TypeError, ValueError)):
        binding.predict(*lists)


def test_an_unknown_class_and_the_class_of_a_regression_are_refused():
    for problem_type, sqlstate in (("multiclass", "22023"), ("regression", "42809")):
        binding = _scoring.open(MODELS[ProblemType(problem_type)], "m").bind(
            NUMBERS, TEXTS, MOMENTS
        )
        with pytest.raises(_scoring.ScoringError) as caught:
            binding.probability([None] * 4, [None], [None], "x")
        assert caught.value.args[0] == sqlstate
