"""
What the catalogue keeps of a training: versions, also interim ones, features and trials.
"""

from dataclasses import replace

import pytest

from sqlml.catalogue.version import Version, VersionMember, publish, publish_interim
from sqlml.compile.sql import ModelSql
from sqlml.enums import ColumnKind, Direction, EstimatorName, ProblemType, TrialState
from sqlml.job.queue import Job, JobLog, Queue
from sqlml.job.runner import read_trials
from sqlml.search.decisions import Decision, Role
from sqlml.server.install import install

AGE = Decision(
    column="age",
    type_name="integer",
    kind=ColumnKind.NUMERIC,
    role=Role.NUMBER,
    features=("age: number",),
    reason="as it is",
    distinct_count=60,
    null_count=0,
)
PLAN = replace(
    AGE,
    column="plan",
    type_name="text",
    kind=ColumnKind.CATEGORY,
    role=Role.CONSTANT,
    features=(),
    reason="one value only",
    distinct_count=1,
)
VERSION = Version(
    problem_type=ProblemType.BINARY,
    classes=("false", "true"),
    columns=("age",),
    estimator=EstimatorName.LIGHTGBM,
    hyperparameters={"num_leaves": 7},
    metric="roc_auc",
    direction=Direction.MAXIMIZE,
    score=0.9,
    score_interval=(0.85, 0.95),
    baseline_score=0.5,
    split="5 folds",
    train_rows=300,
    holdout_rows=0,
    skipped_rows=0,
    artifact=b"nobody predicts with it",
    golden=[],
    sql=ModelSql(text=None, problem="it is no model", inputs=[]),
    predict_us=2.5,
    members=(
        VersionMember(trial=2, estimator=EstimatorName.LIGHTGBM, weight=0.75, fit_count=5),
        VersionMember(trial=1, estimator=EstimatorName.LINEAR, weight=0.25, fit_count=1),
    ),
    decisions=(AGE, PLAN),
    importances={"age": 1.0},
)


def start_job(connection, worker_session, model, **options) -> Job:
    """Create a model of `customers` and take its job as a worker does."""
    connection.execute(
        "CALL sqlml.create_model(%s, 'churned', relation => 'customers',"
        " options => '{\"wait\": false}', replace => %s)",
        [model, options.get("replace", False)],
    )
    job = Queue(worker_session).fetch()
    assert job is not None
    assert job.model_name == model
    return job


@pytest.mark.parametrize(("is_attended", "least_s"), [(True, 300.0), (False, 0.0)])
def test_a_job_knows_how_long_its_statement_waits(connection, worker_session, is_attended, least_s):
    connection.execute(
        "CALL sqlml.create_model('patient', 'churned', relation => 'customers',"
        " options => '{\"wait\": false}')"
    )
    [job_id] = connection.execute(
        "UPDATE sqlml.job SET is_attended = %s, created_at = now() - interval '5 minutes'"
        " WHERE job_id = (SELECT max(job_id) FROM sqlml.job) RETURNING job_id",
        [is_attended],
    ).fetchone()
    attendance = "(sqlml.attendance_class(), %s)"
    connection.execute(f"SELECT pg_advisory_lock_shared{attendance}".encode(), [job_id])
    job = Queue(worker_session).fetch()
    connection.execute(f"SELECT pg_advisory_unlock_shared{attendance}".encode(), [job_id])
    assert (job.job_id, least_s <= job.waited_s <= 2 * least_s) == (job_id, True)
    Queue(worker_session).release(job)
    connection.execute("CALL sqlml.drop_model('patient')")


def write_trials(worker_session, job, first=0) -> None:
    log = JobLog(worker_session, job)
    for number in range(first, first + 3):
        log.write_trial(
            {"num_leaves": 7 + number},
            number=number,
            estimator="lightgbm",
            score=0.5 + number / 10,
            score_sd=None,
            fit_time_s=0.25,
            predict_us=1.5,
            state="complete",
            error=None,
        )


def models(connection, model):
    return connection.execute(
        "SELECT version, score, status, is_interim FROM sqlml.models WHERE model = %s", [model]
    ).fetchone()


