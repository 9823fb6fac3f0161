"""
The packets before the first frame.
"""

import struct

import pytest

from sqlml.errors import ProtocolViolation
from sqlml.wire.startup import RequestCode, is_replication, read_startup


def make_packet(code, payload=b""):
    return struct.pack("!ii", len(payload) + 8, code) + payload


def make_startup(**parameters):
    words = b"".join(
        key.encode() + b"\0" + value.encode() + b"\0" for key, value in parameters.items()
    )
    return make_packet(196608, words + b"\0")


@pytest.mark.parametrize("size", range(8))
def test_an_unfinished_packet_is_waited_for(size):
    assert read_startup(make_packet(RequestCode.SSL)[:size]) is None


def test_what_follows_a_packet_is_told_apart():
    packet = read_startup(make_packet(RequestCode.SSL) + b"more")
    assert packet is not None
    assert (packet.code, packet.rest) == (RequestCode.SSL, b"more")


def test_parameters():
    packet = read_startup(make_startup(user="ann", database="Kühe"))
    assert packet is not None
    assert packet.major_version == 3
    assert packet.parameters()[b"database"] == "Kühe".encode()


@pytest.mark.parametrize("size", [0, 3, 7, 10_001, -1, 2**31 - 1])
def test_impossible_lengths_are_refused(size):
    with pytest.raises(ProtocolViolation, match="invalid length of startup packet"):
        read_startup(struct.pack("!i", size) + b"GET / HTTP/1.1")


@pytest.mark.parametrize(
    ("value", "expected"),
    [("true", True), ("database", True), ("1", True), ("off", False), ("FALSE", False)],
)
def test_replication_is_recognised(value, expected):
    packet = read_startup(make_startup(user="ann", replication=value))
    assert packet is not None
    assert is_replication(packet) is expected


def test_an_ordinary_session_is_no_replication():
    packet = read_startup(make_startup(user="ann"))
    assert packet is not None
    assert not is_replication(packet)
