"""
Estimators: their raw scores are those of the parts they hand on, on hostile rows too.
"""

import time
from dataclasses import replace

import lightgbm
import numpy as np
import pytest

from sqlml.enums import ProblemType
from sqlml.search.encoder import Encoded
from sqlml.search.estimators import linear
from sqlml.search.estimators.baseline import BaselineFitter
from sqlml.search.estimators.boosting import LightGBMFitter
from sqlml.search.estimators.estimator import Order, OutOfTime
from sqlml.search.estimators.linear import SETTINGS as LINES
from sqlml.search.estimators.linear import Linear, LinearFitter
from sqlml.search.estimators.unit import make_unit
from sqlml.search.fitted import FeatureOp, TreePart
from sqlml.search.leaderboard import Hyperparameters
from sqlml.search.metrics import METRICS, find_metric
from sqlml.search.scores import predicted
from sqlml.search.space import Choices, Range
from tests.search.replay import booster_of, linear_of, replay_linear
from tests.search.samples import order, sample_of
from tests.search.tables import dataset_of, read_table

SETTINGS: Hyperparameters = {"num_leaves": 31, "min_data_in_leaf": 20, "learning_rate": 0.1}


def hostile(sample):
    """Make rows with missing, infinite and huge numbers, and with codes never seen."""
    rows = sample.rows.take(np.arange(60))
    for column, feature in enumerate(sample.features.features):
        if feature.levels:
            rows.matrix[:3, column] = [0, 1, 2]
        elif feature.op in (FeatureOp.VALUE, FeatureOp.EPOCH):
            rows.matrix[:7, column] = [np.nan, np.inf, -np.inf, 1e308, -1e308, 0.0, -0.0]
        elif feature.op not in (FeatureOp.LOOKUP, FeatureOp.TOPIC):
            rows.matrix[:2, column] = [np.nan, 0.0]
    return rows


@pytest.fixture(scope="module", params=["titanic", "wine_quality", "hotel_rates"])
def real_sample(request):
    """A binary, a multiclass and a regression table."""
    return sample_of(read_table(request.param))


@pytest.mark.parametrize("hyperparameters", LINES, ids=str)
def test_linear_terms_give_the_raw_scores(real_sample, hyperparameters):
    fit = LinearFitter(real_sample).fit(hyperparameters, order())
    rows = hostile(real_sample)
    scale = np.abs(fit.raw(real_sample.rows)).max()
    np.testing.assert_allclose(
        replay_linear(linear_of(fit.parts[-1]), rows),
        fit.raw(rows),
        rtol=1e-9,
        atol=1e-9 * scale,
    )


def test_lightgbm_hands_on_the_booster_it_scores_with(real_sample):
    fit = LightGBMFitter(real_sample).fit(SETTINGS, order(rounds=20))
    (part,) = fit.parts
    assert isinstance(part, TreePart)
    booster = booster_of(part)
    assert booster.num_trees() == 20 * real_sample.task.output_count
    assert booster.feature_name() == [f"f{index}" for index in range(len(part.features))]
    rows = hostile(real_sample)
    read_again = lightgbm.Booster(model_str=booster.model_to_string())
    raw = np.asarray(read_again.predict(rows.matrix[:, part.features], raw_score=True))
    assert np.array_equal(raw.reshape(len(rows), -1), fit.raw(rows))


def test_baseline_gives_the_class_shares():
    sample = sample_of(read_table("wine_quality"))
    fit = BaselineFitter(sample).fit({}, order())
    proba = predicted(sample.task.problem_type, fit.raw(Encoded(sample.matrix[:1])))[0]
    assert proba == pytest.approx(np.bincount(sample.target.astype(int)) / sample.target.size)


def test_baseline_is_the_mean_or_where_it_suits_the_median():
    sample = sample_of(dataset_of("y", y=[0.5, 1.5, 10.0] * 4, x=list(range(12))))
    assert linear_of(BaselineFitter(sample).fit({}, order()).parts[-1]).intercepts == pytest.approx(
        [4.0]
    )
    for metric, constant in (
        (METRICS["mae"], 1.5),
        (METRICS["median_ae"], 1.5),
        (METRICS["pinball"], 1.5),
        (find_metric("pinball", ProblemType.REGRESSION, 0.9), 10.0),
    ):
        judged = replace(sample, task=replace(sample.task, metric=metric))
        fit = BaselineFitter(judged).fit({}, order())
        assert linear_of(fit.parts[-1]).intercepts.tolist() == [constant]


@pytest.mark.parametrize("make", [BaselineFitter, LinearFitter, LightGBMFitter])
@pytest.mark.parametrize(
    ("factor", "shift"),
    [
        pytest.param(1e300, 0.0, id="1e300"),
        pytest.param(5e307, 0.0, id="nearly infinite"),
        pytest.param(1e-310, 0.0, id="subnormal"),
        pytest.param(1.0, 1.7e9, id="epoch seconds"),
    ],
)
def test_unit_of_the_target_does_not_matter(make, factor, shift):
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=400)
    learnt = np.tanh(inputs)
    sample = sample_of(dataset_of("y", y=learnt * factor + shift, x=inputs))
    hyperparameters = SETTINGS if make is LightGBMFitter else LINES[0]
    fit = make(sample).fit(hyperparameters, order(rounds=100))
    raw = fit.raw(sample.rows)[:, 0]
    assert np.isfinite(raw).all()
    if make is not BaselineFitter:
        errors = (raw - shift) / factor - learnt
        assert np.abs(errors).mean() < 0.1


def test_unit_is_exact_for_powers_of_two():
    target = np.array([1.0, 3.0, 5.0, 7.0])
    unit = make_unit(target)
    assert np.abs(unit.learnt(target)).max() <= 1
    assert np.array_equal(unit.restored(unit.learnt(target)), target)


