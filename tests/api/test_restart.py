"""
PostgreSQL restarts while a model is being trained: the job is taken again, and predicts.
"""

from contextlib import closing

import psycopg
import pytest

from tests.api.conftest import CUSTOMERS
from tests.api.sessions import CREATE, job_status, wait_until_training
from tests.stack import temporary_stack, wait_until

pytestmark = pytest.mark.slow


def test_a_restart_of_the_server_while_training():
    with temporary_stack() as stack:
        with closing(psycopg.connect(stack.proxy_dsn, autocommit=True)) as connection:
            connection.execute(CUSTOMERS)
            connection.execute(CREATE, ["survivor", '{"wait": false, "time_limit": "8 s"}'])
            wait_until_training(connection, "survivor")
        stack.restart_postgres()
        with closing(psycopg.connect(stack.proxy_dsn, autocommit=True)) as connection:
            wait_until(
                lambda: job_status(connection, "survivor") == "succeeded", 40, "the job succeeds"
            )
            counted = connection.execute(
                "SELECT count(predict_survivor(c)) FROM customers c"
            ).fetchone()
            attempts = connection.execute("SELECT attempts FROM sqlml.jobs").fetchone()
    assert counted == (300,)
    assert attempts == (2,)
