"""
Ensembles of real tables, compiled: the artifact answers like the fits that it is made of.
"""

import time
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest

from sqlml.compile.artifact import compile_model
from sqlml.predict.scorer import Scorer
from sqlml.search.plan import Plan
from sqlml.search.pool import Pool
from sqlml.search.study import search
from tests.search.tables import read_table


@pytest.fixture(scope="module")
def pool():
    """A pool whose processes are ready."""
    with closing(Pool()) as pool:
        yield pool


@pytest.mark.parametrize(
    ("name", "predict_cost_s"),
    [
        ("titanic", None),
        ("credit_g", 10e-6),
        ("wine_quality", 2e-6),
        ("seoul_bike", None),
        ("tate_text", 10e-6),
        ("hotel_rates", None),
        ("california_housing", 10e-6),
    ],
)
def test_artifact_of_an_ensemble_answers_like_its_fits(pool, name, predict_cost_s):
    dataset = read_table(name)
    dataset = replace(dataset, table=dataset.table.slice(0, 1200))
    plan = Plan(
        deadline=time.monotonic() + 600,
        trials=7,
        folds=2,
        processes=1,
        predict_cost_s=predict_cost_s,
        hyperparameters={"learning_rate": 0.3},
    )
    leaderboard = search(dataset, plan, lambda progress: None, pool=pool)
    scorer = Scorer(compile_model(leaderboard.model).data, name)
    actual = scorer.raw_scores(leaderboard.checked_rows)
    np.testing.assert_allclose(actual, leaderboard.checked_scores, rtol=1e-9, atol=1e-9)
    assert len(leaderboard.members) > 1