@pytest.mark.parametrize("make", [LinearFitter, LightGBMFitter])
@pytest.mark.parametrize("present", [(0, 1), (1, 2), (1,)], ids=str)
def test_class_without_rows_stays_in_the_model_and_is_unlikely(make, present):
    rng = np.random.default_rng(0)
    labels = np.array(["a", "b", "c"] * 40)
    sample = sample_of(dataset_of("y", y=labels, x=rng.normal(size=120)))
    train = np.flatnonzero(np.isin(sample.target, present))
    hyperparameters = SETTINGS if make is LightGBMFitter else LINES[0]
    fit = make(sample).fit(hyperparameters, order(train=train, rounds=5))
    raw = fit.raw(sample.rows)
    assert raw.shape == (120, 3)
    proba = predicted(ProblemType.MULTICLASS, raw)
    absent = [index for index in range(3) if index not in present]
    assert proba[:, absent].max() < proba[:, list(present)].min()


@pytest.mark.parametrize("make", [LinearFitter, LightGBMFitter])
def test_binary_fold_with_one_class(make):
    sample = sample_of(dataset_of("y", y=["a", "b"] * 30, x=list(range(60))))
    hyperparameters = SETTINGS if make is LightGBMFitter else LINES[0]
    fit = make(sample).fit(hyperparameters, order(train=np.arange(0, 60, 2), rounds=5))
    assert (fit.raw(sample.rows) < 0).all()


def test_linear_learns_a_curve():
    inputs = np.linspace(-3, 3, 500)
    sample = sample_of(dataset_of("y", y=inputs**2, x=inputs))
    errors = {}
    for segments in (1, 8):
        fit = LinearFitter(sample).fit({"l2": 0.01, "segments": segments}, order())
        errors[segments] = METRICS["rmse"].score(sample.target, fit.raw(sample.rows)[:, 0])
    assert errors[8] < 0.1 * errors[1]


@pytest.mark.parametrize("row", [1e300, 1.7e308, -1.7e308, float("inf")])
def test_one_huge_input_does_not_spoil_the_others(row):
    inputs = np.linspace(-3, 3, 500)
    with_huge = np.append(inputs, row)
    sample = sample_of(dataset_of("y", y=np.append(inputs, 0.0), x=with_huge))
    fit = LinearFitter(sample).fit(LINES[0], order())
    assert METRICS["r2"].score(inputs, fit.raw(sample.rows)[:500, 0]) > 0.95


def test_fixed_number_of_trees_is_exact_or_refused():
    sample = sample_of(read_table("seoul_bike"))
    lgbm = LightGBMFitter(sample)
    rows = np.arange(4000)
    valid = np.arange(4000, 6000)
    fit = lgbm.fit({**SETTINGS, "num_trees": 37}, order(train=rows, valid=valid))
    assert booster_of(fit.parts[-1]).num_trees() == 37
    short = Order(until=time.monotonic() + 0.05, train=rows, valid=valid)
    with pytest.raises(OutOfTime, match="before 4000 trees"):
        lgbm.fit({**SETTINGS, "num_trees": 4000}, short)


def test_early_stopping_ends_before_it_overfits():
    rng = np.random.default_rng(0)
    noise = dataset_of("y", y=rng.normal(size=400), x=rng.normal(size=400))
    rows = np.arange(400)
    stop = order(train=rows[:300], valid=rows[300:])
    fit = LightGBMFitter(sample_of(noise)).fit(SETTINGS, stop)
    assert fit.rounds is not None
    assert fit.rounds < 40
    assert booster_of(fit.parts[-1]).num_trees() == fit.rounds


def test_time_cuts_a_fit_that_keeps_its_trees():
    sample = sample_of(read_table("california_housing"))
    started = time.monotonic()
    fit = LightGBMFitter(sample).fit(
        {**SETTINGS, "learning_rate": 0.01}, Order(until=started + 0.5)
    )
    assert fit.is_cut
    assert (
        booster_of(fit.parts[-1]).num_trees() == booster_of(fit.parts[-1]).current_iteration() > 0
    )
    assert time.monotonic() - started < 2.0


def test_linear_without_time_is_refused():
    sample = sample_of(read_table("california_housing"))
    with pytest.raises(OutOfTime, match="rows only"):
        LinearFitter(sample).fit(LINES[0], Order(until=time.monotonic()))


def test_linear_without_room_is_refused_and_not_tried():
    rng = np.random.default_rng(0)
    numbers = {f"x{place}": rng.normal(size=1500) for place in range(64)}
    sample = sample_of(dataset_of("y", y=[f"class {row % 10}" for row in range(1500)], **numbers))
    with pytest.raises(OutOfTime, match="room for 488 of 1500 rows only: 256 values"):
        LinearFitter(sample).fit({"l2": 1.0, "segments": 4, "l1_ratio": 0.5}, order())
    for class_count, ratios, most in ((3, (0.0, 0.5), 13), (10, (0.0,), 15)):
        task = replace(sample.task, class_count=class_count)
        space = Linear().space(task)
        assert space["l1_ratio"] == Choices(ratios)
        segments = space["segments"]
        assert isinstance(segments, Range)
        assert segments.high == most
        slow = linear.SPARSE_COST if ratios[-1] else 1.0
        assert linear.MAX_CELLS / (slow * 64 * most * class_count) >= linear.MIN_ROWS
        portfolio = Linear().portfolio(task, 0.1)
        assert {setting["l1_ratio"] for setting in portfolio} == set(ratios)
        assert max(int(setting["segments"]) for setting in portfolio) == most
