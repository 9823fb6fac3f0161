"""
Metrics against scikit-learn's.
"""

import warnings

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn import metrics as oracle

from sqlml.enums import Direction, ProblemType
from sqlml.errors import OptionNotUsable
from sqlml.search.metrics import (
    CONFUSION_FUNCTIONS,
    METRICS,
    PredictionKind,
    confusion,
    find_metric,
)

BINARY = {
    "roc_auc": lambda y, p, w: oracle.roc_auc_score(y, p[:, 1], sample_weight=w),
    "pr_auc": lambda y, p, w: oracle.average_precision_score(y, p[:, 1], sample_weight=w),
    "log_loss": lambda y, p, w: oracle.log_loss(y, p, sample_weight=w),
    "brier": lambda y, p, w: oracle.brier_score_loss(y, p[:, 1], sample_weight=w),
    "f1": lambda y, p, w: oracle.f1_score(y, p.argmax(axis=1), sample_weight=w),
}
CLASSIFICATION = {
    "accuracy": lambda y, p, w: oracle.accuracy_score(y, p.argmax(axis=1), sample_weight=w),
    "balanced_accuracy": lambda y, p, w: oracle.balanced_accuracy_score(
        y, p.argmax(axis=1), sample_weight=w
    ),
    "f1_macro": lambda y, p, w: oracle.f1_score(
        y, p.argmax(axis=1), average="macro", sample_weight=w
    ),
    "f1_weighted": lambda y, p, w: oracle.f1_score(
        y, p.argmax(axis=1), average="weighted", sample_weight=w
    ),
    "mcc": lambda y, p, w: oracle.matthews_corrcoef(y, p.argmax(axis=1), sample_weight=w),
}
MULTICLASS = {
    "roc_auc": lambda y, p, w: oracle.roc_auc_score(
        y, p, multi_class="ovr", average="macro", sample_weight=w
    ),
    "pr_auc": lambda y, p, w: oracle.average_precision_score(
        np.eye(p.shape[1])[y.astype(int)], p, average="macro", sample_weight=w
    ),
    "log_loss": lambda y, p, w: oracle.log_loss(y, p, sample_weight=w),
    "brier": lambda y, p, w: oracle.brier_score_loss(y, p, sample_weight=w),
}
REGRESSION = {
    "rmse": oracle.root_mean_squared_error,
    "mae": oracle.mean_absolute_error,
    "median_ae": oracle.median_absolute_error,
    "mape": oracle.mean_absolute_percentage_error,
    "rmsle": oracle.root_mean_squared_log_error,
    "r2": oracle.r2_score,
    "pinball": oracle.mean_pinball_loss,
    "poisson_deviance": oracle.mean_poisson_deviance,
    "tweedie_deviance": lambda y, p, sample_weight: oracle.mean_tweedie_deviance(
        y, p, power=1.5, sample_weight=sample_weight
    ),
}


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def make_weights(rng, row_count, is_weighted):
    """Make weights, some of them 0, or none."""
    return rng.integers(0, 4, row_count) / 2 if is_weighted else None


def make_proba(rng, row_count, class_count):
    """Make class codes and probabilities with ties."""
    raw = rng.integers(1, 5, (row_count, class_count)).astype(float)
    truth = rng.integers(0, class_count, row_count).astype(float)
    return truth, raw / raw.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("is_weighted", [False, True])
@pytest.mark.parametrize("name", [*BINARY, *CLASSIFICATION])
def test_binary_metrics(rng, name, is_weighted):
    truth, proba = make_proba(rng, 500, 2)
    weight = make_weights(rng, 500, is_weighted)
    expected = (BINARY | CLASSIFICATION)[name](truth, proba, weight)
    assert METRICS[name].score(truth, proba, weight) == pytest.approx(expected)


@pytest.mark.parametrize("is_weighted", [False, True])
@pytest.mark.parametrize("name", [*MULTICLASS, *CLASSIFICATION])
def test_multiclass_metrics(rng, name, is_weighted):
    truth, proba = make_proba(rng, 500, 4)
    weight = make_weights(rng, 500, is_weighted)
    expected = (MULTICLASS | CLASSIFICATION)[name](truth, proba, weight)
    assert METRICS[name].score(truth, proba, weight) == pytest.approx(expected)


