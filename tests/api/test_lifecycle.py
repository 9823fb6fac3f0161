"""
Jobs under fire: cancels, transactions, rivals, replacement. The end is always written.
"""

import os
import signal
import threading
import time
from contextlib import closing

import psycopg
import pytest

from tests.api.sessions import (
    CREATE,
    LONG,
    SHORT,
    Session,
    job_status,
    wait_until_training,
    what_is_left,
)
from tests.api.workers import is_running
from tests.stack import wait_until


def test_a_model_is_trained_and_answers(connection, module_worker):
    notices = []
    connection.add_notice_handler(lambda notice: notices.append(notice.message_primary))
    connection.execute(CREATE, ["plain", SHORT])
    rows = connection.execute(
        "SELECT predict_plain(c), sqlml.predict('plain', c),"
        " sqlml.predict_proba('plain', c, 'true') FROM customers c"
    ).fetchall()
    assert {type(row[0]) for row in rows} == {bool}
    assert {row[1] for row in rows} <= {"true", "false"}
    assert all((row[2] > 0.5) == row[0] for row in rows)
    assert any("read 300 rows" in notice for notice in notices)
    assert any("roc_auc" in notice and "baseline" in notice for notice in notices)
    score, baseline, status = connection.execute(
        "SELECT score, baseline_score, status FROM sqlml.models WHERE model = 'plain'"
    ).fetchone()
    assert score > baseline == 0.5
    assert status == "ready"


def test_an_interim_version_answers_while_training_goes_on(connection, database, module_worker):
    session = Session(database, "soon", '{"time_limit": "120 s", "trials": 6, "anytime": true}')
    wait_until_training(connection, "soon")
    state = "SELECT status, version, is_interim FROM sqlml.models WHERE model = 'soon'"
    wait_until(lambda: connection.execute(state).fetchone()[1], 60, "there is an interim version")
    status, first, is_interim = connection.execute(state).fetchone()
    assert (status, is_interim) == ("training", True)
    answers = connection.execute("SELECT predict_soon(c) FROM customers AS c").fetchall()
    assert {type(answer) for (answer,) in answers} == {bool}
    assert session.join(120) is None
    status, last, is_interim = connection.execute(state).fetchone()
    assert (status, is_interim) == ("ready", False)
    assert last > first
    assert len(connection.execute("SELECT predict_soon(c) FROM customers AS c").fetchall()) == 300
    features = connection.execute(
        "SELECT role, features, importance FROM sqlml.features WHERE model = 'soon'"
    ).fetchall()
    assert {role for role, _, _ in features} >= {"number", "category", "datetime"}
    shares = [importance for _, _, importance in features if importance is not None]
    assert sum(shares) == pytest.approx(1)


def test_a_cancel_keeps_what_answers_already(connection, database, module_worker):
    session = Session(database, "kept_interim", '{"time_limit": "120 s", "anytime": true}')
    wait_until_training(connection, "kept_interim")
    state = "SELECT status, version FROM sqlml.models WHERE model = 'kept_interim'"
    wait_until(lambda: connection.execute(state).fetchone()[1], 60, "there is an interim version")
    session.connection.cancel_safe()
    assert session.join(10).sqlstate == "57014"
    wait_until(lambda: job_status(connection, "kept_interim") == "aborted", 5, "the job is aborted")
    assert connection.execute(state).fetchone()[0] == "ready"
    assert (
        len(connection.execute("SELECT predict_kept_interim(c) FROM customers AS c").fetchall())
        == 300
    )


def test_cancel_ends_the_child_and_leaves_no_model(connection, database, module_worker):
    session = Session(database, "cancelled")
    wait_until_training(connection, "cancelled")
    children = module_worker.find_children()
    assert children
    wait_until(module_worker.find_searches, 20, "the search has a folder")
    session.connection.cancel_safe()
    error = session.join(5)
    assert error.sqlstate == "57014"
    wait_until(lambda: not any(map(is_running, children)), 2, "the child is gone")
    wait_until(lambda: not module_worker.find_searches(), 2, "its files are gone")
    wait_until(lambda: job_status(connection, "cancelled") == "aborted", 2, "the job is aborted")
    assert what_is_left(connection, "cancelled") == (0, 0)


