"""
The table of bad inputs: what each says, and that it leaves nothing behind.
"""

from typing import NamedTuple

import psycopg
import pytest
from psycopg.types.json import Jsonb

DATA = """
CREATE TABLE few AS SELECT * FROM customers LIMIT 9;
CREATE TABLE no_target AS SELECT age, spend, NULL::boolean AS churned FROM customers;
CREATE TABLE one_class AS SELECT age, spend, true AS churned FROM customers;
CREATE TABLE no_rows AS SELECT * FROM customers WHERE false;
CREATE TABLE only_target AS SELECT churned FROM customers;
CREATE TABLE constant AS SELECT 1 AS one, NULL::text AS nothing, churned FROM customers;
CREATE TABLE broken AS SELECT 0 AS zero, churned FROM customers;
CREATE TABLE only_age AS SELECT age, churned FROM customers;
CREATE TABLE constant_zero AS SELECT *, 0 AS zero, -1 AS minus FROM customers;
CREATE TABLE bad_weights AS
SELECT age, churned,
       CASE row_number() OVER () WHEN 2 THEN 'NaN' WHEN 3 THEN 'infinity'
            WHEN 4 THEN NULL WHEN 5 THEN NULL WHEN 6 THEN NULL WHEN 7 THEN NULL
            ELSE spend END AS spend,
       CASE WHEN row_number() OVER () = 1 THEN 'infinity'
            WHEN row_number() OVER () > 5 THEN since END AS since
  FROM customers;
CREATE SEQUENCE counter;
"""

SNAPSHOT = """
SELECT (SELECT count(*) FROM sqlml.model), (SELECT count(*) FROM sqlml.version),
       (SELECT count(*) FROM pg_proc WHERE proname LIKE 'predict\\_%'
                                        OR pronamespace = 'sqlml_training'::regnamespace),
       (SELECT count(*) FROM sqlml.job WHERE status IN ('waiting', 'running'))
"""


class Case(NamedTuple):
    """One bad call of create_model, and the error that it must give."""

    sqlstate: str
    message: str
    hint: str | None = None
    model: str = "bad"
    target: str = "churned"
    query: str | None = None
    relation: str | None = "customers"
    options: object = {}


