"""
Each row of the table of bad inputs: refused, closed, or answered as the server itself answers.
"""

import random

import pytest

from tests.proxy import hostile_inputs as inputs
from tests.proxy.hostile_talk import directly, go_on_with, read_outcome, reset, send_all, start_with
from tests.proxy.talk import codes, errors, open_socket, talk
from tests.stack import wait_until


def assert_refused(dsn: str, data: bytes, piece_size: int | None = None) -> None:
    with open_socket(dsn) as talker:
        send_all(talker, data, piece_size)
        outcome = read_outcome(talker.socket)
    assert codes(outcome.messages) == "E[08P01]"
    assert outcome.rest == b""
    error = errors(outcome.messages)[0]
    assert error["S"] == error["V"] == "FATAL"


@pytest.mark.parametrize("name", inputs.REFUSED)
def test_what_is_no_start_up_is_refused(own_dsn, name):
    assert_refused(own_dsn, inputs.REFUSED[name])


# Byte by byte, an encryption request is answered before the bytes behind it arrive.
@pytest.mark.parametrize("name", [name for name in inputs.REFUSED if "Request" not in name])
def test_what_is_no_start_up_is_refused_byte_by_byte(own_dsn, name):
    assert_refused(own_dsn, inputs.REFUSED[name], piece_size=1)


@pytest.mark.parametrize("request_", [inputs.SSL_REQUEST, inputs.GSSENC_REQUEST])
def test_encryption_is_declined_once(own_dsn, request_):
    with open_socket(own_dsn) as talker:
        talker.send(request_)
        assert talker.socket.recv(1) == b"N"
        talker.send(request_)
        assert codes(read_outcome(talker.socket).messages) == "E[08P01]"


@pytest.mark.parametrize("name", inputs.CLOSED)
def test_what_never_becomes_a_session_is_closed(dsn, own_dsn, name):
    assert start_with(own_dsn, inputs.CLOSED[name]) == ([], b"")
    assert start_with(dsn, inputs.CLOSED[name]) == ([], b"")


@pytest.mark.parametrize("piece_size", [None, 1])
@pytest.mark.parametrize("name", inputs.STARTUPS)
def test_start_ups_are_the_servers_matter(dsn, own_dsn, name, piece_size):
    data = inputs.STARTUPS[name]
    if piece_size and len(data) > 1000:
        piece_size = 997
    direct = start_with(dsn, data)
    assert start_with(own_dsn, data, piece_size) == direct


@pytest.mark.parametrize("name", inputs.BROKEN)
def test_broken_messages_are_the_servers_matter(dsn, own_dsn, name):
    data = inputs.BROKEN[name]
    direct = directly(dsn, data)
    assert go_on_with(own_dsn, data) == direct


@pytest.mark.parametrize("name", [name for name in inputs.BROKEN if "length" not in name][::3])
def test_broken_messages_byte_by_byte(dsn, own_dsn, name):
    data = inputs.BROKEN[name]
    direct = directly(dsn, data)
    assert go_on_with(own_dsn, data, piece_size=1) == direct


def test_a_session_may_be_cut_at_any_byte(dsn, own_dsn):
    data = b"".join(inputs.every_kind_of_message())
    for size in random.Random(5).sample(range(len(data)), 40):
        assert go_on_with(own_dsn, data[:size]) == directly(dsn, data[:size]), size


def test_a_session_may_be_reset_at_any_byte(own_dsn, own_proxy, canary):
    data = b"".join(inputs.every_kind_of_message())
    before = own_proxy.usage().files
    for size in random.Random(6).sample(range(len(data)), 40):
        with talk(own_dsn) as talker:
            talker.send(data[:size] or b"S")
            reset(talker.socket)
    wait_until(lambda: own_proxy.usage().files <= before)
