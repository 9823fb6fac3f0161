"""
The whole search on real tables and on small, rare and broken ones.
"""

import time
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from sqlml.enums import EstimatorName, ProblemType, TrialState
from sqlml.errors import NoUsableColumn, OptionNotUsable
from sqlml.search import bench, refit
from sqlml.search.encoder import encode
from sqlml.search.estimators.boosting import LightGBMFitter
from sqlml.search.fitted import LinearPart, TreePart
from sqlml.search.leaderboard import Phase, Progress
from sqlml.search.metrics import find_metric
from sqlml.search.plan import Plan
from sqlml.search.study import search
from tests.data import TABLES
from tests.search.replay import booster_of, replay_linear
from tests.search.tables import dataset_of, read_table, with_columns

BASELINE, LINEAR, LIGHTGBM, _ = EstimatorName


def plan_of(seconds=60.0, **options):
    """Make a plan with a deadline from now."""
    return Plan(deadline=time.monotonic() + seconds, **options)


def run(dataset, seconds=60.0, **options):
    """Search without listening."""
    return search(dataset, plan_of(seconds, **options), lambda progress: None)


def raw_scores(model, table):
    """Compute raw scores as the definition of the fitted model says."""
    matrix = encode(model.features, table)
    (part,) = model.parts
    if isinstance(part, LinearPart):
        return replay_linear(part, matrix)
    raw = booster_of(part).predict(matrix, raw_score=True)
    return np.asarray(raw).reshape(len(matrix), -1)


def model_text(model):
    """Write all that decides a model's answers."""
    (part,) = model.parts
    if isinstance(part, TreePart):
        return repr(model.features) + booster_of(part).model_to_string()
    weights = [(term.feature, term.weights.tolist()) for term in part.terms]
    return repr((model.features, part.intercepts.tolist(), weights))


FAST = {"learning_rate": 0.3}


@pytest.mark.parametrize("name", TABLES)
def test_two_seconds_beat_the_baseline_on_every_real_table(name):
    dataset = read_table(name)
    started = time.monotonic()
    leaderboard = run(dataset, seconds=2.0)
    assert time.monotonic() - started < 2.0 * 1.05 + 0.5
    metric = find_metric(leaderboard.metric, leaderboard.problem_type)
    assert metric.is_better(leaderboard.score, leaderboard.baseline_score)
    assert leaderboard.winner.estimator is not BASELINE
    test = read_table(name, "test").table
    checked = leaderboard.checked_rows
    assert 0 < checked.num_rows <= 1000
    np.testing.assert_allclose(
        raw_scores(leaderboard.model, checked), leaderboard.checked_scores, rtol=1e-9, atol=1e-6
    )
    assert np.isfinite(raw_scores(leaderboard.model, test)).all()


@pytest.mark.parametrize("name", ["titanic", "wine_quality", "seoul_bike"])
@pytest.mark.parametrize("estimator", [LINEAR, LIGHTGBM])
def test_same_seed_gives_the_same_model(name, estimator):
    dataset = read_table(name)
    options = {"trials": 3, "folds": 2, "estimators": (estimator,), "hyperparameters": FAST}
    first, again = (run(dataset, seed=5, **options) for _ in range(2))
    assert model_text(first.model) == model_text(again.model)
    assert first.score == again.score
    assert [trial.hyperparameters for trial in first.trials] == [
        trial.hyperparameters for trial in again.trials
    ]
    other = run(dataset, seed=6, **options)
    assert other.score != first.score


def test_same_seed_gives_the_same_trials_from_the_sampler():
    dataset = read_table("titanic")
    first, again = (run(dataset, seed=5, trials=16) for _ in range(2))
    assert len(first.trials) == 17
    assert model_text(first.model) == model_text(again.model)


