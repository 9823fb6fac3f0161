"""
Ensemble selection: against a plain one, with its rules of cost, and its honest score.
"""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit, softmax

from sqlml.enums import ProblemType
from sqlml.search.additions import MIN_ROWS_FOR_BINS, MetricAdditions, make_additions
from sqlml.search.ensemble import (
    Allowance,
    blend,
    cross_fit,
    cross_fit_raw,
    select_raw_weights,
    select_weights,
)
from sqlml.search.metrics import METRICS
from sqlml.search.scores import predicted

NOISES = (0.5, 0.7, 1.0, 1.5, 3.0)


def make_binary(row_count, seed=0, shift=0.0):
    """Make classes, and probabilities of candidates that know them with more and more noise."""
    rng = np.random.default_rng(seed)
    score = 2 * rng.normal(size=row_count) + shift
    truth = (rng.random(row_count) < expit(score)).astype(float)
    proba = [expit(score + rng.normal(0, noise, row_count)) for noise in NOISES]
    return [np.column_stack([1 - each, each]) for each in proba], truth


def make_classes(row_count, seed=0):
    """Make three classes and probabilities of candidates."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, row_count).astype(float)
    score = 2.0 * (truth[:, None] == np.arange(3))
    return [softmax(score + rng.normal(0, noise, score.shape), axis=1) for noise in NOISES], truth


def make_numbers(row_count, seed=0):
    """Make numbers and candidates that know them with more and more noise."""
    rng = np.random.default_rng(seed)
    truth = rng.gamma(3, 1, row_count)
    return [np.abs(truth + rng.normal(0, noise, row_count)) for noise in NOISES], truth


MAKERS = {
    ProblemType.BINARY: make_binary,
    ProblemType.MULTICLASS: make_classes,
    ProblemType.REGRESSION: make_numbers,
}
CASES = [
    (name, problem_type)
    for name, metric in METRICS.items()
    for problem_type in ProblemType
    if problem_type in metric.problem_types
]


@pytest.mark.parametrize("is_weighted", [False, True])
@pytest.mark.parametrize(("name", "problem_type"), CASES)
def test_short_cuts_order_additions_as_the_metric_does(name, problem_type, is_weighted):
    candidates, truth = MAKERS[problem_type](300)
    weight = np.random.default_rng(1).random(300) if is_weighted else None
    fast = make_additions(candidates, truth, weight, METRICS[name])
    plain = MetricAdditions(candidates, truth, weight, METRICS[name])
    for index in (1, 4, 1):
        assert np.argsort(fast.scores()).tolist() == np.argsort(plain.scores()).tolist()
        fast.add(index)
        plain.add(index)


@pytest.mark.parametrize("shift", [-4.0, -0.1, 4.0])
@pytest.mark.parametrize("is_raw", [False, True])
@pytest.mark.parametrize("name", ["roc_auc", "pr_auc"])
def test_bins_give_the_score_of_ranks(shift, is_raw, name):
    candidates, truth = make_binary(MIN_ROWS_FOR_BINS * 2, shift=shift)
    if is_raw:
        candidates = [logit(each) for each in candidates]
    fast = make_additions(candidates, truth, None, METRICS[name])
    plain = MetricAdditions(candidates, truth, None, METRICS[name])
    is_fast = name == "roc_auc" or truth.mean() <= 0.5
    assert (type(fast) is type(plain)) is not is_fast
    for index in (0, 2):
        assert fast.scores() == pytest.approx(plain.scores(), abs=5e-4)
        fast.add(index)
        plain.add(index)


@pytest.mark.parametrize(("name", "problem_type"), CASES)
def test_blend_is_no_worse_than_the_best_candidate(name, problem_type):
    metric = METRICS[name]
    candidates, truth = MAKERS[problem_type](400)
    weights = select_weights(candidates, truth, None, metric)
    assert weights.sum() == pytest.approx(1)
    assert (weights[weights > 0] >= 0.03).all()
    best = max(metric.sign * metric.score(truth, each) for each in candidates)
    blended = metric.sign * metric.score(truth, blend(candidates, weights))
    assert blended >= best - 1e-9


def test_selection_is_a_plain_greedy_one():
    candidates, truth = make_classes(200)
    metric = METRICS["log_loss"]
    counts, score = np.zeros(5), -np.inf
    best = counts
    for _ in range(30):
        tried = [
            -metric.score(
                truth, blend(candidates, (counts + np.eye(5)[index]) / (counts.sum() + 1))
            )
            for index in range(5)
        ]
        counts = counts + np.eye(5)[np.argmax(tried)]
        if max(tried) > score:
            score, best = max(tried), counts
    weights = select_weights(candidates, truth, None, metric)
    assert weights.tolist() == pytest.approx((best / best.sum()).tolist())


@settings(deadline=None)
@given(st.lists(st.floats(0.5, 10), min_size=5, max_size=5), st.floats(0.1, 30))
def test_costs_stay_under_the_limit(costs, limit):
    candidates, truth = make_numbers(60)
    costs = np.array(costs)
    weights = select_weights(
        candidates, truth, None, METRICS["rmse"], Allowance(costs=costs, limit=limit)
    )
    if limit >= costs.min():
        assert costs[weights > 0].sum() <= limit
    else:
        assert np.flatnonzero(weights).tolist() == [np.argmin(costs)]


def test_best_candidate_need_not_be_in_the_best_blend_that_can_be_paid():
    truth, noise, other = np.random.default_rng(0).normal(size=(3, 400))
    candidates = [truth + 0.9 * other, truth + noise, truth - noise]
    allowance = Allowance(costs=np.array([3.0, 2, 2]), limit=4)
    weights = select_weights(candidates, truth, None, METRICS["rmse"], allowance)
    assert weights.tolist() == [0, 0.5, 0.5]


def test_of_equal_candidates_the_cheapest_is_chosen():
    candidates, truth = make_numbers(60)
    same = [candidates[0]] * 3
    allowance = Allowance(costs=np.array([3.0, 1, 2]))
    weights = select_weights(same, truth, None, METRICS["mae"], allowance)
    assert weights.tolist() == [0, 1, 0]


def test_without_time_the_best_candidate_is_taken():
    candidates, truth = make_numbers(60)
    weights = select_weights(candidates, truth, None, METRICS["mae"], Allowance(until=0.0))
    best = np.argmin([METRICS["mae"].score(truth, each) for each in candidates])
    assert weights.tolist() == np.eye(len(candidates))[best].tolist()


def test_weights_of_rows_count():
    truth = np.array([0.0, 0, 10, 10])
    candidates = [np.zeros(4), np.full(4, 10.0)]
    first = select_weights(candidates, truth, np.array([1.0, 1, 0, 0]), METRICS["rmse"])
    second = select_weights(candidates, truth, np.array([0.0, 0, 1, 1]), METRICS["rmse"])
    assert (first.tolist(), second.tolist()) == ([1, 0], [0, 1])


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
@pytest.mark.parametrize("name", ["rmse", "mae"])
def test_candidates_that_are_not_finite_get_nothing(name, wrong):
    candidates, truth = make_numbers(60)
    candidates[0] = candidates[0].copy()
    candidates[0][7] = wrong
    weights = select_weights(candidates, truth, None, METRICS[name])
    assert weights[0] == 0
    assert weights.sum() == pytest.approx(1)
    with pytest.raises(ValueError, match="finite"):
        select_weights(candidates[:1], truth, None, METRICS[name])


def test_score_that_does_not_exist_takes_the_cheapest():
    candidates, _ = make_binary(20)
    allowance = Allowance(costs=np.array([5.0, 4, 3, 2, 1]))
    weights = select_weights(candidates, np.zeros(20), None, METRICS["roc_auc"], allowance)
    assert weights.tolist() == [0, 0, 0, 0, 1]


def test_huge_numbers():
    truth = np.array([1e300, -1e300, 0, 1])
    weights = select_weights([truth * 0.9, truth * 0.5], truth, None, METRICS["rmse"])
    assert weights.tolist() == [1, 0]


@pytest.mark.parametrize("name", ["log_loss", "accuracy"])
def test_many_rows_are_drawn(name):
    candidates, truth = make_binary(30_000)
    weights = select_weights(candidates, truth, None, METRICS[name])
    assert weights[0] > weights[4]


@pytest.mark.parametrize("row_count", [1, 2, 5])
def test_few_rows(row_count):
    candidates, truth = make_numbers(row_count)
    assert np.isfinite(cross_fit(candidates, truth, None, METRICS["rmse"])).all()


def test_cross_fit_sees_through_candidates_of_chance():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=200)
    candidates = [rng.normal(size=200) for _ in range(40)]
    metric = METRICS["r2"]
    weights = select_weights(candidates, truth, None, metric)
    apparent = metric.score(truth, blend(candidates, weights))
    honest = metric.score(truth, cross_fit(candidates, truth, None, metric))
    assert honest < 0 < apparent


RAW_CASES = [case for case in CASES if case[1] is not ProblemType.REGRESSION]


@pytest.mark.parametrize(("name", "problem_type"), RAW_CASES)
def test_raw_weights_are_those_of_a_plain_search_over_raw_blends(name, problem_type):
    metric = METRICS[name]
    candidates, truth = MAKERS[problem_type](300)
    is_binary = problem_type is ProblemType.BINARY
    raws = [logit(each[:, 1:]) if is_binary else 2 * np.log(each) for each in candidates]
    plain = replace(
        metric,
        name="plain",
        function=lambda truth, raw, weight: metric.score(
            truth, predicted(problem_type, raw), weight
        ),
    )
    expected = select_weights(raws, truth, None, plain)
    assert select_raw_weights(raws, truth, None, metric).tolist() == expected.tolist()
    crossed = cross_fit_raw(raws, truth, None, metric)
    assert crossed == pytest.approx(cross_fit(raws, truth, None, plain))


def test_two_classes_with_a_raw_score_each():
    candidates, truth = make_binary(300)
    one, each = ([logit(x[:, 1:]) for x in candidates], [np.log(x) for x in candidates])
    metric = METRICS["log_loss"]
    weights = select_raw_weights(one, truth, None, metric)
    assert select_raw_weights(each, truth, None, metric).tolist() == weights.tolist()


def test_raw_numbers_are_scored_as_they_are():
    candidates, truth = make_numbers(200)
    raws = [each[:, None] for each in candidates]
    weights = select_raw_weights(raws, truth, None, METRICS["mae"])
    assert np.array_equal(weights, select_weights(candidates, truth, None, METRICS["mae"]))
    crossed = cross_fit_raw(raws, truth, None, METRICS["mae"])
    assert np.array_equal(crossed[:, 0], cross_fit(candidates, truth, None, METRICS["mae"]))


@pytest.mark.parametrize("name", ["roc_auc", "log_loss"])
def test_independent_witnesses_add_up(name):
    rng = np.random.default_rng(0)
    signs = rng.normal(size=(2, 2000))
    truth = (rng.random(2000) < expit(4 * signs.sum(axis=0))).astype(float)
    weights = select_raw_weights([8 * each[:, None] for each in signs], truth, None, METRICS[name])
    assert weights.tolist() == pytest.approx([0.5, 0.5], abs=0.1)
