"""
How long prepared statements and portals of ours live: the server itself is the oracle.

Random dialogues go through an interceptor to the server; then both are asked what there is.
"""

import pytest
from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from sqlml.proxy.handover import SessionState
from sqlml.proxy.interceptor import Interceptor
from sqlml.statement.rewriter import StatementRewriter
from sqlml.wire.messages import frame
from tests.proxy.talk import (
    FLUSH,
    SYNC,
    Talker,
    bind,
    close,
    describe,
    execute,
    parse,
    query,
    talk,
)

NAMES = ["", "a", "b"]
TEXTS = ["SHOW MODELS", "SELECT 1 AS theirs", "SELECT wrong", "SELECT 1/0", "BEGIN", "COMMIT"]
TEXTS += ["DEALLOCATE a", 'deallocate /**/ prepare "b"', "DEALLOCATE ALL", "ROLLBACK", ""]
QUERIES = ["SELECT 1; SHOW MODELS", "COMMIT; BEGIN", "ROLLBACK; BEGIN", "SELECT 1; DEALLOCATE a"]
QUERIES += ["BEGIN; SAVEPOINT s", "ROLLBACK TO s", "DISCARD ALL", "COMMIT AND CHAIN", ";", "SELEC"]
COPY_DATA, COPY_DONE = frame(ord("d"), b"1\n"), frame(ord("c"), b"")
COPY = "COPY c FROM STDIN"
COPIES = [
    query(COPY) + COPY_DATA + COPY_DONE,
    query(COPY) + frame(ord("d"), b"x\n") + COPY_DONE,
    query(f"{COPY}; SELECT 1; {COPY}; SHOW MODELS") + (COPY_DATA + COPY_DONE) * 2,
    parse(COPY) + bind() + execute() + COPY_DATA + COPY_DONE + SYNC,
    parse(COPY) + bind() + execute() + SYNC + COPY_DATA + COPY_DONE + SYNC,
]
MARK = "what the server says"
OURS = "statement LIKE '%sqlml.show_models()%' AND name <> 'oracle'"
QUESTION = f"""
SELECT '{MARK}',
       (SELECT string_agg(',' || name, '') FROM pg_prepared_statements WHERE {OURS}),
       (SELECT string_agg(',' || name, '') FROM pg_cursors WHERE {OURS})
"""
ORACLE = parse(QUESTION, "oracle") + bind("oracle", "oracle") + execute("oracle")
ORACLE += close("P", "oracle") + close("S", "oracle") + SYNC
RECOVER = parse("ROLLBACK", "oracle") + bind("oracle", "oracle") + execute("oracle")
RECOVER += close("S", "oracle") + SYNC


def live(name="", portal=""):
    """A statement and a portal of ours."""
    return parse("SHOW MODELS", name) + bind(portal, name)


names = st.sampled_from(NAMES)
messages = st.one_of(
    st.builds(parse, st.sampled_from(TEXTS), names),
    st.builds(bind, names, names),
    st.builds(execute, names),
    st.builds(close, st.sampled_from("SP"), names),
    st.builds(describe, st.sampled_from("SP"), names),
    st.builds(query, st.sampled_from(TEXTS + QUERIES)),
    st.sampled_from([SYNC, FLUSH, COPY_DATA, COPY_DONE, query("BEGIN"), *COPIES]),
)
# What is likely to make something of ours that lives.
ours = st.builds(live, names, names)


class Tap:
    """A session whose bytes go through an interceptor in this process."""

    def __init__(self, talker: Talker):
        self.talker = talker
        state = SessionState(is_logged_in=True, awaited=b"")
        self.interceptor = Interceptor(StatementRewriter(), state)

    def send(self, data, piece_size=None):
        for start in range(0, len(data), piece_size or len(data) or 1):
            piece = data[start : start + (piece_size or len(data))]
            self.talker.socket.sendall(self.interceptor.from_client(piece))

    def ask(self, data):
        """Send, and return the messages up to a ReadyForQuery behind which nothing is due."""
        self.send(data)
        found = []
        while True:
            message = self.talker.read_message()
            assert message is not None
            found.append(message)
            self.interceptor.from_upstream(frame(ord(message[0]), message[1]))
            if message[0] == "Z" and self.interceptor._conversation.is_idle():
                return found


@pytest.fixture(scope="module")
def tapped(dsn):
    with talk(dsn) as talker:
        talker.socket.settimeout(5)
        talker.ask(query("CREATE TEMPORARY TABLE c (n int)"))
        yield talker


def ask_server(tap):
    """What of ours lives, in the server's own words: statements and portals."""
    if tap.ask(SYNC)[-1][1] == b"E":
        tap.ask(RECOVER)
    [row] = [payload for code, payload in tap.ask(ORACLE) if code == "D"]
    mark, statements, portals = read_row(row)
    assert mark == MARK
    return set(statements.split(",")[1:]), set(portals.split(",")[1:])


def is_unnamed_ours(tap):
    """Whether the unnamed statement exists and is ours; it has no other oracle."""
    return any(code == "T" and b"target" in row for code, row in tap.ask(describe("S") + SYNC))


@example([live(), query("SELECT 1")], None)
@example([live(), query(";")], None)
@example([query("BEGIN"), live("a", "a"), query("COMMIT; BEGIN")], None)
@example([query("BEGIN"), live("a", "a"), query("SELECT 1"), live("b"), query(";")], None)
@example([query("BEGIN"), live("a"), query("SELECT 1")], None)
@example([live("a"), live("b"), query('DEALLOCATE PREPARE "a"')], None)
@example([live("a"), live(), parse("DEALLOCATE ALL", "b") + bind("", "b") + execute()], None)
@example([live("a"), parse("SHOW MODELS", "a"), SYNC], None)
@example([live("a"), close("S", "a"), live("b", "b"), close("P", "b")], 1)
@example([live(), parse("SELECT wrong"), SYNC], None)
@example([describe("S", "a"), query("SELECT 1"), SYNC, live("a")], None)
@given(st.lists(st.one_of(messages, ours), max_size=8), st.sampled_from([None, 1, 7]))
@settings(max_examples=100, deadline=None)
def test_ours_is_what_the_server_says(tapped, dialogue, piece_size):
    tap = Tap(tapped)
    # DISCARD ALL would take the table along.
    tap.ask(query("ROLLBACK; DEALLOCATE ALL; CREATE TEMPORARY TABLE IF NOT EXISTS c (n int)"))
    tap.send(b"".join(dialogue), piece_size)
    statements, portals = ask_server(tap)
    names = tap.interceptor._conversation.names
    known, known_portals = read_names(names._statements), read_names(names._portals)
    event(f"{len(known)} statements, {len(known_portals)} portals")
    assert known - {""} == statements
    # After ROLLBACK TO, or AND CHAIN, some are remembered up to the end of the transaction.
    assert known_portals >= portals
    if b"ROLLBACK" not in b"".join(dialogue):
        assert known_portals == portals
    assert is_unnamed_ours(tap) == ("" in known)


def read_names(found):
    """The names of what was rewritten; a DEALLOCATE is remembered as well."""
    return {name.decode() for name, rewriting in found.items() if rewriting.splices}


def read_row(payload):
    values, position = [], 2
    for _ in range(int.from_bytes(payload[:2], "big")):
        size = int.from_bytes(payload[position : position + 4], "big", signed=True)
        position += 4
        values.append(payload[position : position + size].decode() if size > 0 else "")
        position += max(size, 0)
    return values
