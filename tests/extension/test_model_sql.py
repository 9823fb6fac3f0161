"""
What `sqlml.model_sql` gives is PostgreSQL's own arithmetic, and equals the artifact bit for bit.
"""

import itertools
import math
import random
import struct
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import psycopg
import pyarrow as pa
import pytest

from sqlml.compile.artifact import compile_model
from sqlml.compile.double import Number, find_underflow, multiply, round_to_real
from sqlml.compile.sql import MAX_FEATURES
from sqlml.compile.sql_parts import MAX_DEPTH, write_tree
from sqlml.compile.trees import CompiledTree
from sqlml.enums import ColumnKind, EstimatorName, ProblemType
from sqlml.extract.dataset import Column
from sqlml.predict.reference import ReferencePredictor
from sqlml.search.features import plain_features
from sqlml.search.fitted import (
    Blend,
    Feature,
    FeatureOp,
    FittedModel,
    LinearPart,
    Link,
    TextTerm,
)
from tests.extension.bare import empty_database
from tests.extension.conftest import Connection, connect, publish, write_sql
from tests.extension.test_agreement import learn, make_tables, read_dataset
from tests.extension.test_predict import BINARY, NUMBERED, REGRESSION, ask, refusal
from tests.predict.constructs import draw_model, draw_table, make_vocabulary
from tests.predict.models import (
    CITIES,
    COLUMNS,
    HOSTILE_NUMBERS,
    TIMESTAMPS,
    Row,
    booster_of,
    draw_linear,
    fit_trees,
    make_table,
    training_rows,
)
from tests.stack import Stack

DAY = 86_400_000_000
TREES: dict[str, dict[str, Any]] = {
    "plain": {},
    "zero_as_missing": {"zero_as_missing": True},
    "no_missing": {"use_missing": False},
    "one_leaf": {"min_data_in_leaf": 300},
    "one_against_rest": {"max_cat_to_onehot": 100},
    "deep": {"extra_trees": True, "num_leaves": 127, "min_data_in_leaf": 1},
    "dart": {"boosting": "dart", "rounds": 12},
    "random_forest": {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.7},
    "numbers_as_codes": {"as_codes": ("größe",), "num_leaves": 60, "rounds": 20},
}


def bits(numbers: Sequence[float]) -> list[str]:
    """Doubles so that == tells -0 from 0."""
    return [float(number).hex() for number in numbers]


@cache
def hostile_table_rows() -> list[Row]:
    """Rows that PostgreSQL can hold: every value beside every other, and many at random."""
    rng = random.Random(0)
    numbers: list[float | None] = [None, *HOSTILE_NUMBERS, 16777217.0, 2.0**53 + 2, -1e15, 3.7]
    numbers += [struct.unpack("<d", rng.randbytes(8))[0] for _ in range(60)]
    texts = (None, *CITIES, "köln", "Köln ", "unseen", "'", "\\", "🐘", "e\u0301")
    moments = (None, *TIMESTAMPS, 0, -1, -DAY, 59 * DAY, DAY * 366 - 1, -63082281600000000)
    rows = training_rows(200, 3)
    for index in range(600):
        rows.append(
            {
                "amount": numbers[index % len(numbers)],
                "größe": rng.choice(numbers),
                "is_new": rng.choice((None, True, False)),
                "city": rng.choice(texts),
                "seen at": rng.choice((*moments, rng.randrange(*TIMESTAMPS))),
            }
        )
    return rows


def make_asked(connection: Connection, rows: Sequence[Row]) -> None:
    """Put rows into a table."""
    connection.execute(
        'CREATE TABLE asked (id integer, amount float8, "größe" float8, is_new boolean, city text,'
        ' "seen at" timestamp)'
    )
    # In two steps, since an interval cannot span all of a timestamp's range in microseconds.
    moment = "timestamp '2000-01-01' + %s * interval '1 day' + %s * interval '1 microsecond'"
    parameters = []
    for index, row in enumerate(rows):
        *values, micros = row.values()
        days = (None, None) if micros is None else divmod(micros, DAY)
        parameters.append((index, *values, *days))
    connection.cursor().executemany(
        f"INSERT INTO asked VALUES (%s, %s, %s, %s, %s, {moment})".encode(), parameters
    )


