"""
A row that comes as lists of numbers, texts and packed values is scored as the row that it was.
"""

import math
import struct

import pytest
from hypothesis import given, settings

from sqlml import _scoring
from sqlml.compile.artifact import compile_model
from sqlml.enums import ColumnKind, ProblemType
from sqlml.extract.dataset import Column
from sqlml.predict.reference import ReferencePredictor
from sqlml.search.fitted import Feature, FeatureOp
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


def pack(elements, dimensions=1):
    """An array as array_send writes it."""
    shape = [len(elements), *[1] * (dimensions - 1)] if elements else []
    header = struct.pack(">iii", len(shape), int(None in elements), 701)
    sizes = b"".join(struct.pack(">ii", size, -3) for size in shape)
    items = (
        struct.pack(">i", -1) if element is None else struct.pack(">id", 8, element)
        for element in elements
    )
    return header + sizes + b"".join(items)


def bind_vector():
    ops = (FeatureOp.LENGTH, FeatureOp.MEAN, FeatureOp.MINIMUM, FeatureOp.MAXIMUM)
    features = (
        Feature(column="v", op=FeatureOp.ELEMENT, place=1, fill=0.5),
        *(Feature(column="v", op=op, fill=-1.0) for op in ops),
    )
    columns = (Column("v", "real[]", ColumnKind.ARRAY),)
    model = draw_linear(ProblemType.REGRESSION, features=features, columns=columns)
    data = compile_model(model).data
    return _scoring.open(data, "m").bind([], [], ["v"]), ReferencePredictor(data)


def test_arrays_are_scored_as_their_elements():
    binding, reference = bind_vector()
    arrays: list[list[float | None]] = [[], [1.0], [None, None], [0.1, None, math.nan, math.inf]]
    arrays.append([-math.inf, -0.0, 1e300])
    for elements in (*arrays, [0.1] * 10_000, *arrays):
        for dimensions in (1, 2, 6):
            found = binding.predict(None, None, [pack(elements, dimensions)])
            assert found == reference.predict({"v": elements})
    assert binding.predict(None, None, [None]) == reference.predict({"v": None})


def test_arrays_that_are_cut_short_are_refused():
    binding, _ = bind_vector()
    packed = pack([1.0, None, 2.0])
    damaged = (*(packed[:size] for size in range(len(packed)) if size not in (20, 32, 36)), b"\xff")
    seven, float4 = struct.pack(">iii", 7, 0, 701), packed[:20] + struct.pack(">if", 4, 1.0)
    for array in (*damaged, seven + b"\0" * 56, float4, packed + b"\0"):
        with pytest.raises(ValueError, match="array_send"):
            binding.predict(None, None, [array])
