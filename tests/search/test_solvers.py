"""
Linear solvers against scikit-learn's, which are exact and slower.
"""

import time

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.linear_model import ElasticNet, HuberRegressor, LogisticRegression, QuantileRegressor

from sqlml.search.estimators.goal import Goal, Loss
from sqlml.search.estimators.solvers import Penalty, Rows, solve_classes, solve_regression
from sqlml.search.fitted import Link

ROWS = 400
ALMOST_NONE = Penalty(1e-6, 0.0)


@pytest.fixture(scope="module")
def data():
    """Rows with a skewed noise and outliers."""
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(ROWS, 3))
    target = inputs @ [0.5, -0.3, 0.1] + 0.3 * rng.exponential(size=ROWS)
    target[::40] += 20
    return inputs, target


def rows_of(inputs, target, weight=None, seconds=60.0):
    return Rows(inputs, target, weight, time.monotonic() + seconds)


@pytest.mark.parametrize("alpha", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("is_sparse", [False, True])
def test_quantiles(data, alpha, is_sparse):
    inputs, target = data
    goal = Goal(loss=Loss.QUANTILE, link=Link.IDENTITY, parameter=alpha)
    given = csr_matrix(inputs) if is_sparse else inputs
    found = solve_regression(rows_of(given, target), goal, ALMOST_NONE)
    exact = QuantileRegressor(quantile=alpha, alpha=0).fit(inputs, target)

    def loss(weights, intercept):
        errors = target - inputs @ weights - intercept
        return np.where(errors > 0, alpha * errors, (alpha - 1) * errors).mean()

    best = loss(exact.coef_, exact.intercept_)
    assert loss(found.weights[:, 0], found.intercepts[0]) < 1.02 * best


def test_huber(data):
    inputs, target = data
    found = solve_regression(
        rows_of(inputs, target), Goal(loss=Loss.HUBER, link=Link.IDENTITY), ALMOST_NONE
    )
    exact = HuberRegressor(alpha=0).fit(inputs, target)
    assert found.weights[:, 0] == pytest.approx(exact.coef_, abs=0.05)


def test_elastic_net_selects(data):
    inputs, target = data
    noise = np.random.default_rng(1).normal(size=(ROWS, 5))
    wide = np.hstack([inputs, noise])
    goal = Goal(loss=Loss.SQUARED, link=Link.IDENTITY)
    found = solve_regression(rows_of(wide, target), goal, Penalty(0.5 * ROWS, 0.5))
    exact = ElasticNet(alpha=0.5, l1_ratio=0.5).fit(wide, target)
    assert found.weights[:, 0] == pytest.approx(exact.coef_, abs=1e-2)
    assert (found.weights == 0).sum() >= 3


def test_counts_have_the_mean_of_the_target(data):
    inputs, _ = data
    rng = np.random.default_rng(0)
    counts = rng.poisson(np.exp(inputs @ [0.5, 0.2, 0.0])).astype(float)
    goal = Goal(loss=Loss.POISSON, link=Link.EXP)
    found = solve_regression(rows_of(inputs, counts), goal, ALMOST_NONE)
    means = np.exp(inputs @ found.weights[:, 0] + found.intercepts[0])
    assert means.mean() == pytest.approx(counts.mean(), rel=1e-3)
    assert found.weights[:, 0] == pytest.approx([0.5, 0.2, 0.0], abs=0.12)


@pytest.mark.parametrize("class_count", [2, 3])
@pytest.mark.parametrize("l1_ratio", [0.0, 0.5])
def test_classes(data, class_count, l1_ratio):
    inputs, target = data
    labels = (np.argsort(np.argsort(target)) * class_count // ROWS).astype(float)
    found = solve_classes(rows_of(inputs, labels), Penalty(3.0, l1_ratio))
    exact = LogisticRegression(
        C=1 / 3, l1_ratio=l1_ratio, solver="saga", max_iter=5000, tol=1e-6
    ).fit(inputs, labels)
    expected = exact.decision_function(inputs)
    given = inputs @ found.weights + found.intercepts
    if class_count == 2:
        given = given[:, 1] - given[:, 0]
    np.testing.assert_allclose(given, expected, atol=0.02)


def test_clock_ends_a_fit_with_what_it_has(data):
    inputs, target = data
    goal = Goal(loss=Loss.ABSOLUTE, link=Link.IDENTITY)
    found = solve_regression(rows_of(inputs, target, seconds=0.0), goal, ALMOST_NONE)
    assert np.isfinite(found.weights).all()