@pytest.mark.parametrize("is_weighted", [False, True])
@pytest.mark.parametrize("row_count", [300, 301])
@pytest.mark.parametrize("name", list(REGRESSION))
def test_regression_metrics(rng, name, row_count, is_weighted):
    truth, predicted = rng.gamma(2, 20, row_count), rng.gamma(2, 20, row_count)
    weight = make_weights(rng, row_count, is_weighted)
    expected = REGRESSION[name](truth, predicted, sample_weight=weight)
    assert METRICS[name].score(truth, predicted, weight) == pytest.approx(expected)


def test_every_metric_has_an_oracle():
    assert set(METRICS) == {*BINARY, *MULTICLASS, *CLASSIFICATION, *REGRESSION}


@pytest.mark.parametrize("power", [1.0, 1.2, 1.9, 2.0])
def test_power_of_tweedie(rng, power):
    truth, predicted = rng.gamma(2, 20, 100), rng.gamma(2, 20, 100)
    metric = find_metric("tweedie_deviance", ProblemType.REGRESSION, power)
    expected = oracle.mean_tweedie_deviance(truth, predicted, power=power)
    assert metric.score(truth, predicted) == pytest.approx(expected)
    assert metric.parameter == power


def test_deviances_of_zeros(rng):
    truth, predicted = rng.poisson(0.5, 200).astype(float), rng.gamma(1, 1, 200)
    for name, power in (("poisson_deviance", 1), ("tweedie_deviance", 1.5)):
        expected = oracle.mean_tweedie_deviance(truth, predicted, power=power)
        assert METRICS[name].score(truth, predicted) == pytest.approx(expected)
        assert np.isfinite(METRICS[name].score(truth, predicted - 10))
        assert np.isnan(METRICS[name].score(truth - 1, predicted))
    gamma = find_metric("tweedie_deviance", ProblemType.REGRESSION, 2.0)
    assert np.isnan(gamma.score(np.array([0.0, 1.0]), np.ones(2)))


def test_alpha_of_pinball():
    metric = find_metric("pinball", ProblemType.REGRESSION, 0.9)
    assert metric.score(np.array([10.0]), np.array([0.0])) == pytest.approx(9)
    assert metric.score(np.array([0.0]), np.array([10.0])) == pytest.approx(1)


@pytest.mark.parametrize(
    ("name", "value"), [("pinball", 0.0), ("pinball", 1.0), ("tweedie_deviance", 3.0), ("mae", 1.0)]
)
def test_parameters_out_of_range(name, value):
    with pytest.raises(OptionNotUsable):
        find_metric(name, ProblemType.REGRESSION, value)


def test_codes_instead_of_probabilities(rng):
    truth, proba = make_proba(rng, 200, 2)
    codes = (proba[:, 1] > 0.3).astype(float)
    expected = oracle.f1_score(truth, codes)
    assert METRICS["f1"].score(truth, codes) == pytest.approx(expected)


def test_many_confusions_at_once(rng):
    confusions = rng.integers(0, 9, (7, 3, 3)).astype(float)
    for function in CONFUSION_FUNCTIONS.values():
        together = function(confusions)
        assert together.tolist() == pytest.approx([float(function(each)) for each in confusions])


def test_confusion_sums_weights():
    found = confusion(np.array([0.0, 1, 1]), np.array([1.0, 1, 0]), np.array([2.0, 3, 5]))
    assert found.tolist() == [[0, 2], [5, 3]]


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 2), min_size=1, max_size=12),
    st.lists(st.integers(0, 2), min_size=12, max_size=12),
)
@example([0, 0, 0, 0, 1, 2], [0] * 12)
def test_classes_that_lack_score_as_the_oracle_says(truth, codes):
    truth, codes = np.array(truth, float), np.array(codes[: len(truth)], float)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, function in CLASSIFICATION.items():
            expected = function(truth, np.eye(3)[codes.astype(int)], None)
            assert METRICS[name].score(truth, codes) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", ["rmse", "mae", "median_ae"])
