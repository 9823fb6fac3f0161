"""
The relay in C against the conversation in Python: the same messages leave both in one state.
"""

import random
import socket
import sys
import threading
import time
from contextlib import contextmanager

import pytest

from sqlml.proxy.conversation import Awaited, AwaitedKind, Conversation
from sqlml.proxy.counters import BLOCK_SLOTS, Counter, Counters
from sqlml.wire.messages import Backend, Frontend, error_response, frame
from tests.proxy.talk import SYNC, bind, close, describe, execute, parse, query

native = pytest.importorskip("sqlml.proxy._relay")

TIMEOUT_S = 20
MIGRATE = query("show models")
LOGGED_IN = (b"I", "UTF8", True, True, b"", False, False, 0, False)
RULES = (None, 1 << 32, 1 << 32, 1000, 1000, True, True, False)
WORDS = (b"too many", b"unchallenged", b"stopping")


def ready(status):
    return frame(Backend.READY_FOR_QUERY, status)


class Ends:
    """The client's and the server's end of one session in a relay."""

    def __init__(self, relay, state=LOGGED_IN, **given):
        self.relay = relay
        self.client, client = socket.socketpair()
        self.upstream, upstream = socket.socketpair()
        for end in (self.client, self.upstream):
            end.settimeout(TIMEOUT_S)
        for end in (client, upstream):
            end.setblocking(False)
        fields = {
            "from_client": b"",
            "from_upstream": b"",
            "upstream_passing": 0,
            "to_client": b"",
            "to_upstream": b"",
            "has_client_ended": False,
            **given,
        }
        relay.give(7, client.detach(), upstream.detach(), state, *fields.values())

    def close(self):
        self.client.close()
        self.upstream.close()

    def send(self, data):
        """From the client to the server, who must get just that."""
        self.client.sendall(data)
        assert receive(self.upstream, len(data)) == data

    def reply(self, data):
        """From the server to the client, who must get just that."""
        self.upstream.sendall(data)
        assert receive(self.client, len(data)) == data

    def migrate(self):
        """Have the relay give the session away, and return what it gave."""
        self.client.sendall(MIGRATE)
        taken = take(self.relay)
        for fd in taken[1:3]:
            socket.socket(fileno=fd).close()
        return taken


def receive(sock, size):
    data = b""
    while len(data) < size and (piece := sock.recv(size - len(data))):
        data += piece
    return data


def take(relay):
    deadline = time.monotonic() + TIMEOUT_S
    while (taken := relay.take()) is None:
        assert time.monotonic() < deadline, "the relay gave nothing"
        time.sleep(0.001)
    relay.forget()
    return taken


@contextmanager
def running_relay(decide=lambda *_: True, listeners=(), rules=RULES, counters=None):
    counters = counters or Counters()
    relay = native.Relay(listeners, 1, rules, WORDS, counters.slots, 1, decide)
    thread = threading.Thread(target=relay.run, daemon=True)
    thread.start()
    try:
        yield relay
    finally:
        relay.stop()
        thread.join(TIMEOUT_S)
        assert not thread.is_alive()


@pytest.fixture(scope="module")
def relay():
    with running_relay() as relay:
        yield relay


@pytest.fixture
def ends(relay):
    ends = Ends(relay)
    yield ends
    ends.close()


# Messages of a client, and what a server answers at some time to something.
SENT = {
    "Q": query("select 1"),
    "P": parse("select 1", "a"),
    "B": bind("", "a"),
    "D": describe("S", "a"),
    "E": execute(),
    "C": close("S", "a"),
    "S": SYNC,
    "F": frame(Frontend.FUNCTION_CALL, b"\0\0"),
    "c": frame(Frontend.COPY_DONE, b""),
    "f": frame(Frontend.COPY_FAIL, b"no\0"),
    "H": frame(ord("H"), b""),
    "d": frame(ord("d"), b"Q\0\0\0\1"),
}
REPLIES = {
    "1": frame(Backend.PARSE_COMPLETE, b""),
    "2": frame(Backend.BIND_COMPLETE, b""),
    "3": frame(Backend.CLOSE_COMPLETE, b""),
    "T": frame(Backend.ROW_DESCRIPTION, b"\0\0"),
    "n": frame(Backend.NO_DATA, b""),
    "D": frame(ord("D"), b"\0\0"),
    "t": frame(ord("t"), b"\0\0"),
    "C": frame(Backend.COMMAND_COMPLETE, b"SELECT 1\0"),
    "I": frame(Backend.EMPTY_QUERY_RESPONSE, b""),
    "s": frame(Backend.PORTAL_SUSPENDED, b""),
    "G": frame(Backend.COPY_IN_RESPONSE, b"\0\0\0"),
    "E": error_response("ERROR", "22012", "division by zero"),
    "N": frame(Backend.NOTICE_RESPONSE, b"\0"),
    "ZI": ready(b"I"),
    "ZT": ready(b"T"),
    "ZE": ready(b"E"),
}


