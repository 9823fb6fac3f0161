"""
Play planned sessions through a proxy, holding both of its ends, many at once in one thread.

The order in which sessions make progress is drawn too, so a run is its seed's, as far as the
proxy's own pace allows.
"""

import random
import re
import select
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress

from tests.proxy.fuzz_sessions import MARK, Ending, Exchange, Plan, draw_plan, whole_frames
from tests.proxy.hostile_talk import reset
from tests.proxy.talk import codes

HANG_S = 20.0
"""Longer than that nothing may take."""
_READ_SIZE = 1 << 18
_NUMBER = re.compile(re.escape(MARK) + rb"(\d+)\0")


class Failure(Exception):
    """What a session met that must not be."""


class Listener:
    """The server's place: connections, by the number of their session."""

    def __init__(self, listener: socket.socket):
        self._listener = listener
        self._listener.setblocking(False)
        self._unknown: dict[socket.socket, bytearray] = {}
        self._known: dict[int, tuple[socket.socket, bytes]] = {}

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def take(self, number: int) -> tuple[socket.socket, bytes] | None:
        """Return the connection of this session and its first packet, once they are there."""
        self._accept()
        return self._known.pop(number, None)

    def _accept(self) -> None:
        with suppress(BlockingIOError):
            while True:
                server = self._listener.accept()[0]
                server.setblocking(False)
                self._unknown[server] = bytearray()
        for server, packet in tuple(self._unknown.items()):
            # Nothing beyond the packet: what is behind it belongs to the session.
            wanted = 4 if len(packet) < 4 else int.from_bytes(packet[:4], "big")
            with suppress(BlockingIOError):
                packet += server.recv(wanted - len(packet))
            if len(packet) >= 8 and len(packet) == int.from_bytes(packet[:4], "big"):
                del self._unknown[server]
                self._known[_number_of(bytes(packet))] = server, bytes(packet)


def _number_of(packet: bytes) -> int:
    found = _NUMBER.search(packet)
    return int(found[1]) if found else int.from_bytes(packet[8:12], "big")


class _Flow:
    """Bytes from one end to the other."""

    def __init__(self, source: socket.socket, sink: socket.socket, sent: bytes, got: bytes):
        self._source, self._sink, self._left, self._expected = source, sink, sent, got
        self._received = bytearray()
        self.surely = whole_frames(got)
        """How many bytes must arrive while both ends stay open."""

    @property
    def is_done(self) -> bool:
        return not self._left and len(self._received) >= self.surely

    @property
    def rest(self) -> bytes:
        """What may still come."""
        return self._expected[len(self._received) :]

    def step(self, piece_size: int) -> bool:
        """Send a piece, read what is there; say whether anything moved."""
        moved = False
        with suppress(BlockingIOError):
            while self._left:
                size = self._source.send(self._left[:piece_size])
                self._left = self._left[size:]
                moved = True
        with suppress(BlockingIOError):
            # Never more than is expected, because the rest belongs to what follows.
            while room := len(self._expected) - len(self._received):
                data = self._sink.recv(min(room, _READ_SIZE))
                if not data:
                    raise Failure(f"ended early: {self.rest[:80]!r} was to come")
                self._received += data
                moved = True
        if not self._expected.startswith(self._received):
            raise Failure(f"got {bytes(self._received)!r}\ninstead of {self._expected!r}")
        return moved


