"""
What a worker's child keeps from one job to the next: its process, and nothing else.
"""

import os
import signal

import psycopg
import pytest

from tests.api.sessions import CREATE, SHORT, Session, job_status, wait_until_training

TRIALS = """
SELECT trial, estimator, hyperparameters, state, score, score_sd
  FROM sqlml.trials WHERE model = %s ORDER BY trial
"""
COUNTED = '{"time_limit": "120 s", "trials": 4}'


def find_artifact(connection, model):
    """The bytes that a model's predictions come from."""
    return connection.execute(
        "SELECT version.artifact FROM sqlml.version JOIN sqlml.model USING (model_id)"
        " WHERE model.model_name = %s",
        [model],
    ).fetchone()[0]


def test_a_job_is_done_as_if_it_were_the_first(connection, worker):
    children = worker.find_children()
    connection.execute(CREATE, ["first", COUNTED])
    other = "CALL sqlml.create_model('other', 'spend', relation => 'customers', options => %s)"
    connection.execute(other, ['{"time_limit": "60 s", "trials": 3, "seed": 7}'])
    connection.execute("CREATE TABLE nobody AS SELECT * FROM customers LIMIT 1")
    with pytest.raises(psycopg.Error, match="needs at least 10 rows"):
        connection.execute("CALL sqlml.create_model('none', 'churned', relation => 'nobody')")
    connection.execute(CREATE, ["again", COUNTED])
    assert worker.find_children() == children
    assert find_artifact(connection, "again") == find_artifact(connection, "first")
    first, again = (connection.execute(TRIALS, [name]).fetchall() for name in ("first", "again"))
    assert again == first


def test_a_job_after_a_child_that_was_killed_has_a_new_one(connection, database, worker):
    session = Session(database, "killed")
    wait_until_training(connection, "killed")
    (child,) = worker.find_children()
    os.kill(child, signal.SIGKILL)
    error = session.join()
    assert error.sqlstate == "ML011"
    connection.execute(CREATE, ["next", SHORT])
    assert job_status(connection, "next") == "succeeded"
    assert child not in worker.find_children()