def note_sent(conversation, code):
    if code in "fc":
        conversation.sent(Awaited(AwaitedKind.COPY_END))
    elif code not in "Hd":
        conversation.sent(Awaited(AwaitedKind(ord(code))))


def note_reply(conversation, code):
    if code[0] == "Z":
        conversation.ready(code[1:].encode())
    elif code == "C":
        conversation.completed(b"SELECT 1")
    elif code == "E":
        conversation.failed(b"22012")
    else:
        conversation.received(ord(code))


def read_awaited(conversation):
    conversation.received(0)
    return bytes(awaited.kind for awaited in conversation._awaited)


@pytest.mark.parametrize("seed", range(150))
def test_both_keep_the_same_state(relay, seed):
    source = random.Random(seed)
    conversation = Conversation()
    conversation.ready(b"I")
    ends = Ends(relay)
    for _ in range(source.randrange(1, 60)):
        if source.random() < 0.55:
            codes = source.choices(list(SENT), k=source.randrange(1, 4))
            ends.send(b"".join(SENT[code] for code in codes))
            for code in codes:
                note_sent(conversation, code)
        else:
            codes = source.choices(list(REPLIES), k=source.randrange(1, 4))
            ends.reply(b"".join(REPLIES[code] for code in codes))
            for code in codes:
                note_reply(conversation, code)
    # Both take what ended a COPY out of the way only when they look.
    ends.reply(REPLIES["N"])
    status, _, _, _, awaited, is_skipping, _, index, _ = ends.migrate()[3]
    ends.close()
    assert awaited == read_awaited(conversation)
    assert status == conversation.status.value
    assert is_skipping == conversation._is_skipping
    assert index == conversation._statement_index


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 64])
def test_bytes_arrive_however_they_are_cut(ends, size):
    conversation = b"".join(SENT[code] for code in "QPBDECSHFd") + parse("x" * 300) + SYNC
    replies = b"".join(REPLIES[code] for code in ("T", "D", "E", "ZI", "N", "1", "2"))
    for sender, receiver, data in (
        (ends.client, ends.upstream, conversation),
        (ends.upstream, ends.client, replies),
    ):
        for start in range(0, len(data), size):
            sender.sendall(data[start : start + size])
        assert receive(receiver, len(data)) == data
    assert ends.migrate()[4] == MIGRATE


def test_what_was_read_and_not_passed_on_goes_with_the_session(ends):
    reply = REPLIES["C"]
    ends.upstream.sendall(frame(ord("D"), bytes(100)) + reply[:3])
    assert receive(ends.client, 105) == frame(ord("D"), bytes(100))
    ends.client.sendall(SENT["P"] + MIGRATE + SENT["Q"])
    assert receive(ends.upstream, len(SENT["P"])) == SENT["P"]
    taken = take(ends.relay)
    assert taken[0] == 7
    assert taken[4:] == (MIGRATE + SENT["Q"], reply[:3], 0, b"", b"", False)


def test_a_frame_of_the_server_that_is_under_way_goes_on(ends):
    rows = frame(ord("D"), bytes(1000))
    ends.send(SENT["Q"])
    ends.reply(rows[:300])
    taken = ends.migrate()
    assert taken[3][4] == b"Q"
    assert taken[6] == len(rows) - 300


def test_parameters_of_the_session_go_with_it(ends):
    for name, value in (("client_encoding", "SJIS"), ("standard_conforming_strings", "off")):
        ends.reply(frame(Backend.PARAMETER_STATUS, f"{name}\0{value}\0".encode()))
    assert ends.migrate()[3][1:3] == ("SJIS", False)


def test_who_decides_is_told_the_text_and_how_to_read_it():
    asked = []

    def decide(*question):
        asked.append(question)
        return False

    with running_relay(decide) as relay:
        ends = Ends(relay)
        ends.reply(frame(Backend.PARAMETER_STATUS, b"client_encoding\0LATIN1\0"))
        ends.send(query("select 1") + query("SELECT 'model'") + parse("show models", "name"))
        long = query("/* model */ select '" + "x" * 100_000 + "'")
        ends.send(long)
        ends.close()
    assert asked[:2] == [(b"SELECT 'model'", "LATIN1", True), (b"show models", "LATIN1", True)]
    assert [text for text, _, _ in asked[2:]] == [long[5 : 5 + 16384]]


def test_a_long_text_waits_for_no_more_than_its_head(ends):
    text = query("-- nothing of ours\n" + "x" * 1_000_000)
    ends.client.sendall(text[:1000])
    ends.upstream.settimeout(0.2)
    with pytest.raises(TimeoutError):
        ends.upstream.recv(1)
    ends.upstream.settimeout(TIMEOUT_S)
    ends.client.sendall(text[1000:20_000])
    assert receive(ends.upstream, 20_000) == text[:20_000]


def test_a_failing_decision_does_not_pass_a_text_on_unread(monkeypatch):
    failures = []
    monkeypatch.setattr(sys, "unraisablehook", lambda failure: failures.append(failure.exc_type))

    def fail(*_):
        raise RuntimeError("no decision")

    with running_relay(fail) as relay:
        ends = Ends(relay)
        assert ends.migrate()[4] == MIGRATE
        ends.close()
    assert failures == [RuntimeError]