def test_an_impatient_user_cancels_again_and_again(connection, database, module_worker):
    session = Session(database, "impatient")
    wait_until_training(connection, "impatient")
    end = time.monotonic() + 5
    while session.is_running() and time.monotonic() < end:
        session.connection.cancel_safe()
        time.sleep(0.01)
    error = session.join(5)
    assert error.sqlstate == "57014"
    assert error.diag.message_detail == 'Training of model "impatient" was aborted.'
    wait_until(lambda: job_status(connection, "impatient") == "aborted", 5, "the job is aborted")
    assert what_is_left(connection, "impatient") == (0, 0)


def test_statement_timeout_is_a_cancel(connection, module_worker):
    connection.execute("SET statement_timeout = '1500ms'")
    with pytest.raises(psycopg.errors.QueryCanceled, match="statement timeout") as caught:
        connection.execute(CREATE, ["timed_out", LONG])
    assert caught.value.diag.message_detail == 'Training of model "timed_out" was aborted.'
    connection.execute("RESET statement_timeout")
    assert what_is_left(connection, "timed_out") == (0, 0)


def test_drop_ends_training(connection, database, module_worker):
    session = Session(database, "dropped")
    wait_until_training(connection, "dropped")
    wait_until(module_worker.find_searches, 20, "the search has a folder")
    connection.execute("CALL sqlml.drop_model('dropped')")
    # The child may see it before the worker does, and is ready for the next job.
    wait_until(lambda: not module_worker.find_searches(), 5, "the search has ended")
    error = session.join(5)
    assert error.sqlstate == "57014", str(error)
    assert error.diag.message_primary == 'training of model "dropped" was aborted'
    assert error.diag.message_detail is None
    assert what_is_left(connection, "dropped") == (0, 0)


def test_killed_child_fails_the_job(connection, database, module_worker):
    session = Session(database, "child_killed")
    wait_until_training(connection, "child_killed")
    for pid in module_worker.find_children():
        os.kill(pid, signal.SIGKILL)
    error = session.join(5)
    assert error.sqlstate == "ML011"
    assert "SIGKILL" in error.diag.message_detail
    assert what_is_left(connection, "child_killed") == (0, 0)


def test_in_a_transaction_training_starts_at_commit(connection, module_worker):
    notices = []
    connection.add_notice_handler(lambda notice: notices.append(notice.message_primary))
    with connection.transaction():
        connection.execute(CREATE, ["in_block", SHORT])
        assert job_status(connection, "in_block") == "waiting"
    assert 'training of model "in_block" starts when this transaction commits' in notices
    connection.execute("CALL sqlml.wait('in_block')")
    assert connection.execute("SELECT count(predict_in_block(c)) FROM customers c").fetchone() == (
        300,
    )


def test_rollback_leaves_nothing(connection, module_worker):
    with connection.transaction(force_rollback=True):
        connection.execute(CREATE, ["rolled_back", SHORT])
        assert what_is_left(connection, "rolled_back") == (1, 1)
    assert what_is_left(connection, "rolled_back") == (0, 0)
    assert job_status(connection, "rolled_back") is None


def test_of_two_sessions_one_makes_the_model(connection, database, module_worker):
    sessions = [Session(database, "rivals", SHORT) for _ in range(2)]
    errors = [session.join() for session in sessions]
    failed = [error for error in errors if error is not None]
    assert len(failed) == 1
    assert failed[0].sqlstate == "42710"
    assert what_is_left(connection, "rivals") == (1, 1)


def test_replace_is_one_clean_switch(connection, database, module_worker):
    connection.execute(CREATE, ["switched", SHORT])
    before = connection.execute("SELECT sqlml.find_version('switched')").fetchone()
    with pytest.raises(psycopg.Error, match="already exists") as caught:
        connection.execute(CREATE, ["switched", SHORT])
    assert caught.value.sqlstate == "42710"
    with closing(psycopg.connect(database, autocommit=True)) as reader:
        replacing = threading.Thread(
            target=lambda: connection.execute(
                "CALL sqlml.create_model('switched', 'churned', relation => 'customers',"
                " options => %s, replace => true)",
                [SHORT],
            )
        )
        replacing.start()
        seen = set()
        while replacing.is_alive():
            seen.add(reader.execute("SELECT sqlml.find_version('switched')").fetchone())
            reader.execute("SELECT predict_switched(c) FROM customers c").fetchall()
            time.sleep(0.02)
        replacing.join()
    after = connection.execute("SELECT sqlml.find_version('switched')").fetchone()
    assert seen <= {before, after}
    assert before != after
    assert before in seen


