"""
The whole search on real tables and on small, rare and broken ones.
"""

import time
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from sqlml.enums import ColumnKind, EstimatorName, ProblemType, TrialState
from sqlml.errors import NoUsableColumn, OptionNotUsable
from sqlml.extract.dataset import Column
from sqlml.search import assemble, cost, judging, study
from sqlml.search.assemble import Assembler
from sqlml.search.charges import SURE_COST_SHARE
from sqlml.search.cost import CALL_NS, MAX_SPLITS
from sqlml.search.election import Election
from sqlml.search.estimators.extra_trees import ExtraTrees
from sqlml.search.fitted import FittedModel, LinearPart, TreePart
from sqlml.search.leaderboard import Leaderboard, Phase, Progress
from sqlml.search.metrics import find_metric
from sqlml.search.plan import Given, Plan, PrunerName, SamplerName
from sqlml.search.probe import Pace
from sqlml.search.race import race
from sqlml.search.study import search
from tests.data import TABLES
from tests.search.tables import dataset_of, read_table, with_columns, with_roles

BASELINE, LINEAR, LIGHTGBM, EXTRA_TREES = EstimatorName
FAST = {"learning_rate": 0.3, "num_trees": 20}


@pytest.fixture
def run(pool):
    """Search without listening, in processes that are ready."""

    def run(dataset, seconds=600.0, **options):
        plan = plan_of(seconds, **{"processes": 1, **options})
        return search(dataset, plan, lambda progress: None, pool=pool)

    return run


def plan_of(seconds=600.0, **options):
    """Make a plan with a deadline from now."""
    return Plan(deadline=time.monotonic() + seconds, **options)


def model_text(model: FittedModel) -> str:
    """Write all that decides a model's answers."""
    return repr((model.features, model.weights, model.scale, model.offsets, model.threshold)) + (
        "".join(map(part_text, model.parts))
    )


def part_text(part) -> str:
    """Write all that decides a part's raw scores."""
    if isinstance(part, TreePart):
        return part.booster.model_to_string()
    if isinstance(part, LinearPart):
        terms = [
            {name: repr(getattr(term, name)) for name in type(term).__dataclass_fields__}
            for term in part.terms
        ]
        return repr((part.intercepts.tolist(), terms))
    return repr([(tree.feature.tolist(), tree.values.tolist()) for tree in part.trees])


def small(row_count=150):
    """The first rows of a small table with numbers and categories."""
    table = read_table("titanic").table.slice(0, row_count)
    return dataset_of(
        "Survived",
        Survived=table["Survived"].to_numpy().astype(int),
        Sex=table["Sex"],
        Fare=table["Fare"],
        Age=table["Age"],
    )


@pytest.mark.parametrize("name", TABLES)
def test_few_trials_beat_the_baseline_on_every_real_table(run, name):
    dataset = read_table(name)
    dataset = replace(dataset, table=dataset.table.slice(0, 3000))
    leaderboard = run(dataset, trials=2, folds=2, hyperparameters=FAST)
    metric = find_metric(leaderboard.metric, leaderboard.problem_type)
    assert metric.is_better(leaderboard.score, leaderboard.baseline_score)
    assert leaderboard.winner.estimator is not BASELINE
    low, high = leaderboard.interval
    assert low <= leaderboard.score <= high
    assert leaderboard.checked_scores.shape[0] == leaderboard.checked_rows.num_rows == 1000 or (
        name in ("titanic", "credit_g")
    )
    assert np.isfinite(leaderboard.checked_scores).all()


@pytest.mark.parametrize("sampler", [SamplerName.TPE, SamplerName.RANDOM])
def test_same_seed_gives_the_same_model_with_any_number_of_processes(run, monkeypatch, sampler):
    # Few settings come from the portfolio, so that the sampler is asked too.
    options = {"trials": 14, "folds": 2, "seed": 5, "sampler": sampler}
    options["hyperparameters"] = {"num_trees": 5}
    one = run(small(), **options)
    two = run(small(), **options, processes=2)
    assert [trial.hyperparameters for trial in one.trials] == [
        trial.hyperparameters for trial in two.trials
    ]
    assert [trial.score for trial in one.trials] == [trial.score for trial in two.trials]
    assert model_text(one.model) == model_text(two.model)
    assert one.score == two.score
    other = run(small(), **{**options, "seed": 6, "trials": 3})
    assert [t.score for t in other.trials] != [t.score for t in one.trials[:4]]