def test_a_session_goes_on_with_what_it_brings(relay):
    row = frame(ord("D"), bytes(50))
    ends = Ends(
        relay,
        (b"T", "EUC_JP", False, True, b"QS", False, False, 2, False),
        from_client=SENT["Q"] + SENT["S"][:3],
        from_upstream=REPLIES["C"] + b"Z\0",
        to_client=row,
        to_upstream=SENT["S"],
    )
    assert receive(ends.upstream, 5 + len(SENT["Q"])) == SENT["S"] + SENT["Q"]
    assert receive(ends.client, len(row + REPLIES["C"])) == row + REPLIES["C"]
    ends.client.sendall(SENT["S"][3:])
    assert receive(ends.upstream, 5) == SENT["S"]
    state = ends.migrate()[3]
    ends.close()
    assert state == (b"T", "EUC_JP", False, True, b"QSQS", False, False, 3, False)


def test_the_end_of_the_client_reaches_the_server_behind_its_bytes(relay):
    ends = Ends(relay, to_upstream=b"x" * 1000, has_client_ended=True)
    assert receive(ends.upstream, 2000) == b"x" * 1000
    ends.reply(REPLIES["C"])
    ends.upstream.close()
    assert ends.client.recv(1) == b""
    ends.client.close()


def test_the_end_of_the_server_comes_behind_all_its_bytes(ends):
    data = frame(ord("D"), bytes(3_000_000))
    sender = threading.Thread(target=lambda: (ends.upstream.sendall(data), ends.upstream.close()))
    sender.start()
    time.sleep(0.05)
    assert receive(ends.client, len(data)) == data
    assert ends.client.recv(1) == b""
    sender.join()


def is_refused_in_the_end(sock, size):
    """Send rows; say whether the other end stopped taking them before so many bytes."""
    sent = 0
    while sent < size:
        try:
            sent += sock.send(frame(ord("D"), bytes(100_000)))
        except BlockingIOError:
            return True
        time.sleep(0.0005)
    return False


def test_what_a_client_sent_last_arrives_though_it_is_gone(ends):
    ends.upstream.setblocking(False)
    assert is_refused_in_the_end(ends.upstream, 1 << 30)
    ends.upstream.settimeout(TIMEOUT_S)
    ends.client.sendall(SENT["Q"] + SENT["S"])
    # With bytes unread, so that the relay meets a broken socket when it writes.
    ends.client.close()
    last = SENT["Q"] + SENT["S"]
    assert receive(ends.upstream, len(last)) == last


def test_a_stalled_reader_stops_its_server_and_nobody_else(relay, ends):
    ends.upstream.setblocking(False)
    assert is_refused_in_the_end(ends.upstream, 1 << 30)
    other = Ends(relay)
    other.send(SENT["Q"])
    other.reply(REPLIES["C"])
    other.close()


def test_a_stopping_relay_says_so_where_it_can():
    with running_relay() as relay:
        idle, busy, inside = Ends(relay), Ends(relay), Ends(relay)
        busy.send(SENT["Q"])
        inside.reply(frame(ord("D"), bytes(100))[:50])
        idle.send(SYNC)
        idle.reply(ready(b"I"))
        relay.drain()
        assert receive(idle.client, 100) == b"stopping"
        assert receive(idle.upstream, 100) == frame(ord("X"), b"")
        busy.reply(REPLIES["C"] + ready(b"T"))
        busy.send(SENT["Q"])
        busy.reply(REPLIES["C"])
        busy.upstream.sendall(ready(b"I"))
        assert receive(busy.client, 100) == ready(b"I") + b"stopping"
    assert receive(inside.client, 1) == b""
    for ends in (idle, busy, inside):
        ends.close()


def test_counters():
    counters = Counters()
    with running_relay(counters=counters) as relay:
        ends = Ends(relay)
        ends.send(SENT["Q"])
        ends.reply(REPLIES["C"])
        assert counters.get(Counter.SESSIONS) == 1
        ends.migrate()
        ends.close()
        assert relay.count() == 0
    assert counters.get(Counter.SESSIONS) == 0
    assert counters.get(Counter.BYTES_FROM_CLIENTS) == len(SENT["Q"])
    assert counters.get(Counter.BYTES_FROM_UPSTREAM) == len(REPLIES["C"])
    assert len(counters.slots) == 2 * BLOCK_SLOTS


@pytest.mark.parametrize(
    "state",
    [
        (b"", "UTF8", True, True, b"", False, False, 0, False),
        (b"I", "X" * 24, True, True, b"", False, False, 0, False),
        (b"I", "UTF8"),
    ],
)
def test_a_state_that_makes_no_sense_is_refused(relay, state):
    with pytest.raises((TypeError, ValueError)):
        relay.give(1, -1, -1, state, b"", b"", 0, b"", b"", False)
