"""
Clients that vanish (T26): what they left running ends through the proxy as it does without one.
"""

import socket
from functools import partial

import psycopg
import pytest

from tests.proxy.hostile_talk import reset
from tests.proxy.talk import codes, query, talk
from tests.stack import wait_until

# Nothing but its client's end ends it in time.
ENDLESS = "CREATE MODEL vanishing PREDICT cultivar FROM wine WITH (trials = 100000)"
ENDLESS_CALL = (
    "CALL sqlml.create_model('vanishing', 'cultivar', relation => 'wine',"
    """ options => '{"trials": 100000}')"""
)


@pytest.fixture
def server(dsn):
    """A session that looks at the server; removes the model again."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        yield connection
        connection.execute("CALL sqlml.drop_model('vanishing', if_exists => true)")


def close(sock):
    sock.close()


def get_backend(talker):
    [row] = [data for code, data in talker.ask(query("SELECT pg_backend_pid()")) if code == "D"]
    return int(row[6:])


def is_found(server, query):
    return server.execute(query).rowcount > 0


def has_ended(server, pid):
    return not is_found(server, f"SELECT FROM pg_stat_activity WHERE pid = {pid}")


def read_status(server):
    [status] = server.execute(
        "SELECT status FROM sqlml.job WHERE model_name = 'vanishing' ORDER BY job_id DESC LIMIT 1"
    ).fetchone()
    return status


def trains(server):
    name = "sqlml:job % train vanishing"
    return is_found(server, f"SELECT FROM pg_stat_activity WHERE application_name LIKE '{name}'")


def count_models(server):
    """Models and their functions."""
    return server.execute(
        "SELECT (SELECT count(*) FROM sqlml.model WHERE model_name = 'vanishing'),"
        " (SELECT count(*) FROM pg_proc WHERE proname = 'predict_vanishing')"
    ).fetchone()


def check_the_training_ends(dsn, server, statement, end):
    with talk(dsn) as talker:
        pid = get_backend(talker)
        talker.send(query(statement))
        wait_until(lambda: trains(server), 60)
        end(talker.socket)
        wait_until(partial(has_ended, server, pid), 10)
    assert count_models(server) == (0, 0)
    wait_until(lambda: read_status(server) == "aborted", 10)
    wait_until(lambda: not trains(server), 10)


@pytest.mark.parametrize("end", [close, reset])
def test_a_training_ends_with_its_client(own_dsn, server, end):
    check_the_training_ends(own_dsn, server, ENDLESS, end)


def test_a_training_ends_with_its_client_without_a_proxy(dsn, server):
    check_the_training_ends(dsn, server, ENDLESS_CALL, close)


def test_a_client_that_only_listens_gets_its_model(own_dsn, server):
    """T25: who sends no more is still there."""
    text = "CREATE MODEL vanishing PREDICT cultivar FROM wine WITH (trials = 1, processes = 1)"
    with talk(own_dsn) as talker:
        talker.socket.settimeout(60)
        talker.send(query(text))
        talker.socket.shutdown(socket.SHUT_WR)
        answer = talker.read()
    assert codes(answer).replace("S ", "") == "C[CREATE MODEL] ZI"
    assert ("S", b"integer_datetimes\0on\0") in answer
    assert count_models(server) == (1, 1)


def test_what_passes_through_goes_on_without_its_client(dsn, own_dsn, server):
    """As without a proxy: the server does not look at the client before it has an answer."""
    for number, address in enumerate((dsn, own_dsn)):
        with talk(address) as talker:
            talker.send(query(f"SELECT pg_sleep(0.5); CREATE TABLE left_behind_{number} ()"))
            reset(talker.socket)
    for number in range(2):
        made = f"SELECT FROM pg_class WHERE relname = 'left_behind_{number}'"
        wait_until(partial(is_found, server, made))
        server.execute(f"DROP TABLE left_behind_{number}")


@pytest.mark.parametrize("end", [close, reset])
def test_what_passes_through_ends_if_the_server_looks(dsn, own_dsn, server, end):
    for address in (dsn, own_dsn):
        with talk(address) as talker:
            pid = get_backend(talker)
            talker.ask(query("SET client_connection_check_interval = '100ms'"))
            talker.send(query("SELECT pg_sleep(60)"))
            end(talker.socket)
            wait_until(partial(has_ended, server, pid), 10)
