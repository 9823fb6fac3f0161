"""
What columns become, and what NULL, NaN and unseen values mean.
"""

from datetime import datetime

import numpy as np
import pyarrow as pa
import pytest

from sqlml.enums import ProblemType
from sqlml.search.encoder import encode
from sqlml.search.features import MAX_LEVELS, learn_features
from sqlml.search.fitted import Feature, FeatureOp
from sqlml.search.target import Target
from tests.search.tables import dataset_of

NAN = float("nan")


def learn(**columns):
    """Learn the features of some columns; the target is not among them."""
    row_count = len(next(iter(columns.values())))
    dataset = dataset_of("y", y=[float(row % 3) for row in range(row_count)], **columns)
    target = Target(problem_type=ProblemType.REGRESSION, classes=(), values=np.zeros(row_count))
    found = learn_features(dataset.table, dataset.columns, target, np.random.default_rng(0))
    return found.features, found.skipped


def only_feature(**columns):
    """Learn the features of a column that has one."""
    features, skipped = learn(**columns)
    assert skipped == ()
    (feature,) = features
    return feature


def encode_values(feature, *values):
    """Encode values of one column; None is NULL."""
    kind = pa.string() if feature.op is FeatureOp.CODE else None
    table = pa.table({feature.column: pa.chunked_array([pa.array(values, kind)])})
    return encode([feature], table)[:, 0].tolist()


def test_numeric_without_missing_is_filled_with_its_lower_median():
    feature = only_feature(a=[5.0, 1.0, 7.0, 9.0])
    assert feature == Feature(column="a", op=FeatureOp.VALUE, fill=5.0)
    assert encode_values(feature, 2.0, None, NAN, float("inf")) == [2.0, 5.0, 5.0, float("inf")]


@pytest.mark.parametrize("missing", [None, NAN], ids=["NULL", "NaN"])
def test_numeric_with_missing_stays_missing(missing):
    feature = only_feature(a=[5.0, missing, 7.0, 9.0])
    assert np.isnan(feature.fill)
    assert np.isnan(encode_values(feature, None, NAN)).all()


def test_too_few_missing_values_count_as_none():
    values = [float(index % 7) for index in range(20_002)]
    assert only_feature(a=[*values, None]).fill == 3.0
    assert np.isnan(only_feature(a=[*values, None, None, None]).fill)


def test_infinities_do_not_spoil_the_median():
    assert only_feature(a=[float("inf"), float("-inf"), 1.0, 2.0]).fill == 1.0
    assert only_feature(a=[float("inf"), float("-inf")]).fill == 0.0


def test_boolean_is_filled_with_the_most_frequent_value():
    assert only_feature(a=[True, True, False]).fill == 1.0
    feature = only_feature(a=[True, False, False])
    assert encode_values(feature, True, False, None) == [1.0, 0.0, 0.0]


def test_category_codes():
    feature = only_feature(a=["x", "y", "y", "x", "y", "once", None, ""])
    assert feature.levels == ("y", "x")
    assert encode_values(feature, "y", "x", "once", "", "unseen", None) == [2, 3, 1, 1, 1, 0]


def test_levels_are_the_most_frequent_and_ties_go_by_text():
    values = [f"level {index:03}" for index in range(300)] * 2 + ["zz"] * 3
    feature = only_feature(a=values)
    expected = ["zz", *(f"level {index:03}" for index in range(MAX_LEVELS - 1))]
    assert list(feature.levels) == expected


def test_empty_text_is_a_level():
    feature = only_feature(a=["", "", "x", "x"])
    assert encode_values(feature, "", None) == [2, 0]


def test_date_parts_that_vary():
    features, _ = learn(d=[datetime(2024, 1, day) for day in (1, 2, 3)])
    ops = [feature.op for feature in features]
    assert ops == [FeatureOp.EPOCH, FeatureOp.DAY, FeatureOp.WEEKDAY, FeatureOp.YEARDAY]


def test_missing_date():
    features, _ = learn(d=[datetime(2024, 1, 1), None, datetime(2024, 1, 3)])
    table = pa.table({"d": pa.chunked_array([pa.array([None, 0], pa.int64())])})
    matrix = encode(features, table)
    assert np.isnan(matrix[0]).all()
    assert not np.isnan(matrix[1]).any()


def test_columns_without_a_feature_are_named():
    _, skipped = learn(
        constant=[1.0, 1.0, 1.0],
        empty=pa.array([None, None, None], pa.float64()),
        not_a_number=[NAN, NAN, NAN],
        key=["a", "b", "c"],
        same=["a", "a", "a"],
        good=[1.0, 2.0, 3.0],
    )
    assert {column.name: column.reason for column in skipped} == {
        "constant": "it has one value only",
        "empty": "every value is NULL",
        "not_a_number": "every value is NULL or NaN",
        "key": "no value occurs twice",
        "same": "it has one value only",
    }


def test_constant_with_missing_values_tells_something():
    assert only_feature(a=[1.0, None, 1.0]).column == "a"
