"""
Calibration: finds what was done to right scores, and leaves right scores alone.
"""

import numpy as np
import pytest
from scipy.special import expit, log_softmax, softmax

from sqlml.enums import ProblemType
from sqlml.search.calibration import calibrate, find_scale


def draw_binary(row_count, seed=0):
    """Draw right raw scores and classes."""
    rng = np.random.default_rng(seed)
    raw = 2 * rng.normal(size=(row_count, 1))
    return raw, (rng.random(row_count) < expit(raw[:, 0])).astype(float)


def draw_classes(row_count, class_count):
    """Draw right raw scores and classes."""
    rng = np.random.default_rng(0)
    raw = 2 * rng.normal(size=(row_count, class_count))
    chances = softmax(raw, axis=1).cumsum(axis=1)
    codes = (rng.random((row_count, 1)) > chances).sum(axis=1)
    return raw, np.minimum(codes, class_count - 1).astype(float)


def test_scale_and_offset_of_two_classes_are_found():
    raw, truth = draw_binary(5000)
    scale, offsets = calibrate(raw * 3 + 2, truth, None, ProblemType.BINARY)
    assert scale == pytest.approx(1 / 3, rel=0.1)
    assert offsets[0] == pytest.approx(-2 / 3, abs=0.15)


def test_temperature_and_offsets_of_classes_are_found():
    raw, truth = draw_classes(5000, 4)
    scale, offsets = calibrate(raw * 2 + [0, 1, 0, -1], truth, None, ProblemType.MULTICLASS)
    assert scale == pytest.approx(0.5, rel=0.1)
    shifts = np.array(offsets) - offsets[0]
    assert shifts.tolist() == pytest.approx([0, -0.5, 0, 0.5], abs=0.2)


def test_pure_temperature_needs_no_offsets():
    raw, truth = draw_classes(3000, 3)
    scale, offsets = calibrate(raw * 4, truth, None, ProblemType.MULTICLASS)
    assert scale == pytest.approx(0.25, rel=0.15)
    assert offsets == ()


@pytest.mark.parametrize("draw", [draw_binary, lambda rows: draw_classes(rows, 4)])
def test_scale_alone_is_found_of_rows_that_count(draw):
    raw, truth = draw(9000)
    assert find_scale(raw * 3, truth, None) == pytest.approx(1 / 3, rel=0.15)
    weight = np.append(np.ones(5000), np.zeros(4000))
    truth[5000:] = 0
    assert find_scale(raw * 3, truth, weight) == pytest.approx(1 / 3, rel=0.15)
    assert find_scale(raw[:10] * 3, truth[:10], None) == 1


def test_scale_of_a_model_that_is_always_right_has_a_limit():
    truth = np.tile([0.0, 1.0], 30)
    assert find_scale(truth[:, None] - 0.5, truth, None) == 4


def test_right_scores_hardly_change():
    for seed in range(5):
        raw, truth = draw_binary(2000, seed)
        scale, offsets = calibrate(raw, truth, None, ProblemType.BINARY)
        assert scale == pytest.approx(1, abs=0.15)
        assert sum(offsets) == pytest.approx(0, abs=0.15)


def test_weights_count_as_rows():
    raw, truth = draw_binary(2000)
    weight = np.where(truth == 1, 3.0, 1.0)
    _, offsets = calibrate(raw, truth, weight, ProblemType.BINARY)
    assert offsets[0] == pytest.approx(np.log(3), abs=0.3)


def test_order_never_turns_round():
    raw, truth = draw_binary(500)
    scale, _ = calibrate(-raw, truth, None, ProblemType.BINARY)
    assert scale > 0


def test_class_without_rows_has_finite_offsets():
    raw, truth = draw_classes(500, 3)
    raw = np.column_stack([raw * 3, np.zeros(500)])
    scale, offsets = calibrate(raw, truth, None, ProblemType.MULTICLASS)
    scores = log_softmax(raw * scale + (offsets or np.zeros(4)), axis=1)
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("row_count", [1, 5, 20])
def test_few_rows_are_left_alone(row_count):
    raw, truth = draw_binary(row_count)
    assert calibrate(raw * 9, truth, None, ProblemType.BINARY) == (1.0, ())


def test_numbers_that_are_too_low_are_scaled():
    rng = np.random.default_rng(0)
    truth = rng.gamma(3, 1e6, 2000)
    raw = truth * 0.9 + rng.normal(0, 1e5, 2000)
    scale, offsets = calibrate(raw, truth, None, ProblemType.REGRESSION)
    offset = sum(offsets)
    assert ((raw * scale + offset - truth) ** 2).mean() < 0.6 * ((raw - truth) ** 2).mean()


def test_right_numbers_hardly_change():
    rng = np.random.default_rng(0)
    raw = rng.normal(100, 20, 2000)
    scale, offsets = calibrate(raw, raw + rng.normal(0, 5, 2000), None, ProblemType.REGRESSION)
    assert scale == pytest.approx(1, abs=0.02)
    assert sum(offsets) == pytest.approx(0, abs=2)


def test_an_outlier_does_not_decide():
    raw = np.random.default_rng(0).normal(100, 20, 500)
    truth = raw.copy()
    truth[7] = 1e300
    assert calibrate(raw, truth, None, ProblemType.REGRESSION)[0] == 1


def test_constant_numbers_are_left_alone():
    assert calibrate(np.zeros(100), np.zeros(100), None, ProblemType.REGRESSION) == (1.0, ())


def test_without_time_there_is_none():
    truth = np.tile([0.0, 1, 1], 100)
    raw = np.where(truth > 0, 9.0, -9.0) * np.tile([1, 1, -1], 100)
    assert calibrate(raw, truth, None, ProblemType.BINARY) != (1.0, ())
    assert calibrate(raw, truth, None, ProblemType.BINARY, until=0.0) == (1.0, ())