def check_sql(connection: Connection, model: FittedModel, rows: Sequence[Row]) -> None:
    """Compare everything that the SQL says of the rows of `asked`."""
    written = write_sql(model)
    assert written.problem is None
    columns = "prediction, scores" + (", probabilities" if model.classes else "")
    query = f"""WITH input AS (SELECT * FROM asked), {written.text}
        SELECT {columns} FROM answer ORDER BY (input_row).id"""
    answers = connection.execute(query.encode()).fetchall()
    reference = ReferencePredictor(compile_model(model).data)
    for row, (prediction, scores, *probabilities) in zip(rows, answers, strict=True):
        assert bits(scores) == bits(reference.raw_scores(row)), row
        assert prediction == reference.predict(row), row
        if model.classes:
            # PostgreSQL's exp() does not give what is below the normal numbers.
            expected = [
                0.0 if number < sys.float_info.min else number
                for number in reference.probabilities(row)
            ]
            assert bits(probabilities[0]) == bits(expected), row


@pytest.mark.parametrize("name", TREES)
@pytest.mark.parametrize("problem_type", ProblemType)
def test_trees_are_equal_on_hostile_rows(connection, problem_type, name):
    rows = hostile_table_rows()
    make_asked(connection, rows)
    check_sql(connection, fit_trees(problem_type, **TREES[name]), rows)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("problem_type", ProblemType)
def test_linear_models_are_equal_on_hostile_rows(connection, problem_type, seed):
    rows = hostile_table_rows()
    make_asked(connection, rows)
    check_sql(connection, draw_linear(problem_type, seed), rows)


def test_values_at_and_beside_every_threshold_are_equal(connection):
    model = fit_trees(ProblemType.REGRESSION, **TREES["deep"])
    trees = booster_of(model).trees_to_dataframe()
    found = trees[trees.decision_type == "<="]
    rows = []
    for name, feature in (("amount", "Column_0"), ("größe", "Column_1")):
        thresholds = np.unique(found[found.split_feature == feature].threshold.astype(float))
        beside = [np.nextafter(thresholds, np.inf), np.nextafter(thresholds, -np.inf)]
        for value in np.concatenate([thresholds, *beside]):
            row: Row = {"amount": None, "größe": None, "is_new": True, "city": None, "seen at": 0}
            rows.append({**row, name: float(value)})
    assert len(rows) > 50
    make_asked(connection, rows)
    check_sql(connection, model, rows)


@cache
def blend(problem_type: ProblemType, **changes: Any) -> FittedModel:
    """A model of two kinds of trees and a linear part."""
    trees, linear = fit_trees(problem_type), draw_linear(problem_type)
    forest = fit_trees(problem_type, **TREES["random_forest"])
    outputs = 3 if problem_type is ProblemType.MULTICLASS else 1
    settings = {
        "parts": (*trees.parts, *linear.parts, *forest.parts),
        "weights": (0.3, 0.1, -0.6),
        "scale": 0.7,
        "offsets": tuple(0.1 * (k + 1) for k in range(outputs)),
        **changes,
    }
    return replace(trees, **settings)


@pytest.mark.parametrize(
    "model",
    [
        lambda: blend(ProblemType.BINARY, threshold=0.25),
        lambda: blend(ProblemType.MULTICLASS),
        lambda: blend(ProblemType.REGRESSION),
        lambda: blend(ProblemType.BINARY, blend=Blend.RESPONSE, weights=(0.2, 0.7, 0.1)),
        lambda: blend(ProblemType.MULTICLASS, blend=Blend.RESPONSE, weights=(0.5, 0.25, 0.25)),
        lambda: blend(ProblemType.REGRESSION, blend=Blend.RESPONSE),
        lambda: replace(draw_linear(ProblemType.REGRESSION), link=Link.SQUARE, scale=1e-200),
        lambda: replace(draw_linear(ProblemType.REGRESSION), link=Link.SQUARE, scale=1e170),
        lambda: replace(draw_linear(ProblemType.REGRESSION), link=Link.LOGISTIC, scale=100.0),
        lambda: replace(draw_linear(ProblemType.REGRESSION), scale=1e-320),
        lambda: fit_trees(ProblemType.BINARY, sigmoid=0.3),
    ],
    ids=itertools.count(),
)
def test_blends_links_and_calibration_are_equal(connection, model):
    rows = hostile_table_rows()[:300]
    make_asked(connection, rows)
    check_sql(connection, model(), rows)


