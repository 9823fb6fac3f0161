"""
psycopg 3: autocommit and not, pipelines, prepared statements, asyncio, server-side cursors.
"""

import asyncio

import psycopg
import pytest
import sqlglot

from tests.clients import training

pytestmark = pytest.mark.usefixtures("flowers")

PREDICTIONS = "SELECT kind, predict_flower(f) FROM flowers f WHERE width > %s"


@pytest.fixture
def connection(proxy_dsn):
    """A session in autocommit."""
    with psycopg.connect(proxy_dsn, autocommit=True) as connection:
        yield connection


@pytest.fixture
def transaction(proxy_dsn):
    """A session as psycopg makes it by default: it begins a transaction by itself."""
    with psycopg.connect(proxy_dsn) as connection:
        yield connection
        connection.rollback()


def listen(connection):
    """The notices of a session, as they arrive."""
    notices = []
    connection.add_notice_handler(lambda notice: notices.append(notice.message_primary))
    return notices


def test_prepared_create(connection):
    """The second time, a named statement is bound that the first time made."""
    notices = listen(connection)
    statement = training.create("IF NOT EXISTS pg3")
    for last in ("roc_auc", 'model "pg3" already exists, skipping'):
        cursor = connection.execute(statement, prepare=True)
        assert cursor.statusmessage == "CREATE MODEL"
        assert cursor.description is None
        assert training.PROGRESS in notices
        assert notices[-1].startswith(last)
    cursor = connection.execute("SELECT predict_pg3(f) FROM flowers f WHERE width > %s", [1.5])
    assert {kind for (kind,) in cursor} == training.KINDS
    assert connection.execute("DROP MODEL pg3", prepare=True).statusmessage == "DROP MODEL"


def test_commit(transaction):
    notices = listen(transaction)
    cursor = transaction.execute(training.create("pg3_committed"))
    assert cursor.statusmessage == "CREATE MODEL"
    assert cursor.description is None
    assert notices == [training.STARTS_LATER.format("pg3_committed")]
    transaction.commit()
    transaction.autocommit = True
    transaction.execute("CALL sqlml.wait('pg3_committed')")
    assert transaction.execute(training.count_right("pg3_committed")).fetchone() == (200,)
    transaction.execute("DROP MODEL pg3_committed")


def test_roll_back(transaction, oracle):
    notices = listen(transaction)
    transaction.execute(training.create("pg3_rolled_back"))
    assert "pg3_rolled_back" in {row[1] for row in transaction.execute("SHOW MODELS")}
    transaction.rollback()
    assert notices == [training.STARTS_LATER.format("pg3_rolled_back")]
    oracle.check_rolled_back("pg3_rolled_back")


def test_roll_back_to_a_savepoint(transaction, oracle):
    transaction.execute("SELECT 1")
    with transaction.transaction(force_rollback=True):
        transaction.execute(training.create("pg3_savepoint"))
    assert transaction.execute("SELECT 1").fetchone() == (1,)
    transaction.commit()
    oracle.check_rolled_back("pg3_savepoint")


@pytest.mark.parametrize("before", ["BEGIN", "BEGIN; SAVEPOINT s", "BEGIN; SELECT 1"])
def test_several_statements_in_one_query(connection, oracle, before):
    notices = listen(connection)
    connection.execute(f"{before}; {training.create('pg3_several')};")
    assert notices == [training.STARTS_LATER.format("pg3_several")]
    connection.execute("ROLLBACK")
    oracle.check_rolled_back("pg3_several")


def test_pipeline(connection, oracle):
    """What fails in a pipeline takes the model with it."""
    notices = listen(connection)
    with connection.pipeline() as pipeline:
        first = connection.execute("SELECT 1")
        created = connection.execute(training.create("pg3_piped"))
        connection.execute("SELECT 1/0")
        with pytest.raises(psycopg.errors.DivisionByZero):
            pipeline.sync()
        assert first.fetchone() == (1,)
        assert created.statusmessage == "CREATE MODEL"
    assert notices == [training.STARTS_LATER.format("pg3_piped")]
    oracle.check_rolled_back("pg3_piped")


