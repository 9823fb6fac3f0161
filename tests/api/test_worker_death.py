"""
What becomes of a job whose worker is killed, stopped or never there.
"""

import time
from functools import partial

import psycopg
import pytest

from sqlml.db import connect
from sqlml.job.queue import Queue
from tests.api.sessions import (
    CREATE,
    SHORT,
    Session,
    job_status,
    wait_until_training,
    what_is_left,
)
from tests.api.workers import is_running
from tests.stack import wait_until


def test_killed_worker_the_next_one_takes_the_job_again(connection, database, start_worker):
    worker = start_worker()
    session = Session(database, "retaken", SHORT)
    wait_until_training(connection, "retaken")
    children = worker.find_children()
    wait_until(worker.find_searches, 20, "the search has a folder")
    worker.kill()
    wait_until(lambda: not any(map(is_running, children)), 2, "the child died with its worker")
    # The spare child may be importing still, and looks at its input after that.
    wait_until(lambda: not any(worker.folder.iterdir()), 30, "its files are gone")
    start_worker()
    assert session.join(30) is None
    assert job_status(connection, "retaken") == "succeeded"


def test_the_next_worker_goes_on_from_the_trials_of_the_last(connection, database, start_worker):
    worker = start_worker()
    options = '{"time_limit": "120 s", "trials": 6, "estimators": "linear"}'
    session = Session(database, "resumed", options)
    trials = "SELECT trial FROM sqlml.trials WHERE model = 'resumed' ORDER BY trial"
    wait_until(lambda: len(connection.execute(trials).fetchall()) >= 2, 120, "trials are written")
    children = worker.find_children()
    worker.kill()
    # Until then one more trial may be written.
    wait_until(
        lambda: not any(map(is_running, children)), 30, "the children died with their worker"
    )
    wait_until(partial(has_no_worker, connection), 5)
    before = connection.execute(trials).fetchall()
    start_worker()
    assert session.join(120) is None
    after = connection.execute(trials).fetchall()
    assert after[: len(before)] == before
    assert [number for (number,) in after] == list(range(len(after)))
    assert len(after) > len(before)
    (said,) = connection.execute(
        "SELECT event.message FROM sqlml.event JOIN sqlml.job USING (job_id)"
        " WHERE model_name = 'resumed' AND event.message LIKE 'go on after %'"
    ).fetchall()
    assert said == (f"go on after {len(before)} trials of an earlier attempt",)
    # What the model is made of are trials of this attempt, under their numbers here.
    members = connection.execute(
        "SELECT trial FROM sqlml.trials WHERE model = 'resumed' AND weight > 0"
    ).fetchall()
    assert members
    assert all(number >= len(before) for (number,) in members)


def has_no_worker(connection):
    return connection.execute("SELECT sqlml.is_held(0)").fetchone() == (False,)


def attempts(connection, model):
    """How often workers have taken the model's job."""
    return connection.execute(
        "SELECT attempts FROM sqlml.jobs WHERE model = %s", [model]
    ).fetchone()[0]


def is_taken(connection, model, count):
    """Whether the job has been taken that often."""
    return attempts(connection, model) == count


def test_killed_twice_is_failed(connection, start_worker):
    connection.execute(CREATE, ["twice", '{"wait": false}'])
    for count in (1, 2):
        worker = start_worker()
        wait_until(partial(is_taken, connection, "twice", count), 20, "the worker takes the job")
        worker.kill()
        wait_until(
            lambda: not connection.execute("SELECT sqlml.is_held(0)").fetchone()[0], 5, "gone"
        )
    start_worker()
    wait_until(lambda: job_status(connection, "twice") == "failed", 10, "the job has failed")
    # The name is free again: the failed try is cleared away.
    connection.execute(CREATE, ["twice", SHORT])
    assert job_status(connection, "twice") == "succeeded"


def test_stopped_worker_gives_the_job_back(connection, start_worker):
    worker = start_worker()
    connection.execute(CREATE, ["given_back", '{"wait": false}'])
    wait_until_training(connection, "given_back")
    worker.stop()
    assert job_status(connection, "given_back") == "waiting"
    assert attempts(connection, "given_back") == 0
    start_worker()
    wait_until_training(connection, "given_back")
    connection.execute("CALL sqlml.drop_model('given_back')")


def test_without_a_worker_the_statement_says_so(connection):
    started = time.monotonic()
    with pytest.raises(psycopg.Error) as caught:
        connection.execute(CREATE, ["nobody", SHORT])
    assert caught.value.sqlstate == "ML010"
    assert time.monotonic() - started < 5
    assert what_is_left(connection, "nobody") == (0, 0)


def test_without_a_worker_a_queued_job_comes_with_a_warning(connection):
    said = []
    connection.add_notice_handler(lambda notice: said.append((notice.severity, notice.sqlstate)))
    connection.execute(CREATE, ["queued", '{"wait": false}'])
    assert [severity for severity, _ in said] == ["WARNING", "NOTICE"]
    assert job_status(connection, "queued") == "waiting"
    connection.execute("CALL sqlml.drop_model('queued')")


def test_who_waits_for_a_queued_job_without_a_worker_leaves_it(connection):
    connection.execute(CREATE, ["patient", '{"wait": false}'])
    with pytest.raises(psycopg.Error, match="no worker is running"):
        connection.execute("CALL sqlml.wait('patient')")
    assert job_status(connection, "patient") == "waiting"
    connection.execute("CALL sqlml.drop_model('patient')")


def test_a_lost_job_is_left_to_a_worker_that_is_there(connection, database):
    connection.execute(CREATE, ["orphan", '{"wait": false}'])
    connection.execute("UPDATE sqlml.job SET status = 'running' WHERE model_name = 'orphan'")
    ask = "SELECT sqlml.missing_worker(job) FROM sqlml.job WHERE model_name = 'orphan'"
    lost = ("the worker died while it trained the model",)
    assert connection.execute(ask).fetchone() == lost
    with connect(database, "sqlml worker") as other:
        Queue(other).announce()
        assert connection.execute(ask).fetchone() == (None,)
    connection.execute("CALL sqlml.drop_model('orphan')")


def test_a_waiting_session_gives_up_on_a_lost_worker(connection, database, start_worker):
    worker = start_worker()
    session = Session(database, "lost")
    wait_until_training(connection, "lost")
    worker.kill()
    error = session.join(20)
    assert error.sqlstate == "ML011"
    assert what_is_left(connection, "lost") == (0, 0)