def make_constructed(connection: Connection, table: pa.Table) -> None:
    """Put rows of the columns of random models into a table that an SQL model reads."""
    connection.execute(
        'CREATE TABLE asked (id integer, x float8, "große Zahl" float8, r float8, i float8,'
        ' is_new boolean, stadt text, wort text, "seen at" timestamp)'
    )
    moment = "timestamp '2000-01-01' + %s * interval '1 day' + %s * interval '1 microsecond'"
    parameters = []
    for index, row in enumerate(table.to_pylist()):
        *values, micros = row.values()
        days = (None, None) if micros is None else divmod(micros, DAY)
        parameters.append((index, *values, *days))
    connection.cursor().executemany(
        f"INSERT INTO asked VALUES (%s, %s, %s, %s, %s, %s, %s, %s, {moment})".encode(), parameters
    )


def draw_sql_table(model: FittedModel, seed: int) -> pa.Table:
    """Rows for a drawn model whose timestamps PostgreSQL can hold."""
    table = draw_table(seed, model, 60)
    micros = [
        value if value is None or TIMESTAMPS[0] <= value <= TIMESTAMPS[1] else 0
        for value in table.column("seen at").to_pylist()
    ]
    place = table.column_names.index("seen at")
    return table.set_column(place, "seen at", pa.array(micros, pa.int64()))


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize("problem_type", ProblemType)
def test_models_of_every_construct_that_sql_can_follow_are_equal(connection, problem_type, seed):
    model = draw_model(seed, problem_type, has_words=False)
    # SQL has no expm1() that is exact, and must refuse what could overflow.
    links = tuple(Link.IDENTITY if link is Link.EXPM1 else link for link in model.links)
    model = replace(model, links=links)
    written = write_sql(model)
    if written.problem is not None:
        assert written.problem == "a score of the model may overflow, which SQL cannot do"
        return
    table = draw_sql_table(model, seed)
    make_constructed(connection, table)
    check_sql(connection, model, table.to_pylist())


@pytest.mark.parametrize(
    ("score", "rounded"),
    [
        *((0.1, 0.10000000149011612), (-0.0, -0.0), (1e-46, 0.0), (-1e-46, -0.0)),
        *((2.0**-150, 0.0), (math.nextafter(2.0**-150, 1), 2.0**-149)),
        *((3.4028234663852886e38, 3.4028234663852886e38), (1e-40, 9.999946101114759e-41)),
    ],
)
def test_scores_are_rounded_as_c_does(connection, score, rounded):
    text = round_to_real(Number("x", 3.4028234663852886e38)).text
    query = f"SELECT {text} FROM (SELECT {score!r}::float8 AS x) AS t"
    (answer,) = connection.execute(query.encode()).fetchone()
    assert answer.hex() == rounded.hex()


@pytest.mark.parametrize(
    ("feature", "kind", "problem"),
    [
        (FeatureOp.WORDS, ColumnKind.CATEGORY, 'it reads the words of column "c", which SQL'),
        (FeatureOp.CAPITALS, ColumnKind.CATEGORY, 'it reads the words of column "c", which SQL'),
        (FeatureOp.LENGTH, ColumnKind.ARRAY, 'it reads arrays, of column "c", which SQL'),
    ],
)
def test_what_sql_cannot_read_is_refused(feature, kind, problem):
    column = Column("c", "text" if kind is ColumnKind.CATEGORY else "real[]", kind)
    features = (Feature(column="c", op=feature),)
    model = draw_linear(ProblemType.REGRESSION, features=features, columns=(column,))
    assert write_sql(model).problem.startswith(problem)


