"""
A grammar of protocol sessions, valid and broken, from a seed: what each side says, and what of it
the other side must get.

    refused    a start-up packet that is none
    cancel     a cancel request, with a key of any length
    dialogue   messages and the server's proper answers, with model statements among them
    babble     frames of any code in both directions, cut and torn in the end

Pure: opens nothing. The texts of babble and of replication sessions are never ours.
"""

import random
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import Enum, auto

from sqlml.proxy.rewriting import Surroundings
from sqlml.statement.rewriter import StatementRewriter
from sqlml.wire.messages import Backend, Frontend, frame
from sqlml.wire.startup import RequestCode
from tests.proxy import hostile_inputs as inputs
from tests.proxy.talk import FLUSH, SYNC, bind, close, describe, execute, parse, query

MARK = b"fuzz\0"
"""The parameter of a start-up packet that holds the session's number."""
_REWRITER = StatementRewriter()
_VERSIONS = (inputs.VERSION_3, inputs.VERSION_3, inputs.VERSION_3, inputs.VERSION_3 + 2)


class Ending(Enum):
    """Who ends the session, and how."""

    TERMINATE = auto()
    CLIENT_CLOSES = auto()
    CLIENT_HALF_CLOSES = auto()
    CLIENT_RESETS = auto()
    SERVER_CLOSES = auto()
    SERVER_RESETS = auto()


@dataclass(frozen=True)
class Exchange:
    """What both sides say; the server waits for the client unless both speak at once."""

    sent_by_client: bytes
    sent_by_server: bytes
    got_by_server: bytes
    got_by_client: bytes
    piece_size: int
    is_at_once: bool


@dataclass(frozen=True)
class Plan:
    """One session."""

    number: int
    requests: tuple[bytes, ...]
    """Requests for encryption, each answered with N."""
    opening: bytes
    is_refused: bool
    exchanges: tuple[Exchange, ...]
    ending: Ending


def draw_plan(number: int) -> Plan:
    """Return the session with this number; the same number gives the same session."""
    dice = random.Random(number)
    kind = dice.choices((_refused, _cancel, _dialogue, _babble), (1, 1, 6, 6))[0]
    return kind(number, dice)


def whole_frames(data: bytes) -> int:
    """Return where the frame begins that these bytes cut off; all is whole behind a bad length."""
    position = 0
    while len(data) - position >= 5:
        (length,) = struct.unpack_from("!i", data, position + 1)
        if length < 4:
            return len(data)
        if position + 1 + length > len(data):
            break
        position += 1 + length
    return position


def _requests(dice: random.Random) -> tuple[bytes, ...]:
    both = [inputs.SSL_REQUEST, inputs.GSSENC_REQUEST]
    dice.shuffle(both)
    return tuple(both[: dice.choice((0, 0, 1, 2))])


def _refused(number: int, dice: random.Random) -> Plan:
    opening = dice.choice([data for name, data in inputs.REFUSED.items() if "Request" not in name])
    return Plan(number, _requests(dice), opening, True, (), Ending.CLIENT_CLOSES)


def _cancel(number: int, dice: random.Random) -> Plan:
    key = dice.randbytes(dice.choice((4, 4, 4, 32, 256)))
    opening = inputs.packet(RequestCode.CANCEL, struct.pack("!i", number) + key)
    return Plan(number, _requests(dice), opening, False, (), Ending.SERVER_CLOSES)


def _startup(number: int, dice: random.Random, **parameters: str) -> bytes:
    names = {"fuzz": str(number), "user": "model", "database": "Ä" * dice.randrange(9)}
    if dice.random() < 0.1:
        names["options"] = "-c model=" + "x" * dice.choice((10, 5000))
    return inputs.startup(dice.choice(_VERSIONS), **names, **parameters)


def _draw_ending(dice: random.Random) -> Ending:
    return dice.choice(list(Ending))


