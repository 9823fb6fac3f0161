"""
Target means, by hand and against scikit-learn.
"""

import numpy as np
import pytest
from sklearn.preprocessing import TargetEncoder

from sqlml.enums import ProblemType
from sqlml.search.encoding import MAX_CLASSES, PRIOR_ROWS, mean_outputs, target_means


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_a_mean_is_drawn_to_the_mean_of_all():
    codes = np.array([2.0, 2.0, 2.0, 3.0])
    outputs = np.array([[1.0], [2.0], [3.0], [10.0]])
    means = target_means(codes, 5, outputs, None, 0)
    prior = 4.0
    assert means.values[:, 0].tolist() == pytest.approx(
        [
            prior,
            prior,
            (6 + PRIOR_ROWS * prior) / (3 + PRIOR_ROWS),
            (10 + PRIOR_ROWS * prior) / (1 + PRIOR_ROWS),
            prior,
        ]
    )


def test_means_of_unseen_rows_are_scikit_learns(rng):
    codes = rng.integers(0, 30, 500).astype(float)
    target = rng.normal(size=500) + codes
    encoder = TargetEncoder(smooth=PRIOR_ROWS, target_type="continuous")
    theirs = encoder.fit(codes.reshape(-1, 1), target).transform(np.arange(30.0).reshape(-1, 1))
    means = target_means(codes, 30, target.reshape(-1, 1), None, 0)
    np.testing.assert_allclose(means.values, theirs, rtol=1e-12)


def test_classes_have_means_like_scikit_learns(rng):
    codes = rng.integers(0, 20, 600).astype(float)
    target = rng.integers(0, 3, 600).astype(float)
    outputs = mean_outputs(target, ProblemType.MULTICLASS, 3)
    encoder = TargetEncoder(smooth=PRIOR_ROWS, target_type="multiclass")
    theirs = encoder.fit(codes.reshape(-1, 1), target).transform(np.arange(20.0).reshape(-1, 1))
    np.testing.assert_allclose(target_means(codes, 20, outputs, None, 0).values, theirs, rtol=1e-12)


def test_a_row_does_not_see_its_own_target(rng):
    codes = rng.integers(0, 5, 100).astype(float)
    outputs = rng.normal(size=(100, 1))
    before = target_means(codes, 5, outputs, None, 0).learnt
    outputs[7] = 1e6
    after = target_means(codes, 5, outputs, None, 0).learnt
    assert after[7] == before[7]
    assert (after != before).any()


def test_keys_say_nothing_about_training_rows(rng):
    target = rng.normal(size=1000)
    means = target_means(np.arange(1000.0), 1000, target.reshape(-1, 1), None, 0)
    assert abs(np.corrcoef(means.learnt[:, 0], target)[0, 1]) < 0.1
    assert np.corrcoef(means.values[:, 0], target)[0, 1] > 0.99


def test_a_weight_counts_as_so_many_rows(rng):
    codes = rng.integers(0, 4, 50).astype(float)
    outputs = rng.normal(size=(50, 1))
    weight = rng.integers(1, 4, 50)
    weighted = target_means(codes, 4, outputs, weight.astype(float), 0).values
    repeated = np.repeat(np.arange(50), weight)
    plain = target_means(codes[repeated], 4, outputs[repeated], None, 0).values
    np.testing.assert_allclose(weighted, plain, rtol=1e-12)


def test_the_same_seed_gives_the_same_means(rng):
    codes, outputs = rng.integers(0, 4, 50).astype(float), rng.normal(size=(50, 1))
    first, second, other = (target_means(codes, 4, outputs, None, seed) for seed in (1, 1, 2))
    assert (first.learnt == second.learnt).all()
    assert (first.learnt != other.learnt).any()


def test_many_classes_have_no_means():
    target = np.zeros(5)
    assert mean_outputs(target, ProblemType.MULTICLASS, MAX_CLASSES + 1) is None
    assert mean_outputs(target, ProblemType.BINARY, 2).tolist() == [[0.0]] * 5