def test_interim_versions_answer_until_the_last_one(connection, worker_session):
    job = start_job(connection, worker_session, "hasty")
    write_trials(worker_session, job)
    assert publish_interim(worker_session, job.job_id, replace(VERSION, score=0.6)) == 1
    assert models(connection, "hasty") == (1, 0.6, "training", True)
    assert publish_interim(worker_session, job.job_id, replace(VERSION, score=0.7)) == 2
    assert models(connection, "hasty") == (2, 0.7, "training", True)
    shown = "SELECT trial, version FROM sqlml.trials WHERE model = 'hasty' ORDER BY trial"
    assert connection.execute(shown).fetchall() == [(0, 2), (1, 2), (2, 2)]
    assert publish(worker_session, job.job_id, VERSION) == 3
    assert models(connection, "hasty") == (3, 0.9, "ready", False)
    kept = "SELECT version.number FROM sqlml.version JOIN sqlml.model USING (model_id)"
    assert connection.execute(f"{kept} WHERE model_name = 'hasty'").fetchall() == [(3,)]
    Queue(worker_session).release(job)


def test_an_interim_version_replaces_no_version_of_an_earlier_job(connection, worker_session):
    job = start_job(connection, worker_session, "proven")
    publish(worker_session, job.job_id, VERSION)
    Queue(worker_session).release(job)
    job = start_job(connection, worker_session, "proven", replace=True)
    assert publish_interim(worker_session, job.job_id, replace(VERSION, score=0.1)) is None
    assert models(connection, "proven")[:2] == (1, 0.9)
    assert publish(worker_session, job.job_id, VERSION) == 2
    Queue(worker_session).release(job)


def test_an_aborted_job_publishes_nothing(connection, worker_session):
    job = start_job(connection, worker_session, "given_up")
    connection.execute("SELECT sqlml.abort_job(%s)", [job.job_id])
    assert publish_interim(worker_session, job.job_id, VERSION) is None
    assert publish(worker_session, job.job_id, VERSION) is None
    assert models(connection, "given_up")[0] is None
    Queue(worker_session).release(job)
    connection.execute("CALL sqlml.drop_model('given_up')")


def test_a_version_tells_its_features_and_members(connection, worker_session):
    job = start_job(connection, worker_session, "told")
    write_trials(worker_session, job)
    publish(worker_session, job.job_id, VERSION)
    Queue(worker_session).release(job)
    assert connection.execute(
        'SELECT "column", role, features, importance, distinct_count, null_count, reason'
        " FROM sqlml.features WHERE model = 'told' AND version = 1"
    ).fetchall() == [
        ("age", "number", ["age: number"], 1.0, 60, 0, "as it is"),
        ("plan", "constant", [], None, 1, 0, "one value only"),
    ]
    assert connection.execute(
        "SELECT score_low, score_high, predict_us, ensemble FROM sqlml.models WHERE model = 'told'"
    ).fetchone() == (
        0.85,
        0.95,
        2.5,
        [
            {"trial": 2, "estimator": "lightgbm", "weight": 0.75, "fit_count": 5},
            {"trial": 1, "estimator": "linear", "weight": 0.25, "fit_count": 1},
        ],
    )
    assert connection.execute(
        "SELECT trial, weight, predict_us FROM sqlml.trials WHERE model = 'told' ORDER BY trial"
    ).fetchall() == [(0, None, 1.5), (1, 0.25, 1.5), (2, 0.75, 1.5)]
    described = {
        row[0]: row[1:]
        for row in connection.execute(
            'SELECT "column", role, features, importance, reason'
            " FROM sqlml.describe_model('told')"
        )
    }
    assert described["age"] == ("number", ["age: number"], 1.0, "as it is")
    assert described["plan"] == ("constant", [], None, "one value only")
    assert described["churned"][0] == "target"
    assert described["extra"] == ("unused", None, None, "type not supported")
    shown = connection.execute("SELECT * FROM sqlml.show_model('told')").fetchall()
    assert shown[shown.index(("direction", "maximize")) + 1 :][:5] == [
        ("score", "0.9"),
        ("score_low", "0.85"),
        ("score_high", "0.95"),
        ("baseline_score", "0.5"),
        ("predict_us", "2.5"),
    ]
    assert connection.execute(
        "SELECT score_low, score_high, predict_us FROM sqlml.show_models() WHERE model = 'told'"
    ).fetchone() == (0.85, 0.95, 2.5)