def test_text_terms_are_refused_unless_their_part_has_no_say():
    model = draw_model(3, ProblemType.BINARY)
    vocabularies = (make_vocabulary("stadt", [1, 2], np.random.default_rng(0)),)
    text = TextTerm(vocabulary=0, weights=np.ones((2, 1), dtype=np.float32))
    line = LinearPart(estimator=EstimatorName.LINEAR, intercepts=np.zeros(1), terms=(text,))
    number = LinearPart(estimator=EstimatorName.LINEAR, intercepts=np.ones(1))
    model = replace(
        model, features=(), parts=(line, number), links=(), offsets=(), vocabularies=vocabularies
    )
    problem = "it reads the words of texts, which SQL cannot cut as sqlml does"
    assert write_sql(replace(model, weights=(1.0, 1.0))).problem == problem
    assert write_sql(replace(model, weights=(0.0, 1.0))).problem is None


@pytest.mark.parametrize("link", [Link.EXP, Link.EXPM1, Link.LOGISTIC, Link.SQUARE])
@pytest.mark.parametrize(
    "score",
    [
        *(0.0, -0.0, 1e-310, -1e-17, 0.5, 36.9, -40.1, 709.782712893384, -708.3, 709.79, 711.0),
        *(-745.2, 1e300, -1e300, 1.3407807929942597e154, 1e-170),
    ],
)
def test_the_ends_of_every_link(connection, link, score):
    model = replace(REGRESSION, link=link)
    expected = ReferencePredictor(compile_model(model).data).predict({"x": score})
    assert isinstance(expected, float)
    publish(connection, "line", model)
    query = f"""WITH input AS (SELECT {score!r}::float8 AS x), {write_sql(model).text}
        SELECT prediction FROM answer"""
    (answer,) = connection.execute(query.encode()).fetchone()
    if link is Link.EXPM1:
        assert answer == pytest.approx(expected, rel=1e-14, abs=0)
    else:
        assert answer.hex() == expected.hex()


def test_probabilities_that_double_precision_hardly_holds(connection):
    rows = {"800": [0.0, 0.0, 1.0], "-800": [1.0, 0.0, 0.0], "0": [1 / 3] * 3}
    for score, expected in rows.items():
        query = f"""WITH input AS (SELECT {score}::float8 AS x), {write_sql(NUMBERED).text}
            SELECT probabilities FROM answer"""
        assert connection.execute(query.encode()).fetchone() == (expected,)


def test_a_score_that_may_overflow_is_refused():
    model = replace(REGRESSION, scale=1e10)
    assert write_sql(model).text is None
    assert write_sql(model).problem == "a score of the model may overflow, which SQL cannot do"


@pytest.mark.parametrize("factor", [0.5, -0.3, 1e-17, 3e-308, 5e-324, 0.0, 1.0])
def test_products_underflow_as_in_c(connection, factor):
    limit = find_underflow(factor)
    values = {limit, math.nextafter(limit, 1), 5e-324, 1.0, 0.0, 1e300}
    product = multiply(Number("x", 1e300), factor).text
    for value in (*values, *(-value for value in values)):
        query = f"SELECT {product} FROM (SELECT {value!r}::float8 AS x) AS t"
        (answer,) = connection.execute(query.encode()).fetchone()
        assert answer.hex() == (value * factor).hex()


@pytest.mark.parametrize("kind", ["trees", "linear"])
@pytest.mark.parametrize("problem_type", ProblemType)
def test_every_type_of_column_on_every_version_of_postgresql(matrix_stack, problem_type, kind):
    with connect(matrix_stack.dsn) as connection:
        make_tables(connection)
        connection.execute("SET TimeZone = 'America/New_York'")
        connection.execute("SET jit = off")
        model = learn(connection, problem_type, kind, with_arrays=False)
        publish(connection, "m", model)
        reference = ReferencePredictor(compile_model(model).data)
        datasets = {table: read_dataset(connection, table)[0] for table in ("learnt", "asked")}
        connection.execute("SET extra_float_digits = -5")
        for table, dataset in datasets.items():
            query = ask(connection, f"sqlml.model_sql('m', '{table}')")
            cursor = connection.cursor(binary=True)
            answers = cursor.execute(f"SELECT scores FROM ({query}) AS answers".encode())
            for (scores,), row in zip(answers.fetchall(), dataset.to_pylist(), strict=True):
                assert bits(scores) == bits(reference.raw_scores(row)), row


