"""
What the tests of all clients share.

    flowers   a small table that is easy to learn
    flower    the name of a model of it, for tests that only predict
    oracle    a direct session that says what became of models and their jobs
    login     the parts of the address of the proxy
"""

from collections.abc import Iterator

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from tests.clients.training import FLOWERS, Oracle


@pytest.fixture(scope="package")
def oracle(dsn: str) -> Iterator[Oracle]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        yield Oracle(connection)


@pytest.fixture(scope="package")
def flowers(oracle: Oracle) -> Iterator[None]:
    oracle.connection.execute(FLOWERS)
    yield
    oracle.connection.execute("DROP TABLE flowers CASCADE")


@pytest.fixture(scope="package")
def flower(oracle: Oracle, flowers: None) -> Iterator[str]:
    oracle.connection.execute(
        "CALL sqlml.create_model('flower', 'kind', relation => 'flowers',"
        " options => '{\"trials\": 1}', replace => true)"
    )
    yield "flower"
    oracle.connection.execute("CALL sqlml.drop_model('flower')")


@pytest.fixture(scope="session")
def login(proxy_dsn: str) -> dict[str, str]:
    return {name: str(value) for name, value in conninfo_to_dict(proxy_dsn).items()}