def _piece_size(dice: random.Random, size: int) -> int:
    if size > 20_000:
        return dice.choice((size, 4096, 65_537))
    return dice.choice((size, size, size, 1 + size // 2, 100, 7, 1 if size < 300 else 1000)) or 1


# ----- babble --------------------------------------------------------------------------------


_WORDS = [
    b"SELECT 'CREATE MODEL m PREDICT y FROM t'",
    b"SELECT 1 /* ; SHOW MODELS /* ; DROP MODEL m */ ; */ AS model",
    b"-- CREATE MODEL m PREDICT y FROM t\nSELECT 1",
    b"SELECT $a$ $b$; SHOW MODELS $b$ $a$",
    b'SELECT 1 AS "; SHOW MODELS"',
    b"SELECT predict('m', 'model')",
    b"SELECT 1 AS model, 2 AS models",
    b"CREATE MODELS",
    b"SELECT 'open model",
    b"SELECT 1",
    b"BEGIN",
    b"",
    b"\xff\xfe model \xc3",
]
_BACKEND = b"RSKZTDCEN123nsItGHWdcAVv"
_FRONTEND = b"QPBEDCSHFdcfXp"


def _text(dice: random.Random) -> bytes:
    word = dice.choice(_WORDS)
    shape = dice.random()
    if shape < 0.03:
        # Longer than any look at it, with the word far behind.
        return word + b" -- " + b"x" * dice.choice((5_000, 16_384, 70_000)) + b" model"
    return word


def _contents(dice: random.Random) -> bytes:
    shape = dice.random()
    if shape < 0.5:
        return _text(dice) + b"\0"
    if shape < 0.95:
        return dice.randbytes(dice.randrange(60))
    return dice.randbytes(dice.choice((8_190, 16_384, 65_530, 300_000)))


def _client_frame(dice: random.Random) -> bytes:
    code = dice.choice(_FRONTEND) if dice.random() < 0.95 else dice.randrange(256)
    if code == Frontend.QUERY:
        return frame(code, _text(dice) + b"\0")
    if code == Frontend.PARSE:
        return frame(code, dice.choice((b"", b"s")) + b"\0" + _text(dice) + b"\0\0\0")
    if code == ord("X"):
        # A proxy may take it for the end.
        code = Frontend.SYNC
    return frame(code, _contents(dice))


def _server_frame(dice: random.Random) -> bytes:
    code = dice.choice(_BACKEND) if dice.random() < 0.95 else dice.randrange(256)
    if code == Backend.READY_FOR_QUERY and dice.random() < 0.9:
        return frame(code, dice.choice((b"I", b"T", b"E")))
    if code == Backend.PARAMETER_STATUS:
        name, value = dice.choice(
            ((b"client_encoding", b"UTF8"), (b"client_encoding", b"SJIS"), (b"TimeZone", b"model"))
        )
        return frame(code, name + b"\0" + value + b"\0")
    return frame(code, _contents(dice))


def _tear(dice: random.Random, data: bytes) -> bytes:
    """Return the bytes with an end that no frame has."""
    shape = dice.randrange(5)
    if shape == 0:
        return data[: dice.randrange(len(data) + 1)]
    if shape == 1:
        length = dice.choice(inputs.LENGTHS)
        return data + dice.choice((b"Q", b"D", b"P", b"E", b"\0")) + struct.pack("!i", length)
    if shape == 2:
        return data + dice.randbytes(dice.randrange(200))
    if shape == 3:
        return data + b"Q\0\0\0\1model" + data
    return data


def _frames(dice: random.Random, draw: Callable[[random.Random], bytes]) -> bytes:
    return b"".join(draw(dice) for _ in range(dice.choice((0, 1, 1, 2, 5, 20))))


def _babble(number: int, dice: random.Random) -> Plan:
    exchanges = []
    count = dice.randrange(5)
    for index in range(count):
        client, server = _frames(dice, _client_frame), _frames(dice, _server_frame)
        if index == count - 1 and dice.random() < 0.6:
            client, server = _tear(dice, client), _tear(dice, server)
        size = _piece_size(dice, max(len(client), len(server)))
        exchanges.append(Exchange(client, server, client, server, size, dice.random() < 0.5))
    opening = _startup(number, dice)
    return Plan(number, _requests(dice), opening, False, tuple(exchanges), _draw_ending(dice))


# ----- dialogue ------------------------------------------------------------------------------


_OURS = [
    "SHOW MODELS",
    "show models;",
    "SHOW MODEL churn",
    "DESCRIBE MODEL a.churn",
    "SELECT 'model'; SHOW MODELS; SELECT 2",
    "BEGIN; SHOW MODEL churn",
]
_CREATE = "CREATE MODEL m PREDICT y FROM t"
_FIELDS = b"SERROR\0VERROR\0C22012\0Mdivision by zero\0\0"
_LOGIN = (
    frame(ord("R"), b"\0\0\0\0")
    + frame(ord("S"), b"client_encoding\0UTF8\0")
    + frame(ord("S"), b"standard_conforming_strings\0on\0")
    + frame(ord("K"), b"\0\0\0\1\0\0\0\2")
    + frame(ord("Z"), b"I")
)
_ROWS = frame(ord("T"), b"\0\1model\0" + b"\0" * 18)
_DATA = frame(ord("D"), b"\0\1\0\0\0\5model")


@dataclass
class _Turn:
    """What is said in one exchange, message by message."""

    sent: bytes = b""
    got: bytes = b""
    answer: bytes = b""
    shown: bytes = b""

    def say(self, message: bytes, answer: bytes, got: bytes | None = None) -> None:
        self.sent += message
        self.got += message if got is None else got
        self.answer += answer
        self.shown += answer


class _Dialogue:
    """A client that keeps to the protocol, and what a server would say."""

    def __init__(self, dice: random.Random, *, is_read: bool):
        self._dice = dice
        self._is_read = is_read
        self._status = b"I"

    def login(self) -> Exchange:
        return self._exchange(_Turn(answer=_LOGIN, shown=_LOGIN))

    def turns(self) -> Iterator[Exchange]:
        """The client waits for the answers of each turn."""
        for _ in range(self._dice.randrange(6)):
            turn = _Turn()
            if self._dice.random() < 0.1:
                self._create(turn)
            yield self._exchange(self._fill(turn))

    def overlapping_turns(self) -> Iterator[Exchange]:
        """The client goes on while the answers of the turn before come."""
        before = _Turn()
        for turn in (*(self._fill(_Turn()) for _ in range(self._dice.randrange(6))), _Turn()):
            mixed = _Turn(turn.sent, turn.got, before.answer, before.shown)
            yield replace(self._exchange(mixed), is_at_once=True)
            before = turn

    def _fill(self, turn: _Turn) -> _Turn:
        for _ in range(self._dice.choice((1, 1, 2, 6))):
            self._dice.choice((self._simple, self._simple, self._extended, self._copy))(turn)
        return turn

    def _exchange(self, turn: _Turn) -> Exchange:
        size = _piece_size(self._dice, max(len(turn.sent), len(turn.answer)))
        return Exchange(turn.sent, turn.answer, turn.got, turn.shown, size, False)

    def _ready(self) -> bytes:
        self._status = self._dice.choice((b"I", b"T", b"E"))
        notice = frame(ord("A"), b"\0\0\0\1model\0\0") if self._dice.random() < 0.1 else b""
        return notice + frame(ord("Z"), self._status)

    def _rows(self, tag: bytes = b"SELECT 1") -> bytes:
        count = self._dice.choice((0, 1, 3, 400 if self._dice.random() < 0.1 else 5))
        return _ROWS + _DATA * count + frame(ord("C"), tag + b"\0")

    def _read(self, text: str, atomic: bool | None = None) -> str:
        """Return the text that the server gets."""
        if not self._is_read:
            return text
        rewriting = _REWRITER.rewrite(text, Surroundings(True, atomic))
        return text if rewriting is None else rewriting.text

    def _draw_text(self) -> str:
        if self._dice.random() < 0.3:
            return self._dice.choice(_OURS)
        return _text(self._dice).decode("latin-1").encode("ascii", "ignore").decode()

    def _create(self, turn: _Turn) -> None:
        """One whose transaction state is known: nothing else is on its way."""
        text = self._read(_CREATE, self._status != b"I")
        tag, own = (b"CALL", b"CREATE MODEL") if self._is_read else (b"X", b"X")
        ready = self._ready()
        turn.sent, turn.got = query(_CREATE), query(text)
        turn.answer = frame(ord("C"), tag + b"\0") + ready
        turn.shown = frame(ord("C"), own + b"\0") + ready

    def _simple(self, turn: _Turn) -> None:
        text = self._draw_text()
        answer = self._dice.choice(
            (
                self._rows(),
                self._rows() + self._rows(b"FETCH 3"),
                frame(ord("I"), b""),
                frame(ord("N"), _FIELDS) + frame(ord("C"), b"CALL\0"),
                b"" if text in _OURS else frame(ord("E"), _FIELDS),
            )
        )
        turn.say(query(text), answer + self._ready(), query(self._read(text)))

    def _extended(self, turn: _Turn) -> None:
        name = self._dice.choice(("", "", "s", "x" * 70))
        portal = self._dice.choice(("", "p"))
        text = self._draw_text().split(";")[0]
        own = self._read(text)
        steps: list[tuple[bytes, bytes, bytes]] = []
        if self._dice.random() < 0.8 or not name:
            steps.append((parse(text, name), frame(ord("1"), b""), parse(own, name)))
        for message, answer in (
            (describe("S", name), frame(ord("t"), b"\0\0") + _ROWS),
            (bind(portal, name), frame(ord("2"), b"")),
            (describe("P", portal), frame(ord("n"), b"")),
            (execute(portal), _DATA * 3 + frame(ord("C"), b"SELECT 3\0")),
            (execute(portal, 2), _DATA * 2 + frame(ord("s"), b"")),
            (FLUSH, b""),
            (close("P", portal), frame(ord("3"), b"")),
        ):
            if self._dice.random() < 0.7:
                steps.append((message, answer, message))
        failing = self._dice.randrange(len(steps)) if self._may_fail(steps) else len(steps)
        for index, (message, answer, got) in enumerate(steps):
            if index == failing and message != FLUSH:
                answer = frame(ord("E"), _FIELDS)
            elif index >= failing:
                answer = b""
            turn.say(message, answer, got)
        turn.say(SYNC, self._ready())

    def _may_fail(self, steps: list[tuple[bytes, bytes, bytes]]) -> bool:
        # Errors of our own statements are told in other words, which others test.
        ours = any(message != got for message, _, got in steps)
        named = any(b"s\0" in message[:8] for message, _, _ in steps)
        return bool(steps) and not ours and not named and self._dice.random() < 0.3

    def _copy(self, turn: _Turn) -> None:
        data = frame(ord("d"), b"Q\0\0\0\5SHOW MODELS\n") * self._dice.choice((0, 1, 50))
        turn.say(query("COPY model FROM STDIN") + data, frame(ord("G"), b"\0\0\1\0\0"))
        if self._dice.random() < 0.7:
            turn.say(inputs.COPY_DONE, frame(ord("C"), b"COPY 1\0") + self._ready())
        else:
            turn.say(inputs.COPY_FAIL, frame(ord("E"), _FIELDS) + self._ready())


def _dialogue(number: int, dice: random.Random) -> Plan:
    is_read = dice.random() < 0.9
    opening = _startup(number, dice, **({} if is_read else {"replication": "database"}))
    dialogue = _Dialogue(dice, is_read=is_read)
    turns = dialogue.turns if dice.random() < 0.5 else dialogue.overlapping_turns
    exchanges = [dialogue.login(), *turns()]
    return Plan(number, _requests(dice), opening, False, tuple(exchanges), _draw_ending(dice))
