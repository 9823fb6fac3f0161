"""
Boosting: LightGBM's own answer where it is asked the same, and what each hyperparameter does.
"""

from dataclasses import replace

import lightgbm as lgb
import numpy as np
import pytest

from sqlml.search.encoding import target_means
from sqlml.search.estimators.boosting import LightGBMFitter
from sqlml.search.estimators.inputs import Learner
from sqlml.search.estimators.rotations import Rotations
from sqlml.search.fitted import FeatureOp, LinearPart, Link, TreePart
from sqlml.search.leaderboard import Hyperparameters
from sqlml.search.metrics import METRICS
from sqlml.search.scores import predicted
from tests.search.replay import booster_of
from tests.search.samples import order, sample_of
from tests.search.tables import dataset_of, read_table

RATE: Hyperparameters = {"learning_rate": 0.1, "num_leaves": 15, "min_data_in_leaf": 5}
DETERMINISTIC = {"seed": 0, "deterministic": True, "force_row_wise": True, "num_threads": 1}


def own_booster(sample, params, rounds, weight=None):
    """Let LightGBM fit the features of a sample on its own."""
    found = sample.features
    columns = sorted({*found.categories, *found.numbers})
    data = lgb.Dataset(
        sample.matrix[:, columns],
        sample.target,
        weight=weight,
        categorical_feature=[columns.index(each) for each in found.categories],
    )
    return lgb.train({**DETERMINISTIC, **params, "verbosity": -1}, data, rounds), columns


@pytest.mark.parametrize(
    ("boosting", "params"),
    [
        ("gbdt", {}),
        ("extra_trees", {"extra_trees": True}),
        ("dart", {"boosting": "dart"}),
        ("rf", {"boosting": "rf", "bagging_fraction": 0.63, "bagging_freq": 1}),
    ],
)
@pytest.mark.parametrize("name", ["credit_g", "wine_quality"])
def test_raw_scores_are_those_of_lightgbm(name, boosting, params):
    sample = sample_of(read_table(name))
    fit = LightGBMFitter(sample).fit({**RATE, "boosting": boosting}, order(rounds=8))
    objective: Hyperparameters = {"objective": "binary"}
    if sample.task.class_count > 2:
        objective = {"objective": "multiclass", "num_class": sample.task.class_count}
    booster, columns = own_booster(sample, {**RATE, **params, **objective}, 8)
    expected = np.asarray(booster.predict(sample.matrix[:, columns], raw_score=True))
    if boosting == "rf":
        # LightGBM averages the responses only.
        expected /= 8
    assert np.array_equal(fit.raw(sample.rows), expected.reshape(len(sample.target), -1))


@pytest.mark.parametrize(
    ("metric", "hyperparameters", "params", "link"),
    [
        ("rmse", {}, {"objective": "regression"}, Link.IDENTITY),
        ("mae", {}, {"objective": "regression_l1"}, Link.IDENTITY),
        ("pinball", {}, {"objective": "quantile", "alpha": 0.5}, Link.IDENTITY),
        ("rmse", {"objective": "poisson"}, {"objective": "poisson"}, Link.EXP),
        ("rmse", {"objective": "tweedie"}, {"objective": "tweedie"}, Link.EXP),
        ("poisson_deviance", {}, {"objective": "poisson"}, Link.EXP),
        ("tweedie_deviance", {}, {"objective": "tweedie"}, Link.EXP),
    ],
)
def test_objective_of_a_metric_is_lightgbms(metric, hyperparameters, params, link):
    sample = sample_of(read_table("seoul_bike"), metric)
    weight = np.random.default_rng(0).uniform(0.5, 2, len(sample.target))
    sample = replace(sample, weight=weight)
    fit = LightGBMFitter(sample).fit({**RATE, **hyperparameters}, order(rounds=30))
    booster, columns = own_booster(sample, {**RATE, **params}, 30, weight)
    expected = np.asarray(booster.predict(sample.matrix[:, columns]))
    given = predicted(sample.task.problem_type, fit.raw(sample.rows), fit.link)
    assert fit.link is link
    # The unit of the target is another one, and LightGBM keeps gradients as float32.
    assert np.abs(given - expected).mean() < 0.02 * expected.std()


def test_quantiles_cover_their_share():
    rng = np.random.default_rng(0)
    dataset = dataset_of("y", y=rng.exponential(size=2000), x=rng.normal(size=2000))
    sample = sample_of(dataset, "pinball")
    metric = replace(METRICS["pinball"], parameter=0.9)
    sample = replace(sample, task=replace(sample.task, metric=metric))
    fit = LightGBMFitter(sample).fit({**RATE, "num_leaves": 3}, order(rounds=30))
    assert (sample.target <= fit.raw(sample.rows)[:, 0]).mean() == pytest.approx(0.9, abs=0.02)


def test_logarithm_of_the_target_is_a_link():
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=2000)
    dataset = dataset_of("y", y=np.expm1(2 + 2 * np.tanh(inputs)), x=inputs)
    sample = sample_of(dataset, "rmsle")
    assert sample.task.facts.is_nonnegative
    fit = LightGBMFitter(sample).fit(RATE, order(rounds=100))
    assert fit.link is Link.EXPM1
    given = predicted(sample.task.problem_type, fit.raw(sample.rows), fit.link)
    assert METRICS["rmsle"].score(sample.target, given) < 0.05


def test_shares_of_the_truth_weigh_small_ones():
    rng = np.random.default_rng(0)
    scale = rng.choice([1.0, 100.0], 4000)
    sample = sample_of(dataset_of("y", y=scale * rng.uniform(1, 3, 4000), x=rng.normal(size=4000)))
    scores = {}
    for metric in ("mae", "mape"):
        task = replace(sample.task, metric=METRICS[metric])
        fit = LightGBMFitter(replace(sample, task=task)).fit(RATE, order(rounds=50))
        scores[metric] = METRICS["mape"].score(sample.target, fit.raw(sample.rows)[:, 0])
    assert scores["mape"] < 0.3 * scores["mae"]


