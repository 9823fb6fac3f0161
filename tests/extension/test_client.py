"""
What a statement that waits asks of its session: is the client there, and may it interrupt.
"""

import psycopg
import pytest

from tests.extension.conftest import require_evaluator


@pytest.fixture
def session(dsn):
    with psycopg.connect(dsn, autocommit=True) as session:
        require_evaluator(session, "sqlml")
        yield session


def test_a_client_that_is_there(session):
    assert session.execute("SELECT sqlml.is_client_gone()").fetchone() == (False,)


def test_a_notice(session):
    said = []
    session.add_notice_handler(lambda notice: said.append((notice.severity, notice.sqlstate)))
    tell = "SELECT sqlml.tell_client('100 % of %s')"
    assert session.execute(tell).fetchone() == (False,)
    assert said == [("NOTICE", "00000")]
    session.execute("SET client_min_messages = warning")
    assert session.execute(tell).fetchone() == (False,)
    assert len(said) == 1


def test_a_cancel_waits_until_it_is_let_go(session):
    said = []
    session.add_notice_handler(lambda notice: said.append(notice.message_primary))
    session.execute("SET statement_timeout = '1s'")
    with pytest.raises(psycopg.errors.QueryCanceled):
        session.execute(
            "DO $$ BEGIN PERFORM sqlml.hold_cancel(true); PERFORM pg_sleep(1.3);"
            " RAISE NOTICE 'held'; PERFORM sqlml.hold_cancel(false); RAISE 'late'; END $$"
        )
    assert said == ["held"]


def test_an_error_lets_cancels_go(session):
    session.execute("SELECT sqlml.hold_cancel(true), sqlml.hold_cancel(true)")
    session.execute("SET statement_timeout = '1s'")
    session.execute("SELECT pg_sleep(1.3)")
    with pytest.raises(psycopg.errors.DivisionByZero):
        session.execute("SELECT 1 / 0")
    with pytest.raises(psycopg.errors.QueryCanceled):
        session.execute("SELECT pg_sleep(20)")
