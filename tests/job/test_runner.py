"""
The composer of a job: what it refuses to publish, and what it tells.
"""

import time
from dataclasses import replace

import numpy as np
import pytest

from sqlml.compile.artifact import compile_model
from sqlml.enums import EstimatorName
from sqlml.errors import ArtifactDisagrees
from sqlml.job.runner import describe_dataset, verify
from sqlml.search.plan import Plan
from sqlml.search.study import search
from tests.search.tables import dataset_of

ROWS = 400
LINES = {"x": [float(row % 37) for row in range(ROWS)], "z": [row * 0.5 for row in range(ROWS)]}


@pytest.fixture(scope="module", params=[EstimatorName.LIGHTGBM, EstimatorName.LINEAR])
def leaderboard(request):
    """A small search with one kind of estimator."""
    target = [x * 2 + z for x, z in zip(LINES["x"], LINES["z"], strict=True)]
    dataset = dataset_of("y", **LINES, y=target)
    plan = Plan(deadline=time.monotonic() + 30, trials=1, estimators=(request.param,))
    return search(dataset, plan, lambda step: None)


def test_an_artifact_that_agrees_is_accepted(leaderboard):
    verify(compile_model(leaderboard.model), leaderboard, "m")


def test_an_artifact_that_differs_in_one_row_is_refused(leaderboard):
    artifact = compile_model(leaderboard.model)
    scores = leaderboard.checked_scores.copy()
    scores[3, 0] = np.nextafter(scores[3, 0], np.inf)
    if leaderboard.winner.estimator is EstimatorName.LINEAR:
        # One bit is within what a linear model's order of addition may change.
        verify(artifact, replace(leaderboard, checked_scores=scores), "m")
        scores[3, 0] *= 1 + 1e-8
    with pytest.raises(ArtifactDisagrees, match="does not give the answers") as caught:
        verify(artifact, replace(leaderboard, checked_scores=scores), "m")
    assert caught.value.detail is not None
    assert caught.value.detail.startswith("1 of ")


def test_what_was_left_out_is_told():
    dataset = replace(
        dataset_of("y", **LINES, y=LINES["x"]), null_target_count=7, sampled_from=90_000
    )
    assert describe_dataset(dataset) == (
        "read 400 rows with 2 columns; a sample of 90000; left out 7 rows without a target"
    )
