"""
Splits: nothing on both sides, every class where it is needed, the same rows held out again.
"""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sqlml.enums import ProblemType
from sqlml.search.content import content_hashes
from sqlml.search.split import (
    MIN_CLASS_FOR_HOLDOUT,
    Ties,
    default_folds,
    holdout_share,
    make_folds,
    split_holdout,
)
from sqlml.search.target import Target


def make_target(*class_sizes):
    """Make a classification target with rows of each class one after the other."""
    return make_classes(np.repeat(np.arange(len(class_sizes)), class_sizes))


def make_classes(codes):
    """Make a classification target from class codes."""
    codes = np.asarray(codes, dtype=float)
    count = int(codes.max()) + 1
    return Target(
        problem_type=ProblemType.BINARY if count == 2 else ProblemType.MULTICLASS,
        classes=tuple(str(index) for index in range(count)),
        values=codes,
    )


def make_numbers(row_count):
    """Make a regression target."""
    values = np.arange(row_count, dtype=float)
    return Target(problem_type=ProblemType.REGRESSION, classes=(), values=values)


def make_content(row_count, seed=0):
    """Hash different rows."""
    values = np.random.default_rng(seed).random(row_count)
    return content_hashes(pa.table({"x": values}), ["x"])


def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize(
    ("row_count", "share"),
    [(9_999, 0), (10_000, 0.1), (100_000, 0.1), (100_001, 0.05), (1_000_000, 0.00625)],
)
def test_holdout_share(row_count, share):
    assert holdout_share(row_count) == share


def test_holdout_has_about_its_share_and_no_row_is_lost():
    kept, held = split_holdout(make_numbers(20_000), make_content(20_000))
    assert held.size == pytest.approx(2000, rel=0.1)
    assert np.array_equal(np.sort(np.concatenate([kept, held])), np.arange(20_000))


def test_few_rows_are_not_held_out():
    kept, held = split_holdout(make_numbers(9_999), make_content(9_999))
    assert (kept.size, held.size) == (9_999, 0)


def test_same_rows_are_held_out_when_rows_are_added_and_shuffled():
    content = make_content(30_000)
    _, first = split_holdout(make_numbers(20_000), content[:20_000])
    order = rng().permutation(30_000)
    _, later = split_holdout(make_numbers(30_000), content[order])
    again = np.isin(content[:20_000], content[order][later])
    assert np.array_equal(np.flatnonzero(again), first)


def test_smaller_share_holds_out_a_part_of_the_larger():
    content = make_content(20_000)
    _, large = split_holdout(make_numbers(20_000), content, share=0.1)
    _, small = split_holdout(make_numbers(20_000), content, share=0.05)
    assert np.isin(small, large).all()
    assert 0 < small.size < large.size


def test_duplicates_are_on_one_side():
    content = np.tile(make_content(4_000), 5)
    kept, held = split_holdout(make_numbers(20_000), content)
    assert np.intersect1d(content[kept], content[held]).size == 0
    assert held.size == pytest.approx(2000, rel=0.2)


def test_rows_of_few_contents_are_parted_one_by_one():
    content = make_content(4)[rng().integers(0, 4, 20_000)]
    order = rng().permutation(20_000)
    _, held = split_holdout(make_numbers(20_000), content)
    _, again = split_holdout(make_numbers(20_000), content[order])
    assert held.size == pytest.approx(2000, rel=0.1)
    assert np.array_equal(np.sort(content[held]), np.sort(content[order][again]))


def test_rare_classes_are_kept_for_learning():
    target = make_target(15_000, 4_990, MIN_CLASS_FOR_HOLDOUT - 1, 1)
    _, held = split_holdout(target, make_content(20_000))
    assert np.bincount(target.values[held].astype(int), minlength=4)[2:].tolist() == [0, 0]


def test_class_of_one_content_is_learnt():
    content = make_content(20_000)
    held_before = split_holdout(make_numbers(20_000), content)[1]
    codes = np.zeros(20_000)
    codes[-50:], content[-50:] = 1, content[held_before[0]]
    kept, _ = split_holdout(make_classes(codes), content)
    assert codes[kept].sum() == 50


def test_groups_are_held_out_whole():
    groups = rng().integers(0, 900, 20_000)
    content = content_hashes(pa.table({"g": groups}), ["g"])
    kept, held = split_holdout(make_numbers(20_000), content, Ties(groups=groups))
    assert np.intersect1d(groups[kept], groups[held]).size == 0
    assert held.size == pytest.approx(2000, rel=0.3)


