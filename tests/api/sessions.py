"""
Sessions that create models in the background, and what is known about their jobs.
"""

import threading

import psycopg

from tests.stack import wait_until

CREATE = "CALL sqlml.create_model(%s, 'churned', relation => 'customers', options => %s)"
LONG = '{"time_limit": "60 s"}'
SHORT = '{"time_limit": "20 s", "trials": 1}'


def job_status(connection, model):
    """The status of a model's last job."""
    row = connection.execute(
        "SELECT status FROM sqlml.jobs WHERE model = %s ORDER BY job_id DESC LIMIT 1", [model]
    ).fetchone()
    return row[0] if row else None


def what_is_left(connection, model):
    """Models, functions and versions of that name."""
    return connection.execute(
        "SELECT (SELECT count(*) FROM sqlml.models WHERE model = %(model)s),"
        " (SELECT count(*) FROM pg_proc WHERE proname = 'predict_' || %(model)s)",
        {"model": model},
    ).fetchone()


class Session:
    """A create_model that runs in a thread of its own."""

    def __init__(self, database, model, options=LONG):
        self.connection = psycopg.connect(database, autocommit=True)
        self.error = None
        self.notices: list[str] = []
        self.connection.add_notice_handler(lambda each: self.notices.append(each.message_primary))
        self._arguments = [model, options]
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        try:
            self.connection.execute(CREATE, self._arguments)
        except psycopg.Error as error:
            self.error = error

    def is_running(self):
        """Whether the statement still runs."""
        return self._thread.is_alive()

    def join(self, seconds=30):
        """Wait for the statement's end."""
        self._thread.join(seconds)
        assert not self._thread.is_alive()
        self.connection.close()
        return self.error


def wait_until_training(connection, model):
    wait_until(lambda: job_status(connection, model) == "running", 20, "the job runs")
