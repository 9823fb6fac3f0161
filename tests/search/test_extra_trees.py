"""
Extra trees: the arrays answer as scikit-learn does, at every threshold too.
"""

import time

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesRegressor

from sqlml.enums import ProblemType
from sqlml.search.encoder import Encoded
from sqlml.search.estimators import extra_trees
from sqlml.search.estimators.estimator import Order, OutOfTime
from sqlml.search.estimators.extra_trees import ExtraTreesFitter
from sqlml.search.estimators.forest import exact_thresholds, make_tree
from sqlml.search.estimators.raw import part_scores
from sqlml.search.fitted import ForestPart
from sqlml.search.leaderboard import Hyperparameters
from sqlml.search.scores import predicted
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
    part = ForestPart(estimator="extra_trees", trees=trees, features=(0, 1, 2, 3), is_average=True)
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
        assert np.float32(exact) <= threshold
        assert np.float32(np.nextafter(exact, np.inf)) > threshold


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


def test_huge_numbers_are_taken_as_the_largest():
    inputs = np.append(np.linspace(-1, 1, 200), [1e300, -1e300, np.inf, -np.inf])
    sample = sample_of(dataset_of("y", y=np.sign(inputs) * np.arange(204), x=inputs))
    fit = ExtraTreesFitter(sample).fit(SETTINGS, order())
    raw = fit.raw(sample.rows)[:, 0]
    assert raw[200] == raw[202] > 0 > raw[201] == raw[203]


def test_time_ends_a_forest(monkeypatch):
    sample = sample_of(read_table("credit_g"))
    late = time.monotonic() + 0.01
    fit = ExtraTreesFitter(sample).fit(SETTINGS, Order(until=late))
    assert fit.is_cut
    assert len(fit.parts[-1].trees) == extra_trees.TREES_PER_STEP
    with pytest.raises(OutOfTime, match="before 90 trees"):
        ExtraTreesFitter(sample).fit({**SETTINGS, "num_trees": 90}, Order(until=late + 0.01))
    with pytest.raises(OutOfTime, match="before a tree"):
        ExtraTreesFitter(sample).fit(SETTINGS, Order(until=time.monotonic() - 1))
