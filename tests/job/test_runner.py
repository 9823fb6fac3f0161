"""
The composer of a job: what it refuses to publish, and what it tells.
"""

import time
from dataclasses import replace

import numpy as np
import pytest

from sqlml.compile.artifact import compile_model
from sqlml.enums import EstimatorName, TrialState
from sqlml.errors import ArtifactDisagrees
from sqlml.extract.dataset import SkippedColumn
from sqlml.job.notices import describe_dataset, describe_result
from sqlml.job.publication import draw_golden, verify
from sqlml.predict.scorer import Scorer
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
    plan = Plan(deadline=time.monotonic() + 120, trials=1, estimators=(request.param,))
    return search(dataset, plan, lambda step: None)


@pytest.fixture(scope="module")
def scorer(leaderboard):
    """The artifact of the search's winner, opened."""
    return Scorer(compile_model(leaderboard.model).data, "m")


def test_an_artifact_that_agrees_is_accepted(scorer, leaderboard):
    verify(scorer, leaderboard)


def test_an_artifact_that_differs_in_one_row_is_refused(scorer, leaderboard):
    scores = leaderboard.checked_scores.copy()
    scores[3, 0] = np.nextafter(scores[3, 0], np.inf)
    if leaderboard.winner.estimator is EstimatorName.LINEAR:
        # One bit is within what a linear model's order of addition may change.
        verify(scorer, replace(leaderboard, checked_scores=scores))
        scores[3, 0] *= 1 + 1e-8
    with pytest.raises(ArtifactDisagrees, match="does not give the answers") as caught:
        verify(scorer, replace(leaderboard, checked_scores=scores))
    assert caught.value.detail is not None
    assert caught.value.detail.startswith("1 of ")


def test_golden_rows_mix_the_rows_of_the_relation(scorer, leaderboard):
    golden = draw_golden(scorer, leaderboard, 0)
    held_out = leaderboard.checked_rows.slice(0, len(golden)).to_pylist()
    for name in ("x", "z"):
        values = [item["row"][name] for item in golden]
        assert sorted(values) == sorted(row[name] for row in held_out)
    # z tells a row's number, and x with it; a few come together again by chance.
    together = [item for item in golden if item["row"]["z"] * 2 % 37 == item["row"]["x"]]
    assert len(together) < len(golden) / 2


def test_what_was_left_out_is_told():
    dataset = replace(
        dataset_of("y", **LINES, y=LINES["x"]),
        null_target_count=7,
        sampled_from=90_000,
        skipped=(
            SkippedColumn("span", "int4range", "type not supported"),
            SkippedColumn("id", "integer", "excluded by option"),
            SkippedColumn("doc", "jsonb", "type not supported"),
        ),
    )
    assert describe_dataset(dataset) == (
        "read 400 rows with 2 columns; a sample of 90000;"
        " left out 7 rows whose target is NULL, NaN or infinite;"
        ' skipped columns "span", "doc": type not supported;'
        ' skipped column "id": excluded by option'
    )


def test_one_is_no_plural():
    dataset = replace(dataset_of("y", x=[1.0], y=["a"]), null_target_count=1)
    assert describe_dataset(dataset) == (
        "read 1 row with 1 column; left out 1 row whose target is NULL"
    )


def test_a_model_that_is_only_the_baseline_says_so(leaderboard):
    plan = Plan(deadline=0)
    names = {trial.estimator for trial in leaderboard.trials}
    assert EstimatorName.BASELINE in names
    assert "same answer for all rows" not in describe_result(leaderboard, plan, 1.0)
    baseline, other = leaderboard.trials
    beaten = replace(leaderboard, winner=baseline, members=())
    assert describe_result(beaten, plan, 1.0).endswith("as nothing was better than that")
    failed = replace(beaten, trials=(baseline, replace(other, state=TrialState.FAIL)))
    assert describe_result(failed, plan, 1.0).endswith("failed: sqlml.trials says why")
    only = replace(beaten, trials=(baseline,))
    assert describe_result(only, plan, 1.0).endswith("no time for more: raise time_limit")
    assert "after 1 trial in 1.0 s" in describe_result(only, plan, 1.0)
    asked = replace(plan, estimators=(EstimatorName.BASELINE,))
    assert describe_result(only, asked, 1.0).endswith("as estimators names the baseline only")


def test_a_model_that_costs_more_than_was_asked_for_says_so(leaderboard):
    dear = replace(leaderboard, predict_cost_ns=250.0)
    told = describe_result(dear, Plan(deadline=0, predict_cost_s=1e-7), 1.0)
    assert told.endswith("0.25 us a row, more than predict_cost, 0.1 us")
    assert describe_result(dear, Plan(deadline=0), 1.0).endswith("0.25 us a row")
