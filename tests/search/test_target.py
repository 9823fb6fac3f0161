"""
How the problem type is decided, and targets that are refused.
"""

from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest
import scipy.stats

from sqlml.enums import ProblemType
from sqlml.errors import OptionNotUsable, SingleClass, TargetAllNull, TargetNotUsable, TooFewRows
from sqlml.search.target import (
    Target,
    balanced_weights,
    check_weights,
    describe_target,
    read_target,
)
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


def make_target(values, class_count=0):
    """Make a target from values, or from class codes."""
    kind = (ProblemType.REGRESSION, None, ProblemType.BINARY, ProblemType.MULTICLASS)
    return Target(
        problem_type=kind[min(class_count, 3)],
        classes=tuple(str(code) for code in range(class_count)),
        values=np.array(values, dtype=float),
    )


def test_facts_of_numbers():
    facts = describe_target(make_target([1, 2, 3, 4, 90]))
    assert facts.is_positive
    assert facts.is_nonnegative
    assert facts.is_integer
    assert facts.skew == pytest.approx(scipy.stats.skew([1, 2, 3, 4, 90]))
    assert facts.log_skew == pytest.approx(scipy.stats.skew(np.log1p([1, 2, 3, 4, 90])))


def test_facts_of_other_numbers():
    with_zero = describe_target(make_target([0, 0.5]))
    assert (with_zero.is_positive, with_zero.is_nonnegative) == (False, True)
    assert not with_zero.is_integer
    negative = describe_target(make_target([-1, 2]))
    assert not negative.is_nonnegative
    assert np.isnan(negative.log_skew)
    assert describe_target(make_target([7, 7, 7])).skew == 0
    assert np.isfinite(describe_target(make_target([1e300, -1e300, 5])).skew)


@pytest.mark.parametrize(
    ("codes", "class_count", "is_imbalanced"),
    [
        ([0] * 90 + [1] * 10, 2, False),
        ([0] * 91 + [1] * 9, 2, True),
        ([0, 1, 2] * 5, 3, False),
        ([0] * 50 + [1] * 50 + [2], 3, True),
    ],
)
def test_imbalance(codes, class_count, is_imbalanced):
    facts = describe_target(make_target(codes, class_count))
    assert facts.is_imbalanced is is_imbalanced
    assert sum(facts.class_shares) == pytest.approx(1)


def test_weights_count_in_class_shares():
    facts = describe_target(make_target([0, 1], 2), np.array([1.0, 3.0]))
    assert facts.class_shares == (0.25, 0.75)


def test_balanced_weights_make_classes_equal():
    target = make_target([0, 0, 0, 1, 3, 3], 4)
    weight = np.array([1.0, 1, 2, 1, 1, 1])
    for base in (None, weight):
        balanced = balanced_weights(target, base)
        totals = np.bincount(target.values.astype(int), balanced)
        assert totals[[0, 1, 3]].tolist() == pytest.approx([totals[0]] * 3)
        assert balanced.sum() == pytest.approx(6 if base is None else weight.sum())


def test_weights_get_a_mean_of_one():
    assert check_weights(np.array([0.0, 2, 4] * 5), "w").tolist() == [0, 1, 2] * 5
    assert check_weights(np.array([1e308] * 10), "w").tolist() == [1] * 10


@pytest.mark.parametrize(
    ("values", "what"), [([1, np.nan], "NULL"), ([np.inf, 1], "NULL"), ([-1, 1], "negative")]
)
def test_weights_that_cannot_be(values, what):
    with pytest.raises(OptionNotUsable, match=what) as raised:
        check_weights(np.array(values, dtype=float), "w")
    assert raised.value.detail == "1 of 2 rows have one."


def test_weights_that_are_all_zero():
    with pytest.raises(OptionNotUsable, match="0 in every row"):
        check_weights(np.zeros(3), "w")