def test_replace_makes_a_function_that_was_dropped(connection, module_worker):
    connection.execute(CREATE, ["bare", SHORT])
    connection.execute("DROP FUNCTION predict_bare")
    connection.execute(
        "CALL sqlml.create_model('bare', 'churned', relation => 'customers', replace => true,"
        " options => %s)",
        [SHORT],
    )
    assert connection.execute("SELECT count(predict_bare(c)) FROM customers c").fetchone() == (300,)
    connection.execute("CALL sqlml.drop_model('bare')")


def test_failed_replace_changes_nothing(connection, module_worker):
    connection.execute(CREATE, ["kept", SHORT])
    before = connection.execute("TABLE sqlml.model").fetchall()
    with pytest.raises(psycopg.Error) as caught:
        connection.execute(
            "CALL sqlml.create_model('kept', 'churned', replace => true,"
            " query => 'SELECT age / 0 AS x, churned FROM customers')"
        )
    assert caught.value.sqlstate == "22012"
    with pytest.raises(psycopg.Error) as caught:
        connection.execute(
            "CALL sqlml.create_model('kept', 'plan', replace => true, relation => 'customers')"
        )
    assert caught.value.sqlstate == "42P16"
    assert connection.execute("TABLE sqlml.model").fetchall() == before
    assert connection.execute("SELECT count(predict_kept(c)) FROM customers c").fetchone() == (300,)


def test_drop_removes_everything(connection, module_worker):
    before = connection.execute("SELECT count(*) FROM pg_proc").fetchone()
    connection.execute(CREATE, ["short_lived", SHORT])
    connection.execute("CALL sqlml.drop_model('short_lived')")
    assert connection.execute("SELECT count(*) FROM pg_proc").fetchone() == before
    with pytest.raises(psycopg.Error, match="does not exist") as caught:
        connection.execute("CALL sqlml.drop_model('short_lived')")
    assert caught.value.sqlstate == "42704"
    connection.execute("CALL sqlml.drop_model('short_lived', if_exists => true)")


def test_trials_show_full_scores_of_living_models_only(connection, module_worker):
    connection.execute(CREATE, ["ranked", SHORT])
    # What a pruned trial leaves: the score of its first fold.
    connection.execute(
        "INSERT INTO sqlml.trial (job_id, number, estimator, hyperparameters, score, state)"
        " SELECT max(job_id), 999, 'linear', '{}', 0.999, 'pruned' FROM sqlml.job"
    )
    shown = "SELECT trial, score FROM sqlml.trials WHERE model = 'ranked'"
    scores = dict(connection.execute(shown).fetchall())
    assert scores.pop(999) is None
    assert scores[0] == 0.5
    assert None not in scores.values()
    connection.execute("CALL sqlml.drop_model('ranked')")
    assert connection.execute(shown).fetchall() == []


def test_a_model_that_a_view_uses_is_not_dropped(connection, module_worker):
    connection.execute(CREATE, ["viewed", SHORT])
    connection.execute("CREATE VIEW scored AS SELECT predict_viewed(c) AS p FROM customers c")
    with pytest.raises(psycopg.Error, match='cannot drop model "viewed"') as caught:
        connection.execute("CALL sqlml.drop_model('viewed')")
    assert caught.value.sqlstate == "2BP01"
    assert "view scored depends on" in caught.value.diag.message_detail
    assert connection.execute("SELECT count(p) FROM scored").fetchone() == (300,)
    connection.execute("DROP VIEW scored")
    connection.execute("CALL sqlml.drop_model('viewed')")


def test_if_not_exists_skips(connection, module_worker):
    connection.execute(CREATE, ["skipped", SHORT])
    notices = []
    connection.add_notice_handler(lambda notice: notices.append(notice.message_primary))
    connection.execute(
        "CALL sqlml.create_model('skipped', 'churned', relation => 'nowhere',"
        " if_not_exists => true)"
    )
    assert notices == ['model "skipped" already exists, skipping']


def test_training_holds_no_transaction(connection, database, module_worker):
    session = Session(database, "no_locks")
    wait_until_training(connection, "no_locks")
    wait_until(
        lambda: connection.execute(
            "SELECT phase = 'search' FROM sqlml.jobs WHERE model = 'no_locks'"
        ).fetchone()[0],
        10,
        "the search has begun",
    )
    for _ in range(10):
        assert connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE usename = 'sqlml_worker'"
            " AND (state LIKE 'idle in transaction%%' OR backend_xmin IS NOT NULL)"
            " AND now() - xact_start > interval '1 s'"
        ).fetchone() == (0,)
        time.sleep(0.1)
    session.connection.cancel_safe()
    session.join(5)