@pytest.mark.parametrize("sampler", [SamplerName.CMAES, SamplerName.GRID])
def test_other_samplers(run, sampler):
    options = {"hyperparameters": {"num_trees": 3}, "sampler": sampler, "estimators": (LIGHTGBM,)}
    leaderboard = run(small(), trials=12, folds=2, **options)
    settings = [repr(sorted(trial.hyperparameters.items())) for trial in leaderboard.trials]
    assert len(set(settings)) == 13


def test_grid_ends_where_all_has_been_tried(run):
    asked = {"l2": (1.0, 10.0), "segments": (1, 2), "l1_ratio": 0.0}
    leaderboard = run(
        small(),
        trials=50,
        folds=2,
        estimators=(LINEAR,),
        sampler=SamplerName.GRID,
        hyperparameters=asked,
    )
    tried = {
        (t.hyperparameters["l2"], t.hyperparameters["segments"]) for t in leaderboard.trials[1:]
    }
    assert len(leaderboard.trials) == 5
    assert tried == {(1.0, 1), (1.0, 2), (10.0, 1), (10.0, 2)}


def test_sampler_without_its_package_is_refused(run, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(OptionNotUsable, match='"gp" needs a package'):
        run(small(), trials=1, sampler=SamplerName.GP)


@pytest.mark.parametrize("pruner", [PrunerName.HYPERBAND, PrunerName.ASHA, PrunerName.MEDIAN])
def test_pruners_end_trials(run, pruner):
    leaderboard = run(
        small(),
        trials=24,
        folds=4,
        pruner=pruner,
        hyperparameters={"num_trees": 2},
        estimators=(LIGHTGBM,),
    )
    states = {trial.state for trial in leaderboard.trials}
    assert states == {TrialState.COMPLETE, TrialState.PRUNED}
    reasons = {trial.error for trial in leaderboard.trials if trial.state is TrialState.PRUNED}
    assert f"ended by the {pruner} pruner" in reasons


def test_no_pruner_ends_no_trial(run):
    leaderboard = run(
        small(),
        trials=10,
        folds=3,
        pruner=PrunerName.NONE,
        hyperparameters={"num_trees": 2},
        estimators=(LIGHTGBM,),
    )
    assert {trial.state for trial in leaderboard.trials} == {TrialState.COMPLETE}


def test_leaderboard_tells_what_happened(pool):
    seen: list[Progress] = []
    plan = plan_of(trials=3, folds=3, processes=1)
    leaderboard = search(read_table("titanic"), plan, seen.append, pool=pool)
    assert leaderboard.problem_type is ProblemType.BINARY
    assert leaderboard.metric == "roc_auc"
    assert leaderboard.split.startswith("3-fold cross-validation, ")
    assert leaderboard.holdout_row_count == 0
    assert 0.8 < leaderboard.interval[0] < leaderboard.score < leaderboard.interval[1] < 1.0
    assert [trial.number for trial in leaderboard.trials] == [0, 1, 2, 3]
    assert leaderboard.trials[0].estimator is BASELINE
    assert leaderboard.ranking[-1].estimator is BASELINE
    assert leaderboard.model.classes == ("0", "1")
    assert [progress.phase for progress in seen] == [
        Phase.PREPARE,
        *[Phase.SEARCH] * 4,
        Phase.REFIT,
    ]
    assert tuple(progress.result for progress in seen[1:5]) == leaderboard.trials
    weights = [member.weight for member in leaderboard.members]
    assert sum(weights) == pytest.approx(1.0)
    assert weights == sorted(weights, reverse=True)
    assert leaderboard.members[0].number == leaderboard.winner.number
    # Each member's raw scores are as sure as they may be.
    assert 0.3 < sum(leaderboard.model.weights) < 3.0
    assert 0 < leaderboard.predict_cost_ns < 10_000
    assert all(trial.predict_cost_ns > 0 for trial in leaderboard.trials)


@pytest.mark.parametrize(("limit_s", "fit_counts"), [(1e-9, {1}), (None, {3})])
def test_cost_of_a_prediction_decides_how_many_fits_answer(run, limit_s, fit_counts):
    leaderboard = run(small(), trials=4, folds=3, predict_cost_s=limit_s)
    assert {member.fit_count for member in leaderboard.members} == fit_counts
    if limit_s is not None:
        assert len(leaderboard.members) == 1
        assert leaderboard.split == "3-fold cross-validation, then fit on all 150 rows"
    else:
        assert leaderboard.split == "3-fold cross-validation, models of 3 folds together"


def test_members_are_as_sure_as_they_may_be(run, monkeypatch):
    rng = np.random.default_rng(0)
    x, z = rng.normal(size=(2, 400))
    y = np.where(x + z + rng.normal(size=400) > 0, "yes", "no")
    options = {"trials": 4, "folds": 2, "estimators": (LINEAR, EXTRA_TREES), "metric": "log_loss"}
    plain = run(dataset_of("y", y=y, x=x, z=z), **options)
    monkeypatch.setattr(
        Election, "_find_scales", lambda self, candidates: dict.fromkeys(range(9), 2.0)
    )
    doubled = run(dataset_of("y", y=y, x=x, z=z), **options)
    shares = [member.weight for member in doubled.members]
    assert sum(shares) == pytest.approx(1)
    assert sum(doubled.model.weights) == pytest.approx(2)
    assert sum(plain.model.weights) != pytest.approx(1)
    assert doubled.score == pytest.approx(plain.score, rel=0.1)


def test_a_regression_is_judged_as_it_is_published(run, monkeypatch):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=200), rng.exponential(9.0, 200)
    options = {"trials": 2, "folds": 2, "hyperparameters": {"objective": "absolute"}}
    monkeypatch.setattr(judging, "calibrate", lambda *args: (1.0, ()))
    plain = run(dataset_of("y", y=y, x=x), **options, estimators=(LINEAR,))
    monkeypatch.setattr(judging, "calibrate", lambda *args: (1.0, (2.0,)))
    shifted = run(dataset_of("y", y=y, x=x), **options, estimators=(LINEAR,))
    assert shifted.model.offsets == (2.0,)
    assert shifted.score < plain.score