def test_names_and_levels_that_need_quoting(connection):
    levels = ("it's", 'say "hi"', "back\\slash", "new\nline", "tab\t", "100 %", "{}", "é", "🐘", "")
    column = Column("a \"b' \\c", "text", ColumnKind.CATEGORY)
    table = make_table([{column.name: level} for level in levels * 2], (column,))
    features = plain_features(table, (column,))
    model = replace(
        draw_linear(ProblemType.MULTICLASS, features=features, columns=(column,)),
        classes=("it's", "\\", 'a"b\n'),
    )
    reference = ReferencePredictor(compile_model(model).data)
    publish(connection, "m\n; SELECT 1", model)
    for setting in ("on", "off"):
        connection.execute(f"SET standard_conforming_strings = {setting}".encode())
        connection.execute("SET backslash_quote = off; SET escape_string_warning = off")
        query = ask(connection, "sqlml.model_sql(%s)", '"m\n; SELECT 1"')
        start, end = query.index("    SELECT NULL"), query.index("\n),")
        for level in (*levels, "other", None):
            literal = "NULL" if level is None else "$q$" + level + "$q$"
            source = f"SELECT {literal}::text AS {psycopg.sql.Identifier(column.name).as_string()}"
            answer = connection.execute((query[:start] + source + query[end:]).encode())
            _, prediction, _, scores = answer.fetchone()
            assert scores == reference.raw_scores({column.name: level})
            assert prediction == reference.predict({column.name: level})


def test_the_query_runs_where_nothing_of_sqlml_is(connection, stack: Stack):
    publish(connection, "line", BINARY)
    query = ask(connection, "sqlml.model_sql('line')")
    with empty_database(stack.dsn) as database, psycopg.connect(database) as elsewhere:
        assert elsewhere.execute(query.encode()).fetchall() == [(None, "false", [0.5, 0.5], [0.0])]
        elsewhere.execute(f"CREATE VIEW answers AS {query}".encode())


def test_the_query_keeps_the_columns_of_its_relation(connection):
    publish(connection, "line", NUMBERED)
    connection.execute("CREATE TABLE t AS SELECT 1 AS id, 5::numeric AS x, 'b' AS \"Ä\"")
    query = ask(connection, "sqlml.model_sql('line', 't')")
    cursor = connection.execute(query.encode())
    names = [column.name for column in cursor.description]
    assert names == ["id", "x", "Ä", "prediction", "probabilities", "scores"]
    assert cursor.fetchone()[:4] == (1, 5, "b", "3")
    assert "The probabilities are of '1', '2', '3'." in query.split("\n")[0]
    # Any query may stand in its place, with rows of no named type.
    other = query.replace("SELECT * FROM t", "SELECT 7 AS x, a FROM (VALUES (1), (2)) AS v (a)")
    assert [row[:3] for row in connection.execute(other.encode())] == [(7, 1, "3"), (7, 2, "3")]


def test_a_regression_has_no_column_of_probabilities(connection):
    publish(connection, "line", REGRESSION)
    cursor = connection.execute(ask(connection, "sqlml.model_sql('line')").encode())
    assert [column.name for column in cursor.description] == ["x", "prediction", "scores"]


