"""
The C function, PL/Python, the core as a module and LightGBM agree on every row and SQL type.
"""

import random
from typing import Any

import numpy as np
import psycopg
import psycopg.conninfo
import pyarrow as pa
import pytest

from sqlml.compile.artifact import compile_model
from sqlml.db import get_query
from sqlml.enums import ColumnKind, ProblemType
from sqlml.extract.dataset import Column
from sqlml.extract.reader import ARROW_TYPES
from sqlml.predict.reference import ReferencePredictor
from sqlml.predict.scorer import Scorer
from sqlml.search.features import plain_features
from sqlml.search.fitted import FittedModel
from sqlml.server.install import install
from tests.extension.conftest import EVALUATORS, Connection, connect, publish, require_evaluator
from tests.predict.models import (
    draw_linear,
    fit_trees,
    make_classes,
    score_with_lightgbm,
)
from tests.stack import Stack

ROW_COUNT = 300
VALUES = {
    "a smallint": ("-32768", "0", "7", "32767"),
    "b integer": ("-2147483648", "0", "1", "2147483647"),
    "c bigint": ("9007199254740993", "-9223372036854775808", "9223372036854775807", "0"),
    "d real": ("0.1", "NaN", "Infinity", "-Infinity", "-0", "1e-45", "3.4028235e38", "1e-35"),
    "e double precision": (
        "0.1",
        "NaN",
        "Infinity",
        "-Infinity",
        "-0",
        "5e-324",
        "1e-35",
        "1e-308",
    ),
    "f numeric": ("0.1", "NaN", "Infinity", "1e-300", "123456789012345678901234567890.5", "0.30"),
    "g part": ("0.1", "0.7", "16777217", "NaN"),
    "h boolean": ("true", "false"),
    '"größe" text': ("", "Köln", "a\tb\n", "東京", '"', "\\", "{}", "a b"),
    "j varchar(8)": ("", "ab", "ab  ", "Köln"),
    "k character(5)": ("", "ab", "ab  ", "Köln"),
    "l name": ("ab", "Köln"),
    "m mood": ("sad", "so la la"),
    "n uuid": ("00000000-0000-0000-0000-000000000000", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"),
    "o date": (
        "infinity",
        "-infinity",
        "4714-11-24 BC",
        "294276-12-31",
        "2000-02-29",
        "1969-12-31",
    ),
    '"p q" timestamp': (
        "infinity",
        "4714-11-24 BC",
        "294276-12-31 23:59:59.999999",
        "2000-02-29 1:2",
    ),
    "r timestamptz": (
        "-infinity",
        "1850-01-01",
        "294276-12-31 23:59:59.999999+0",
        "2024-03-31 3:00",
    ),
    "s parted": ("ab", "", "zz"),
    "ab smallint[]": ("{}", "{1,NULL,-32768}", "{{1,2},{3,NULL}}", "[5:6]={7,32767}"),
    "u integer[]": ("{}", "{2147483647}", "{1,2,3,4,5}", "{NULL}"),
    "v bigint[]": ("{9007199254740993,0,-1}", "{NULL,-9223372036854775808}", "{{{1}}}"),
    "w real[]": ("{0.1,NaN,3.4028235e38}", "{}", "{Infinity,-Infinity,NULL}", "{1e-45,-0,0.7}"),
    "x double precision[]": (
        *("{}", "{0.1,NULL,NaN}", "{NaN}", "{NULL,NULL}", "{Infinity,-Infinity}", "{1e300,1e300}"),
        *("{1e308,1e308}", "{-0,0}", "{{0.1,0.2},{0.3,5e-324}}", f"{{{'0.3,' * 9999}NULL}}"),
    ),
    "y numeric[]": (
        *("{0.1,NaN,1e-300}", f"{{{'9' * 300},NULL}}", "{Infinity,12.30}"),
        *("{" + f"0.{'123456789' * 1820}" + "}", "{}"),
    ),
    "z part[]": ("{0.1,16777217,NULL}", "{}"),
    "aa parts": ("{0.7,NaN}", "{}", "{{0.1},{0.2}}"),
}
"""What the columns of the table hold, besides NULL."""


def make_tables(connection: Connection) -> None:
    """A table to learn from, and one with a few values more that the model has not seen."""
    connection.execute("CREATE DOMAIN part AS real")
    connection.execute("CREATE DOMAIN parts AS part[]")
    connection.execute("CREATE DOMAIN parted AS text")
    connection.execute("CREATE TYPE mood AS ENUM ('sad', 'so la la', 'unseen')")
    for table in ("learnt", "asked"):
        connection.execute(f"CREATE TABLE {table} ({', '.join(VALUES)}, extra integer)")
    unseen = {"m mood": "unseen", "n uuid": "11111111-1111-1111-1111-111111111111"}
    rng = random.Random(0)
    places = ", ".join(["%s"] * len(VALUES))
    for table in ("learnt", "asked"):
        rows: list[list[str | None]] = []
        for _ in range(ROW_COUNT):
            row = [rng.choice((None, *values)) for values in VALUES.values()]
            if table == "asked":
                place = rng.randrange(len(row))
                declared = list(VALUES)[place]
                is_free = any(word in declared for word in ("text", "varchar", "parted"))
                row[place] = "ünseen" if is_free else unseen.get(declared)
            rows.append(row)
        connection.cursor().executemany(f"INSERT INTO {table} VALUES ({places})".encode(), rows)


def read_dataset(connection: Connection, table: str) -> tuple[pa.Table, tuple[Column, ...]]:
    """Read a table as the extraction does, through the catalogue's own expressions."""
    facts = connection.execute(
        """
        SELECT attname, format_type(sqlml.base_type(atttypid), NULL), sqlml.column_kind(atttypid)
          FROM pg_attribute
         WHERE attrelid = %s::regclass AND attnum > 0 AND attname <> 'extra'
         ORDER BY attnum
        """,
        (table,),
    ).fetchall()
    columns = tuple(Column(name, type_name, ColumnKind(kind)) for name, type_name, kind in facts)
    if connection.execute(get_query("job", "is_sql_only")).fetchone() == (True,):
        # SQL reads no arrays.
        columns = tuple(column for column in columns if column.kind is not ColumnKind.ARRAY)
    arrays = {}
    for column in columns:
        query = connection.execute(
            "SELECT sqlml.training_expression(%s, %s, %s)",
            (column.name, column.type_name, column.kind),
        ).fetchone()
        assert query is not None
        rows = connection.execute(f"SELECT {query[0]} FROM {table} AS source".encode()).fetchall()
        values = [flatten(row[0]) for row in rows]
        arrays[column.name] = pa.array(values, ARROW_TYPES[column.kind])
    return pa.table(arrays), columns


def flatten(value: Any) -> Any:
    """Put the elements of an array of several dimensions in one list."""
    if not isinstance(value, list) or not value or not isinstance(value[0], list):
        return value
    return [element for items in value for element in flatten(items)]


def predict_all(connection: Connection, call: str, table: str = "asked") -> list[Any]:
    return [row[0] for row in connection.execute(f"SELECT {call} FROM {table} AS t".encode())]


def check_model(connection: Connection, evaluator: str, model: FittedModel) -> None:
    """Compare everything that can be asked of a model on every row of both tables."""
    data = compile_model(model).data
    publish(connection, "m", model)
    scorer, reference = Scorer(data, "m"), ReferencePredictor(data)
    for table in ("learnt", "asked"):
        dataset, _ = read_dataset(connection, table)
        raw = scorer.raw_scores(dataset)
        rows = dataset.to_pylist()
        expected = [reference.predict(row) for row in rows]
        if model.problem_type is ProblemType.REGRESSION:
            assert raw[:, 0].tolist() == expected
            calls = [f"{evaluator}.predict('m', t, NULL::float8)"]
        else:
            calls = [f"{evaluator}.predict('m', t)"]
        calls.append(calls[0].replace(" t", " to_jsonb(t)"))
        for call in calls:
            assert predict_all(connection, call, table) == expected
        for index, label in enumerate(make_classes(model.problem_type)):
            call = f"{evaluator}.predict_proba('m', t, '{label}')"
            probabilities = [reference.probabilities(row)[index] for row in rows]
            assert predict_all(connection, call, table) == probabilities


def learn(
    connection: Connection, problem_type: ProblemType, kind: str, *, with_arrays: bool = True
) -> FittedModel:
    dataset, columns = read_dataset(connection, "learnt")
    if not with_arrays:
        columns = tuple(column for column in columns if column.kind is not ColumnKind.ARRAY)
        dataset = dataset.select([column.name for column in columns])
    features = plain_features(dataset, columns)
    assert {feature.column for feature in features} == {column.name for column in columns}
    if kind == "linear":
        return draw_linear(problem_type, features=features, columns=columns)
    model = fit_trees(problem_type, table=dataset, features=features, columns=columns, rounds=30)
    asked, _ = read_dataset(connection, "asked")
    scores = Scorer(compile_model(model).data, "m").raw_scores(asked)
    assert scores.tobytes() == score_with_lightgbm(model, asked).tobytes()
    assert len(np.unique(scores)) > 50
    return model


@pytest.mark.parametrize("kind", ["trees", "linear"])
@pytest.mark.parametrize("problem_type", ProblemType)
def test_all_evaluators_agree_on_every_type(connection, evaluator, problem_type, kind):
    make_tables(connection)
    connection.execute("SET TimeZone = 'America/New_York'")
    check_model(connection, evaluator, learn(connection, problem_type, kind))


@pytest.mark.parametrize(
    "setting",
    [
        "TimeZone = 'Asia/Kathmandu'",
        "DateStyle = 'German'",
        "IntervalStyle = 'iso_8601'",
        "extra_float_digits = -10",
    ],
)
def test_settings_of_the_session_change_nothing(connection, evaluator, setting):
    make_tables(connection)
    model = learn(connection, ProblemType.REGRESSION, "linear")
    data = compile_model(model).data
    publish(connection, "m", model)
    expected = Scorer(data, "m").raw_scores(read_dataset(connection, "asked")[0])[:, 0]
    connection.execute(f"SET {setting}".encode())
    # As bytes, because extra_float_digits changes the text of the results themselves.
    calls = [f"float8send({evaluator}.predict('m', t, NULL::float8))"]
    calls.append(f"float8send({evaluator}.predict('m', t)::float8)")
    for call in calls:
        sent = predict_all(connection, call)
        assert b"".join(sent) == expected.astype(">f8").tobytes()


def test_versions_of_postgresql_agree(matrix_stack: Stack):
    with connect(matrix_stack.dsn) as connection:
        evaluator = require_evaluator(connection, "sqlml")
        make_tables(connection)
        for kind in ("trees", "linear"):
            check_model(connection, evaluator, learn(connection, ProblemType.MULTICLASS, kind))
            check_model(connection, evaluator, learn(connection, ProblemType.REGRESSION, kind))


def test_a_database_in_another_encoding(stack: Stack):
    with psycopg.connect(stack.dsn, autocommit=True) as admin:
        admin.execute("CREATE DATABASE latin ENCODING LATIN1 LOCALE 'C' TEMPLATE template0")
    try:
        dsn = psycopg.conninfo.make_conninfo(stack.dsn, dbname="latin", client_encoding="utf8")
        install(dsn, None)
        with connect(dsn) as connection:
            connection.execute('CREATE TABLE asked ("größe" text)')
            connection.execute("INSERT INTO asked VALUES ('Köln'), ('Paris'), (NULL)")
            check_latin(connection)
    finally:
        with psycopg.connect(stack.dsn, autocommit=True) as admin:
            admin.execute("DROP DATABASE latin WITH (FORCE)")


def check_latin(connection: Connection) -> None:
    """Names, levels and labels beyond ASCII are converted both ways."""
    column = Column("größe", "text", ColumnKind.CATEGORY)
    table = pa.table({"größe": ["Köln", "Köln", "Paris", "Paris", None]})
    features = plain_features(table, (column,))
    model = draw_linear(ProblemType.MULTICLASS, features=features, columns=(column,))
    data = compile_model(model).data
    publish(connection, "m", data)
    reference = ReferencePredictor(data)
    expected = [reference.predict({"größe": city}) for city in ("Köln", "Paris", None)]
    for evaluator in EVALUATORS:
        require_evaluator(connection, evaluator)
        for features_text in ("t", "to_jsonb(t)"):
            assert predict_all(connection, f"{evaluator}.predict('m', {features_text})") == expected
        assert predict_all(connection, f"{evaluator}.predict_proba('m', t, 'ä')") == [
            reference.probabilities({"größe": city})[1] for city in ("Köln", "Paris", None)
        ]
