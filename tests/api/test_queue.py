"""
What a worker sees, from one look to the next, of those who may want its job to end.
"""

import pytest

from sqlml.job.queue import Look, Queue
from tests.api.sessions import CREATE

WANTED = Look(is_abort_requested=False, is_deserted=False)
ABORTED = Look(is_abort_requested=True, is_deserted=False)
DESERTED = Look(is_abort_requested=False, is_deserted=True)


@pytest.fixture
def queue(worker_session):
    """The queue as the worker has it."""
    return Queue(worker_session)


@pytest.fixture
def job(connection, queue):
    """A job that this test's worker runs."""
    connection.execute(CREATE, ["wanted", '{"wait": false}'])
    job = queue.fetch()
    yield job
    queue.release(job)
    connection.execute("DELETE FROM sqlml.job")
    connection.execute("CALL sqlml.drop_model('wanted', if_exists => true)")


def look(queue, job):
    """What is seen with and without a look at the statement."""
    return queue.look(job, asks_statement=True), queue.look(job, asks_statement=False)


def test_a_job_that_nobody_ends(queue, job):
    assert look(queue, job) == (WANTED, WANTED)


def test_an_abort_is_seen_at_every_look(connection, queue, job):
    connection.execute("SELECT sqlml.abort_job(%s)", [job.job_id])
    assert look(queue, job) == (ABORTED, ABORTED)


def test_a_dropped_model_is_seen_at_every_look(connection, queue, job):
    connection.execute("UPDATE sqlml.job SET model_id = NULL")
    assert look(queue, job) == (ABORTED, ABORTED)


def test_a_job_that_is_gone_is_aborted(connection, queue, job):
    connection.execute("DELETE FROM sqlml.job")
    assert look(queue, job) == (ABORTED, ABORTED)


def test_a_statement_that_waits_is_looked_at_if_asked(connection, queue, job):
    connection.execute("UPDATE sqlml.job SET is_attended = true")
    assert look(queue, job) == (DESERTED, WANTED)
    with connection.transaction():
        connection.execute(
            "SELECT pg_advisory_xact_lock_shared(sqlml.attendance_class(), %s)", [job.job_id]
        )
        assert look(queue, job) == (WANTED, WANTED)
    assert look(queue, job) == (DESERTED, WANTED)
