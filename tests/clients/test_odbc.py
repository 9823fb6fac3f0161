"""
ODBC: psqlODBC under pyodbc, which begins transactions in the same query as the statement.
"""

import threading
from contextlib import closing

import pytest

from tests.clients import training
from tests.stack import wait_until

pytestmark = pytest.mark.usefixtures("flowers")

DRIVER = "PostgreSQL Unicode"


@pytest.fixture(scope="module")
def connect(login):
    try:
        import pyodbc
    except ImportError:  # it is there, but links to unixODBC
        training.skip_without(False, "unixODBC (libodbc2)")
    training.skip_without(DRIVER in pyodbc.drivers(), "psqlODBC (odbc-postgresql)")
    pyodbc.pooling = False
    address = (
        f"DRIVER={{{DRIVER}}};SERVER={login['host']};PORT={login['port']};"
        f"DATABASE={login['dbname']};UID={login['user']};PWD={login['password']};"
    )
    return lambda options="", **settings: closing(pyodbc.connect(address + options, **settings))


@pytest.fixture
def connection(connect):
    """A session as ODBC makes it by default, without autocommit."""
    with connect() as connection:
        yield connection


@pytest.fixture
def automatic(connect):
    """A session in autocommit."""
    with connect(autocommit=True) as connection:
        yield connection


def test_create_predict_drop(automatic):
    cursor = automatic.execute(training.create("odbc"))
    assert cursor.description is None
    assert training.PROGRESS in str(cursor.messages)
    statement = training.count_right("odbc") + " AND width > ?"
    assert automatic.execute(statement, 1.0).fetchval() == 145
    assert "odbc" in {row.model for row in automatic.execute("SHOW MODELS")}
    automatic.execute("DROP MODEL odbc")
    assert "odbc" not in {row.model for row in automatic.execute("SHOW MODELS")}


def test_commit(connection, oracle):
    """`BEGIN;CREATE MODEL …` arrives as one query."""
    cursor = connection.execute(training.create("odbc_committed"))
    assert training.STARTS_LATER.format("odbc_committed") in str(cursor.messages)
    connection.commit()
    oracle.check_committed("odbc_committed")
    connection.execute("DROP MODEL odbc_committed")
    connection.commit()
    assert oracle.count_models("odbc_committed") == 0


def test_roll_back(connection, oracle):
    """The second statement arrives as `SAVEPOINT …;CREATE MODEL …`."""
    assert connection.execute("SELECT 1").fetchval() == 1
    connection.execute(training.create("odbc_rolled_back"))
    assert "odbc_rolled_back" in {row.model for row in connection.execute("SHOW MODELS")}
    connection.rollback()
    oracle.check_rolled_back("odbc_rolled_back")


def test_an_error_leaves_the_transaction_alive(connection, oracle):
    """The driver goes back to its savepoint by itself."""
    connection.execute(training.create("odbc_savepoint"))
    with pytest.raises(Exception, match="42710"):
        connection.execute(training.create("odbc_savepoint"))
    assert "odbc_savepoint" in {row.model for row in connection.execute("SHOW MODELS")}
    connection.rollback()
    oracle.check_rolled_back("odbc_savepoint")


@pytest.mark.parametrize("is_automatic", [True, False])
def test_a_syntax_error_is_as_any_other(connect, is_automatic):
    with connect(autocommit=is_automatic) as connection:
        connection.execute("SELECT 1").fetchall()
        ends = []
        for text in (training.MISSPELT, "FORM flowers"):
            with pytest.raises(Exception, match=r"42601.*FORM"):
                connection.execute(text)
            try:
                ends.append(connection.execute("SELECT 1").fetchval())
            except Exception as error:
                ends.append(str(error))
            connection.rollback()
    assert ends[0] == ends[1]


def test_cancel_while_it_trains(automatic, oracle):
    cursor = automatic.cursor()

    def cancel():
        try:
            wait_until(lambda: oracle.has_begun("odbc_endless"), 100)
        finally:
            cursor.cancel()

    canceller = threading.Thread(target=cancel)
    canceller.start()
    with pytest.raises(Exception, match="user request"):
        cursor.execute(training.create("odbc_endless", training.ENDLESS))
    canceller.join()
    assert automatic.execute("SELECT 1").fetchval() == 1
    oracle.check_cancelled("odbc_endless")


@pytest.mark.parametrize("options", ["UseDeclareFetch=1;Fetch=30", "UseServerSidePrepare=0"])
def test_portions_and_parameters(connect, flower, options):
    with connect(options) as connection:
        query = f"SELECT predict_{flower}(f) = kind FROM flowers f WHERE width > ?"
        assert len(connection.execute(query, 1.0).fetchall()) == 145
        rows = connection.execute(f"SELECT kind, predict_{flower}(f) FROM flowers f").fetchall()
        assert len(rows) == 200
        assert all(kind == prediction for kind, prediction in rows)
        models = connection.execute("SHOW MODELS").fetchall()
        assert flower in {row.model for row in models}


def test_catalogue_functions(connection, flower):
    cursor = connection.cursor()
    assert "flowers" in {row.table_name for row in cursor.tables(schema="public")}
    columns = [row.column_name for row in cursor.columns(table="flowers")]
    assert columns == ["width", "petals", "kind"]
    assert cursor.procedures(procedure=f"predict_{flower}").fetchall()
