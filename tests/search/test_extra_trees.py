"""
Extra trees: the arrays answer as scikit-learn does, at every threshold too.
"""

import time
from dataclasses import replace

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.tree import DecisionTreeClassifier

from sqlml.enums import EstimatorName, ProblemType
from sqlml.search.cost import MAX_SPLITS, part_cost_ns
from sqlml.search.encoder import Encoded
from sqlml.search.estimators import extra_trees
from sqlml.search.estimators.estimator import Order, OutOfTime
from sqlml.search.estimators.extra_trees import ExtraTrees, ExtraTreesFitter, shrink
from sqlml.search.estimators.forest import exact_thresholds, make_tree
from sqlml.search.estimators.raw import part_scores
from sqlml.search.fitted import ForestPart
from sqlml.search.leaderboard import Hyperparameters
from sqlml.search.scores import predicted
from sqlml.search.space import Range
from tests.search.samples import order, sample_of
from tests.search.tables import dataset_of, read_table

SETTINGS: Hyperparameters = {"max_leaf_nodes": 64, "min_samples_leaf": 3, "max_features": 0.5}


def test_trees_answer_as_scikit_learn_does():
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(600, 4))
    inputs[::5, 0] = np.nan
    target = np.nan_to_num(inputs[:, 0], nan=2.0) + inputs[:, 1]
    forest = ExtraTreesRegressor(12, max_leaf_nodes=40, random_state=0).fit(inputs, target)
    trees = tuple(make_tree(each, each.tree_.value[:, 0, :]) for each in forest.estimators_)
    part = ForestPart(
        estimator=EstimatorName.EXTRA_TREES, trees=trees, features=(0, 1, 2, 3), is_average=True
    )
    # Rows on, just above and just below thresholds, as doubles and as float32.
    cuts = np.concatenate([tree.threshold for tree in trees])
    near = np.concatenate([np.nextafter(cuts, -np.inf), cuts, np.nextafter(cuts, np.inf)])
    hostile = rng.choice(near, (3000, 4))
    hostile[::7, 1] = np.nan
    for rows in (inputs, hostile):
        given = part_scores(part, Encoded(rows))[:, 0]
        np.testing.assert_allclose(given, forest.predict(rows), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("threshold", [0.1, -0.1, 1 / 3, 0.0, 1e-40, 3.4e38, 2.0**24 + 1])
def test_threshold_is_the_largest_double_that_rounds_to_it(threshold):
    (exact,) = exact_thresholds(np.array([threshold]))
    with np.errstate(over="ignore"):
        assert float(np.float32(exact)) <= threshold
        assert float(np.float32(np.nextafter(exact, np.inf))) > threshold


@pytest.mark.parametrize("name", ["titanic", "wine_quality", "seoul_bike"])
def test_forest_beats_the_baseline(name):
    sample = sample_of(read_table(name))
    rows = np.random.default_rng(0).permutation(len(sample.target))
    train, valid = rows[::2], rows[1::2]
    fit = ExtraTreesFitter(sample).fit({**SETTINGS, "num_trees": 20}, order(train=train))
    (part,) = fit.parts
    assert isinstance(part, ForestPart)
    assert len(part.trees) == 20
    assert max(len(tree.values) for tree in part.trees) <= 64
    given = predicted(sample.task.problem_type, fit.raw(sample.rows.take(valid)), fit.link)
    metric = sample.task.metric
    baseline = np.tile(given.mean(axis=0), (valid.size, *[1] * (given.ndim - 1)))
    truth = sample.target[valid]
    assert metric.is_better(metric.score(truth, given), metric.score(truth, baseline))


def test_class_without_rows_is_unlikely():
    rng = np.random.default_rng(0)
    sample = sample_of(dataset_of("y", y=["a", "b", "c"] * 40, x=rng.normal(size=120)))
    train = np.flatnonzero(sample.target != 1)
    fit = ExtraTreesFitter(sample).fit(SETTINGS, order(train=train))
    proba = predicted(ProblemType.MULTICLASS, fit.raw(sample.rows))
    assert proba[:, 1].max() < proba[:, [0, 2]].min()


def test_shares_are_drawn_to_those_above_by_the_rows_there():
    inputs = np.array([[0.0], [1.0], [2.0], [3.0], [4.0], [5.0]])
    tree = DecisionTreeClassifier().fit(inputs, [0, 0, 0, 1, 0, 0])
    shares = tree.tree_.value[:, 0, :].copy()
    shrunk = shrink(shares, tree)
    root = np.array([5 / 6 + 1 / 12, 1 / 6 + 1 / 12]) / (1 + 1 / 6)
    np.testing.assert_allclose(shrunk[0], root)
    shares[0] = root
    known = extra_trees.SHRINKAGE_ROWS
    for node in np.flatnonzero(tree.tree_.children_left >= 0):
        keep = 1 / (1 + known / tree.tree_.n_node_samples[node])
        for child in (tree.tree_.children_left[node], tree.tree_.children_right[node]):
            moved = shrunk[node] + keep * (shares[child] - shares[node])
            np.testing.assert_allclose(shrunk[child], moved)
    assert tree.tree_.max_depth > 1
    np.testing.assert_allclose(shrunk.sum(axis=1), 1)
    assert shrunk.min() > 0


def test_row_that_comes_again_is_remembered_more_sharply():
    rng = np.random.default_rng(0)
    x, z = np.append(rng.normal(size=(400, 2)), np.full((30, 2), 5.0), axis=0).T
    y = np.append(rng.choice(["a", "b", "c"], 400), ["a"] * 30)
    sample = sample_of(dataset_of("y", y=y, x=x, z=z))
    fit = ExtraTreesFitter(sample).fit({**SETTINGS, "min_samples_leaf": 1}, order())
    proba = predicted(ProblemType.MULTICLASS, fit.raw(sample.rows))
    right = proba[np.arange(430), sample.target.astype(int)]
    assert right[-1] > np.quantile(right[:400], 0.95)


@pytest.mark.parametrize(
    ("classes", "mean_count"), [(("a", "b"), 1), (("a", "b", "c"), 0)], ids=["two", "three"]
)
def test_few_levels_are_codes_where_they_would_have_several_means(classes, mean_count):
    rng = np.random.default_rng(0)
    colours = rng.choice(["red", "white"], 300)
    y = np.where(colours == "red", classes[0], rng.choice(classes[1:], 300))
    sample = sample_of(dataset_of("y", y=y, x=rng.normal(size=300), colour=colours))
    fit = ExtraTreesFitter(sample).fit(SETTINGS, order())
    assert len(fit.features) == mean_count
    given = predicted(sample.task.problem_type, fit.raw(sample.rows), fit.link)
    right = given.argmax(axis=1) == sample.target
    assert right[colours == "red"].mean() > 0.95


@pytest.mark.parametrize("name", ["wine_quality", "credit_g", "seoul_bike"])
def test_forest_has_as_many_trees_as_predictions_can_afford(name):
    sample = sample_of(read_table(name))
    settings: Hyperparameters = {"max_leaf_nodes": 256, "min_samples_leaf": 1, "max_features": 0.5}
    fits = [
        ExtraTreesFitter(sample).fit(settings, order(train=np.arange(500), max_cost_ns=cost))
        for cost in (0.0, 600.0, 1e6)
    ]
    few, some, many = (fit.parts[0] for fit in fits)
    assert isinstance(few, ForestPart)
    assert isinstance(some, ForestPart)
    assert isinstance(many, ForestPart)
    assert len(few.trees) == extra_trees.TREES_PER_STEP < len(some.trees) < extra_trees.TREES
    assert len(many.trees) == extra_trees.TREES
    assert part_cost_ns(fits[1].facts[0]) == pytest.approx(600, rel=0.1)
    for one, other in zip(some.trees, many.trees, strict=False):
        np.testing.assert_array_equal(one.values, other.values)
    assert not any(fit.is_cut for fit in fits)


@pytest.mark.parametrize("name", ["wine_quality", "credit_g", "seoul_bike"])
def test_cost_is_of_the_trees_that_predictions_can_afford(name):
    sample, max_cost_ns = sample_of(read_table(name)), 1500.0
    settings: Hyperparameters = {"max_leaf_nodes": 256, "min_samples_leaf": 1, "max_features": 0.5}
    (part,) = ExtraTreesFitter(sample).fit(settings, order(max_cost_ns=max_cost_ns)).parts
    assert isinstance(part, ForestPart)
    limited, free = (
        ExtraTrees().cost(sample.task, settings, limit) for limit in (max_cost_ns, None)
    )
    assert limited / free == pytest.approx(len(part.trees) / extra_trees.TREES, rel=0.1)
    assert len(part.trees) < extra_trees.TREES


@pytest.mark.parametrize(
    ("room", "leaves", "count"),
    [
        (1_000_000, 16, 100),
        (1_000_000, 500, 20),
        (1_000_000, 1000, 10),
        (250_000, 1000, 2),
        (9, 9, 1),
    ],
)
def test_forest_of_many_classes_has_as_many_trees_as_there_is_room_for(
    monkeypatch, room, leaves, count
):
    x, z = np.random.default_rng(0).normal(size=(2, 1000))
    sample = sample_of(
        dataset_of("y", y=[f"class {row % 100:02}" for row in range(1000)], x=x, z=z)
    )
    monkeypatch.setattr(extra_trees, "MAX_VALUES", room)
    settings = {**SETTINGS, "max_leaf_nodes": leaves, "min_samples_leaf": 1}
    (part,) = ExtraTreesFitter(sample).fit(settings, order()).parts
    assert isinstance(part, ForestPart)
    assert len(part.trees) == count
    assert sum(tree.values.size for tree in part.trees) <= room or count == 1


def test_forest_of_one_number_has_no_more_splits_than_can_be_told_apart():
    x, y = np.random.default_rng(0).normal(size=(2, 5000))
    sample = sample_of(dataset_of("y", y=y, x=x))
    settings: Hyperparameters = {"max_leaf_nodes": 4096, "min_samples_leaf": 1, "max_features": 1.0}
    counts = []
    for cost in (1e9, None):
        fit = ExtraTreesFitter(sample).fit(settings, order(max_cost_ns=cost))
        (part,) = fit.parts
        assert isinstance(part, ForestPart)
        assert fit.facts[0].most_splits == sum(tree.feature.size for tree in part.trees)
        counts.append(len(part.trees))
    assert counts == [MAX_SPLITS // 2 // 4095, extra_trees.TREES]


def test_space_leaves_room_for_trees_of_many_classes():
    sample = sample_of(read_table("wine_quality"))
    task = replace(sample.task, row_count=10**6, class_count=256)
    space, portfolio = ExtraTrees().space(task), ExtraTrees().portfolio(task, 0.1)
    top = space["max_leaf_nodes"]
    assert isinstance(top, Range)
    assert extra_trees.LEAST_TREES * top.high * 256 <= extra_trees.MAX_VALUES
    assert max(int(each["max_leaf_nodes"]) for each in portfolio) == top.high


def test_space_has_no_more_leaves_than_rows():
    task = sample_of(read_table("titanic")).task
    tops = [
        ExtraTrees().space(replace(task, row_count=rows))["max_leaf_nodes"]
        for rows in (30, 700, 10**6)
    ]
    assert [top.high for top in tops if isinstance(top, Range)] == [512, 700, 4096]


def test_huge_numbers_are_taken_as_the_largest():
    inputs = np.append(np.linspace(-1, 1, 200), [1e300, -1e300, np.inf, -np.inf])
    sample = sample_of(dataset_of("y", y=np.sign(inputs) * np.arange(204), x=inputs))
    fit = ExtraTreesFitter(sample).fit({**SETTINGS, "min_samples_leaf": 1}, order())
    raw = fit.raw(sample.rows)[:, 0]
    assert raw[200] == raw[202] > raw[201] == raw[203]


def test_time_ends_a_forest():
    sample = sample_of(read_table("credit_g"))
    fit = ExtraTreesFitter(sample).fit(
        {**SETTINGS, "max_leaf_nodes": 512},
        Order(until=time.monotonic() + 0.05),
    )
    assert fit.is_cut
    (part,) = fit.parts
    assert isinstance(part, ForestPart)
    assert 0 < len(part.trees) < extra_trees.TREES
    many: Hyperparameters = {**SETTINGS, "num_trees": 9000}
    with pytest.raises(OutOfTime, match="before 9000 trees"):
        ExtraTreesFitter(sample).fit(many, Order(until=time.monotonic() + 0.1))
    with pytest.raises(OutOfTime, match="before a tree"):
        ExtraTreesFitter(sample).fit(SETTINGS, Order(until=time.monotonic() - 1))