def test_a_calibration_that_is_worse_is_left_out(run, monkeypatch):
    monkeypatch.setattr(judging, "calibrate", lambda *args: (1.0, (-1e6,)))
    y = np.arange(1.0, 201.0)
    options = {"trials": 2, "folds": 2, "estimators": (LINEAR,), "metric": "poisson_deviance"}
    found = run(dataset_of("y", y=y, x=y % 17), **options)
    assert found.model.offsets == ()
    assert np.isfinite(found.score)


def test_time_of_a_trial_is_estimated_for_what_its_predictions_may_cost(run, monkeypatch):
    real, limits = ExtraTrees.cost, set()

    def noted(self, task, hyperparameters, max_cost_ns):
        limits.add(max_cost_ns)
        return real(self, task, hyperparameters, max_cost_ns)

    monkeypatch.setattr(ExtraTrees, "cost", noted)
    run(small(), 8.0, estimators=(EXTRA_TREES,), predict_cost_s=10e-6)
    (limit_ns,) = limits
    assert 0 < limit_ns <= SURE_COST_SHARE * 10_000 / 2


def test_time_is_kept_back_for_every_fit_of_a_bag(run, monkeypatch):
    reserves: dict[int, float] = {}
    real = Assembler.reserve_s

    def noted(self, evaluations):
        reserve_s = real(self, evaluations)
        if len(evaluations) == 2:
            reserves.setdefault(folds, reserve_s)
        return reserve_s

    monkeypatch.setattr(Assembler, "reserve_s", noted)
    monkeypatch.setattr(assemble, "PUBLISH_FIT_S", 2.0)
    for folds in (2, 5):
        run(small(), 60.0, estimators=(LINEAR,), folds=folds, trials=1)
    assert reserves[2] > 2 * 2.0
    assert reserves[5] > 5 * 2.0


def test_forest_leaves_half_of_the_cost_to_others(run):
    options = {"trials": 1, "folds": 2, "estimators": (EXTRA_TREES,)}
    limit_s = 3e-6
    cheap, dear = (
        run(small(400), **options, predict_cost_s=each).trials[1] for each in (limit_s, None)
    )
    half_ns = (SURE_COST_SHARE * limit_s * 1e9 - CALL_NS) / 2
    # The features of a row come on top.
    assert 0.7 * half_ns < cheap.predict_cost_ns - CALL_NS < 1.2 * half_ns
    assert dear.predict_cost_ns > CALL_NS + 1.2 * half_ns
    assert cheap.hyperparameters == dear.hyperparameters


