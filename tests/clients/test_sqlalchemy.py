"""
SQLAlchemy 2 over psycopg, psycopg2 and asyncpg: transactions, reflection, pandas.
"""

import asyncio

import pandas as pd
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from tests.clients import training

pytestmark = pytest.mark.usefixtures("flowers")

DRIVERS = ("psycopg", "psycopg2", "asyncpg")


@pytest.fixture(params=DRIVERS)
def run(request, proxy_dsn):
    """Run a function of a SQLAlchemy connection, whatever the driver is."""
    url = sa.make_url(proxy_dsn).set(drivername=f"postgresql+{request.param}")

    async def run_async(work, options):
        engine = create_async_engine(url)
        async with engine.connect() as connection:
            await connection.execution_options(**options)
            result = await connection.run_sync(work)
        await engine.dispose()
        return result

    def run_sync(work, options):
        engine = sa.create_engine(url)
        with engine.connect().execution_options(**options) as connection:
            result = work(connection)
        engine.dispose()
        return result

    def run(work, **options):
        if request.param == "asyncpg":
            return asyncio.run(run_async(work, options))
        return run_sync(work, options)

    return run


@pytest.mark.parametrize("run", ["asyncpg"], indirect=True)
def test_create_predict_drop(run):
    def work(connection):
        connection.execute(sa.text(training.create("alchemy")))
        model = connection.execute(sa.text("SHOW MODEL alchemy")).all()
        right = connection.scalar(
            sa.text(training.count_right("alchemy") + " AND width > :width"), {"width": 1.0}
        )
        connection.execute(sa.text("DROP MODEL alchemy"))
        return dict(model)["status"], right

    assert run(work, isolation_level="AUTOCOMMIT") == ("ready", 145)


def test_roll_back(run, oracle):
    def work(connection):
        connection.execute(sa.text(training.create("alchemy_rolled_back")))
        with connection.begin_nested() as savepoint:
            connection.execute(sa.text(training.create("alchemy_savepoint")))
            savepoint.rollback()
        models = {row.model for row in connection.execute(sa.text("SHOW MODELS"))}
        connection.rollback()
        return models

    models = run(work)
    assert "alchemy_rolled_back" in models
    assert "alchemy_savepoint" not in models
    oracle.check_rolled_back("alchemy_rolled_back")


def test_reflection(run, flower):
    def work(connection):
        connection.execute(sa.text("CREATE TEMPORARY TABLE model (models text, predict int)"))
        connection.execute(sa.text(f"DESCRIBE MODEL {flower}"))
        inspector = sa.inspect(connection)
        assert "flowers" in inspector.get_table_names()
        assert [column["name"] for column in inspector.get_columns("model")] == [
            "models",
            "predict",
        ]
        table = sa.Table("flowers", sa.MetaData(), autoload_with=connection)
        assert isinstance(table.c.width.type, sa.Double)
        predicted = sa.func.predict_flower(table.table_valued(), type_=sa.Text)
        return connection.execute(sa.select(table.c.kind, predicted)).all()

    rows = run(work)
    assert len(rows) == 200
    assert all(kind == prediction for kind, prediction in rows)


def test_errors(run):
    def work(connection):
        with pytest.raises(sa.exc.ProgrammingError) as caught:
            connection.execute(sa.text(training.MISSPELT))
        connection.rollback()
        assert connection.scalar(sa.text("SELECT 1")) == 1
        return caught.value.orig

    error = run(work)
    assert getattr(error, "pgcode", getattr(error, "sqlstate", None)) == "42601"
    assert 'syntax error at or near "FORM"' in str(error)
    # asyncpg's own error, which has the hint, is the cause of SQLAlchemy's.
    assert training.HINT in str(error) + str(getattr(error.__cause__, "hint", ""))


def test_cancel_after_the_first_notice(proxy_dsn, oracle):
    """Through the driver's own session, as SQLAlchemy has no words for it."""
    engine = sa.create_engine(sa.make_url(proxy_dsn).set(drivername="postgresql+psycopg"))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        session = connection.connection.driver_connection

        def cancel(notice):
            if notice.message_primary == training.PROGRESS:
                session.cancel_safe()

        session.add_notice_handler(cancel)
        with pytest.raises(sa.exc.OperationalError, match="user request"):
            connection.execute(sa.text(training.create("alchemy_endless", training.ENDLESS)))
        assert connection.scalar(sa.text("SELECT 1")) == 1
    engine.dispose()
    oracle.check_cancelled("alchemy_endless")


def test_pandas(proxy_dsn, flower):
    engine = sa.create_engine(sa.make_url(proxy_dsn).set(drivername="postgresql+psycopg"))
    with engine.connect() as connection:
        frame = pd.read_sql(
            f"SELECT kind, predict_{flower}(f) AS prediction FROM flowers f", connection
        )
        models = pd.read_sql("SHOW MODELS", connection)
    engine.dispose()
    assert (frame.kind == frame.prediction).sum() == 200
    assert flower in set(models.model)
