"""
What columns become, and what NULL, NaN and unseen values mean.
"""

import uuid
from datetime import datetime

import numpy as np
import pyarrow as pa
import pytest

from sqlml.enums import ColumnKind, ProblemType
from sqlml.extract.dataset import Column
from sqlml.search.candidates import SUMMARIES
from sqlml.search.decisions import Role
from sqlml.search.encoder import encode
from sqlml.search.features import MAX_LEVELS, learn_features
from sqlml.search.fitted import Feature, FeatureOp
from sqlml.search.target import Target, read_target
from tests.search.tables import dataset_of, read_table

NAN = float("nan")


def learn_set(target=None, seconds=float("inf"), **columns):
    """Learn the features of some columns; without a target it is a constant."""
    row_count = len(next(iter(columns.values())))
    values = np.zeros(row_count) if target is None else np.asarray(target, dtype=float)
    dataset = dataset_of("y", y=values, **columns)
    problem = Target(problem_type=ProblemType.REGRESSION, classes=(), values=values)
    rng = np.random.default_rng(0)
    return learn_features(dataset.table, dataset.columns, problem, rng, seconds)


def learn(**columns):
    """Learn features and skipped columns."""
    found = learn_set(**columns)
    return found.features, found.skipped


def decide(**columns):
    """Learn what became of each column."""
    return {each.column: each for each in learn_set(**columns).decisions}


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
    found = learn_set(a=values)
    ordered = ["zz", *(f"level {index:03}" for index in range(300))]
    narrow, wide = found.features[:2]
    assert list(narrow.levels) == ordered[:MAX_LEVELS]
    assert list(wide.levels) == ordered


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


def test_a_wide_category_is_a_source_for_others():
    values = [f"level {index:03}" for index in range(300)] * 2 + ["zz"] * 3 + [None]
    found = learn_set(a=values)
    narrow, wide, count = found.features[:3]
    assert (narrow.op, wide.op, count.op) == (FeatureOp.CODE, FeatureOp.CODE, FeatureOp.LOOKUP)
    assert found.categories == (0,)
    assert found.encodings == (1,)
    assert 0 not in found.linear
    assert 1 in found.linear
    assert found.numbers == tuple(range(2, len(found.features)))
    assert count.source == 1
    assert len(count.values) == len(wide.levels) + 2
    asked = pa.table({"a": pa.array(["zz", "level 007", "unseen", None])})
    assert found.encode(asked).matrix[:, 2].tolist() == [3, 2, 1, 1]


def test_sources_count_from_the_first_feature_of_all():
    values = [f"{index:02}" for index in range(40)] * 2
    found = learn_set(n=[float(index % 7) for index in range(80)], a=values, b=values[::-1])
    lookups = [each for each in found.features if each.op is FeatureOp.LOOKUP]
    assert [found.features[each.source].column for each in lookups] == ["a", "b"]
    assert [found.features[each.source].op for each in lookups] == [FeatureOp.CODE] * 2


def test_long_texts_are_no_levels():
    values = ["x" * 1001, "y" * 1000] * 3
    assert [len(level) for level in only_feature(a=values).levels] == [1000]


def test_text_has_counts_terms_and_topics():
    rng = np.random.default_rng(0)
    words = [f"word{index}" for index in range(60)]
    values = [" ".join(rng.choice(words, 6)) for _ in range(400)]
    found = learn_set(a=values, b=["no", "text"] * 200)
    assert decide(a=values)["a"].role is Role.TEXT
    (vocabulary,) = found.vocabularies
    assert vocabulary.column == "a"
    ops = {feature.op for feature in found.features if feature.column == "a"}
    assert FeatureOp.TOPIC in ops
    assert FeatureOp.CHARACTERS in ops
    assert FeatureOp.CAPITALS not in ops
    topics = [i for i, each in enumerate(found.features) if each.op is FeatureOp.TOPIC]
    assert [found.features[i].place for i in topics] == list(range(len(topics)))
    assert vocabulary.components.shape == (vocabulary.hashes.size, len(topics))
    assert set(topics) <= set(found.numbers)
    assert not set(topics) & set(found.linear)
    assert found.encode(pa.table({"a": values, "b": values})).texts[0].shape[0] == 400