@pytest.mark.parametrize("limit_s", [1e-3, None])
@pytest.mark.parametrize(
    ("name", "room", "fit_count"),
    [("MAX_SPLITS", MAX_SPLITS, 3), ("MAX_SPLITS", 5000, 1), ("MAX_BYTES", 1_000_000, 1)],
)
def test_forests_are_not_bagged_where_there_is_no_room(
    run, monkeypatch, limit_s, name, room, fit_count
):
    monkeypatch.setattr(cost, name, room)
    options = {"trials": 1, "folds": 3, "estimators": (EXTRA_TREES,), "predict_cost_s": limit_s}
    (member,) = run(small(400), **options).members
    assert member.fit_count == fit_count


def test_large_table_is_scored_by_a_holdout(run):
    rng = np.random.default_rng(0)
    row_count = 12_000
    inputs = rng.normal(size=row_count)
    dataset = dataset_of("y", y=inputs * 2 + rng.normal(size=row_count), x=inputs)
    leaderboard = run(dataset, trials=2, folds=2, hyperparameters=FAST)
    assert 900 < leaderboard.holdout_row_count < 1500
    assert leaderboard.split.startswith(f"holdout of {leaderboard.holdout_row_count} rows")
    assert 0.9 < leaderboard.score < 1.2
    assert 2.0 < leaderboard.baseline_score < 2.5


def test_rows_in_an_order_are_judged_by_models_of_earlier_ones(run):
    rng = np.random.default_rng(0)
    moment = np.arange(600.0)
    dataset = dataset_of("y", y=moment + rng.normal(size=600), x=moment, moment=moment)
    dataset = with_roles(dataset, order_by="moment")
    leaderboard = run(dataset, trials=2, folds=3, estimators=(LINEAR,))
    assert {member.fit_count for member in leaderboard.members} == {1}
    assert leaderboard.train_row_count == 600
    assert leaderboard.model.columns == (Column("x", "double precision", ColumnKind.NUMERIC),)


def test_groups_and_weights(run):
    rng = np.random.default_rng(0)
    group = rng.integers(0, 20, 400).astype(float)
    shift = rng.normal(size=20)[group.astype(int)]
    dataset = dataset_of(
        "y",
        y=shift + 0.1 * rng.normal(size=400),
        x=group,
        group=group,
        w=(group < 10).astype(float),
    )
    apart = run(with_roles(dataset, group_by="group", weight="w"), trials=2, folds=4)
    mixed = run(with_roles(dataset, weight="w"), trials=2, folds=4)
    # Who knows the other rows of a group knows its shift.
    assert mixed.score < 0.5 * apart.score


@pytest.mark.parametrize("estimators", [(LINEAR,), (LIGHTGBM,), (EXTRA_TREES,)])
def test_only_the_wanted_estimators_run(run, estimators):
    leaderboard = run(small(), trials=3, folds=2, estimators=estimators)
    assert {trial.estimator for trial in leaderboard.trials[1:]} == set(estimators)
    assert leaderboard.winner.estimator in estimators


def test_baseline_alone(run):
    leaderboard = run(small(), estimators=(BASELINE,))
    assert leaderboard.winner.estimator is BASELINE
    assert leaderboard.model.features == leaderboard.model.columns == ()
    assert np.ptp(leaderboard.checked_scores) == 0


def test_baseline_wins_only_where_it_is_not_excluded(run):
    rng = np.random.default_rng(0)
    noise = dataset_of("y", y=rng.permutation([0.5, 1.5] * 200), x=rng.normal(size=400))
    assert run(noise, trials=2, estimators=(LINEAR,)).winner.estimator is LINEAR


def test_user_says_what_hyperparameters_may_be(run):
    asked = {"num_trees": 7, "num_leaves": Given(3, 5), "learning_rate": (0.1, 0.2)}
    leaderboard = run(small(), trials=14, folds=2, estimators=(LIGHTGBM,), hyperparameters=asked)
    for trial in leaderboard.trials[1:]:
        assert trial.hyperparameters["num_trees"] == 7
        assert 3 <= trial.hyperparameters["num_leaves"] <= 5
        assert trial.hyperparameters["learning_rate"] in (0.1, 0.2)


