"""
Tampered artifacts as rows of the catalogue: a documented error or an answer, never a dead backend.
"""

import random
from collections import Counter

import pytest

from sqlml.compile.artifact import compile_model
from tests.extension.conftest import Connection, publish
from tests.extension.regress_models import MODELS
from tests.predict.models import seal

CASES = 1000
WORDS = (0, 1, 2, 5, 31, 32, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1)
DOCUMENTED = {
    "XX001",  # the artifact is damaged
    "0A000",  # of a newer format
    "42703",  # the row has no such column
    "42804",  # a column has another type
    "53200",  # out of memory
}

ASK = """
CREATE FUNCTION ask(model integer, artifact bytea) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    answer text;
    made integer;
BEGIN
    INSERT INTO sqlml.version (model_id, number, job_id, problem_type, classes, columns, estimator,
                               hyperparameters, metric, direction, split, train_rows, holdout_rows,
                               skipped_rows, artifact, golden, libraries)
    SELECT model_id, (SELECT max(number) + 1 FROM sqlml.version WHERE version.model_id = ask.model),
           job_id, problem_type, classes, columns, estimator, hyperparameters, metric, direction,
           split, train_rows, holdout_rows, skipped_rows, ask.artifact, golden, libraries
      FROM sqlml.version WHERE version.model_id = ask.model AND number = 1
    RETURNING version_id INTO made;
    UPDATE sqlml.model SET current_version_id = made WHERE model.model_id = ask.model;
    SELECT concat_ws(',', sqlml.predict('m', t), sqlml.predict('m', to_jsonb(t))) INTO answer
      FROM (SELECT 1.5 AS x, 2 AS amount, true AS "is new", 'Paris' AS city,
                   timestamp '2000-01-01 05:00' AS seen) AS t;
    RETURN 'answer';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE;
END;
$$
"""


def tamper(rng: random.Random, data: bytes) -> bytes:
    """Change an artifact here and there; most get a header that suits them."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 3)):
        place = rng.randrange(32, len(changed) - 4)
        match rng.randrange(6):
            case 0:
                changed[place] ^= 1 << rng.randrange(8)
            case 1:
                changed[place] = rng.randrange(256)
            case 2 | 3:
                changed[place : place + 4] = rng.choice(WORDS).to_bytes(4, "little")
            case 4:
                del changed[place : place + rng.randint(1, 8)]
            case _:
                start = rng.randrange(len(data) - 8)
                changed[place:place] = data[start : start + rng.randint(1, 8)]
    if rng.random() < 0.05:
        return bytes(changed)
    return seal(bytes(changed))


@pytest.mark.parametrize("name", MODELS)
def test_tampered_rows_of_the_catalogue(connection: Connection, name: str):
    data = compile_model(MODELS[name][0]).data
    publish(connection, "m", data)
    connection.execute(ASK)
    model_id, before = connection.execute(
        "SELECT model_id, pg_backend_pid() FROM sqlml.model WHERE model_name = 'm'"
        " AND schema_name = current_schema()"
    ).fetchone()
    rng = random.Random(name)
    answers: Counter[str] = Counter()
    for _ in range(CASES // 100):
        batch = [tamper(rng, data) for _ in range(100)]
        rows = connection.execute(
            "SELECT ask(%s, artifact) FROM unnest(%s::bytea[]) AS artifact", (model_id, batch)
        )
        answers.update(row[0] for row in rows)
    assert set(answers) <= DOCUMENTED | {"answer"}
    assert answers["answer"] > CASES / 50
    assert answers["XX001"] > CASES / 5
    assert connection.execute("SELECT ask(%s, %s)", (model_id, data)).fetchone() == ("answer",)
    assert connection.execute("SELECT pg_backend_pid()").fetchone() == (before,)