def test_few_different_texts_are_a_category():
    values = ["out of order", "in good order", "it depends"] * 30
    assert decide(a=values)["a"].role is Role.CATEGORY


def test_names_are_texts_and_their_codes_are_not():
    dataset = read_table("titanic")
    target = read_target(dataset, None)
    found = learn_features(dataset.table, dataset.columns, target, np.random.default_rng(0))
    roles = {each.column: each.role for each in found.decisions}
    assert roles["Name"] is Role.TEXT
    assert roles["Ticket"] is roles["Cabin"] is roles["Sex"] is Role.CATEGORY
    ops = {each.op for each in found.features if each.column == "Cabin"}
    assert FeatureOp.CHARACTERS in ops


def test_uuids_and_keys_are_identifiers():
    rng = np.random.default_rng(0)
    target = rng.normal(size=200)
    found = learn_set(
        target=target,
        id=np.arange(1, 201),
        shuffled=rng.permutation(200),
        uuid=[str(uuid.UUID(int=int(value))) for value in rng.integers(0, 2**60, 200)],
        key=[f"k{index}" for index in range(200)],
        good=rng.normal(size=200),
    )
    roles = {each.column: each.role for each in found.decisions}
    assert [name for name, role in roles.items() if role is Role.IDENTIFIER] == [
        *("id", "shuffled", "uuid", "key")
    ]
    assert {each.column for each in found.features} == {"good"}


def test_a_count_that_says_something_of_the_target_stays():
    target = np.arange(200) + np.random.default_rng(0).normal(0, 30, 200)
    assert decide(target=target, id=np.arange(200))["id"].role is Role.NUMBER


def test_duplicates_are_dropped():
    numbers, texts = [1.0, 2.0, None, 2.0], ["a", "b", "a", None]
    decisions = decide(
        first=numbers, again=numbers, other=[1.0, 2.0, None, 3.0], text=texts, copy=list(texts)
    )
    assert [name for name, each in decisions.items() if each.role is Role.DUPLICATE] == [
        *("again", "copy")
    ]
    assert decisions["again"].reason == 'it has the values of "first"'
    assert decisions["again"].features == ()


@pytest.mark.parametrize("kind", ["number", "missing", "category"])
def test_a_leak_is_kept_and_named(kind):
    rng = np.random.default_rng(0)
    target = rng.integers(0, 2, 400)
    known = {
        "number": target * 10 + rng.random(400),
        "missing": [None if value else 1.0 for value in target],
        "category": [f"{value}{rng.integers(3)}" for value in target],
    }[kind]
    dataset = dataset_of("y", y=target, known=known, good=rng.normal(size=400))
    problem = read_target(dataset, ProblemType.BINARY)
    found = learn_features(dataset.table, dataset.columns, problem, rng)
    roles = {each.column: each.role for each in found.decisions}
    assert roles == {"known": Role.SUSPECTED_LEAK, "good": Role.NUMBER}
    assert {each.column for each in found.features} == {"known", "good"}


def test_a_leak_of_a_number_is_found_in_spite_of_outliers():
    rng = np.random.default_rng(0)
    target = np.exp(rng.normal(0, 3, 1000))
    target[0] = 1e300
    known = np.log(target)
    decisions = decide(target=target, known=known, near=known + rng.normal(size=1000))
    assert decisions["known"].role is Role.SUSPECTED_LEAK
    assert decisions["near"].role is Role.NUMBER


def test_no_real_column_is_a_leak():
    for name in ("titanic", "seoul_bike", "wine_quality"):
        dataset = read_table(name)
        target = read_target(dataset, None)
        found = learn_features(dataset.table, dataset.columns, target, np.random.default_rng(0))
        assert Role.SUSPECTED_LEAK not in {each.role for each in found.decisions}
        assert Role.IDENTIFIER not in {each.role for each in found.decisions}


