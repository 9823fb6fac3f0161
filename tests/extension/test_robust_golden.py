"""
Golden rows: a model that does not give the answers it was published with predicts nothing.
"""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from sqlml.catalogue.golden import make_golden
from sqlml.compile.artifact import compile_model
from sqlml.enums import ProblemType
from sqlml.predict.scorer import Scorer
from sqlml.search.fitted import FittedModel
from tests.extension.conftest import Connection, publish
from tests.predict.models import (
    COLUMNS,
    HOSTILE_NUMBERS,
    TIMESTAMPS,
    Row,
    draw_linear,
    fit_trees,
    make_table,
    training_rows,
)

EMPTY: Row = dict.fromkeys(column.name for column in COLUMNS)


def make_rows() -> list[Row]:
    """Rows of training, and every number and time that JSON could spoil."""
    rows = training_rows(20, 1)
    rows += [{**EMPTY, "amount": number} for number in HOSTILE_NUMBERS]
    rows += [{**EMPTY, "seen at": micros} for micros in (*TIMESTAMPS, 0, -1, 1, -(10**17))]
    return rows


def make_model_golden(model: FittedModel, rows: list[Row]) -> list[dict[str, Any]]:
    raw = Scorer(compile_model(model).data, "m").raw_scores(make_table(rows))
    return make_golden(model.columns, rows, raw.tolist())


def ask(connection: Connection) -> object:
    return connection.execute("SELECT sqlml.predict('m', '{}'::jsonb)").fetchone()[0]


def refusal(connection: Connection) -> psycopg.errors.Diagnostic:
    with pytest.raises(psycopg.Error) as caught:
        ask(connection)
    return caught.value.diag


@pytest.mark.parametrize("problem_type", ProblemType)
@pytest.mark.parametrize("make", [fit_trees, draw_linear])
def test_right_golden_rows_are_taken(connection, problem_type, make):
    model = make(problem_type)
    publish(connection, "m", model, golden=json.dumps(make_model_golden(model, make_rows())))
    assert ask(connection) is not None


@pytest.mark.parametrize("make", [fit_trees, draw_linear])
def test_a_wrong_answer_is_an_error(connection, make):
    model = make(ProblemType.MULTICLASS)
    golden = make_model_golden(model, training_rows(5, 1))
    golden[3]["raw"][2] *= 1 + (1e-15 if make is fit_trees else 1e-6)
    publish(connection, "m", model, golden=json.dumps(golden))
    for _ in range(2):
        error = refusal(connection)
        assert error.sqlstate == "XX001"
        assert error.message_primary == (
            'model "m" does not give the answers it was published with'
        )
        assert error.message_detail.startswith("Golden row 4: raw score 3 is ")
        shown = error.message_detail.partition(", not ")[2].partition(",")[0]
        assert float(shown) == golden[3]["raw"][2]
        assert error.message_hint
    publish(connection, "m", model, golden="[]")
    assert ask(connection) is not None


def test_a_linear_score_may_be_off_by_rounding(connection):
    model = draw_linear(ProblemType.REGRESSION)
    golden = make_model_golden(model, training_rows(5, 1))
    golden[3]["raw"][0] *= 1 + 1e-12
    publish(connection, "m", model, golden=json.dumps(golden))
    assert ask(connection) is not None


@pytest.mark.parametrize(
    ("golden", "detail"),
    [
        ("{}", "Row 1: no array holds it."),
        ("null", "Row 1: no array holds it."),
        ('"x"', "Row 1: no array holds it."),
        ("[1]", 'Row 1: it is no object with "row" and "raw".'),
        ("[[]]", 'Row 1: it is no object with "row" and "raw".'),
        ("[{}]", 'Row 1: it is no object with "row" and "raw".'),
        ('[{"row": {}}]', 'Row 1: it is no object with "row" and "raw".'),
        ('[{"raw": [1]}]', 'Row 1: it is no object with "row" and "raw".'),
        ('[{"row": 1, "raw": [1]}]', 'Row 1: it is no object with "row" and "raw".'),
        ('[{"row": [], "raw": [1]}]', "Row 1: features must be a row or a JSON object"),
        ('[{"row": {}, "raw": []}]', 'Row 1: "raw" does not hold one number a raw score.'),
        ('[{"row": {}, "raw": [1, 2]}]', 'Row 1: "raw" does not hold one number a raw score.'),
        ('[{"row": {}, "raw": {"a": 1}}]', 'Row 1: "raw" does not hold one number a raw score.'),
        ('[{"row": {}, "raw": ["x"]}]', 'Row 1: "raw" does not hold one number a raw score.'),
        ('[{"row": {}, "raw": [null]}]', 'Row 1: "raw" does not hold one number a raw score.'),
        ('[{"row": {"amount": "x"}, "raw": [1]}]', 'Row 1: column "amount" of the row is a string'),
        ('[{"row": {"amount": 1e999}, "raw": [1]}]', 'Row 1: "'),
        ('[{"row": {"seen at": "soon"}, "raw": [1]}]', "Row 1: invalid date or time in column"),
        ('[{"row": {"seen at": 7}, "raw": [1]}]', 'Row 1: column "seen at" of the row is a number'),
    ],
)
def test_damaged_golden_rows_are_an_error(connection, golden, detail):
    publish(connection, "m", draw_linear(ProblemType.REGRESSION), golden=golden)
    error = refusal(connection)
    assert error.sqlstate == "XX001"
    assert error.message_primary == 'golden rows of model "m" are damaged'
    assert error.message_detail.startswith(detail)
    assert error.message_hint == "Train the model again."
    assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_number_no_double_holds_damages_raw_scores(connection):
    publish(
        connection,
        "m",
        draw_linear(ProblemType.REGRESSION),
        golden='[{"row": {}, "raw": [1e999]}]',
    )
    assert refusal(connection).sqlstate == "XX001"


def test_golden_timestamps_are_written_as_postgresql_writes_them(connection):
    moments = (*TIMESTAMPS, 0, -1, 1, 10**18, -(10**17), 31_622_400_000_000)
    columns = [column for column in COLUMNS if column.name == "seen at"]
    rows = [{"seen at": micros} for micros in (*moments, None)]
    written = [item["row"]["seen at"] for item in make_golden(columns, rows, [[0.0]] * len(rows))]
    assert written[-1] is None
    for micros, text in zip(moments, written[:-1], strict=True):
        query = "SELECT to_jsonb(%s::timestamp)"
        shown = connection.execute(query, (shift(micros),)).fetchone()[0]
        # PostgreSQL leaves out a fraction of zeros.
        moment, dot, fraction = text.removesuffix(" BC").partition(".")
        fraction = fraction.rstrip("0")
        assert shown == moment + (dot + fraction if fraction else "") + text[len(moment) + 7 :]


def shift(micros: int) -> str:
    """The moment by another way: a cycle of 400 years less or more, as the calendar repeats."""
    cycle = 146_097 * 86_400_000_000
    cycles, rest = divmod(micros, cycle)
    moment = datetime(2000, 1, 1, tzinfo=UTC) + timedelta(microseconds=rest)
    year = moment.year + 400 * cycles
    text = f"{moment:%m-%d %H:%M:%S.%f}"
    return f"{year:04}-{text}" if year > 0 else f"{1 - year:04}-{text} BC"
