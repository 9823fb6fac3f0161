"""
psycopg2: transactions by default, server-side cursors, its asynchronous mode.
"""

from contextlib import closing

import psycopg2
import psycopg2.errors
import pytest
from psycopg2.extras import wait_select

from tests.clients import training

pytestmark = pytest.mark.usefixtures("flowers")


@pytest.fixture
def connection(proxy_dsn):
    """A session as psycopg2 makes it by default: it begins a transaction by itself."""
    with closing(psycopg2.connect(proxy_dsn)) as connection:
        yield connection


@pytest.fixture
def cursor(connection):
    with connection.cursor() as cursor:
        yield cursor


def test_create_predict_drop(connection, cursor):
    connection.autocommit = True
    cursor.execute(training.create("pg2"))
    assert cursor.statusmessage == "CREATE MODEL"
    assert cursor.description is None
    assert f"NOTICE:  {training.PROGRESS}\n" in connection.notices
    cursor.execute(training.count_right("pg2") + " AND width > %s", (1.0,))
    assert cursor.fetchone() == (145,)
    cursor.execute("DROP MODEL pg2")
    assert cursor.statusmessage == "DROP MODEL"


def test_roll_back(connection, cursor, oracle):
    cursor.execute(training.create("pg2_rolled_back"))
    assert training.STARTS_LATER.format("pg2_rolled_back") in connection.notices[0]
    cursor.execute("SHOW MODELS")
    assert "pg2_rolled_back" in {row[1] for row in cursor}
    connection.rollback()
    oracle.check_rolled_back("pg2_rolled_back")


class Listener(list[str]):
    """Does something as soon as psycopg2 hands over the first notice of a training."""

    def __init__(self, act):
        super().__init__()
        self.act = act

    def append(self, notice):
        super().append(notice)
        if training.PROGRESS in notice:
            self.act()


def test_cancel_after_the_first_notice(proxy_dsn, oracle):
    """A notice is there while the training still runs, and a cancel request ends it."""
    with closing(psycopg2.connect(proxy_dsn, async_=True)) as connection:
        wait_select(connection)
        connection.notices = Listener(connection.cancel)
        with connection.cursor() as cursor:
            cursor.execute(training.create("pg2_endless", training.ENDLESS))
            with pytest.raises(psycopg2.errors.QueryCanceled):
                wait_select(connection)
            cursor.execute("SELECT 1")
            wait_select(connection)
            assert cursor.fetchone() == (1,)
    oracle.check_cancelled("pg2_endless")


def test_server_side_cursor(connection, flower):
    with connection.cursor("portions") as cursor:
        cursor.itersize = 30
        cursor.execute(f"SELECT predict_{flower}(f) = kind FROM flowers f")
        assert [row for row in cursor] == [(True,)] * 200


def test_errors(connection, cursor):
    with pytest.raises(psycopg2.errors.SyntaxError) as caught:
        cursor.execute(training.MISSPELT)
    assert caught.value.diag.statement_position == str(training.POSITION)
    assert caught.value.diag.message_hint == training.HINT
    with pytest.raises(psycopg2.errors.InFailedSqlTransaction):
        cursor.execute("SHOW MODELS")
    connection.rollback()
    cursor.execute("SELECT 1")
    assert cursor.fetchone() == (1,)