def test_huge_numbers_do_not_overflow(name):
    truth, predicted = np.array([1e300, -1e300]), np.array([0.0, 0.0])
    assert METRICS[name].score(truth, predicted) == pytest.approx(1e300)


def test_scores_that_do_not_exist_are_nan():
    proba = np.full((3, 2), 0.5)
    assert np.isnan(METRICS["roc_auc"].score(np.zeros(3), proba))
    assert np.isnan(METRICS["roc_auc"].score(np.ones(3), proba))
    assert np.isnan(METRICS["pr_auc"].score(np.zeros(3), proba))
    assert np.isnan(METRICS["r2"].score(np.ones(3), np.zeros(3)))
    assert np.isnan(METRICS["mape"].score(np.zeros(3), np.ones(3)))
    assert np.isnan(METRICS["rmsle"].score(np.array([-1.0]), np.ones(1)))


@pytest.mark.parametrize("name", list(METRICS))
def test_no_row_that_counts_is_nan_and_no_warning(name):
    metric = METRICS[name]
    is_number = metric.kind is PredictionKind.NUMBER
    predicted = np.ones(3) if is_number else np.full((3, 2), 0.5)
    score = metric.score(np.array([0.0, 1, 1]), predicted, np.zeros(3))
    assert np.isnan(score) or score == 0


def test_classes_nobody_has_do_not_count_in_a_mean_over_classes(rng):
    truth, proba = make_proba(rng, 300, 3)
    wider = np.column_stack([proba, np.zeros(300)])
    for name in ("roc_auc", "pr_auc"):
        assert METRICS[name].score(truth, wider) == METRICS[name].score(truth, proba)


def test_negative_predictions_count_as_zero_in_rmsle():
    assert METRICS["rmsle"].score(np.zeros(2), np.array([-5.0, 0.0])) == 0


def test_class_that_never_was_likely_has_a_finite_log_loss():
    assert np.isfinite(METRICS["log_loss"].score(np.array([1.0]), np.array([[1.0, 0.0]])))


def test_defaults_and_directions():
    assert find_metric(None, ProblemType.BINARY).name == "roc_auc"
    assert find_metric(None, ProblemType.MULTICLASS).name == "log_loss"
    assert find_metric(None, ProblemType.REGRESSION).name == "rmse"
    assert METRICS["r2"].direction is Direction.MAXIMIZE
    assert METRICS["rmse"].direction is Direction.MINIMIZE


@pytest.mark.parametrize("name", list(METRICS))
def test_perfect_predictions_are_not_beaten(rng, name):
    metric = METRICS[name]
    truth = np.array([0.0, 1, 0, 1, 1])
    perfect = truth if metric.kind is PredictionKind.NUMBER else np.eye(2)[truth.astype(int)]
    worse = perfect[::-1] * 0.9 + 0.05
    assert metric.is_better(metric.score(truth, perfect), metric.score(truth, worse))


@pytest.mark.parametrize(
    ("name", "problem_type", "nearest"),
    [
        ("rocauc", ProblemType.BINARY, "roc_auc"),
        ("rsme", ProblemType.REGRESSION, "rmse"),
        ("zzz", ProblemType.REGRESSION, "rmse"),
    ],
)
def test_unknown_metric_names_the_nearest(name, problem_type, nearest):
    with pytest.raises(OptionNotUsable) as raised:
        find_metric(name, problem_type)
    assert raised.value.sqlstate == "22023"
    assert raised.value.hint == f'Did you mean "{nearest}"?'
    assert nearest in (raised.value.detail or "")


@pytest.mark.parametrize(
    ("name", "problem_type", "hint"),
    [
        (
            "roc_auc",
            ProblemType.REGRESSION,
            "Leave metric out to have rmse, or name one of these;"
            " roc_auc is for binary or multiclass problems.",
        ),
        (
            "f1",
            ProblemType.MULTICLASS,
            "Leave metric out to have log_loss, or name one of these; f1 is for binary problems.",
        ),
    ],
)
def test_a_metric_of_other_problems_is_not_taken_for_a_misspelt_one(name, problem_type, hint):
    with pytest.raises(OptionNotUsable) as raised:
        find_metric(name, problem_type)
    assert raised.value.hint == hint
