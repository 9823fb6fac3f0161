"""
Intervals of scores: they cover the true score about as often as they say.
"""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit

from sqlml.search.interval import bootstrap_interval
from sqlml.search.metrics import METRICS, PredictionKind


def draw(row_count, seed):
    """Draw raw scores and classes."""
    rng = np.random.default_rng(seed)
    raw = 1.5 * rng.normal(size=row_count)
    truth = (rng.random(row_count) < expit(raw)).astype(float)
    return truth, np.column_stack([expit(-raw), expit(raw)])


@pytest.mark.parametrize("name", ["roc_auc", "log_loss", "accuracy", "f1"])
def test_true_score_is_covered(name):
    metric = METRICS[name]
    true_score = metric.score(*draw(100_000, 1))
    covered = 0
    for seed in range(30):
        truth, proba = draw(300, seed + 2)
        low, high = bootstrap_interval(truth, proba, None, metric, seed)
        covered += low <= true_score <= high
    assert covered >= 25


def test_error_of_numbers_is_covered():
    covered = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        errors = rng.normal(0, 3, 200)
        low, high = bootstrap_interval(errors, np.zeros(200), None, METRICS["rmse"], seed)
        covered += low <= 3 <= high
    assert covered >= 33


def test_many_rows_make_it_narrow():
    metric = METRICS["rmse"]
    rng = np.random.default_rng(0)
    errors = rng.normal(0, 1, 100_000)
    low, high = bootstrap_interval(errors, np.zeros(100_000), None, metric, 0)
    # The standard error of a root mean squared error is sd / sqrt(2 n).
    assert high - low == pytest.approx(2 * 1.96 / np.sqrt(200_000), rel=0.2)
    assert low < 1 < high


@pytest.mark.parametrize("name", list(METRICS))
def test_interval_holds_the_score(name):
    metric = METRICS[name]
    truth, proba = draw(60, 0)
    predicted = proba[:, 1] if metric.kind is PredictionKind.NUMBER else proba
    weight = np.random.default_rng(0).random(60)
    for weights in (None, weight):
        low, high = bootstrap_interval(truth, predicted, weights, metric, 0)
        assert low <= metric.score(truth, predicted, weights) <= high


def test_all_right_is_not_certain():
    truth = np.array([0.0, 1] * 10)
    low, high = bootstrap_interval(
        truth, np.eye(2)[truth.astype(int)], None, METRICS["accuracy"], 0
    )
    assert low == pytest.approx(0.839, abs=0.001)
    assert high == 1


def test_same_seed_same_interval():
    truth, proba = draw(100, 0)
    found = {bootstrap_interval(truth, proba, None, METRICS["roc_auc"], 3) for _ in range(2)}
    assert len(found) == 1


def test_score_that_does_not_exist_has_no_interval():
    interval = bootstrap_interval(np.ones(5), np.full((5, 2), 0.5), None, METRICS["roc_auc"], 0)
    assert np.isnan(interval).all()


@pytest.mark.parametrize("row_count", [1, 2, 5])
def test_few_rows(row_count):
    low, high = bootstrap_interval(
        np.arange(row_count) + 1.0, np.zeros(row_count), None, METRICS["mae"], 0
    )
    assert low <= high


@pytest.mark.parametrize("classes", [2, 200])
def test_without_time_few_rows_are_drawn_again(classes):
    rng = np.random.default_rng(0)
    truth = rng.integers(0, classes, 6000).astype(float)
    proba = rng.dirichlet(np.ones(classes), 6000)
    sizes = []

    def counting(truth, predicted, weight):
        sizes.append(truth.size)
        return METRICS["log_loss"].score(truth, predicted, weight)

    metric = replace(METRICS["log_loss"], function=counting)
    low, high = bootstrap_interval(truth, proba, None, metric, 0, until=0.0)
    assert low < METRICS["log_loss"].score(truth, proba) < high
    assert sizes == [6000] + [5000 if classes == 2 else 1000] * 20
