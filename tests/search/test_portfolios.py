"""
Spaces and portfolios: what they offer for every kind of task can be fitted.
"""

from dataclasses import replace

import numpy as np
import pytest

from sqlml.enums import EstimatorName
from sqlml.search.estimators import ESTIMATORS
from sqlml.search.estimators.goal import goal_space
from sqlml.search.metrics import METRICS
from sqlml.search.space import Choices, Dimension, Range
from sqlml.search.wishes import make_portfolio, make_spaces
from tests.search.samples import order, sample_of
from tests.search.tables import dataset_of, read_table


def contains(dimension: Dimension, value):
    """Tell whether a value is in a dimension."""
    if isinstance(dimension, Choices):
        return value in dimension.values
    assert isinstance(value, int) or not dimension.is_integer
    return dimension.low <= value <= dimension.high


def corners(space):
    """Make the settings of all lowest and of all highest values."""
    for side in (0, -1):
        yield {
            name: (int if each.is_integer else float)((each.low, each.high)[side])
            if isinstance(each, Range)
            else each.values[side]
            for name, each in space.items()
        }


@pytest.fixture(
    scope="module",
    params=["titanic", "seoul_bike", "tate_text", "twenty rows", "few counts", "three classes"],
)
def sample(request):
    """Tables of every problem type, and small ones."""
    rng = np.random.default_rng(0)
    if request.param == "twenty rows":
        return sample_of(dataset_of("y", y=["a", "b"] * 10, x=rng.normal(size=20)))
    if request.param == "few counts":
        return sample_of(dataset_of("y", y=rng.poisson(0.5, 60) + 0.5, x=rng.normal(size=60)))
    if request.param == "three classes":
        return sample_of(dataset_of("y", y=["a", "b", "c"] * 50, x=rng.normal(size=150)))
    return sample_of(read_table(request.param))


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize("rate", [0.01, 0.1, 0.3])
@pytest.mark.parametrize("row_count", [None, 100_000])
def test_portfolio_is_in_the_space(sample, name, rate, row_count):
    estimator = ESTIMATORS[name]
    task = replace(sample.task, row_count=row_count or sample.task.row_count)
    space, portfolio = estimator.space(task), estimator.portfolio(task, rate)
    assert portfolio
    for setting in portfolio:
        assert setting.keys() == space.keys()
        assert all(contains(space[key], value) for key, value in setting.items())
        assert estimator.cost(task, setting, None) >= 0
    different = [set(setting.items()) for setting in portfolio]
    assert all(each not in different[:index] for index, each in enumerate(different))


@pytest.mark.parametrize("name", ESTIMATORS)
def test_portfolio_and_corners_of_the_space_can_be_fitted(sample, name):
    estimator = ESTIMATORS[name]
    rows = np.arange(min(len(sample.target), 150))
    small = replace(
        sample,
        matrix=np.asfortranarray(sample.matrix[rows]),
        texts=tuple(text[rows] for text in sample.texts),
        target=sample.target[rows],
        task=replace(sample.task, row_count=rows.size),
    )
    fitter = estimator.fitter(small)
    settings = (*estimator.portfolio(small.task, 0.1), *corners(estimator.space(small.task)))
    for setting in settings:
        fit = fitter.fit(setting, order(train=rows[::2], rounds=3))
        raw = fit.raw(small.rows)
        assert raw.shape == (rows.size, small.task.output_count)
        assert np.isfinite(raw).all()


@pytest.mark.parametrize(("has_encodings", "encoding"), [(True, "means"), (False, "codes")])
def test_many_rows_are_for_large_trees_first(has_encodings, encoding):
    task = sample_of(read_table("titanic")).task
    task = replace(task, row_count=100_000, has_encodings=has_encodings, has_texts=False)
    estimators = (EstimatorName.LINEAR, EstimatorName.LIGHTGBM)
    choices = list(make_portfolio(make_spaces(estimators, task, {}), task, 0.1))
    assert choices[0].estimator is EstimatorName.LIGHTGBM
    assert choices[0].hyperparameters["encoding"] == encoding
    assert int(choices[0].hyperparameters["num_leaves"]) > 100
    assert EstimatorName.LINEAR in {each.estimator for each in choices}
    assert "stacked" not in {each.hyperparameters.get("encoding") for each in choices}


@pytest.mark.parametrize(
    ("metric", "names"),
    [
        ("rmse", {"objective", "log_target"}),
        ("mae", {"objective", "log_target"}),
        ("rmsle", set()),
        ("pinball", {"log_target"}),
        ("poisson_deviance", set()),
        ("tweedie_deviance", set()),
    ],
)
def test_goals_follow_the_metric(metric, names):
    sample = sample_of(read_table("seoul_bike"), metric)
    assert goal_space(sample.task).keys() == names


def test_goals_of_numbers_below_zero_have_no_logarithm():
    rng = np.random.default_rng(0)
    sample = sample_of(dataset_of("y", y=rng.exponential(size=100) - 0.1, x=rng.normal(size=100)))
    assert goal_space(sample.task) == {}
    assert goal_space(replace(sample.task, metric=METRICS["mae"])).keys() == {"objective"}


@pytest.mark.parametrize(
    ("name", "third"),
    [("wine_quality", EstimatorName.EXTRA_TREES), ("seoul_bike", EstimatorName.LIGHTGBM)],
)
def test_forests_of_classes_come_early(name, third):
    task = sample_of(read_table(name)).task
    names = (EstimatorName.LINEAR, EstimatorName.LIGHTGBM, EstimatorName.EXTRA_TREES)
    portfolio = make_portfolio(make_spaces(names, task, {}), task, 0.1)
    first = [next(portfolio).estimator for _ in range(3)]
    assert first == [EstimatorName.LINEAR, EstimatorName.LIGHTGBM, third]