def test_balanced_classes_keep_their_probabilities():
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=4000)
    labels = np.where(rng.uniform(size=4000) < 0.05 * np.exp(inputs / 2), "rare", "usual")
    dataset = dataset_of("y", y=labels, x=inputs)
    shares = {}
    for metric in ("log_loss", "balanced_accuracy"):
        sample = sample_of(dataset, metric)
        balanced: Hyperparameters = {**RATE, "num_leaves": 4, "class_weight": "balanced"}
        fit = LightGBMFitter(sample).fit(balanced, order(rounds=20))
        proba = predicted(sample.task.problem_type, fit.raw(sample.rows))
        shares[metric] = proba[sample.target == 1].mean(), proba[:, 1].mean()
    usual = (labels == "usual").mean()
    assert shares["log_loss"][1] == pytest.approx(usual, abs=0.02)
    assert shares["balanced_accuracy"][1] < 0.7


def test_row_of_weight_two_is_two_rows():
    sample = sample_of(read_table("credit_g"))
    count = len(sample.target)
    weight = np.where(np.arange(count) % 2, 2.0, 1.0)
    twice = np.concatenate([np.arange(count), np.flatnonzero(weight == 2)])
    doubled = replace(
        sample,
        matrix=np.asfortranarray(sample.matrix[twice]),
        target=sample.target[twice],
        texts=(),
    )
    settings: Hyperparameters = {"learning_rate": 0.1, "num_leaves": 4, "min_data_in_leaf": 1}
    settings["min_data_per_group"] = 1
    fits = [
        LightGBMFitter(each).fit(settings, order(rounds=10))
        for each in (replace(sample, weight=weight), doubled)
    ]
    first, second = (fit.raw(sample.rows)[:, 0] for fit in fits)
    assert np.corrcoef(first, second)[0, 1] > 0.95


def test_weights_of_a_fit_do_not_outlive_it():
    sample = sample_of(read_table("credit_g"))
    used = LightGBMFitter(sample)
    used.fit({**RATE, "class_weight": "balanced"}, order(train=np.arange(600), rounds=3))
    fits = [
        fitter.fit(RATE, order(train=np.arange(600), rounds=3))
        for fitter in (used, LightGBMFitter(sample))
    ]
    first, second = (fit.raw(sample.rows) for fit in fits)
    assert np.array_equal(first, second)


# --- encodings ---


@pytest.fixture(scope="module")
def texts():
    """A table with texts and a category of many levels."""
    return sample_of(read_table("tate_text"))


@pytest.mark.parametrize("encoding", ["means", "stacked"])
def test_encoding_replaces_categories_of_many_levels(texts, encoding):
    rows = np.arange(0, 3000)
    valid = np.arange(3000, len(texts.target))
    settings: Hyperparameters = {**RATE, "encoding": encoding}
    fit = LightGBMFitter(texts).fit(settings, order(train=rows, valid=valid))
    ops = [feature.op for feature in fit.features]
    assert (FeatureOp.SCORE in ops) == (encoding == "stacked")
    assert [isinstance(part, LinearPart) for part in fit.parts[:-1]] == [True] * (
        encoding == "stacked"
    )
    encoded = {texts.features.features[index].column for index in texts.features.encodings}
    assert {feature.column for feature in fit.features if feature.column} == encoded
    part = fit.parts[-1]
    assert isinstance(part, TreePart)
    read = [(*texts.features.features, *fit.features)[index] for index in part.features]
    assert not any(each.op is FeatureOp.CODE and each.column in encoded for each in read)
    raw = fit.raw(texts.rows.take(valid))[:, 0]
    assert METRICS["r2"].score(texts.target[valid], raw) > 0.5


def test_lookups_are_the_means_of_all_training_rows(texts):
    rows = np.arange(0, 3000, 2)
    fit = LightGBMFitter(texts).fit({**RATE, "encoding": "means"}, order(train=rows, rounds=2))
    (source,) = texts.features.encodings[-1:]
    (feature,) = [each for each in fit.features if each.source == source]
    codes = texts.matrix[rows, source]
    unit = texts.target / 2.0**11
    means = target_means(codes, len(feature.values), unit[rows, None], None, 0)
    assert np.corrcoef(means.values[:, 0], feature.values)[0, 1] == pytest.approx(1)


def test_training_rows_do_not_see_their_own_target():
    rng = np.random.default_rng(0)
    names = [f"n{number}" for number in rng.integers(0, 800, 2000)]
    sample = sample_of(dataset_of("y", y=rng.normal(size=2000), name=names))
    assert sample.task.has_encodings
    learner = Learner(
        sample=sample,
        target=sample.target,
        encoded=sample.features.encodings,
        rotations=Rotations(),
    )
    inputs = learner.inputs(order())
    assert abs(np.corrcoef(inputs.learnt[:, 0], sample.target)[0, 1]) < 0.1
    seen = inputs.matrix(sample.rows)[:, -1]
    assert np.corrcoef(seen, sample.target)[0, 1] > 0.3


def test_same_order_gives_the_same_booster(texts):
    settings: Hyperparameters = {**RATE, "encoding": "stacked", "bagging_fraction": 0.7}
    fits = [LightGBMFitter(texts).fit(settings, order(rounds=5)) for _ in range(2)]
    first, second = (booster_of(fit.parts[-1]).model_to_string() for fit in fits)
    assert first == second