def test_latest_rows_are_held_out():
    order = rng().integers(0, 500, 20_000).astype(float)
    kept, held = split_holdout(make_numbers(20_000), make_content(20_000), Ties(order=order))
    assert order[kept].max() < order[held].min()
    assert held.size == pytest.approx(2000, rel=0.1)


def test_latest_rows_of_groups_that_end_early():
    order = np.arange(20_000.0)
    groups = np.where(order % 2 == 0, 0, 1 + order // 100).astype(np.int64)
    ties = Ties(order=order, groups=groups)
    kept, held = split_holdout(make_numbers(20_000), make_content(20_000), ties)
    assert np.intersect1d(groups[kept], groups[held]).size == 0
    assert held.size


def test_folds_validate_every_row_once_and_are_stratified():
    target = make_target(60, 40)
    folds = make_folds(target, 5, rng())
    assert np.array_equal(np.sort(np.concatenate([fold.valid for fold in folds])), np.arange(100))
    for fold in folds:
        assert np.intersect1d(fold.train, fold.valid).size == 0
        assert np.bincount(target.values[fold.valid].astype(int)).tolist() == [12, 8]


def test_folds_of_numbers_have_the_same_distribution():
    folds = make_folds(make_numbers(1003), 5, rng())
    assert {fold.valid.size for fold in folds} == {200, 201}
    for fold in folds:
        assert fold.valid.mean() == pytest.approx(501, abs=2.5)


@pytest.mark.parametrize(
    ("row_count", "folds"),
    [(1_999, 8), (2_000, 5), (49_999, 5), (50_000, 3), (499_999, 3), (500_000, 1)],
)
def test_fold_count_by_size(row_count, folds):
    assert default_folds(row_count) == folds


@pytest.mark.parametrize(
    ("row_count", "asked", "made"),
    [(600_000, None, 1), (600_000, 2, 2), (100, 10, 10), (12, 10, 6), (5, None, 2), (2000, 1, 1)],
)
def test_fold_count(row_count, asked, made):
    folds = make_folds(make_numbers(row_count), asked, rng())
    assert len(folds) == made
    assert all(fold.valid.size and fold.train.size for fold in folds)


def test_single_fold_validates_an_eighth_at_most_50_000():
    assert make_folds(make_numbers(8_000), 1, rng())[0].valid.size == 1_000
    assert make_folds(make_numbers(1_000_000), 1, rng())[0].valid.size == 50_000


@settings(deadline=None)
@given(st.lists(st.integers(0, 4), min_size=4, max_size=60), st.integers(2, 8))
def test_every_class_is_learnt_in_every_fold(codes, count):
    target = make_classes(np.unique(codes, return_inverse=True)[1])
    for fold in make_folds(target, count, rng()):
        assert np.array_equal(np.unique(target.values[fold.train]), np.unique(target.values))


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 9), min_size=6, max_size=80).filter(lambda each: len(set(each)) > 1),
    st.integers(2, 5),
    st.booleans(),
)
def test_groups_never_straddle(groups, count, are_classes):
    groups = np.array(groups)
    codes = rng().integers(0, 3, groups.size)
    codes[0] = 2
    target = make_classes(codes) if are_classes else make_numbers(groups.size)
    folds = make_folds(target, count, rng(), Ties(groups=groups))
    assert len(folds) == min(count, np.unique(groups).size)
    for fold in folds:
        assert np.intersect1d(groups[fold.train], groups[fold.valid]).size == 0
    valid = np.sort(np.concatenate([fold.valid for fold in folds]))
    assert np.array_equal(valid, np.arange(groups.size))


def test_folds_of_groups_are_balanced_in_size_and_class():
    groups = rng().integers(0, 300, 6_000)
    codes = (groups % 10 == 0).astype(float)
    folds = make_folds(make_classes(codes), 5, rng(), Ties(groups=groups))
    for fold in folds:
        assert fold.valid.size == pytest.approx(1200, rel=0.05)
        assert codes[fold.valid].mean() == pytest.approx(codes.mean(), rel=0.1)


def test_one_large_group_is_alone():
    groups = np.concatenate([np.zeros(500, dtype=np.int64), np.arange(1, 101)])
    folds = make_folds(make_numbers(600), 3, rng(), Ties(groups=groups))
    assert sorted(fold.valid.size for fold in folds) == [50, 50, 500]


