"""
Models drawn at random, on drawn rows of a table: whatever evaluator is asked, and however
the row comes, the answer is the core's to the last bit. (That the core's is LightGBM's is
tests/predict/test_properties.py.)
"""

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sqlml.compile.artifact import compile_model
from sqlml.enums import ColumnKind, ProblemType
from sqlml.extract.reader import ARROW_TYPES
from sqlml.predict.reference import ReferencePredictor
from sqlml.search.fitted import FittedModel
from tests.extension.conftest import Connection, publish
from tests.predict.models import TIMESTAMPS, draw_linear, make_classes
from tests.predict.random_models import COLUMNS, Size, draw_features, draw_rows, draw_trees

ROW_COUNT = 40
SEEDS = st.integers(0, 2**32 - 1)
FIELD_FORMS = {
    "double precision": "!d",
    "real": "!f",
    "bigint": "!q",
    "integer": "!i",
    "boolean": "!?",
    "timestamp without time zone": "!q",
}
COPY_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
ROWS_AS = ("t", "to_jsonb(t)")
few = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def fill_table(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Put rows into an empty table as the bits they are."""
    columns = ", ".join(f'"{column.name}" {column.type_name}' for column in COLUMNS)
    connection.execute("DROP TABLE IF EXISTS asked")
    connection.execute(f"CREATE TABLE asked (place integer, {columns})".encode())
    with connection.cursor().copy("COPY asked FROM STDIN (FORMAT binary)") as copy:
        copy.write(COPY_HEADER)
        for place, row in enumerate(rows):
            copy.write(struct.pack("!hii", 1 + len(COLUMNS), 4, place))
            for column in COLUMNS:
                copy.write(make_field(row[column.name], column.type_name))
        copy.write(struct.pack("!h", -1))


def make_field(value: Any, type_name: str) -> bytes:
    """A value in the binary form of COPY."""
    if value is None:
        return struct.pack("!i", -1)
    if type_name == "text":
        data = str(value).encode()
    else:
        form = FIELD_FORMS[type_name]
        data = struct.pack(form, value if form[1] in "df" else int(value))
    return struct.pack("!i", len(data)) + data


def draw_asked(seed: int, model: FittedModel) -> pa.Table:
    """Rows that a table can hold: timestamps are within PostgreSQL's range."""
    rows = draw_rows(seed, model, ROW_COUNT)
    first, last = TIMESTAMPS
    micros = [
        None if value is None else min(max(value, first), last)
        for value in rows.column("seen at").to_pylist()
    ]
    place = rows.column_names.index("seen at")
    return rows.set_column(place, "seen at", pa.array(micros, ARROW_TYPES[ColumnKind.DATETIME]))


def ask_all(connection: Connection, expression: str) -> list[Any]:
    """The value of an expression for every row, in order."""
    query = f"SELECT {expression} FROM asked AS t ORDER BY t.place"
    return [row[0] for row in connection.execute(query.encode())]


def check_everywhere(
    connection: Connection, evaluator: str, model: FittedModel, rows: pa.Table
) -> None:
    """Ask an evaluator in all ways about all rows."""
    data = compile_model(model).data
    publish(connection, "m", data)
    fill_table(connection, rows.to_pylist())
    reference = ReferencePredictor(data)
    listed = rows.to_pylist()
    for row in ROWS_AS:
        expected = [reference.predict(one) for one in listed]
        if model.problem_type is ProblemType.REGRESSION:
            sent = ask_all(connection, f"float8send({evaluator}.predict('m', {row}, 0::float8))")
            assert b"".join(sent) == np.array(expected).astype(">f8").tobytes()
            continue
        assert ask_all(connection, f"{evaluator}.predict('m', {row})") == expected
        label = make_classes(model.problem_type)[-1]
        probabilities = [reference.probabilities(one)[-1] for one in listed]
        call = f"{evaluator}.predict_proba('m', {row}, '{label}')"
        assert ask_all(connection, call) == probabilities


@pytest.mark.parametrize("problem_type", ProblemType)
@given(seed=SEEDS)
@few
def test_evaluators_agree_on_drawn_trees(connection, evaluator, problem_type, seed):
    model = draw_trees(seed, problem_type, Size())
    check_everywhere(connection, evaluator, model, draw_asked(seed, model))


@pytest.mark.parametrize("problem_type", ProblemType)
@given(seed=SEEDS)
@few
def test_evaluators_agree_on_drawn_linear_models(connection, evaluator, problem_type, seed):
    trees = draw_trees(seed, problem_type, Size())
    model = draw_linear(
        problem_type, seed, features=draw_features(np.random.default_rng(seed)), columns=COLUMNS
    )
    check_everywhere(connection, evaluator, model, draw_asked(seed, trees))
