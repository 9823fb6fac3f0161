"""
How the problem type is decided, and targets that are refused.
"""

from dataclasses import replace
from datetime import datetime

import pytest

from sqlml.enums import ProblemType
from sqlml.errors import SingleClass, TargetAllNull, TargetNotUsable, TooFewRows
from sqlml.search.target import read_target
from tests.search.tables import dataset_of, read_table

BINARY, MULTICLASS, REGRESSION = ProblemType


def target_of(values, wanted=None):
    """Read a target made of Python values."""
    return read_target(dataset_of("y", y=values, x=[1.0] * len(values)), wanted)


@pytest.mark.parametrize(
    ("values", "problem_type", "classes"),
    [
        pytest.param([True, False] * 5, BINARY, ("false", "true"), id="boolean"),
        pytest.param(["no", "yes"] * 5, BINARY, ("no", "yes"), id="text"),
        pytest.param(["b", "a", "", "Ä"] * 5, MULTICLASS, ("", "a", "b", "Ä"), id="texts"),
        pytest.param([1, 0] * 5, BINARY, ("0", "1"), id="0 and 1"),
        pytest.param([10.0, 9.0, -1.0, -0.0] * 5, MULTICLASS, ("-1", "0", "9", "10"), id="floats"),
        pytest.param(list(range(15)), REGRESSION, (), id="few rows for each integer"),
        pytest.param(list(range(21)) * 9, REGRESSION, (), id="many integers"),
        pytest.param([0.5, 1.5] * 9, REGRESSION, (), id="fractions"),
        pytest.param([2.5] * 10, REGRESSION, (), id="constant fraction"),
        pytest.param([2.0**60, 2.0**61] * 9, REGRESSION, (), id="inexact integers"),
    ],
)
def test_problem_type_is_decided(values, problem_type, classes):
    target = target_of(values)
    assert (target.problem_type, target.classes) == (problem_type, classes)


def test_codes_point_at_classes():
    target = target_of(["b", "a", "c", "c", "a"] * 2)
    assert [target.classes[int(code)] for code in target.values[:5]] == ["b", "a", "c", "c", "a"]


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        pytest.param([1, 2, 3] * 5, REGRESSION, id="few integers as numbers"),
        pytest.param(list(range(20)) * 3, MULTICLASS, id="many integers as classes"),
        pytest.param([1, 2] * 5, MULTICLASS, id="two classes"),
        pytest.param([0.5, 1.5] * 5, BINARY, id="fractions as classes"),
    ],
)
def test_option_overrides(values, wanted):
    assert target_of(values, wanted).problem_type is wanted


def test_fractions_as_classes_keep_their_text():
    assert target_of([0.5, 1.0] * 5, BINARY).classes == ("0.5", "1")


@pytest.mark.parametrize(
    ("values", "wanted", "error", "message"),
    [
        (["a", "b"] * 4, None, TooFewRows, "at least 10 rows"),
        (["a"] * 10, None, SingleClass, "one value only"),
        ([3] * 10, None, SingleClass, "one value only"),
        ([datetime(2024, 1, 1)] * 10, None, TargetNotUsable, "cannot be predicted"),
        (["a", "b"] * 5, REGRESSION, TargetNotUsable, "cannot be a regression"),
        ([True, False] * 5, REGRESSION, TargetNotUsable, "cannot be a regression"),
        (["a", "b", "c"] * 5, BINARY, TargetNotUsable, "has 3 distinct values"),
        ([str(index) for index in range(30)], None, TargetNotUsable, "too many distinct values"),
        ([2.0**60, 2.0**61] * 9, BINARY, TargetNotUsable, "too large for class labels"),
    ],
)
def test_unusable_targets(values, wanted, error, message):
    with pytest.raises(error, match=message) as raised:
        target_of(values, wanted)
    assert raised.value.hint


def test_all_null_is_told_from_no_rows():
    nothing = dataset_of("y", y=[1.0] * 3, x=[1.0] * 3)
    nothing = replace(nothing, table=nothing.table.slice(0, 0))
    with pytest.raises(TooFewRows):
        read_target(nothing, None)
    with pytest.raises(TargetAllNull) as raised:
        read_target(replace(nothing, null_target_count=3), None)
    assert raised.value.detail == "3 rows were read."


@pytest.mark.parametrize(
    ("name", "problem_type"),
    [
        ("titanic", BINARY),
        ("wine_quality", MULTICLASS),
        ("seoul_bike", REGRESSION),
        ("tate_text", REGRESSION),
    ],
)
def test_real_targets(name, problem_type):
    assert read_target(read_table(name), None).problem_type is problem_type