CASES = [
    Case(
        "42P01",
        'relation "customer" does not exist',
        'Did you mean "customers"?',
        relation="customer",
    ),
    Case("42P01", 'relation "" does not exist', None, relation=""),
    Case("42P01", 'relation "a b c" does not exist', None, relation="a b c"),
    Case("42P01", 'relation "nope.customers" does not exist', None, relation="nope.customers"),
    Case("42809", '"counter" is not a table or a view', relation="counter"),
    Case(
        "42P01", 'relation "nowhere" does not exist', relation=None, query="SELECT * FROM nowhere"
    ),
    Case(
        "42703",
        'column "agee" does not exist',
        relation=None,
        query="SELECT agee, churned FROM customers",
    ),
    Case("42601", 'syntax error at or near "FORM"', relation=None, query="SELECT * FORM customers"),
    Case(
        "42701",
        'column "age" specified more than once',
        "List the columns of the query so that each name stands once.",
        relation=None,
        query="SELECT a.age, b.age, a.churned FROM customers a, customers b",
    ),
    Case("22023", "give either a query or a relation", relation=None),
    Case("22023", "give either a query or a relation", query="SELECT 1"),
    Case(
        "42703",
        'column "churn" does not exist in the training rows',
        'Did you mean "churned"?',
        target="churn",
    ),
    Case(
        "ML005",
        'column "since" has type timestamp without time zone, which cannot be predicted',
        "Predict what a query makes of it, such as extract(epoch FROM since).",
        target="since",
    ),
    Case(
        "ML005",
        'column "extra" has type json, which cannot be predicted',
        "Predict what a query makes of it, such as extra::text.",
        target="extra",
    ),
    Case("ML004", 'no column is left to predict "churned" from', relation="only_target"),
    Case("ML004", "no column is left", relation="constant"),
    Case("ML001", 'target "churned" is NULL in all 300 rows', relation="no_target"),
    Case("ML002", "", relation="one_class"),
    Case("ML003", "", relation="few"),
    Case("ML003", "", relation="no_rows"),
    Case(
        "22012",
        "division by zero",
        relation=None,
        query="SELECT 1 / zero AS x, churned FROM broken",
    ),
    Case(
        "22023",
        'unknown option "time_limt"',
        'Did you mean "time_limit"?',
        options={"time_limt": 5},
    ),
    Case(
        "22023",
        'unknown option "zzzzzzzzzzzzzzz"',
        "SELECT name, description FROM sqlml.option lists them.",
        options={"zzzzzzzzzzzzzzz": 5},
    ),
    Case(
        "22023",
        'unknown option "time"',
        'Did you mean "anytime" or "time_limit"?',
        options={"time": 5},
    ),
    Case("22023", 'option "seed" is given more than once', options={"seed": 1, "SEED": 2}),
    Case(
        "22023",
        'invalid value for option "metric": "auc"',
        'Did you mean "pr_auc" or "roc_auc"?',
        options={"metric": "auc"},
    ),
    Case(
        "22023",
        'invalid value for option "metric": "mse"',
        'Did you mean "rmse"?',
        options={"metric": "mse"},
    ),
    Case("22023", "options must be a JSON object", options=[1]),
    Case("22023", 'invalid value for option "trials": 5.5', options={"trials": 5.5}),
    Case("22023", 'invalid value for option "trials": "many"', options={"trials": "many"}),
    Case("22023", 'invalid value for option "trials": true', options={"trials": True}),
    Case("22023", 'invalid value for option "time_limit": "soon"', options={"time_limit": "soon"}),
    Case("22023", 'option "time_limit" is out of range: 0', options={"time_limit": 0}),
    Case("22023", 'option "time_limit" is out of range: "-1 s"', options={"time_limit": "-1 s"}),
    Case(
        "22023", 'option "time_limit" is out of range: "1 year"', options={"time_limit": "1 year"}
    ),
    Case("22023", 'option "seed" is out of range: -1', options={"seed": -1}),
    Case("22023", 'option "folds" is out of range: 1', options={"folds": 1}),
    Case("22023", 'invalid value for option "trials": null', options={"trials": None}),
    Case("22023", 'option "learning_rate" is out of range: 0', options={"learning_rate": 0}),
    Case(
        "22023",
        'invalid value for option "metric": "rocauc"',
        'Did you mean "roc_auc"?',
        options={"metric": "rocauc"},
    ),
    Case("22023", 'invalid value for option "problem_type": 3', options={"problem_type": 3}),
    Case(
        "22023",
        'invalid value for option "estimators": "xgboost"',
        options={"estimators": ["xgboost"]},
    ),
    Case("22023", 'invalid value for option "estimators": []', options={"estimators": []}),
    Case("22023", 'invalid value for option "wait": "maybe"', options={"wait": "maybe"}),
    Case(
        "42703",
        'column "agee" in option "exclude" does not exist',
        'Did you mean "age"?',
        options={"exclude": ["agee"]},
    ),
    Case("22023", 'option "exclude" names the target "churned"', options={"exclude": ["churned"]}),
    Case("22023", "", options={"metric": "rmse"}),
    Case("ML005", "", target="plan", options={"problem_type": "binary"}),
    Case("ML005", "", target="plan", options={"problem_type": "regression"}),
    Case(
        "42703",
        'column "plann" in option "group_by" does not exist',
        'Did you mean "plan"?',
        options={"group_by": "plann"},
    ),
    Case("22023", 'invalid value for option "group_by": ["plan"]', options={"group_by": ["plan"]}),
    Case("22023", 'invalid value for option "group_by": 3', options={"group_by": 3}),
    Case("22023", 'option "group_by" names the target', options={"group_by": "churned"}),
    Case(
        "42804", 'column "extra" in option "group_by" has type json', options={"group_by": "extra"}
    ),
    Case(
        "42804",
        'column "plan" in option "order_by" has type text',
        "Name another column, or cast it in a query.",
        options={"order_by": "plan"},
    ),
    Case("42703", 'column "when" in option "order_by"', options={"order_by": "when"}),
    Case("42804", 'column "since" in option "weight" has type', options={"weight": "since"}),
    Case(
        "22023",
        'options "group_by" and "weight" name the same column "age"',
        options={"group_by": "age", "weight": "age"},
    ),
    Case("ML004", "no column is left", relation="only_age", options={"weight": "age"}),
    Case(
        "22023",
        'weight column "spend" has a value that is NULL, NaN or infinite',
        "Weights are numbers from 0 up; 0 leaves a row out.",
        relation="bad_weights",
        options={"weight": "spend"},
    ),
    Case(
        "22023",
        'weight column "zero" is 0 in every row',
        relation="constant_zero",
        options={"weight": "zero"},
    ),
    Case(
        "22023",
        'weight column "minus" has a value that is negative',
        relation="constant_zero",
        options={"weight": "minus"},
    ),
    Case(
        "22023",
        'column "since" in option "order_by" has no place for 5 rows',
        relation="bad_weights",
        options={"order_by": "since"},
    ),
    Case("22023", 'option "holdout" is out of range: 0.6', options={"holdout": 0.6}),
    Case("22023", 'option "holdout" is out of range: -0.1', options={"holdout": -0.1}),
    Case("22023", 'option "processes" is out of range: 0', options={"processes": 0}),
    Case("22023", 'invalid value for option "processes": 1.5', options={"processes": 1.5}),
    Case(
        "22023",
        'option "predict_cost" is out of range: "1 ns"',
        "Or write none.",
        options={"predict_cost": "1 ns"},
    ),
    Case("22023", 'option "predict_cost" is out of range: 0', options={"predict_cost": 0}),
    Case("22023", 'option "predict_cost" is out of range: -1', options={"predict_cost": -1}),
    Case(
        "22023",
        'invalid value for option "predict_cost": "cheap"',
        options={"predict_cost": "cheap"},
    ),
    Case("22023", 'invalid value for option "predict_cost": true', options={"predict_cost": True}),
    Case("22023", 'invalid value for option "anytime": "maybe"', options={"anytime": "maybe"}),
    Case(
        "22023",
        'invalid value for option "sampler": "tpee"',
        'Did you mean "tpe"?',
        options={"sampler": "tpee"},
    ),
    Case("22023", 'invalid value for option "pruner": false', options={"pruner": False}),
    Case(
        "22023",
        'option "quantile" has no effect without metric "pinball"',
        "Write metric = pinball too.",
        options={"quantile": 0.9},
    ),
    Case(
        "22023",
        'option "quantile" is out of range: 1',
        options={"metric": "pinball", "quantile": 1},
    ),
    Case(
        "22023",
        'option "tweedie_power" has no effect without metric "tweedie_deviance"',
        options={"metric": "pinball", "tweedie_power": 1.5},
    ),
    Case(
        "22023",
        'option "num_leaves" has no effect without estimator "lightgbm"',
        "Name that estimator too, or leave the option out.",
        options={"estimators": "linear", "num_leaves": 5},
    ),
    Case(
        "22023",
        'metric "pinball" does not exist for a binary problem',
        options={"metric": "pinball"},
    ),
    Case(
        "22023",
        'metric "roc_auc" does not exist for a regression problem',
        target="spend",
        options={"metric": "roc_auc"},
    ),
    Case(
        "22023",
        'invalid value for option "num_leaves": {"range": [256, 8]}',
        "Write RANGE(8, 256).",
        options={"num_leaves": {"range": [256, 8]}},
    ),
    Case(
        "22023",
        'option "num_leaves" is out of range: 1',
        options={"num_leaves": {"range": [1, 8]}},
    ),
    Case(
        "22023",
        'invalid value for option "num_leaves": 2.5',
        options={"num_leaves": {"range": [2.5, 8]}},
    ),
    Case(
        "22023",
        'option "learning_rate" is out of range: 2',
        options={"learning_rate": {"choice": [0.1, 2]}},
    ),
    Case(
        "22023",
        'invalid value for option "num_leaves": {"range": [8]}',
        "Write RANGE(low, high).",
        options={"num_leaves": {"range": [8]}},
    ),
    Case(
        "22023",
        'invalid value for option "num_leaves": {"choice": []}',
        "Write CHOICE(value, ...), or leave the option out.",
        options={"num_leaves": {"choice": []}},
    ),
    Case(
        "22023",
        'invalid value for option "num_leaves": "many"',
        options={"num_leaves": {"choice": [8, "many"]}},
    ),
    Case(
        "22023",
        'invalid value for option "num_leaves": null',
        options={"num_leaves": {"choice": [None]}},
    ),
    Case(
        "22023",
        'invalid value for option "log_target": {"range": [0, 1]}',
        "Write CHOICE(true, false), or one of them.",
        options={"log_target": {"range": [0, 1]}},
    ),
    Case(
        "22023",
        'invalid value for option "boosting": {"range": ["dart", "rf"]}',
        "Write CHOICE(gbdt, extra_trees, dart, rf), or one of them.",
        options={"boosting": {"range": ["dart", "rf"]}},
    ),
    Case(
        "22023",
        'invalid value for option "boosting": "darts"',
        'Did you mean "dart"?',
        options={"boosting": {"choice": ["gbdt", "darts"]}},
    ),
    Case(
        "22023",
        'invalid value for option "num_leaves": {"range": [2, 3], "choice": [8]}',
        options={"num_leaves": {"range": [2, 3], "choice": [8]}},
    ),
    Case("22023", 'invalid value for option "num_leaves": {}', options={"num_leaves": {}}),
    Case(
        "22023",
        'invalid value for option "num_leaves": {"range": 3}',
        options={"num_leaves": {"range": 3}},
    ),
    Case(
        "22023", 'invalid value for option "num_leaves": [8, 16]', options={"num_leaves": [8, 16]}
    ),
    Case(
        "22023",
        'invalid value for option "trials": {"range": [1, 5]}',
        options={"trials": {"range": [1, 5]}},
    ),
    Case(
        "22023",
        'invalid value for option "estimators": {"choice": ["linear"]}',
        options={"estimators": {"choice": ["linear"]}},
    ),
    Case("42602", "a model must have a name", model=""),
    Case("42601", 'improper model name "a.b.c"', model="a.b.c"),
    Case("3F000", 'schema "nope" does not exist', model="nope.bad"),
    Case("42501", 'in the system schema "pg_catalog"', model="pg_catalog.bad"),
    Case("42501", 'in the system schema "information_schema"', model="information_schema.bad"),
    Case("42622", f'model name "{"m" * 56}" is too long', model="m" * 56),
]


@pytest.fixture(scope="module", autouse=True)
def tables(database: str) -> None:
    """The tables that no model can be made from."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(DATA)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.sqlstate} {case.message[:50]}")
def test_bad_input_gives_its_error_and_leaves_nothing(connection, module_worker, case):
    before = connection.execute(SNAPSHOT).fetchone()
    with pytest.raises(psycopg.Error) as caught:
        connection.execute(
            "CALL sqlml.create_model(model => %s, target => %s, query => %s, relation => %s,"
            " options => %s)",
            [
                case.model,
                case.target,
                case.query,
                case.relation,
                Jsonb(
                    {"time_limit": 5} | case.options
                    if isinstance(case.options, dict)
                    else case.options
                ),
            ],
        )
    diagnosis = caught.value.diag
    assert caught.value.sqlstate == case.sqlstate, diagnosis.message_primary
    assert case.message in diagnosis.message_primary
    assert "\n" not in diagnosis.message_primary
    assert "Traceback" not in diagnosis.message_primary
    if case.hint is not None:
        assert diagnosis.message_hint == case.hint
    assert connection.execute(SNAPSHOT).fetchone() == before