@settings(deadline=None)
@given(st.lists(st.integers(0, 12), min_size=4, max_size=60), st.integers(1, 5))
def test_validation_is_later_than_training(times, count):
    order = np.array([*times, 0, 13], dtype=float)
    folds = make_folds(make_numbers(order.size), count, rng(), Ties(order=order))
    assert 1 <= len(folds) <= count
    for fold in folds:
        assert order[fold.train].max() < order[fold.valid].min()
    valid = np.concatenate([fold.valid for fold in folds])
    assert np.unique(valid).size == valid.size
    assert folds[-1].valid.max() == order.size - 1


def test_most_rows_of_one_time():
    early, late = np.append(np.zeros(50), np.arange(1.0, 4)), np.append(np.ones(50), [0, 0, 0])
    for order in (early, late):
        folds = make_folds(make_numbers(53), 5, rng(), Ties(order=order))
        assert all(order[fold.train].max() < order[fold.valid].min() for fold in folds)
    kept, held = split_holdout(make_numbers(53), make_content(53), Ties(order=late), share=0.1)
    assert (kept.size, held.size) == (53, 0)


def test_windows_expand():
    order = rng().permutation(600).astype(float)
    folds = make_folds(make_numbers(600), 5, rng(), Ties(order=order))
    assert [fold.train.size for fold in folds] == [100, 200, 300, 400, 500]
    assert [fold.valid.size for fold in folds] == [100] * 5


def test_rows_of_one_time_or_one_group_cannot_be_parted():
    with pytest.raises(ValueError, match="cannot be parted"):
        make_folds(make_numbers(10), 3, rng(), Ties(order=np.zeros(10)))
    with pytest.raises(ValueError, match="cannot be parted"):
        make_folds(make_numbers(10), 3, rng(), Ties(groups=np.zeros(10, dtype=np.int64)))


def test_seed_decides_folds():
    target = make_target(300, 300)
    first, again, other = (
        make_folds(target, 5, np.random.default_rng(seed))[0] for seed in (1, 1, 2)
    )
    assert np.array_equal(first.valid, again.valid)
    assert not np.array_equal(first.valid, other.valid)


TABLE = pa.table(
    {
        "x": pa.array([1.0, 1.0, -0.0, 0.0, None, float("nan")]),
        "text": ["a", "a", "b", "b", None, None],
        "moment": pa.array([1, 1, 2, 2, None, None], pa.int64()),
        "flag": [True, True, False, False, None, None],
    }
)


def test_equal_rows_have_equal_hashes():
    hashes = content_hashes(TABLE, TABLE.column_names)
    assert hashes[0] == hashes[1]
    assert hashes[2] == hashes[3]
    assert hashes[4] == hashes[5]
    assert np.unique(hashes).size == 3


def test_hashes_do_not_depend_on_the_order_of_columns_or_on_chunks():
    hashes = content_hashes(TABLE, TABLE.column_names)
    assert np.array_equal(hashes, content_hashes(TABLE, TABLE.column_names[::-1]))
    parted = pa.concat_tables([TABLE.slice(0, 2), TABLE.slice(2)])
    assert np.array_equal(hashes, content_hashes(parted, TABLE.column_names))


def test_hashes_never_change():
    # The rows held out for a model must be those held out for its next version.
    assert content_hashes(TABLE, TABLE.column_names)[[0, 2, 4]].tolist() == [
        3758179524440106549,
        4994124861819091943,
        11528571581486228549,
    ]


def test_hashes_of_lists():
    lists = [[1.0, 2.0], [1.0, 2.0], [2.0, 1.0], [], None, [1.0], [1.0, None], [0.0], None]
    table = pa.table({"x": pa.array(lists, pa.list_(pa.float64()))})
    hashes = content_hashes(table, ["x"])
    assert hashes[0] == hashes[1]
    assert hashes[4] == hashes[8]
    assert np.unique(hashes).size == len(lists) - 2
    parted = pa.concat_tables([table.slice(0, 3), table.slice(3)])
    assert np.array_equal(content_hashes(parted, ["x"]), hashes)


def test_values_of_one_column_do_not_pass_for_those_of_another():
    table = pa.table({"a": ["x", "y"], "b": ["y", "x"]})
    assert np.unique(content_hashes(table, ["a", "b"])).size == 2
