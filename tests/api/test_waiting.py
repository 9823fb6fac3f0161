"""
CREATE MODEL waits for its job: whatever ends the statement ends the job, and says so.
"""

import random
import time

import psycopg
import pytest

from tests.api.sessions import CREATE, Session, job_status, wait_until_training, what_is_left
from tests.proxy.talk import query, talk
from tests.stack import wait_until

# Nothing but its end ends it in time.
ENDLESS = '{"time_limit": "120 s", "trials": 100000}'
ABORTED = 'Training of model "{}" was aborted.'


@pytest.fixture
def slow_customers(connection):
    """A view that takes a minute to read."""
    connection.execute("ALTER TABLE customers RENAME TO fast_customers")
    connection.execute(
        "CREATE VIEW customers AS SELECT *, pg_sleep(0.2) IS NULL AS late FROM fast_customers"
    )
    yield
    connection.execute("DROP VIEW customers")
    connection.execute("ALTER TABLE fast_customers RENAME TO customers")


def cancel(session):
    """The error that a cancel request ends a session's statement with."""
    session.connection.cancel_safe()
    error = session.join(10)
    assert error.sqlstate == "57014"
    assert error.diag.message_primary == "canceling statement due to user request"
    return error


def check_aborted(connection, model, error):
    assert error.diag.message_detail == ABORTED.format(model)
    assert what_is_left(connection, model) == (0, 0)
    wait_until(lambda: job_status(connection, model) == "aborted", 60, "the job is aborted")


def has_phase(connection, model, phase):
    sought = "SELECT FROM sqlml.jobs WHERE model = %s AND phase = %s"
    return connection.execute(sought, [model, phase]).rowcount > 0


def is_extracting(connection, model):
    sought = (
        "SELECT FROM pg_stat_activity WHERE application_name LIKE %s AND wait_event = 'PgSleep'"
    )
    return connection.execute(sought, [f"sqlml:job % train {model}"]).rowcount > 0


def test_a_cancel_while_no_worker_is_free(connection, database, module_worker):
    connection.execute(CREATE, ["in_front", '{"wait": false}'])
    wait_until_training(connection, "in_front")
    session = Session(database, "behind", ENDLESS)
    wait_until(lambda: job_status(connection, "behind") == "waiting", 10, "the job waits")
    wait_until(lambda: session.notices, 10, "the session hears why")
    assert session.notices == ["waiting for a worker to be free"]
    error = cancel(session)
    assert what_is_left(connection, "behind") == (0, 0)
    assert job_status(connection, "behind") == "aborted"
    connection.execute("CALL sqlml.drop_model('in_front')")
    check_aborted(connection, "behind", error)


def test_a_cancel_while_rows_are_read(connection, database, slow_customers, module_worker):
    session = Session(database, "reading", ENDLESS)
    wait_until(lambda: is_extracting(connection, "reading"), 20, "rows are read")
    check_aborted(connection, "reading", cancel(session))
    wait_until(lambda: not is_extracting(connection, "reading"), 10, "nobody reads any more")


def test_a_cancel_during_the_search(connection, database, module_worker):
    session = Session(database, "searching", ENDLESS)
    wait_until(lambda: has_phase(connection, "searching", "search"), 20, "the search runs")
    check_aborted(connection, "searching", cancel(session))


def test_a_cancel_at_any_moment(connection, database, module_worker):
    """Either nothing was made yet, or the detail says what became of it."""
    generator = random.Random(5)
    for number in range(20):
        model = f"moment_{number}"
        session = Session(database, model, ENDLESS)
        time.sleep(generator.random() / 10)
        while session.is_running():
            session.connection.cancel_safe()
        error = session.join(10)
        assert error.sqlstate == "57014"
        has_job = job_status(connection, model) is not None
        assert error.diag.message_detail == (ABORTED.format(model) if has_job else None)
        assert what_is_left(connection, model) == (0, 0)
    wait_until(lambda: not count_unfinished(connection), 60, "all jobs are aborted")


def count_unfinished(connection):
    sought = "SELECT FROM sqlml.job WHERE status IN ('waiting', 'running')"
    return connection.execute(sought).rowcount


def test_a_session_that_is_killed_takes_its_job_along(connection, database, module_worker):
    session = Session(database, "orphan", ENDLESS)
    wait_until_training(connection, "orphan")
    pid = session.connection.info.backend_pid
    connection.execute("SELECT pg_terminate_backend(%s)", [pid])
    assert session.join(5).sqlstate == "57P01"
    wait_until(lambda: job_status(connection, "orphan") == "aborted", 20, "the job is aborted")
    # What the killed session could not remove says so, and is in nobody's way.
    shown = connection.execute("SELECT * FROM sqlml.show_model('orphan')").fetchall()
    assert set(shown) >= {
        ("status", "aborted"),
        ("error", "the session that waited for the training ended"),
    }
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState) as caught:
        connection.execute("SELECT sqlml.predict('orphan', c) FROM customers AS c")
    assert "is aborted. The session" in caught.value.diag.message_detail
    connection.execute("SET statement_timeout = '1s'")
    with pytest.raises(psycopg.errors.QueryCanceled):
        connection.execute(CREATE, ["orphan", ENDLESS])
    assert what_is_left(connection, "orphan") == (0, 0)


def test_a_job_of_its_own_outlives_who_waits_for_it(connection, database, module_worker):
    connection.execute(CREATE, ["independent", '{"wait": false, "trials": 100000}'])
    wait_until_training(connection, "independent")
    waiting = (
        "SELECT FROM pg_stat_activity WHERE query LIKE 'CALL sqlml.wait(%' AND state = 'active'"
    )
    with talk(database) as talker:
        talker.send(query("CALL sqlml.wait('independent')"))
        assert talker.read_message()[0] == "N"
        assert connection.execute(waiting).rowcount == 1
    wait_until(lambda: connection.execute(waiting).rowcount == 0, 10, "nobody waits")
    assert job_status(connection, "independent") == "running"
    connection.execute("CALL sqlml.drop_model('independent')")