def test_pipeline_of_reads(connection, flower):
    with connection.pipeline():
        cursors = [
            connection.execute(text)
            for text in ("SHOW MODELS", training.count_right(flower), f"DESCRIBE MODEL {flower}")
        ]
    models, right, columns = (cursor.fetchall() for cursor in cursors)
    assert flower in {row[1] for row in models}
    assert right == [(200,)]
    assert [row[0] for row in columns] == ["width", "petals", "kind"]


def test_cancel_after_the_first_notice(connection, oracle):
    """A notice is there while the training still runs, and a cancel request ends it."""

    def cancel(notice):
        if notice.message_primary == training.PROGRESS:
            connection.cancel_safe()

    connection.add_notice_handler(cancel)
    with pytest.raises(psycopg.errors.QueryCanceled) as caught:
        connection.execute(training.create("pg3_endless", training.ENDLESS))
    assert caught.value.diag.message_detail == training.ABORTED.format("pg3_endless")
    assert connection.execute("SELECT 1").fetchone() == (1,)
    oracle.check_cancelled("pg3_endless")


def test_asyncio(proxy_dsn, flower, oracle):
    """A task that is cancelled cancels its statement."""

    async def work():
        async with await psycopg.AsyncConnection.connect(proxy_dsn, autocommit=True) as connection:
            has_begun = asyncio.Event()
            connection.add_notice_handler(lambda notice: has_begun.set())
            task = asyncio.create_task(
                connection.execute(training.create("pg3_task", training.ENDLESS))
            )
            await has_begun.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            cursor = await connection.execute(training.count_right(flower), prepare=True)
            return await cursor.fetchone()

    assert asyncio.run(work()) == (200,)
    oracle.check_cancelled("pg3_task")


@pytest.mark.parametrize("binary", [False, True], ids=["text", "binary"])
def test_prepared_reads(connection, flower, binary):
    """psycopg prepares what is executed for the sixth time."""
    cursor = connection.cursor(binary=binary)
    for turn in range(7):
        models = cursor.execute("SHOW MODELS").fetchall()
        assert cursor.description[1].name == "model"
        (score,) = [row[7] for row in models if row[1] == flower]
        assert 0.9 < score <= 1
        predictions = cursor.execute(PREDICTIONS, [turn / 10]).fetchall()
        assert all(kind == prediction for kind, prediction in predictions)


def test_server_side_cursor(transaction, flower):
    with transaction.cursor("portions") as cursor:
        cursor.itersize = 30
        cursor.execute(PREDICTIONS, [1.0])
        rows = cursor.fetchmany(7) + list(cursor)
    assert len(rows) == 145
    assert all(kind == prediction for kind, prediction in rows)


@pytest.mark.parametrize("prepare", [False, True], ids=["simple", "extended"])
def test_errors(connection, prepare):
    with pytest.raises(psycopg.errors.SyntaxError) as caught:
        connection.execute(training.MISSPELT, prepare=prepare)
    diagnostic = caught.value.diag
    assert diagnostic.message_primary == 'syntax error at or near "FORM"'
    assert diagnostic.statement_position == str(training.POSITION)
    assert diagnostic.message_hint == training.HINT
    assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_failed_transaction(transaction, flower):
    with pytest.raises(psycopg.errors.DuplicateObject):
        transaction.execute("CREATE TABLE t (a int); " + training.create("flower"))
    for text in ("SHOW MODELS", training.create("m")):
        with pytest.raises(psycopg.errors.InFailedSqlTransaction):
            transaction.execute(text)


def test_parameters_are_refused(connection):
    with pytest.raises(psycopg.errors.UndefinedParameter, match="there is no parameter"):
        connection.execute("CREATE MODEL m PREDICT y FROM (SELECT %s AS y)", ("x",))


def test_calls_survive_tools_that_rewrite_sql(connection, flower):
    statement = f"SELECT sqlml.predict('{flower}', f), predict_flower(f) FROM flowers AS f"
    (rewritten,) = sqlglot.transpile(statement, read="postgres", write="postgres")
    direct = connection.execute(statement).fetchall()
    assert connection.execute(rewritten).fetchall() == direct
