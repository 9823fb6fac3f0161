"""
What a search can afford: folds by rows and time, rates by what predictions may cost.
"""

import time
from dataclasses import replace

import numpy as np
import pytest

from sqlml.enums import EstimatorName
from sqlml.search import bench, study
from sqlml.search.assemble import Assembler
from sqlml.search.estimators.estimator import Choice
from sqlml.search.plan import Plan
from sqlml.search.probe import SLOWEST_RATE, Pace, Speed, choose_pace, hastened
from tests.search.tables import dataset_of

PACE = Pace(rate=0.05, fold_count=3, rounds_times_rate=20.0)


def choice_of(**hyperparameters):
    """Choose LightGBM."""
    return Choice(estimator=EstimatorName.LIGHTGBM, hyperparameters=hyperparameters)


@pytest.mark.parametrize(
    ("rate", "max_rounds", "expected"),
    [(0.03, 100, 0.1), (0.25, 100, 0.25), (0.03, 10, 0.3), (0.03, 5000, 0.03)],
)
def test_rate_is_no_slower_than_predictions_afford(rate, max_rounds, expected):
    choice = choice_of(learning_rate=rate, num_leaves=31)
    found = hastened(choice, PACE, max_rounds)
    assert found.hyperparameters == {"learning_rate": expected, "num_leaves": 31}


def test_rates_stay_where_nothing_was_measured_or_there_are_none():
    choice = choice_of(learning_rate=0.03)
    assert hastened(choice, Pace(rate=0.06, fold_count=3), 10) == choice
    linear = Choice(estimator=EstimatorName.LINEAR, hyperparameters={"l2": 1.0})
    assert hastened(linear, PACE, 10) == linear


def test_more_processes_run_more_trials_of_the_same_size():
    rng = np.random.default_rng(0)
    dataset = dataset_of("y", y=rng.normal(size=3000), x=rng.normal(size=3000))
    speed = Speed(round_s=0.01, rounds_times_rate=20.0)
    paces = [
        choose_pace(make_bench(dataset, processes), speed, left_s=400.0, max_rounds=1000)
        for processes in (1, 2)
    ]
    assert paces[0] == paces[1]
    assert paces[0].rate > SLOWEST_RATE


def make_bench(dataset, processes):
    """A bench for ten minutes."""
    return bench.make_bench(dataset, Plan(deadline=time.monotonic() + 600, processes=processes))


@pytest.mark.parametrize(
    ("cells_per_second", "options", "fold_count"),
    [
        (100, {}, 5),
        (1, {}, 1),
        (1, {"folds": 4}, 4),
        (1, {"trials": 2}, 5),
        (1, {"holdout": 0.0}, 5),
    ],
)
def test_many_rows_for_little_time_have_one_fold(
    monkeypatch, cells_per_second, options, fold_count
):
    monkeypatch.setattr(bench, "LONE_FOLD_CELLS_PER_SECOND", cells_per_second)
    rng = np.random.default_rng(0)
    dataset = dataset_of("y", y=rng.normal(size=12_000), x=rng.normal(size=12_000))
    plan = Plan(deadline=time.monotonic() + 600.0, processes=1, **options)
    folds = bench.make_bench(dataset, plan).folds
    assert len(folds) == fold_count
    if fold_count == 1:
        assert folds[0].train.size > 6 * folds[0].valid.size


def test_an_election_may_free_time_that_was_kept_back(pool, monkeypatch):
    def look(assembler, evaluations):
        # One member is all that predictions can afford; four were expected.
        before = assembler.reserve_s(evaluations)
        assembler.settle(evaluations)
        assert 0 < assembler.reserve_s(evaluations) < before

    watch_assembly(pool, monkeypatch, look)


def test_a_model_that_is_long_to_write_keeps_time_to_be_published(pool, monkeypatch):
    def look(assembler, evaluations):
        slow = [
            replace(each, answers=[replace(answer, keep_s=7.0) for answer in each.answers])
            for each in evaluations
        ]
        assert assembler.reserve_s(slow) > assembler.reserve_s(evaluations) + 7

    watch_assembly(pool, monkeypatch, look)


def test_one_slow_score_changes_no_plan(pool, monkeypatch):
    """Where other work shares the core, some scores take a hundred times as long."""

    def look(assembler, evaluations):
        before = assembler.reserve_s(evaluations)
        assembler.note_score_time(1000.0)
        assert assembler.reserve_s(evaluations) < before + 1

    watch_assembly(pool, monkeypatch, look)


def watch_assembly(pool, monkeypatch, look):
    """Search, and have a look at the assembler and the trials before the model is made."""
    seen = []

    class Watched(Assembler):
        def assemble(self, evaluations):
            look(self, evaluations)
            seen.append(self)
            return super().assemble(evaluations)

    monkeypatch.setattr(study, "Assembler", Watched)
    rng = np.random.default_rng(0)
    x = rng.normal(size=300)
    dataset = dataset_of("y", y=x + rng.normal(size=300), x=x)
    plan = Plan(
        deadline=time.monotonic() + 600.0, trials=5, folds=8, predict_cost_s=1e-9, processes=1
    )
    study.search(dataset, plan, lambda progress: None, pool=pool)
    assert len(seen) == 1
