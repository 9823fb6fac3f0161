"""
Artifacts of the estimators' fits: the core gives their raw scores to the last bit.
"""

import numpy as np
import pytest

from sqlml.compile.artifact import compile_model
from sqlml.enums import EstimatorName, ProblemType
from sqlml.predict.scorer import Scorer
from sqlml.search.estimators import ESTIMATORS
from sqlml.search.fitted import FittedModel
from sqlml.search.leaderboard import Hyperparameters
from sqlml.search.target import read_target
from tests.search.samples import order, sample_of
from tests.search.tables import read_table

SETTINGS: dict[str, tuple[EstimatorName, Hyperparameters]] = {
    "linear": (EstimatorName.LINEAR, {"l2": 1.0, "segments": 4}),
    "counts": (EstimatorName.LINEAR, {"objective": "poisson"}),
    "means": (EstimatorName.LIGHTGBM, {"encoding": "means"}),
    "stacked": (EstimatorName.LIGHTGBM, {"encoding": "stacked"}),
    "logarithm": (EstimatorName.LIGHTGBM, {"encoding": "stacked", "log_target": True}),
    "tweedie": (EstimatorName.LIGHTGBM, {"objective": "tweedie"}),
    "forest of boosters": (EstimatorName.LIGHTGBM, {"boosting": "rf"}),
    "dropout": (EstimatorName.LIGHTGBM, {"boosting": "dart"}),
    "balanced": (EstimatorName.LIGHTGBM, {"class_weight": "balanced"}),
    "extra trees": (EstimatorName.EXTRA_TREES, {"num_trees": 5}),
}


@pytest.mark.parametrize("name", ["titanic", "hotel_rates"])
@pytest.mark.parametrize("setting", SETTINGS)
def test_artifact_gives_the_raw_scores_of_a_fit(name, setting):
    dataset = read_table(name)
    sample, target = sample_of(dataset), read_target(dataset, None)
    estimator, hyperparameters = SETTINGS[setting]
    if "objective" in hyperparameters and target.problem_type is not ProblemType.REGRESSION:
        pytest.skip("classes have one objective")
    fitter = ESTIMATORS[estimator].fitter(sample)
    rows = np.arange(min(len(target.values), 1500))
    fit = fitter.fit({"learning_rate": 0.1, **hyperparameters}, order(train=rows, rounds=8))
    features = (*sample.features.features, *fit.features)
    used = {feature.column for feature in features}
    model = FittedModel(
        problem_type=target.problem_type,
        target=dataset.target,
        classes=target.classes,
        columns=tuple(column for column in dataset.columns if column.name in used),
        features=features,
        parts=fit.parts,
        weights=(*(0.0 for _ in fit.parts[1:]), 1.0),
        link=fit.link,
        vocabularies=sample.features.vocabularies,
    )
    table = dataset.table.slice(len(dataset.table) - 200)
    given = Scorer(compile_model(model).data, "m").raw_scores(table)
    expected = fit.raw(sample.features.encode(table))
    assert np.array_equal(np.reshape(given, expected.shape), expected)
