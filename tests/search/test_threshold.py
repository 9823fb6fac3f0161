"""
Decision thresholds: found where they help, left alone where they do not.
"""

import numpy as np
import pytest
from scipy.special import expit

from sqlml.search.metrics import METRICS
from sqlml.search.threshold import choose_threshold


def make_rows(row_count, offset, seed=0):
    """Draw classes with the probability that the raw score says."""
    rng = np.random.default_rng(seed)
    raw = 1.5 * rng.normal(size=row_count) + offset
    return raw, (rng.random(row_count) < expit(raw)).astype(float)


@pytest.mark.parametrize("name", ["balanced_accuracy", "f1", "mcc", "f1_macro"])
def test_rare_class_needs_a_lower_threshold(name):
    metric = METRICS[name]
    raw, truth = make_rows(3000, -2.5)
    threshold = choose_threshold(raw, truth, None, metric)
    assert threshold < -0.3
    later, later_truth = make_rows(20_000, -2.5, seed=1)
    scores = [metric.score(later_truth, (later > each).astype(float)) for each in (threshold, 0)]
    assert scores[0] > scores[1]


def test_weights_move_the_threshold():
    raw, truth = make_rows(3000, 0)
    weight = np.where(truth == 1, 5.0, 1.0)
    threshold = choose_threshold(raw, truth, weight, METRICS["accuracy"])
    assert threshold == pytest.approx(-np.log(5), abs=0.4)


@pytest.mark.parametrize("seed", range(5))
def test_accuracy_of_right_probabilities_keeps_one_half(seed):
    raw, truth = make_rows(500, 0, seed)
    assert abs(choose_threshold(raw, truth, None, METRICS["accuracy"])) < 0.5


@pytest.mark.parametrize("name", ["roc_auc", "log_loss"])
def test_metrics_of_probabilities_have_none(name):
    raw, truth = make_rows(500, -2.5)
    assert choose_threshold(raw, truth, None, METRICS[name]) == 0


@pytest.mark.parametrize(
    ("raw", "truth"),
    [([1.0] * 6, [0, 1] * 3), ([1.0, 2, 3], [1, 1, 1]), ([0.5, -0.5], [0, 1]), ([3.0], [1])],
)
def test_few_or_equal_rows(raw, truth):
    threshold = choose_threshold(np.array(raw), np.array(truth, float), None, METRICS["f1"])
    assert np.isfinite(threshold)


def test_same_rows_same_threshold():
    raw, truth = make_rows(400, -2)
    found = {choose_threshold(raw[:, None], truth, None, METRICS["f1"]) for _ in range(2)}
    assert len(found) == 1
