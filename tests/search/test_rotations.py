"""
Coordinates: which columns they are, where places lie on turned axes, and what that is good for.
"""

import time
from dataclasses import replace

import numpy as np
import pytest

from sqlml.compile.artifact import compile_model
from sqlml.enums import EstimatorName
from sqlml.predict.scorer import Scorer
from sqlml.search.bench import make_bench
from sqlml.search.coordinates import find_coordinates
from sqlml.search.encoder import Encoded
from sqlml.search.estimators import ESTIMATORS
from sqlml.search.estimators.raw import extend
from sqlml.search.estimators.rotations import DEGREES, make_rotations
from sqlml.search.fitted import FeatureOp
from sqlml.search.leaderboard import Hyperparameters
from sqlml.search.plan import Plan
from sqlml.search.union import Finish, Share, unite
from tests.search.samples import order, sample_of
from tests.search.tables import dataset_of, read_table

SETTINGS: dict[EstimatorName, Hyperparameters] = {
    EstimatorName.LIGHTGBM: {"num_trees": 30, "learning_rate": 0.2, "num_leaves": 8},
    EstimatorName.EXTRA_TREES: {
        "num_trees": 30,
        "max_leaf_nodes": 32,
        "min_samples_leaf": 3,
        "max_features": 1.0,
    },
}


@pytest.mark.parametrize(
    ("names", "pairs"),
    [
        (["latitude", "longitude"], [("latitude", "longitude")]),
        (["lng", "x", "LAT"], [("LAT", "lng")]),
        (["lat", "long", "lon"], [("lat", "lon")]),
        (["pickup_lat", "pickup_lon", "dropoff_lat"], [("pickup_lat", "pickup_lon")]),
        (["Pickup Latitude", "pickupLongitude"], [("Pickup Latitude", "pickupLongitude")]),
        (["northing 2", "easting 2", "easting"], [("northing 2", "easting 2")]),
        (["latitude", "long"], []),
        (["flat", "flong", "platform", "late"], []),
        (["latitude"], []),
        (["lat", "lat_", "lon"], [("lat", "lon"), ("lat_", "lon")]),
        (["", "_", "ß"], []),
    ],
)
def test_coordinates_are_known_by_their_names(names, pairs):
    assert list(find_coordinates(names)) == pairs


def places(count, **others):
    rng = np.random.default_rng(0)
    lat, lon = rng.normal(50, 2, count), rng.normal(7, 3, count)
    return dataset_of("y", lat=lat, lon=lon, **others), lat, lon


@pytest.mark.parametrize("class_count", [0, 2, 4])
def test_axes_are_turned_coordinates(class_count):
    rng = np.random.default_rng(1)
    numbers, names = rng.normal(size=300), [f"c{row % max(class_count, 1)}" for row in range(300)]
    dataset, lat, lon = places(300, y=names if class_count else numbers, other=rng.normal(size=300))
    sample = sample_of(dataset)
    assert sample.features.coordinates == ((0, 1),)
    rotations = make_rotations(sample)
    seen = extend(rotations.parts, rotations.features, sample.rows).matrix[:, -len(DEGREES) :]
    np.testing.assert_array_equal(seen, rotations.values(sample.rows))
    lat, lon = ((each - each.mean()) / each.std() for each in (lat, lon))
    for angle, axis in zip(np.radians(DEGREES), seen.T, strict=True):
        expected = np.cos(angle) * lat + np.sin(angle) * lon
        np.testing.assert_allclose(axis, expected, rtol=1e-6, atol=1e-6)


def test_missing_coordinate_is_in_the_middle_and_one_outside_at_the_edge():
    dataset, lat, _ = places(300, y=np.arange(300.0) % 7)
    rotations = make_rotations(sample_of(dataset))
    mean, spread = lat.mean(), lat.std()
    rows = Encoded(np.array([[np.nan, np.nan], [1e9, np.nan], [np.inf, np.nan]]))
    edge = (lat.max() - mean) / spread * np.cos(np.radians(DEGREES))
    np.testing.assert_allclose(
        rotations.values(rows), [0 * edge, edge, edge], rtol=1e-6, atol=1e-12
    )


@pytest.mark.parametrize(
    "lat",
    [
        [1e308, -1e308] * 30,
        [5e-324, 0.0] * 30,
        [None, 3.0] * 30,
        [float("inf"), None] * 30,
        [float("inf"), 1.0] * 30,
    ],
)
def test_hostile_coordinates(lat):
    y = np.arange(60.0) % 5
    sample = sample_of(dataset_of("y", y=y, lat=lat, lon=np.linspace(0, 1, 60)))
    assert sample.features.coordinates == ((0, 1),)
    assert np.isfinite(make_rotations(sample).values(sample.rows)).all()


def test_places_are_written_down():
    dataset, _, _ = places(300, y=np.arange(300.0) % 7)
    one, other = sample_of(dataset).features.decisions
    assert one.reason == 'it is double precision, and with "lon" it tells a place'
    assert other.reason == 'it is double precision, and with "lat" it tells a place'


def test_tables_without_coordinates_have_no_axes():
    assert make_rotations(sample_of(read_table("wine_quality"))).features == ()


@pytest.mark.parametrize("name", SETTINGS)
def test_a_border_that_runs_askew_is_learnt(name):
    rng = np.random.default_rng(2)
    one, other, noise = rng.normal(size=(3, 1500))
    y = np.where(one + other > 0, 10.0, 0.0) + noise
    errors = []
    for names in (("lat", "lon"), ("lat", "size")):
        sample = sample_of(dataset_of("y", y=y, **dict(zip(names, (one, other), strict=True))))
        train, valid = np.arange(1000), np.arange(1000, 1500)
        fit = ESTIMATORS[name].fitter(sample).fit(SETTINGS[name], order(train=train))
        raw = fit.raw(sample.rows.take(valid))[:, 0]
        errors.append(float(np.mean((raw - y[valid]) ** 2)))
    with_axes, without = errors
    assert with_axes < 0.7 * without


def test_fits_of_a_model_share_their_axes():
    dataset = read_table("california_housing")
    dataset = replace(dataset, table=dataset.table.slice(0, 1000))
    bench = make_bench(dataset, Plan(deadline=time.monotonic() + 600))
    boosting = ESTIMATORS[EstimatorName.LIGHTGBM]
    settings: list[Hyperparameters] = [
        {**SETTINGS[boosting.name], "encoding": encoding}
        for encoding in ("codes", "stacked", "codes")
    ]
    fits = [boosting.fitter(bench.sample).fit(each, order()) for each in settings]
    weights = (0.5, 0.25, 0.25)
    shares = [Share(weight=weight, fit=fit) for weight, fit in zip(weights, fits, strict=True)]
    model = unite(bench, shares, Finish())
    # Six axes and one linear model; each fit alone has the axes.
    assert [len(fit.parts) for fit in fits] == [7, 8, 7]
    assert len(model.parts) == 6 + 1 + 3
    assert sum(each.op is FeatureOp.SCORE for each in model.features) == 6 + 1
    rows = dataset.table.slice(0, 300)
    expected = sum(
        weight * fit.raw(bench.sample.features.encode(rows))
        for weight, fit in zip(weights, fits, strict=True)
    )
    actual = Scorer(compile_model(model).data, "m").raw_scores(rows)
    np.testing.assert_allclose(actual, expected, rtol=1e-12)
