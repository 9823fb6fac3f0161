"""
asyncpg: named statements, binary results, cursors, pools, tasks that are cancelled.
"""

import asyncio

import asyncpg
import pytest

from tests.clients import training

pytestmark = pytest.mark.usefixtures("flowers")


@pytest.fixture
def run(proxy_dsn):
    """Run a coroutine function with a connection to the proxy and the list of its notices."""

    async def with_connection(work):
        connection = await asyncpg.connect(proxy_dsn)
        notices = []
        connection.add_log_listener(lambda _, notice: notices.append(notice.message))
        try:
            return await work(connection, notices)
        finally:
            await connection.close()

    return lambda work: asyncio.run(with_connection(work))


def test_create_predict_drop(run):
    async def work(connection, notices):
        statement = await connection.prepare(training.create("async_made"))
        assert statement.get_attributes() == ()
        assert statement.get_parameters() == ()
        assert await statement.fetch() == []
        assert statement.get_statusmsg() == "CREATE MODEL"
        assert training.PROGRESS in notices
        right = await connection.fetchval(
            training.count_right("async_made") + " AND width > $1", 1.0
        )
        assert right == 145
        assert await connection.execute("DROP MODEL async_made") == "DROP MODEL"

    run(work)


def test_binary_results(run, flower):
    """asyncpg asks for every column in its binary form."""

    async def work(connection, notices):
        models = [row for row in await connection.fetch("SHOW MODELS") if row["model"] == flower]
        assert [row["target"] for row in models] == ["kind"]
        assert 0.9 < models[0]["score"] <= 1
        columns = await connection.fetch(f"DESCRIBE MODEL {flower}")
        assert [row["column"] for row in columns] == ["width", "petals", "kind"]
        assert columns[0]["distinct_count"] == 40
        probabilities = await connection.fetch(
            "SELECT sqlml.predict_proba($1, f, kind) AS p FROM flowers f", flower
        )
        assert all(0.5 < row["p"] <= 1 for row in probabilities)

    run(work)


def test_roll_back(run, oracle):
    async def work(connection, notices):
        transaction = connection.transaction()
        await transaction.start()
        assert await connection.execute(training.create("async_rolled_back")) == "CREATE MODEL"
        await transaction.rollback()
        await asyncio.sleep(0)  # where listeners are called
        assert notices == [training.STARTS_LATER.format("async_rolled_back")]

    run(work)
    oracle.check_rolled_back("async_rolled_back")


def test_cancel_after_the_first_notice(run, oracle):
    """A notice is there while the training still runs, and cancelling the task ends it."""

    async def work(connection, notices):
        has_begun = asyncio.Event()
        connection.add_log_listener(lambda _, notice: has_begun.set())
        task = asyncio.create_task(
            connection.execute(training.create("async_endless", training.ENDLESS))
        )
        await has_begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await connection.fetchval("SELECT 1") == 1

    run(work)
    oracle.check_cancelled("async_endless")


def test_cursors(run, flower):
    """Rows in portions, out of a named statement and a portal."""

    async def work(connection, notices):
        async with connection.transaction():
            predictions = [
                row["right"]
                async for row in connection.cursor(
                    f"SELECT predict_{flower}(f) = kind AS right FROM flowers f WHERE width > $1",
                    1.0,
                    prefetch=50,
                )
            ]
            columns = [
                row["column"]
                async for row in connection.cursor(f"DESCRIBE MODEL {flower}", prefetch=2)
            ]
        assert predictions == [True] * 145
        assert columns == ["width", "petals", "kind"]

    run(work)


def test_pool(proxy_dsn, flower):
    """Statements stay prepared while the session goes back to the pool and out again."""

    async def work():
        async with asyncpg.create_pool(proxy_dsn, min_size=1, max_size=1) as pool:
            for _ in range(3):
                async with pool.acquire() as connection:
                    models = await connection.fetch("SHOW MODELS")
                    assert flower in {row["model"] for row in models}
                    assert await connection.fetchval(training.count_right(flower)) == 200

    asyncio.run(work())


def test_errors(run):
    async def work(connection, notices):
        for fail in (connection.execute, connection.fetch):
            with pytest.raises(asyncpg.PostgresSyntaxError) as caught:
                await fail(training.MISSPELT)
            assert caught.value.position == str(training.POSITION)
            assert caught.value.hint == training.HINT
        assert await connection.fetchval("SELECT 1") == 1

    run(work)