class _Session:
    """One plan at work; `play` yields whether anything moved."""

    def __init__(self, plan: Plan, address: tuple[str, int], listener: Listener):
        self._plan = plan
        self._address = address
        self._listener = listener
        self._to_server = self._to_client = b""
        self.step = "connecting"
        """What it waits for, to be told if that never comes."""

    def play(self) -> Iterator[bool]:
        with socket.create_connection(self._address, HANG_S) as client:
            client.setblocking(False)
            for request in self._plan.requests:
                client.sendall(request)
                yield from _receive(client, b"N")
            client.sendall(self._plan.opening)
            if self._plan.is_refused:
                yield from _refused(client)
                return
            self.step = "waiting for the connection to the server"
            while (taken := self._listener.take(self._plan.number)) is None:
                yield False
            server, packet = taken
            with server:
                if packet != self._plan.opening:
                    raise Failure(f"the server got {packet!r}\ninstead of {self._plan.opening!r}")
                for number, exchange in enumerate(self._plan.exchanges):
                    self.step = f"in exchange {number}"
                    yield from self._exchange(client, server, exchange)
                self.step = f"ending: {self._plan.ending.name}"
                yield from self._end(client, server)

    def _exchange(
        self, client: socket.socket, server: socket.socket, exchange: Exchange
    ) -> Iterator[bool]:
        up = _Flow(client, server, exchange.sent_by_client, exchange.got_by_server)
        down = _Flow(server, client, exchange.sent_by_server, exchange.got_by_client)
        for flows in ((up, down),) if exchange.is_at_once else ((up,), (down,)):
            while not all(flow.is_done for flow in flows):
                yield any([flow.step(exchange.piece_size) for flow in flows])
        # Only a plan's last exchange leaves anything.
        self._to_server, self._to_client = up.rest, down.rest

    def _end(self, client: socket.socket, server: socket.socket) -> Iterator[bool]:
        match self._plan.ending:
            case Ending.TERMINATE if not self._to_server and not self._to_client:
                client.sendall(b"X\0\0\0\4")
                client.close()
                yield from _receive(server, b"X\0\0\0\4", may_end=True)
            case Ending.CLIENT_CLOSES | Ending.TERMINATE:
                yield from _receive_some(client, self._to_client)
                client.shutdown(socket.SHUT_WR)
                yield from _receive(server, self._to_server, may_end=True)
            case Ending.CLIENT_HALF_CLOSES:
                client.shutdown(socket.SHUT_WR)
                yield from _receive(server, self._to_server, may_end=True)
                server.close()
                yield from _receive(client, self._to_client, may_end=True)
            case Ending.SERVER_CLOSES:
                server.shutdown(socket.SHUT_WR)
                yield from _receive(client, self._to_client, may_end=True)
            case Ending.CLIENT_RESETS:
                reset(client)
                yield from _ended(server)
            case Ending.SERVER_RESETS:
                reset(server)
                yield from _ended(client)


def _receive(sock: socket.socket, expected: bytes, *, may_end: bool = False) -> Iterator[bool]:
    """Wait for these bytes, and with `may_end` for the end behind them."""
    received = bytearray()
    while may_end or len(received) < len(expected):
        try:
            data = sock.recv(_READ_SIZE)
        except BlockingIOError:
            yield False
            continue
        if not data:
            break
        received += data
        yield True
    if bytes(received) != expected:
        raise Failure(f"got {bytes(received)[:300]!r}\ninstead of {expected[:300]!r} and the end")


def _receive_some(sock: socket.socket, expected: bytes) -> Iterator[bool]:
    """Take what is there of these bytes."""
    received = b""
    with suppress(BlockingIOError):
        received = sock.recv(_READ_SIZE)
    if not expected.startswith(received):
        raise Failure(f"got {received[:300]!r}\ninstead of {expected[:300]!r}")
    yield True


def _ended(sock: socket.socket) -> Iterator[bool]:
    """Wait for the end, in whatever way."""
    while True:
        try:
            if not sock.recv(_READ_SIZE):
                return
        except BlockingIOError:
            yield False
        except ConnectionError:
            return


def _refused(client: socket.socket) -> Iterator[bool]:
    """Wait for FATAL 08P01 and the end."""
    received = bytearray()
    while True:
        try:
            data = client.recv(_READ_SIZE)
        except BlockingIOError:
            yield False
            continue
        except ConnectionError:
            break
        if not data:
            break
        received += data
    if not codes([(chr(received[0]), bytes(received[5:]))] if received else []) == "E[08P01]":
        raise Failure(f"not refused: {bytes(received)!r}")


def play_all(
    address: tuple[str, int], listener: Listener, numbers: Sequence[int], together: int
) -> Iterator[tuple[int, str]]:
    """Play the sessions with these numbers; yield the number and the fault of each that fails."""
    waiting = iter(numbers)
    dice = random.Random(numbers[0])
    sessions: dict[int, _Session] = {}
    playing: dict[int, Iterator[bool]] = {}
    moved_at: dict[int, float] = {}
    while True:
        while len(playing) < together and (number := next(waiting, None)) is not None:
            sessions[number] = _Session(draw_plan(number), address, listener)
            playing[number] = sessions[number].play()
            moved_at[number] = time.monotonic()
        if not playing:
            return
        has_moved = False
        for number in dice.sample(sorted(playing), len(playing)):
            try:
                if next(playing[number]):
                    has_moved, moved_at[number] = True, time.monotonic()
                elif time.monotonic() - moved_at[number] > HANG_S:
                    raise Failure(f"hangs {sessions[number].step}")
            except StopIteration:
                del playing[number], sessions[number]
                has_moved = True
            except (Failure, OSError) as failure:
                del playing[number], sessions[number]
                yield number, str(failure) or repr(failure)
        if not has_moved:
            select.select([], [], [], 0.0005)