def test_leaderboard_tells_what_happened():
    seen: list[Progress] = []
    leaderboard = search(read_table("titanic"), plan_of(trials=4), seen.append)
    assert leaderboard.problem_type is ProblemType.BINARY
    assert leaderboard.metric == "roc_auc"
    assert leaderboard.split == "holdout of 133 rows, then refit on all 668"
    assert (leaderboard.train_row_count, leaderboard.holdout_row_count) == (668, 133)
    assert [column.name for column in leaderboard.skipped] == ["Name"]
    assert leaderboard.baseline_score == 0.5
    assert 0.8 < leaderboard.score < 1.0
    assert [trial.number for trial in leaderboard.trials] == [0, 1, 2, 3, 4]
    assert leaderboard.trials[0].estimator is BASELINE
    assert leaderboard.ranking[0] == leaderboard.winner
    assert leaderboard.ranking[-1].estimator is BASELINE
    assert leaderboard.model.classes == ("0", "1")
    assert "Name" not in [column.name for column in leaderboard.model.columns]
    assert [progress.phase for progress in seen] == [
        Phase.PREPARE,
        *[Phase.SEARCH] * 5,
        Phase.REFIT,
    ]
    results = [progress.result for progress in seen[1:6]]
    assert tuple(results) == leaderboard.trials
    assert seen[2].best_score == max(trial.score or 0.0 for trial in leaderboard.trials[:2])


def test_scores_are_from_rows_that_the_search_did_not_see(monkeypatch):
    dataset = read_table("titanic")
    kept = []
    original = bench.make_rows

    def remember(dataset, plan, target, metric, rows):
        kept.append(rows)
        return original(dataset, plan, target, metric, rows)

    monkeypatch.setattr(bench, "make_rows", remember)
    leaderboard = run(dataset, trials=1)
    searched = dataset.table.take(kept[0])
    held = set(map(str, leaderboard.checked_rows.to_pylist()))
    assert not held & set(map(str, searched.to_pylist()))


def test_small_table_is_scored_by_cross_validation():
    small = read_table("titanic")
    small = dataset_of(
        "Survived",
        Survived=small.table["Survived"].to_numpy()[:150].astype(int),
        Sex=small.table["Sex"][:150],
        Fare=small.table["Fare"][:150],
    )
    leaderboard = run(small, trials=3)
    assert leaderboard.split == "5-fold cross-validation, then fit on all 150 rows"
    assert leaderboard.score == leaderboard.winner.score
    assert leaderboard.holdout_row_count == 0
    assert leaderboard.train_row_count == 150


@pytest.mark.parametrize("estimators", [(LINEAR,), (LIGHTGBM,)])
def test_only_the_wanted_estimators_run(estimators):
    leaderboard = run(read_table("credit_g"), trials=3, estimators=estimators)
    assert {trial.estimator for trial in leaderboard.trials[1:]} == set(estimators)
    assert leaderboard.winner.estimator in estimators


def test_baseline_alone():
    leaderboard = run(read_table("credit_g"), estimators=(BASELINE,))
    assert leaderboard.winner.estimator is BASELINE
    assert leaderboard.model.features == leaderboard.model.columns == ()
    assert np.ptp(leaderboard.checked_scores) == 0


def test_baseline_wins_only_where_it_is_not_excluded():
    rng = np.random.default_rng(0)
    noise = dataset_of("y", y=rng.permutation([0.5, 1.5] * 200), x=rng.normal(size=400))
    assert run(noise, trials=2, estimators=(LINEAR,)).winner.estimator is LINEAR


def test_user_fixes_hyperparameters():
    fixed = {"num_trees": 12, "num_leaves": 5, "learning_rate": 0.2}
    leaderboard = run(
        read_table("wine_quality"), trials=3, estimators=(LIGHTGBM,), hyperparameters=fixed
    )
    for trial in leaderboard.trials[1:]:
        assert fixed.items() <= trial.hyperparameters.items()
    booster = booster_of(leaderboard.model.parts[0])
    assert booster.num_trees() == 12 * 7
    leaves = [tree["num_leaves"] for tree in booster.dump_model()["tree_info"]]
    assert max(leaves) == 5


