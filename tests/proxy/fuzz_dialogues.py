"""
Dialogues with a real server, from a seed: any order of messages that can be compared.

What the server answers must not depend on the moment, on process numbers or on what another
session does, so all tables are temporary and nothing is described by its number.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

from sqlml.wire.messages import frame
from tests.proxy import hostile_inputs as inputs
from tests.proxy.talk import (
    FLUSH,
    SYNC,
    TERMINATE,
    bind,
    close,
    describe,
    execute,
    once,
    parse,
    query,
)

_TEXTS = [
    "SELECT 1",
    "SELECT 'CREATE MODEL m PREDICT y FROM t'",
    "SELECT 1/0",
    "SELECT model",
    "SELEC model",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "SAVEPOINT model",
    "ROLLBACK TO model",
    "SELECT generate_series(1, 5), 'model'",
    "CREATE TEMPORARY TABLE IF NOT EXISTS t (model int)",
    "DROP TABLE IF EXISTS t",
    "INSERT INTO t VALUES (1), (2)",
    "SELECT model + 1 FROM t ORDER BY 1",
    "COPY (SELECT 'model' FROM generate_series(1, 3)) TO STDOUT",
    "PREPARE models AS SELECT 'model'",
    "EXECUTE models",
    "DEALLOCATE models",
    "DEALLOCATE ALL",
    "DISCARD ALL",
    "DECLARE model CURSOR WITH HOLD FOR SELECT generate_series(1, 4)",
    "FETCH 2 FROM model",
    "CLOSE ALL",
    "SET standard_conforming_strings = off",
    "SET standard_conforming_strings = on",
    "SET client_encoding = 'LATIN1'",
    "SET client_encoding = 'UTF8'",
    # A literal under both settings of standard_conforming_strings.
    r"SELECT '\\''; SHOW MODELS; --'",
    "SET application_name = 'model'",
    "RESET ALL",
    "LISTEN model",
    "DO $$ BEGIN RAISE NOTICE 'CREATE MODEL m'; END $$",
    "DO $$ BEGIN RAISE 'SHOW MODELS' USING HINT = 'model'; END $$",
    "SELECT predict('m', 'model')",
    "SHOW model.nothing",
    "CREATE MODELS",
    "VACUUM nothing",
    "",
    ";;",
    "-- model",
    "/* model",
]
_NAMES = ("", "", "s", "model")
_FIRST = query("SET escape_string_warning = off")


@dataclass(frozen=True)
class Dialogue:
    """All that the client says, and the size of the packets it says it in."""

    data: bytes
    piece_size: int | None


def draw_dialogue(seed: int) -> Dialogue:
    """Return the dialogue with this seed."""
    dice = random.Random(seed)
    data = _FIRST + b"".join(_draw_part(dice) for _ in range(dice.randrange(1, 25)))
    ending = dice.randrange(4)
    if ending == 0:
        data += TERMINATE
    elif ending == 1:
        data = data[: dice.randrange(len(_FIRST), len(data) + 1)]
    elif ending == 2:
        data += dice.choice(list(inputs.BROKEN.values()))
    return Dialogue(data, dice.choice((None, None, 1, 7, 1000)))


def _draw_part(dice: random.Random) -> bytes:
    draws: list[Callable[[random.Random], bytes]]
    draws = [_simple, _simple, _pipeline, _pipeline, _copy, _function_call]
    draw: Callable[[random.Random], bytes] = dice.choice(draws)
    return draw(dice)


def _simple(dice: random.Random) -> bytes:
    text: bytes = query("; ".join(dice.choice(_TEXTS) for _ in range(dice.choice((1, 1, 1, 2, 4)))))
    return text


def _pipeline(dice: random.Random) -> bytes:
    """Messages of the extended protocol, in an order that may make no sense."""
    parts = []
    for _ in range(dice.randrange(1, 8)):
        name, portal, text = dice.choice(_NAMES), dice.choice(_NAMES), dice.choice(_TEXTS)
        parts.append(
            dice.choice(
                (
                    parse(text, name),
                    parse("SELECT $1::text AS model", name, (25,)) + bind(portal, name, (b"x",)),
                    bind(portal, name),
                    describe(*dice.choice((("S", name), ("P", portal)))),
                    execute(portal, dice.choice((0, 0, 2))),
                    close(*dice.choice((("S", name), ("P", portal)))),
                    FLUSH,
                    once(text),
                )
            )
        )
    # A Query may follow without Sync.
    return b"".join(parts) + (SYNC if dice.random() < 0.9 else query("SELECT 'model'"))


def _copy(dice: random.Random) -> bytes:
    """Data whether the server asked for them or not; with a Query in between it ends us."""
    row = dice.choice((b"1\n", b"no number\n", b"2", b"", b"\\.\n", b"3\n4\n"))
    data = frame(ord("d"), row) * dice.choice((0, 1, 3, 100))
    start = query("CREATE TEMPORARY TABLE IF NOT EXISTS t (model int)")
    text = "COPY t FROM STDIN"
    copy, sync = dice.choice(((query(text), b""), (once(text), SYNC)))
    end: bytes = dice.choice((inputs.COPY_DONE, inputs.COPY_FAIL))
    return bytes(start + copy + data + end + sync)


def _function_call(dice: random.Random) -> bytes:
    # lower(text), or none.
    oid = dice.choice((870, 870, 7))
    value = b"MODEL"
    arguments = b"\0\0\0\1" + len(value).to_bytes(4, "big") + value
    return frame(ord("F"), oid.to_bytes(4, "big") + arguments + b"\0\0")
