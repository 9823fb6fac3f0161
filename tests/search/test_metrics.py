"""
Metrics against scikit-learn's.
"""

import numpy as np
import pytest
from sklearn import metrics as oracle

from sqlml.enums import Direction, ProblemType
from sqlml.errors import OptionNotUsable
from sqlml.search.metrics import METRICS, find_metric


@pytest.fixture(scope="module")
def rng():
    return np.random.default_rng(7)


def make_proba(rng, row_count, class_count):
    """Make class codes and probabilities with ties."""
    raw = rng.integers(1, 5, (row_count, class_count)).astype(float)
    truth = rng.integers(0, class_count, row_count).astype(float)
    return truth, raw / raw.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("roc_auc", lambda y, p: oracle.roc_auc_score(y, p[:, 1])),
        ("log_loss", oracle.log_loss),
        ("accuracy", lambda y, p: oracle.accuracy_score(y, p.argmax(axis=1))),
        ("balanced_accuracy", lambda y, p: oracle.balanced_accuracy_score(y, p.argmax(axis=1))),
        ("f1", lambda y, p: oracle.f1_score(y, p.argmax(axis=1))),
        ("brier", lambda y, p: oracle.brier_score_loss(y, p[:, 1])),
    ],
)
def test_binary_metrics(rng, name, function):
    truth, proba = make_proba(rng, 500, 2)
    assert METRICS[name].function(truth, proba) == pytest.approx(function(truth, proba))


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("log_loss", oracle.log_loss),
        ("balanced_accuracy", lambda y, p: oracle.balanced_accuracy_score(y, p.argmax(axis=1))),
        ("f1", lambda y, p: oracle.f1_score(y, p.argmax(axis=1), average="macro")),
        ("brier", lambda y, p: ((p - np.eye(4)[y.astype(int)]) ** 2).sum(axis=1).mean()),
    ],
)
def test_multiclass_metrics(rng, name, function):
    truth, proba = make_proba(rng, 500, 4)
    assert METRICS[name].function(truth, proba) == pytest.approx(function(truth, proba))


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("rmse", oracle.root_mean_squared_error),
        ("mae", oracle.mean_absolute_error),
        ("r2", oracle.r2_score),
        ("mape", oracle.mean_absolute_percentage_error),
    ],
)
def test_regression_metrics(rng, name, function):
    truth, predicted = rng.normal(100, 20, 300), rng.normal(100, 20, 300)
    assert METRICS[name].function(truth, predicted) == pytest.approx(function(truth, predicted))


@pytest.mark.parametrize("name", ["rmse", "mae"])
def test_huge_numbers_do_not_overflow(name):
    truth, predicted = np.array([1e300, -1e300]), np.array([0.0, 0.0])
    assert METRICS[name].function(truth, predicted) == pytest.approx(1e300)


def test_scores_that_do_not_exist_are_nan():
    proba = np.full((3, 2), 0.5)
    assert np.isnan(METRICS["roc_auc"].function(np.zeros(3), proba))
    assert np.isnan(METRICS["r2"].function(np.ones(3), np.zeros(3)))
    assert np.isnan(METRICS["mape"].function(np.zeros(3), np.ones(3)))


def test_class_that_never_was_likely_has_a_finite_log_loss():
    assert np.isfinite(METRICS["log_loss"].function(np.array([1.0]), np.array([[1.0, 0.0]])))


def test_defaults_and_directions():
    assert find_metric(None, ProblemType.BINARY).name == "roc_auc"
    assert find_metric(None, ProblemType.MULTICLASS).name == "log_loss"
    assert find_metric(None, ProblemType.REGRESSION).name == "rmse"
    assert METRICS["r2"].direction is Direction.MAXIMIZE
    assert METRICS["rmse"].direction is Direction.MINIMIZE


@pytest.mark.parametrize(
    ("name", "problem_type", "nearest"),
    [
        ("rocauc", ProblemType.BINARY, "roc_auc"),
        ("rsme", ProblemType.REGRESSION, "rmse"),
        ("roc_auc", ProblemType.REGRESSION, "rmse"),
    ],
)
def test_unknown_metric_names_the_nearest(name, problem_type, nearest):
    with pytest.raises(OptionNotUsable) as raised:
        find_metric(name, problem_type)
    assert raised.value.sqlstate == "22023"
    assert raised.value.hint == f'Did you mean "{nearest}"?'
    assert nearest in (raised.value.detail or "")