def test_trees_that_take_too_long_give_way():
    leaderboard = run(
        read_table("california_housing"),
        seconds=1.5,
        estimators=(LIGHTGBM,),
        hyperparameters={"num_trees": 100_000},
    )
    assert leaderboard.winner.estimator is BASELINE
    assert leaderboard.trials[1].state is TrialState.FAIL
    assert "before 100000 trees" in (leaderboard.trials[1].error or "")


@pytest.mark.parametrize("options", [{}, {"num_trees": 200}], ids=["cut", "refused"])
def test_model_of_a_fold_stands_in_when_time_ends_the_last_fit(monkeypatch, options):
    dataset = read_table("seoul_bike")
    original = refit._fit

    def late(bench, evaluation, rows):
        now = replace(bench.plan, deadline=time.monotonic() + 0.11)
        return original(replace(bench, plan=now), evaluation, rows)

    monkeypatch.setattr(refit, "_fit", late)
    leaderboard = run(dataset, trials=1, estimators=(LIGHTGBM,), hyperparameters=options)
    assert leaderboard.train_row_count == 4204
    assert leaderboard.split == (
        "holdout of 1314 rows, fit on 4204 others: no time to refit on all 6570"
    )
    assert leaderboard.winner.estimator is LIGHTGBM
    assert leaderboard.score < 0.3 * leaderboard.baseline_score


@pytest.mark.parametrize("seconds", [-1.0, 0.0, 0.05])
def test_no_time_at_all_still_gives_a_model(seconds):
    leaderboard = run(read_table("adult"), seconds=seconds)
    assert leaderboard.model.classes == ("0", "1")
    assert leaderboard.checked_scores.shape[0] > 0


def test_wide_and_long_table_keeps_the_deadline():
    rng = np.random.default_rng(0)
    row_count = 200_000
    columns = {f"x{index}": rng.normal(size=row_count) for index in range(30)}
    target = columns["x0"] + columns["x1"] ** 2
    long = with_columns(dataset_of("y", y=target, x=columns["x0"]), **columns)
    started = time.monotonic()
    leaderboard = run(long, seconds=2.0)
    assert time.monotonic() - started < 4.0
    assert leaderboard.train_row_count < row_count
    assert "a random" in leaderboard.split
    assert leaderboard.score < leaderboard.baseline_score


@pytest.mark.parametrize(
    ("values", "metric"),
    [
        pytest.param(["a"] * 9 + ["b"], None, id="binary, one row of a class"),
        pytest.param(["a"] * 300 + ["b"], None, id="binary, one row of many"),
        pytest.param(["a"] * 150 + ["b"] * 149 + ["c"], None, id="multiclass"),
        pytest.param(["a"] * 4 + ["b"] * 4 + ["c", "d"], None, id="two single rows"),
        pytest.param(["a"] * 300 + ["b"], "f1", id="f1"),
        pytest.param(["a"] * 150 + ["b"] * 149 + ["c"], "balanced_accuracy", id="balanced"),
    ],
)
def test_class_with_a_single_row(values, metric):
    rng = np.random.default_rng(0)
    dataset = dataset_of("y", y=values, x=rng.normal(size=len(values)))
    leaderboard = run(dataset, trials=5, metric=metric)
    assert leaderboard.model.classes == tuple(sorted(set(values)))
    assert np.isfinite(leaderboard.score)
    assert not [trial for trial in leaderboard.trials if trial.state is TrialState.FAIL]


@pytest.mark.parametrize(
    "target",
    [
        pytest.param([1e300 * (index % 7 - 3) for index in range(300)], id="huge"),
        pytest.param([1e-310 * (index % 7 - 3) for index in range(300)], id="subnormal"),
        pytest.param([2.5] * 300, id="constant"),
        pytest.param([0.5] + [2.5] * 11, id="ten rows or so"),
    ],
)
@pytest.mark.parametrize("estimator", [LINEAR, LIGHTGBM])
def test_hostile_regression_targets(target, estimator):
    inputs = [float(index % 7) for index in range(len(target))]
    dataset = dataset_of("y", y=target, x=inputs)
    leaderboard = run(
        dataset, trials=2, estimators=(estimator,), problem_type=ProblemType.REGRESSION
    )
    assert not [trial for trial in leaderboard.trials if trial.state is TrialState.FAIL]
    assert np.isfinite(leaderboard.checked_scores).all()
    assert leaderboard.score <= leaderboard.baseline_score * 1.5 + 1e-9


