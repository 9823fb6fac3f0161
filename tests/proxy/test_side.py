"""
One socket of a session: what is sent and read around its end, and when it is given away.
"""

import asyncio
import socket
from collections.abc import Iterator

import pytest
import uvloop

from sqlml.proxy.side import Side
from tests.stack import wait_until

MUCH = bytes(range(256)) * 40_000


class Record:
    """What a side told its session."""

    def __init__(self):
        self.data = b""
        self.events = []

    def on_data(self, side, data):
        self.data += data

    def on_end_of_data(self, side):
        self.events.append("end")

    def on_lost(self, side):
        self.events.append("lost")

    def on_tls_failed(self, side, error):
        self.events.append("tls failed")

    def on_writable(self, side, is_writable):
        self.events.append("writable" if is_writable else "full")


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    own, peer = socket.socketpair()
    peer.settimeout(10)
    with own, peer:
        yield own, peer


def run(main):
    uvloop.run(asyncio.wait_for(main(), 10))


async def until(condition):
    await asyncio.to_thread(wait_until, condition)


def read_all(peer):
    pieces = []
    while piece := peer.recv(1 << 20):
        pieces.append(piece)
    return b"".join(pieces)


def test_what_came_before_a_broken_socket_is_read(pair):
    own, peer = pair
    peer.sendall(b"last words")
    peer.close()

    async def main():
        record = Record()
        side = Side(record, own)
        side.write(b"too late")
        side.set_reading(True)
        await until(lambda: record.events)
        assert record.data == b"last words"
        assert record.events == ["lost"]

    run(main)


def test_a_closed_side_sends_all_that_it_holds(pair):
    own, peer = pair

    async def main():
        record = Record()
        side = Side(record, own, drains=True)
        side.write(MUCH)
        assert record.events == ["full"]
        side.close()
        assert await asyncio.to_thread(read_all, peer) == MUCH
        assert "lost" not in record.events
        # What comes now is nobody's; the socket goes when the other end does.
        peer.sendall(b"ignored")
        peer.close()
        await until(lambda: "lost" in record.events)
        assert record.data == b""

    run(main)


def test_a_full_side_says_when_there_is_room_again(pair):
    own, peer = pair

    async def main():
        record = Record()
        side = Side(record, own)
        side.write(MUCH)
        assert record.events == ["full"]
        reading = asyncio.create_task(asyncio.to_thread(read_all, peer))
        await until(lambda: "writable" in record.events)
        await until(lambda: not side.has_unsent)
        side.write_eof()
        assert await reading == MUCH
        assert record.events == ["full", "writable"]
        side.abort()

    run(main)


def test_a_side_given_away_says_no_goodbye(pair):
    own, peer = pair

    async def main():
        record = Record()
        side = Side(record, own)
        side.set_reading(True)
        with socket.socket(fileno=side.release()) as taken:
            assert side.is_lost
            peer.sendall(b"for the new owner")
            await asyncio.sleep(0.05)
            assert taken.recv(100) == b"for the new owner"
            taken.sendall(b"answer")
            assert peer.recv(100) == b"answer"
        assert (record.data, record.events) == (b"", [])

    run(main)


def test_a_side_with_unsent_bytes_stays(pair):
    own, _ = pair

    async def main():
        side = Side(Record(), own)
        side.write(MUCH)
        with pytest.raises(ValueError, match="unsent"):
            side.release()
        side.abort()

    run(main)
