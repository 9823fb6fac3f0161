"""
The options of CREATE MODEL are those of the search, and what is asked is what is tried.
"""

from collections import defaultdict
from dataclasses import fields

import pytest
from psycopg.types.json import Jsonb

from sqlml.enums import EstimatorName, ProblemType
from sqlml.job.options import make_plan
from sqlml.search.estimators import ESTIMATORS
from sqlml.search.estimators.estimator import Task
from sqlml.search.metrics import METRICS
from sqlml.search.plan import Given, Plan, PrunerName, SamplerName
from sqlml.search.space import Choices, Range
from sqlml.search.target import TargetFacts
from sqlml.search.wishes import unsearched

FACTS = TargetFacts(
    class_shares=(),
    is_imbalanced=True,
    is_positive=True,
    is_nonnegative=True,
    is_integer=True,
    skew=3.0,
    log_skew=0.0,
)


def find_dimensions():
    """Every hyperparameter that some task has: its estimators and its dimensions."""
    found = defaultdict(list)
    for metric in METRICS.values():
        for problem_type in metric.problem_types:
            task = Task(
                problem_type=problem_type,
                class_count=0 if problem_type is ProblemType.REGRESSION else 3,
                row_count=1000,
                feature_count=5,
                metric=metric,
                has_texts=True,
                has_encodings=True,
                facts=FACTS,
            )
            for name, estimator in ESTIMATORS.items():
                space = {**unsearched(name, task), **estimator.space(task)}
                for hyperparameter, dimension in space.items():
                    found[hyperparameter].append((name, dimension))
    return found


def read_options(connection):
    rows = connection.execute(
        "SELECT name, type, minimum, maximum, choices, estimators FROM sqlml.option"
    )
    return {row[0]: row[1:] for row in rows}


def test_the_hyperparameters_are_those_of_the_spaces(connection):
    options = read_options(connection)
    dimensions = find_dimensions()
    assert set(dimensions) == {name for name, option in options.items() if option[-1]}
    for name, found in dimensions.items():
        type_name, minimum, maximum, choices, estimators = options[name]
        assert set(estimators) == {estimator for estimator, _ in found}, name
        values = {value for _, each in found if isinstance(each, Choices) for value in each.values}
        if type_name == "word":
            assert values <= set(choices), name
        elif type_name == "boolean":
            assert values == {False, True}, name
        for _, each in found:
            if isinstance(each, Range):
                assert minimum <= each.low <= each.high <= maximum, name
                assert each.is_integer is (type_name == "integer"), name


def test_the_words_are_those_of_the_search(connection):
    options = read_options(connection)
    assert options["metric"][3] == list(METRICS)
    assert set(options["sampler"][3]) == set(SamplerName)
    assert set(options["pruner"][3]) == set(PrunerName)
    assert set(options["estimators"][3]) == set(EstimatorName)
    assert set(options["problem_type"][3]) == set(ProblemType)


def check(connection, **options):
    """The options as a job has them."""
    return connection.execute("SELECT sqlml.check_options(%s)", [Jsonb(options)]).fetchone()[0]


def plan_of(connection, **options):
    return make_plan(check(connection, **options), small=False, started=0.0, threads=1)


def test_without_options_the_search_has_its_own_defaults(connection):
    plan = plan_of(connection)
    assert plan.deadline == pytest.approx(60 * 0.99 - 0.1)
    asked = Plan(deadline=plan.deadline, seed=42)
    for field in fields(Plan):
        assert getattr(plan, field.name) == getattr(asked, field.name), field.name


def test_models_that_run_as_sql_have_few_leaves(connection):
    def small(**options):
        options = check(connection, **options)
        return make_plan(options, small=True, started=0.0, threads=1).hyperparameters

    assert small() == {"num_leaves": 15, "learning_rate": 0.1, "max_leaf_nodes": 64}
    assert small(num_leaves=7)["num_leaves"] == 7
    assert small(estimators="extra_trees") == {"max_leaf_nodes": 64}
    assert small(estimators="linear") == {}


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ("10 us", 10e-6),
        ("500 ns", 500e-9),
        ("0.5 us", 0.5e-6),
        (".25us", 0.25e-6),
        ("2 ms", 2e-3),
        (0.001, 0.001),
        ("1e-5", 1e-5),
        ("none", None),
        ("None", None),
    ],
)
def test_the_cost_of_a_prediction(connection, given, seconds):
    assert plan_of(connection, predict_cost=given).predict_cost_s == pytest.approx(seconds)


def test_what_the_search_may_choose_from(connection):
    plan = plan_of(
        connection,
        num_leaves={"range": [8, 256]},
        learning_rate={"choice": [0.03, "0.1", 0.03]},
        boosting={"choice": ["GBDT", "dart"]},
        log_target={"choice": ["on"]},
        segments=4,
        lambda_l2={"range": [2, 2]},
    )
    assert plan.hyperparameters == {
        "num_leaves": Given(8, 256),
        "learning_rate": (0.03, 0.1),
        "boosting": ("gbdt", "dart"),
        "log_target": True,
        "segments": 4,
        "lambda_l2": 2,
    }


def test_everything_given_reaches_the_plan(connection):
    plan = plan_of(
        connection,
        metric="pinball",
        quantile=0.9,
        sampler="random",
        pruner="none",
        processes=2,
        anytime="on",
        holdout=0.25,
        folds=4.0,
        estimators="linear",
        problem_type="regression",
        trials=7,
    )
    assert (plan.metric, plan.metric_parameter) == ("pinball", 0.9)
    assert (plan.sampler, plan.pruner) == (SamplerName.RANDOM, PrunerName.NONE)
    assert (plan.processes, plan.anytime, plan.holdout) == (2, True, 0.25)
    assert (plan.folds, plan.trials) == (4, 7)
    assert plan.estimators == (EstimatorName.LINEAR,)
    assert plan.problem_type is ProblemType.REGRESSION


def test_trials_stay_within_what_was_asked(connection, module_worker):
    connection.execute(
        "CALL sqlml.create_model('narrow', 'spend', relation => 'customers', options => %s)",
        [
            '{"time_limit": "60 s", "trials": 5, "estimators": "lightgbm", "num_trees": 20,'
            ' "num_leaves": {"range": [8, 10]}, "learning_rate": {"choice": [0.15, 0.25]},'
            ' "folds": 2}'
        ],
    )
    tried = connection.execute(
        "SELECT (hyperparameters->>'num_leaves')::float8,"
        " (hyperparameters->>'learning_rate')::float8, hyperparameters->>'num_trees'"
        " FROM sqlml.trials WHERE model = 'narrow' AND estimator = 'lightgbm'"
    ).fetchall()
    assert len(tried) == 5
    for leaves, rate, trees in tried:
        assert 8 <= leaves <= 10
        assert rate in (0.15, 0.25)
        assert trees == "20"