def test_all_kinds_with_missing_values():
    row_count = 400
    rng = np.random.default_rng(0)

    def holes(values):
        return [None if rng.random() < 0.2 else value for value in values]

    label = rng.integers(0, 2, row_count)
    dataset = dataset_of(
        "y",
        y=label.astype(bool),
        number=holes(label + rng.normal(size=row_count)),
        flag=holes((label + rng.integers(0, 2, row_count) > 0).tolist()),
        word=holes([f"word {value}" for value in rng.integers(0, 9, row_count)]),
        day=pa.array(holes(rng.integers(0, 10**9, row_count).tolist()), pa.timestamp("s")),
    )
    leaderboard = run(dataset, trials=4)
    assert leaderboard.model.classes == ("false", "true")
    assert len(leaderboard.model.columns) == 4
    assert leaderboard.score > 0.7


def test_nothing_to_learn_from():
    with pytest.raises(NoUsableColumn, match="no column is left") as raised:
        run(dataset_of("y", y=[True, False] * 10, x=[1.0] * 20))
    assert raised.value.detail == '"x": it has one value only'
    with pytest.raises(NoUsableColumn):
        run(dataset_of("y", y=[True, False] * 10))


def test_metric_that_the_target_does_not_allow():
    zeros = dataset_of("y", y=[0.0] * 20, x=list(range(20)))
    with pytest.raises(OptionNotUsable, match='"mape" cannot be computed'):
        run(zeros, metric="mape", problem_type=ProblemType.REGRESSION)


@pytest.mark.parametrize(
    ("name", "metrics"),
    [
        ("titanic", ["log_loss", "accuracy", "balanced_accuracy", "f1", "brier"]),
        ("wine_quality", ["accuracy", "f1"]),
        ("seoul_bike", ["mae", "r2"]),
    ],
)
def test_every_metric_can_be_searched_for(name, metrics):
    dataset = read_table(name)
    for metric in metrics:
        leaderboard = run(dataset, trials=2, folds=2, metric=metric, hyperparameters=FAST)
        found = find_metric(metric, leaderboard.problem_type)
        assert found.is_better(leaderboard.score, leaderboard.baseline_score)


def test_trial_that_raises_fails_alone(monkeypatch):
    from sqlml.search.estimators.linear import LinearFitter

    def broken(self, hyperparameters, order):
        raise ValueError("singular matrix")

    monkeypatch.setattr(LinearFitter, "fit", broken)
    leaderboard = run(read_table("titanic"), trials=2)
    assert [trial.state for trial in leaderboard.trials] == [
        TrialState.COMPLETE,
        TrialState.FAIL,
        TrialState.COMPLETE,
    ]
    assert leaderboard.trials[1].error == "ValueError: singular matrix"
    assert leaderboard.winner.estimator is LIGHTGBM


def test_lightgbm_that_raises_before_the_first_trial(monkeypatch):
    def broken(self, sample):
        raise ValueError("bad allocation")

    monkeypatch.setattr(LightGBMFitter, "__init__", broken)
    leaderboard = run(read_table("titanic"), seconds=1.5)
    assert leaderboard.winner.estimator is LINEAR
    errors = {trial.error for trial in leaderboard.trials if trial.estimator is LIGHTGBM}
    assert errors == {"ValueError: bad allocation"}


def test_listener_can_stop_the_search():
    class Stop(Exception):
        pass

    def stop(progress):
        if progress.result is not None and progress.result.number == 1:
            raise Stop

    with pytest.raises(Stop):
        search(read_table("titanic"), plan_of(), stop)