@pytest.mark.parametrize(
    ("call", "sqlstate", "message"),
    [
        ("'nope'", "42704", 'model "nope" does not exist'),
        ("''", "42704", 'model "" does not exist'),
        ("'line', 'nope'", "42P01", 'relation "nope" does not exist'),
        ("'line', 'a b'", "42P01", 'relation "a b" does not exist'),
        ("'line', ''", "42P01", 'relation "" does not exist'),
        ("'young'", "55000", 'model "young" cannot predict yet'),
        ("'big'", "0A000", 'model "big" cannot be written as SQL'),
        ("'old'", "0A000", 'model "old" cannot be written as SQL'),
    ],
)
def test_bad_input(connection, call, sqlstate, message):
    publish(connection, "line", REGRESSION)
    publish(connection, "big", replace(REGRESSION, scale=1e10))
    publish(connection, "old", compile_model(REGRESSION).data)
    connection.execute(
        "INSERT INTO sqlml.model (schema_name, model_name) VALUES (current_schema(), 'young')"
    )
    connection.execute("SELECT sqlml.make_predict_function(current_schema(), 'young', 'text')")
    error = refusal(connection, f"SELECT sqlml.model_sql({call})")
    assert (error.sqlstate, error.message_primary) == (sqlstate, message)


def test_no_model_gives_no_query(connection):
    assert ask(connection, "sqlml.model_sql(NULL)") is None


def make_chain(depth: int) -> CompiledTree:
    """A tree whose every left child is a leaf."""
    nodes = np.arange(depth)
    return CompiledTree(
        feature=np.zeros(depth, dtype=np.int32),
        flags=np.full(depth, 10, dtype=np.uint32),
        left=(-1 - nodes).astype(np.int32),
        right=np.append(nodes[1:], -1 - depth).astype(np.int32),
        threshold=nodes.astype(np.float64) + 0.5,
        leaves=np.arange(depth + 1.0)[:, None],
        counts=np.ones(depth + 1, dtype=np.uint32),
        words=np.zeros(0, dtype=np.uint32),
        bounds=np.zeros(0, dtype=np.int64),
    )


def test_postgresql_has_the_stack_for_what_is_not_refused(matrix_stack):
    features = (Feature(column="x", op=FeatureOp.VALUE),)
    deep = write_tree(make_chain(MAX_DEPTH), features).text
    many = " + ".join([write_tree(make_chain(9), features).text] * 2000)
    with connect(matrix_stack.dsn) as connection:
        assert ask(connection, "current_setting('max_stack_depth')") == "2MB"
        for text, value, expected in (
            (deep, 1e9, MAX_DEPTH),
            (deep, -1, 0),
            (many, 3, 6000),
        ):
            query = f"{text} FROM (SELECT {value}::float8 AS f0 OFFSET 0) AS feature"
            assert ask(connection, query) == expected


def test_models_beyond_the_limits_are_refused():
    with pytest.raises(Exception, match=f"deeper than {MAX_DEPTH} splits"):
        write_tree(make_chain(MAX_DEPTH + 1), (Feature(column="x", op=FeatureOp.VALUE),))
    stumps = fit_trees(ProblemType.REGRESSION, rounds=2001, num_leaves=2, learning_rate=0.01)
    assert write_sql(stumps).problem == "it has 2001 trees, and SQL can hold 2000"
    model = fit_trees(ProblemType.REGRESSION, rounds=600, num_leaves=120, min_data_in_leaf=1)
    assert "leaves, and SQL can hold 32000" in write_sql(model).problem
    assert {item["name"] for item in write_sql(model).inputs} == {column.name for column in COLUMNS}


def test_a_model_of_many_columns_is_written(connection):
    columns = tuple(Column(f"x{n}", "real", ColumnKind.NUMERIC) for n in range(MAX_FEATURES))
    features = tuple(Feature(column=column.name, op=FeatureOp.VALUE) for column in columns)
    model = draw_linear(ProblemType.REGRESSION, features=features, columns=columns)
    publish(connection, "wide", model)
    row = {column.name: None for column in columns}
    expected = ReferencePredictor(compile_model(model).data).predict(row)
    query = ask(connection, "sqlml.model_sql('wide')")
    answers = f"{query.partition('SELECT (input_row)')[0]}SELECT prediction FROM answer"
    assert connection.execute(answers.encode()).fetchone() == (expected,)