def test_columns_with_a_role_are_described(connection, worker_session):
    connection.execute(
        "CALL sqlml.create_model('roles', 'churned', relation => 'customers', options =>"
        """ '{"wait": false, "group_by": "plan", "order_by": "since", "weight": "spend"}')"""
    )
    job = Queue(worker_session).fetch()
    assert job is not None
    described = connection.execute(
        """SELECT "column", role FROM sqlml.describe_model('roles')"""
    ).fetchall()
    assert dict(described) == {
        "age": None,
        "spend": "weight",
        "plan": "group_by",
        "since": "order_by",
        "churned": "target",
        "extra": "unused",
    }
    Queue(worker_session).release(job)
    connection.execute("CALL sqlml.drop_model('roles')")


def test_the_next_attempt_reads_what_the_last_one_tried(connection, worker_session):
    job = start_job(connection, worker_session, "resumed")
    write_trials(worker_session, job)
    Queue(worker_session).give_back(job)
    Queue(worker_session).release(job)
    again = Queue(worker_session).fetch()
    assert again is not None
    assert again.job_id == job.job_id
    trials = read_trials(worker_session, again)
    assert [trial.number for trial in trials] == [0, 1, 2]
    assert trials[2].score == 0.7
    assert trials[2].state is TrialState.COMPLETE
    assert trials[2].hyperparameters == {"num_leaves": 9}
    assert trials[2].predict_cost_ns == 1500
    write_trials(worker_session, again, first=3)
    assert len(read_trials(worker_session, again)) == 6
    Queue(worker_session).release(again)
    connection.execute("CALL sqlml.drop_model('resumed')")


OLDER = """
DROP TABLE sqlml.feature CASCADE;
DROP VIEW sqlml.models, sqlml.trials CASCADE;
DROP FUNCTION sqlml.show_models(), sqlml.describe_model(text);
ALTER TABLE sqlml.version DROP COLUMN score_low, DROP COLUMN score_high, DROP COLUMN predict_us,
    DROP COLUMN ensemble, DROP COLUMN is_interim;
ALTER TABLE sqlml.trial DROP COLUMN predict_us, DROP COLUMN weight;
DELETE FROM sqlml.option WHERE type = 'column' OR estimators IS NOT NULL;
ALTER TABLE sqlml.option DROP COLUMN estimators, DROP CONSTRAINT option_type_check,
    ADD CONSTRAINT option_type_check
        CHECK (type IN ('duration', 'integer', 'number', 'boolean', 'word', 'words'));
CREATE FUNCTION sqlml.check_columns(columns jsonb, target text, exclude text[])
RETURNS jsonb LANGUAGE sql AS 'SELECT columns';
CREATE FUNCTION sqlml.show_models() RETURNS TABLE (model name) LANGUAGE sql AS 'SELECT NULL::name';
CREATE FUNCTION sqlml.describe_model(model text) RETURNS TABLE ("column" text)
LANGUAGE sql AS 'SELECT model';
"""


def test_an_older_catalogue_gets_what_it_lacks(connection, database, worker_session):
    job = start_job(connection, worker_session, "older")
    publish(worker_session, job.job_id, VERSION)
    Queue(worker_session).release(job)
    connection.execute(OLDER)
    for _ in range(2):
        install(database, None)
    assert models(connection, "older") == (1, 0.9, "ready", False)
    described = connection.execute(
        """SELECT "column", role, reason FROM sqlml.describe_model('older')"""
    ).fetchall()
    assert ("age", "feature", None) in described
    assert ("plan", "unused", "tells nothing about the target") in described
    job = start_job(connection, worker_session, "newer")
    assert publish(worker_session, job.job_id, VERSION) == 1
    assert connection.execute(
        "SELECT count(*) FROM sqlml.features WHERE model = 'newer'"
    ).fetchone() == (2,)
    Queue(worker_session).release(job)