@pytest.mark.parametrize(
    ("asked", "message", "hint"),
    [
        ({"num_leafs": 3}, "no estimator of this search has", 'Did you mean "num_leaves"'),
        ({"class_weight": Given(1, 2)}, '"class_weight" is not a range', "CHOICE"),
    ],
)
def test_what_no_hyperparameter_may_be(run, asked, message, hint):
    dataset = dataset_of("y", y=["a"] * 95 + ["b"] * 5, x=list(range(100)))
    with pytest.raises(OptionNotUsable, match=message) as caught:
        run(dataset, trials=1, hyperparameters=asked)
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("metric", "parameter", "share"),
    [("pinball", 0.9, 0.9), ("pinball", 0.1, 0.1), ("mae", None, 0.5), ("rmse", None, 0.63)],
)
def test_a_model_predicts_what_its_metric_asks_for(run, metric, parameter, share):
    rng = np.random.default_rng(0)
    # Of what is spread exponentially 63 % lie below the mean.
    x, noise = rng.integers(0, 3, 600), rng.exponential(1.0, 600)
    dataset = dataset_of("y", y=((1.0 + x) * noise).tolist(), x=x.tolist())
    asked = {"metric": metric, "metric_parameter": parameter, "hyperparameters": FAST}
    leaderboard = run(dataset, trials=2, folds=3, **asked)
    truth = np.array(leaderboard.checked_rows.column("y"))
    predicted = leaderboard.checked_scores[:, 0]
    assert np.mean(truth <= predicted) == pytest.approx(share, abs=0.06)


@pytest.mark.parametrize(
    "objective", ["squared", "absolute", "huber", "quantile", "poisson", "tweedie", "gamma"]
)
@pytest.mark.parametrize("estimator", [LIGHTGBM, LINEAR])
def test_a_user_may_ask_for_any_objective_that_the_target_has(run, objective, estimator):
    dataset = dataset_of("y", y=[1.0 + row % 7 for row in range(120)], x=list(range(120)))
    options = {"estimators": (estimator,), "hyperparameters": {"objective": objective}}
    trial = run(dataset, trials=1, folds=2, problem_type=ProblemType.REGRESSION, **options).trials[
        1
    ]
    assert (trial.state, trial.hyperparameters["objective"]) == (TrialState.COMPLETE, objective)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"objective": "gamma"}, 'objective "gamma" does not suit the target'),
        ({"objective": ("squared", "poisson")}, 'objective "poisson" does not suit the target'),
        ({"log_target": True}, 'no estimator of this search has a hyperparameter "log_target"'),
    ],
)
def test_objectives_that_the_target_does_not_have(run, asked, message):
    dataset = dataset_of("y", y=[row - 50.5 for row in range(100)], x=list(range(100)))
    with pytest.raises(OptionNotUsable, match=message):
        run(dataset, trials=1, hyperparameters=asked)


def test_interrupted_search_goes_on_with_its_best_trials(run):
    options = {"folds": 2, "estimators": (LIGHTGBM,), "hyperparameters": {"num_trees": 5}}
    first = run(small(), trials=6, **options)
    again = run(small(), trials=4, **options, finished=first.trials)
    best = [trial.hyperparameters for trial in first.ranking if trial.estimator is LIGHTGBM][:3]
    assert [trial.hyperparameters for trial in again.trials[1:4]] == best
    tried = [trial.hyperparameters for trial in first.trials]
    assert again.trials[4].hyperparameters not in tried


def test_models_are_offered_while_the_search_goes_on(pool):
    offered: list[Leaderboard] = []
    plan = plan_of(20.0, processes=1, anytime=True, hyperparameters=FAST)
    final = search(small(), plan, lambda progress: None, offer=offered.append, pool=pool)
    assert offered
    for leaderboard in offered:
        assert leaderboard.winner.estimator is not BASELINE
        assert len(leaderboard.members) == 1
        assert leaderboard.model.classes == ("0", "1")
    assert len(final.trials) > len(offered[0].trials)