def test_a_number_of_each_row_is_used_where_there_is_nothing_else():
    found = learn_set(target=np.arange(200) % 2, id=np.arange(200), same=[1.0] * 200)
    assert [feature.column for feature in found.features] == ["id"]
    assert found.decisions[0].features == ("value",)


def array_set(*values):
    """Learn the features of an array column."""
    table = pa.table({"a": pa.chunked_array([pa.array(values, pa.list_(pa.float64()))])})
    column = Column("a", "double precision[]", ColumnKind.ARRAY)
    target = Target(problem_type=ProblemType.REGRESSION, classes=(), values=np.zeros(len(values)))
    return learn_features(table, (column,), target, np.random.default_rng(0)), table


def test_arrays_of_one_length_have_their_elements():
    found, table = array_set([1.0, 2.0, 9.0], [3.0, None, 9.0], None, [5.0, 6.0, 9.0])
    assert [(each.op, each.place) for each in found.features] == [
        (FeatureOp.ELEMENT, place) for place in range(3)
    ]
    np.testing.assert_array_equal(
        found.encode(table).matrix,
        [[1, 2, 9], [3, NAN, 9], [NAN, NAN, NAN], [5, 6, 9]],
    )
    assert (found.decisions[0].distinct_count, found.decisions[0].null_count) == (3, 1)


def test_other_arrays_are_summed_up():
    found, table = array_set([1.0, 2.0], [], [4.0, NAN, 8.0], [NAN], None)
    assert [each.op for each in found.features] == list(SUMMARIES)
    np.testing.assert_array_equal(
        found.encode(table).matrix,
        [[2, 1.5, 1, 2], [0, NAN, NAN, NAN], [3, 6, 4, 8], [1, NAN, NAN, NAN], [NAN] * 4],
    )


def test_without_time_texts_are_categories_and_nothing_is_suspected():
    rng = np.random.default_rng(0)
    target = rng.normal(size=300)
    words = [f"word{index}" for index in range(60)]
    values = [" ".join(rng.choice(words, 6)) for _ in range(150)] * 2
    found = learn_set(target=target, seconds=0, known=target, text=values)
    roles = {each.column: each.role for each in found.decisions}
    assert roles == {"known": Role.NUMBER, "text": Role.CATEGORY}
    assert "too long to be read" in found.decisions[1].reason
    assert found.vocabularies == ()


def test_texts_of_a_megabyte():
    rng = np.random.default_rng(0)
    words = np.array([f"word{index}" for index in range(1000)])
    values = [" ".join(rng.choice(words, 150_000)) for _ in range(4)] + ["short text"] * 60
    found = learn_set(a=values)
    assert found.encode(pa.table({"a": values})).matrix.shape[0] == 64


def test_huge_numbers():
    values = np.array([1e300, -1e300, 5e-324, np.inf, -np.inf, np.nan, 0.0, 1.0] * 10)
    target = np.array([1e300, -1e300, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0] * 10)
    found = learn_set(target=target, a=values, b=[*values[::-1]])
    assert {each.column for each in found.features} == {"a", "b"}


def test_many_columns_take_little_time_each():
    rng = np.random.default_rng(0)
    columns = {f"c{index}": rng.normal(size=100) for index in range(2000)}
    assert len(learn_set(target=rng.normal(size=100), **columns).features) == 2000


def test_the_same_seed_gives_the_same_features():
    dataset = read_table("titanic")
    target = read_target(dataset, None)
    first, second = (
        learn_features(dataset.table, dataset.columns, target, np.random.default_rng(3))
        for _ in range(2)
    )
    assert repr(first.features) == repr(second.features)
    assert (
        first.encode(dataset.table).matrix.tobytes()
        == second.encode(dataset.table).matrix.tobytes()
    )


def test_values_that_come_again_and_again_are_not_looked_into():
    values = [f"n{index}" for index in range(60)]
    often, seldom = (learn_set(a=values * times).features for times in (6, 4))
    assert [each.op for each in often] == [FeatureOp.CODE, FeatureOp.LOOKUP]
    assert [each.op for each in seldom[2:]] == [FeatureOp.CHARACTERS, FeatureOp.DIGITS]