@pytest.mark.parametrize("seconds", [-1.0, 0.0, 0.05, 1.0])
def test_no_time_at_all_still_gives_a_model(run, seconds):
    leaderboard = run(read_table("adult"), seconds=seconds)
    assert leaderboard.model.classes == ("0", "1")
    assert leaderboard.checked_scores.shape[0] > 0


def test_trials_that_take_ages_are_ended_with_the_time(run):
    leaderboard = run(
        read_table("seoul_bike"),
        seconds=4.0,
        estimators=(LIGHTGBM,),
        hyperparameters={"num_trees": 1_000_000},
    )
    assert leaderboard.winner.estimator is BASELINE
    assert leaderboard.trials[1].state is TrialState.FAIL


def test_portfolio_races_on_samples_where_all_rows_are_too_many(pool, monkeypatch):
    rng = np.random.default_rng(0)
    row_count = 12_000
    columns = {f"x{index}": rng.normal(size=row_count) for index in range(5)}
    target = columns["x0"] + columns["x1"] ** 2
    long = with_columns(dataset_of("y", y=target, x=columns["x0"]), **columns)
    raced = []
    original = race

    def watched(bench, crew, sampler, pace, end):
        before = len(sampler.waiting)
        original(bench, crew, sampler, replace(pace, fold_time_s=1e5), end)
        raced.append((before, len(sampler.waiting)))

    monkeypatch.setattr(study, "race", watched)
    monkeypatch.setattr(study, "measure_pace", lambda bench, crew, end, max_rounds: SLOW)
    plan = plan_of(600.0, processes=1, estimators=(LIGHTGBM,))
    seen = []

    class Enough(Exception):
        pass

    def stop(progress):
        seen.append(progress.result)
        if progress.result and progress.result.number == 1:
            raise Enough

    with pytest.raises(Enough):
        search(long, plan, stop, pool=pool)
    ((before, after),) = raced
    assert after < before


SLOW = Pace(rate=0.12, fold_count=1, fold_time_s=1000.0, is_slow=True)


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
def test_class_with_a_single_row(run, values, metric):
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
def test_hostile_regression_targets(run, target, estimator):
    inputs = [float(index % 7) for index in range(len(target))]
    dataset = dataset_of("y", y=target, x=inputs)
    leaderboard = run(
        dataset, trials=2, estimators=(estimator,), problem_type=ProblemType.REGRESSION
    )
    assert not [trial for trial in leaderboard.trials if trial.state is TrialState.FAIL]
    assert np.isfinite(leaderboard.checked_scores).all()
    assert leaderboard.score <= leaderboard.baseline_score * 1.5 + 1e-9


def test_all_kinds_with_missing_values(run):
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


def test_nothing_to_learn_from(run):
    with pytest.raises(NoUsableColumn, match="no column is left") as raised:
        run(dataset_of("y", y=[True, False] * 10, x=[1.0] * 20))
    assert raised.value.detail == '"x": it has one value only'
    with pytest.raises(NoUsableColumn):
        run(dataset_of("y", y=[True, False] * 10))


def test_metric_that_the_target_does_not_allow(run):
    zeros = dataset_of("y", y=[0.0] * 20, x=list(range(20)))
    with pytest.raises(OptionNotUsable, match='"mape" cannot be computed'):
        run(zeros, metric="mape", problem_type=ProblemType.REGRESSION)


@pytest.mark.parametrize(
    ("name", "metrics"),
    [
        ("titanic", ["log_loss", "accuracy", "balanced_accuracy", "f1", "brier"]),
        ("wine_quality", ["accuracy", "f1_macro"]),
        ("seoul_bike", ["mae", "r2"]),
    ],
)
def test_every_metric_can_be_searched_for(run, name, metrics):
    dataset = read_table(name)
    for metric in metrics:
        leaderboard = run(dataset, trials=2, folds=2, metric=metric, hyperparameters=FAST)
        found = find_metric(metric, leaderboard.problem_type)
        assert found.is_better(leaderboard.score, leaderboard.baseline_score)


def test_listener_can_stop_the_search(pool):
    class Stop(Exception):
        pass

    def stop(progress):
        if progress.result is not None and progress.result.number == 1:
            raise Stop

    with pytest.raises(Stop):
        search(read_table("titanic"), plan_of(processes=1), stop, pool=pool)
