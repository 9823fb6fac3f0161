"""
What sqlml.explain_prediction says of each column: LightGBM's `pred_contrib`, the terms of a
linear model, and with the base what the prediction is made of.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sqlml.enums import ProblemType
from sqlml.search.fitted import Blend, FittedModel, Link
from tests.extension.conftest import Connection, connect, publish
from tests.extension.regress_models import make_price
from tests.extension.test_planner_switch import other_session, stranger
from tests.extension.test_predict import BINARY, NUMBERED, REGRESSION, ask, make_line, refusal
from tests.extension.test_robust_memory import SLACK, USAGE
from tests.predict.models import (
    COLUMNS,
    EPOCH_2000,
    Row,
    draw_linear,
    fit_trees,
    make_classes,
    make_table,
    training_rows,
)
from tests.predict.test_contributions import TOLERANCE, expect_contributions
from tests.stack import Stack

ROWS = training_rows(60, 1)
SPOKEN_FOR: dict[ProblemType, tuple[str | None, ...]] = {
    **{problem_type: make_classes(problem_type) for problem_type in ProblemType},
    ProblemType.BINARY: make_classes(ProblemType.BINARY)[1:],
    ProblemType.REGRESSION: (None,),
}
"""The classes of the contributions."""
ONE_X = "(SELECT 5 AS x) AS t"


@pytest.fixture(autouse=True)
def needs_extension(connection: Connection) -> None:
    found = connection.execute("SELECT FROM pg_extension WHERE extname = 'sqlml'").fetchone()
    if found is None:
        pytest.skip("the server has no extension sqlml")


def make_mixture(problem_type: ProblemType) -> FittedModel:
    """Trees and linear terms, whose seconds since 1970 are brought down to the trees' size."""
    trees, linear = fit_trees(problem_type), draw_linear(problem_type)
    return replace(trees, parts=(*trees.parts, *linear.parts), weights=(0.5, 1e-9), scale=2.0)


def make_rows(connection: Connection, rows: Sequence[Row] = ROWS) -> None:
    """Put rows into the table of their columns, whose order is another than the model's."""
    declared = [f'"{column.name}" {column.type_name}' for column in reversed(COLUMNS)]
    connection.execute(f"CREATE TABLE asked (id integer, {', '.join(declared)})".encode())
    for number, row in enumerate(rows):
        values = [row[column.name] for column in reversed(COLUMNS)]
        if values[0] is not None:
            moment = EPOCH_2000 + timedelta(microseconds=values[0])
            values[0] = moment.replace(tzinfo=None)
        connection.execute("INSERT INTO asked VALUES (%s, %s, %s, %s, %s, %s)", (number, *values))


def explain(connection: Connection, features: str, source: str) -> list[tuple[Any, ...]]:
    """The contributions of rows, in the order in which they come."""
    query = f"""
        SELECT e.class, e.column, e.contribution
          FROM {source}, sqlml.explain_prediction('m', {features}) AS e"""
    return connection.execute(query.encode()).fetchall()


def explain_table(
    connection: Connection, model: FittedModel, features: str = "t"
) -> NDArray[np.float64]:
    """The contributions of the table's rows: (rows, outputs, columns + 1)."""
    rows = explain(connection, features, "(SELECT * FROM asked ORDER BY id) AS t")
    labels = SPOKEN_FOR[model.problem_type]
    names = [*(column.name for column in model.columns), None]
    assert [row[:2] for row in rows] == [(k, name) for k in labels for name in names] * len(ROWS)
    return np.array([row[2] for row in rows]).reshape(len(ROWS), len(labels), len(names))


def check_trees(connection: Connection, problem_type: ProblemType) -> None:
    model = fit_trees(problem_type)
    publish(connection, "m", model)
    make_rows(connection)
    expected = expect_contributions(model, make_table(ROWS))
    assert (np.abs(expected[:, :, :-1]).max(axis=(0, 1)) > 0).sum() >= 3
    for features in ("t", "to_jsonb(t)"):
        actual = explain_table(connection, model, features)
        tolerance = TOLERANCE * np.abs(expected).max()
        np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance)
    connection.execute("DROP TABLE asked")


@pytest.mark.parametrize("problem_type", ProblemType)
def test_contributions_of_trees_are_those_of_lightgbm(connection, problem_type):
    check_trees(connection, problem_type)


def test_contributions_on_each_version_of_postgresql(matrix_stack: Stack):
    with connect(matrix_stack.dsn) as connection:
        for problem_type in ProblemType:
            check_trees(connection, problem_type)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("1, true, 'Paris', timestamp '2000-01-01 05:30'", [2, 10, 4000, 5]),
        ("-3, false, 'Köln', timestamp 'infinity'", [-6, 0, 3000, -0.5]),
        ("NULL, NULL, NULL, NULL", [-50, -5, 1000, -0.5]),
        ("'NaN'::float8, true, 'Rome', date '2000-01-01'", [-50, 10, 2000, 0]),
    ],
)
def test_contributions_of_a_linear_model_are_its_terms(connection, row, expected):
    publish(connection, "m", make_price())
    source = f'(SELECT {row}) AS t (amount, "is new", city, seen)'
    if row.startswith("NULL"):
        columns = 'NULL::int AS amount, NULL::bool AS "is new", NULL::text AS city'
        source = f"(SELECT {columns}, NULL::date AS seen) AS t"
    names = ("amount", "is new", "city", "seen", None)
    assert explain(connection, "t", source) == [
        (None, name, contribution)
        for name, contribution in zip(names, [*expected, 100], strict=True)
    ]


def test_every_class_of_many_has_contributions(connection):
    publish(connection, "m", make_line(ProblemType.MULTICLASS, "1", "2", "3", intercept=0.25))
    assert explain(connection, "t", ONE_X) == [
        *(("1", "x", 5.0), ("1", None, 0.25)),
        *(("2", "x", 10.0), ("2", None, 0.25)),
        *(("3", "x", 15.0), ("3", None, 0.25)),
    ]


def test_contributions_of_two_classes_are_for_the_second(connection):
    publish(connection, "m", make_line(ProblemType.BINARY, "no", "yes", intercept=-1.0))
    assert explain(connection, "t", ONE_X) == [("yes", "x", 5.0), ("yes", None, -1.0)]


@pytest.mark.parametrize("make", [fit_trees, make_mixture])
def test_contributions_and_base_sum_to_the_log_odds(connection, make):
    publish(connection, "m", make(ProblemType.BINARY))
    make_rows(connection)
    query = """
        SELECT sum(e.contribution), sqlml.predict_proba('m', t, e.class)
          FROM asked AS t, sqlml.explain_prediction('m', t) AS e
         GROUP BY t.id, t, e.class"""
    rows = connection.execute(query).fetchall()
    assert len(rows) == len(ROWS)
    for total, probability in rows:
        assert 1 / (1 + math.exp(-total)) == pytest.approx(probability, rel=1e-9)


@pytest.mark.parametrize("make", [fit_trees, make_mixture])
def test_contributions_and_bases_sum_to_what_softmax_takes(connection, make):
    publish(connection, "m", make(ProblemType.MULTICLASS))
    make_rows(connection)
    query = """
        SELECT t.id, exp(sum(e.contribution)), sqlml.predict_proba('m', t, e.class)
          FROM asked AS t, sqlml.explain_prediction('m', t) AS e
         GROUP BY t.id, t, e.class"""
    totals: dict[int, float] = defaultdict(float)
    rows = connection.execute(query).fetchall()
    assert len(rows) == 3 * len(ROWS)
    for number, total, _ in rows:
        totals[number] += total
    for number, total, probability in rows:
        assert total / totals[number] == pytest.approx(probability, rel=1e-9)


def test_contributions_and_base_sum_to_the_value_before_its_link(connection):
    publish(connection, "m", fit_trees(ProblemType.REGRESSION, link=Link.EXP))
    make_rows(connection)
    query = """
        SELECT exp(sum(e.contribution)), sqlml.predict('m', t, NULL::float8)
          FROM asked AS t, sqlml.explain_prediction('m', t) AS e GROUP BY t.id, t"""
    rows = connection.execute(query).fetchall()
    assert len(rows) == len(ROWS)
    for total, value in rows:
        assert total == pytest.approx(value, rel=1e-9)


@pytest.mark.parametrize(
    ("features", "source"),
    [
        ("t", "(SELECT 'a' AS a, 5 AS x, now() AS b) AS t"),
        ("t", "(VALUES (5::smallint, 'a')) AS t (x, z)"),
        ("t", "one AS t"),
        ("ROW(5, 'a')::one", "(SELECT 1) AS t"),
        ("(SELECT s FROM one AS s)", "(SELECT 1) AS t"),
        ("to_jsonb(t)", "one AS t"),
        ('\'{"x": 5, "z": {}}\'::json', "(SELECT 1) AS t"),
    ],
)
def test_every_row_that_predict_takes(connection, features, source):
    publish(connection, "m", REGRESSION)
    connection.execute("CREATE TABLE one AS SELECT 5 AS x, 'a' AS z")
    assert explain(connection, features, source) == [(None, "x", 5.0), (None, None, 0.0)]


def test_null_rows_have_no_contributions(connection):
    publish(connection, "m", REGRESSION)
    connection.execute("CREATE TABLE t (id integer, x float8)")
    connection.execute("INSERT INTO t VALUES (1, 5), (2, NULL)")
    for arguments in ("NULL, t", "'m', NULL::t", "'m', NULL::jsonb"):
        query = f"FROM t, sqlml.explain_prediction({arguments}) AS e"
        assert ask(connection, f"count(*) {query}") == 0
        query = f"FROM (SELECT sqlml.explain_prediction({arguments}) FROM t) AS e"
        assert ask(connection, f"count(*) {query}") == 0
    # A row of NULLs is a row; what an outer join adds is not.
    query = """
        SELECT ids.id, e.column, e.contribution FROM (VALUES (1), (2), (3)) AS ids (id)
          LEFT JOIN t ON t.id = ids.id
          LEFT JOIN LATERAL sqlml.explain_prediction('m', t) AS e ON e.column IS NOT NULL
         ORDER BY 1"""
    assert connection.execute(query.encode()).fetchall() == [
        (1, "x", 5.0),
        (2, "x", 0.0),
        (3, None, None),
    ]
    query = "count(*) FROM t, sqlml.explain_prediction('m', t) AS e WHERE t.id > 3"
    assert ask(connection, query) == 0


def test_in_a_select_list(connection):
    publish(connection, "m", REGRESSION)
    query = "SELECT x, (sqlml.explain_prediction('m', t)).* FROM (VALUES (1), (2)) AS t (x)"
    assert connection.execute(query.encode()).fetchall() == [
        *((1, None, "x", 1.0), (1, None, None, 0.0)),
        *((2, None, "x", 2.0), (2, None, None, 0.0)),
    ]


def test_a_model_that_changes_with_every_row(connection):
    for name, intercept in (("ten", 10.0), ("twenty", 20.0)):
        publish(connection, name, make_line(ProblemType.REGRESSION, intercept=intercept))
    query = """
        SELECT n, contribution
          FROM generate_series(1, 4) AS n,
               (SELECT 5 AS x OFFSET 0) AS t,
               sqlml.explain_prediction(CASE n % 2 WHEN 0 THEN 'ten' ELSE 'twenty' END, t) AS e
         WHERE e.column IS NULL ORDER BY n"""
    rows = connection.execute(query).fetchall()
    assert rows == [(1, 20.0), (2, 10.0), (3, 20.0), (4, 10.0)]


REFUSED = [
    ("42703", "'line', t) FROM (SELECT 1 AS y) AS t"),
    ("42703", "'line', t) FROM (SELECT 1 AS \"X\") AS t"),
    ("42702", "'line', t) FROM (SELECT 1 AS x, 2 AS x) AS t"),
    ("42804", "'line', t) FROM (SELECT 'a'::text AS x) AS t"),
    ("42804", "'line', 5)"),
    ("42804", "'line', '[]'::jsonb)"),
    ("42804", "'line', '{\"x\": \"a\"}'::jsonb)"),
    ("22003", "'line', '{\"x\": 1e400}'::jsonb)"),
    ("42704", "'nope', t) FROM (SELECT 1 AS x) AS t"),
    ("42704", "'', t) FROM (SELECT 1 AS x) AS t"),
    ("42704", "'a.b.c', t) FROM (SELECT 1 AS x) AS t"),
    ("55000", "'untrained', t) FROM (SELECT 1 AS x) AS t"),
]


@pytest.mark.parametrize(("sqlstate", "call"), REFUSED)
def test_refusals_are_those_of_predict(connection, sqlstate, call):
    publish(connection, "line", BINARY)
    publish(connection, "untrained", BINARY)
    connection.execute(
        "UPDATE sqlml.model SET current_version_id = NULL WHERE model_name = 'untrained'"
    )
    expected = refusal(connection, f"SELECT sqlml.predict({call}")
    actual = refusal(connection, f"SELECT sqlml.explain_prediction({call}")
    assert actual.sqlstate == sqlstate
    for field in ("sqlstate", "message_primary", "message_detail", "message_hint"):
        assert getattr(actual, field) == getattr(expected, field)


def test_a_blend_of_responses_is_refused(connection):
    publish(connection, "m", replace(BINARY, blend=Blend.RESPONSE))
    error = refusal(connection, f"SELECT sqlml.explain_prediction('m', t) FROM {ONE_X}")
    assert (error.sqlstate, error.message_primary) == ("0A000", 'model "m" has no contributions')
    assert error.message_detail == (
        "a model that blends the responses of its parts has no contributions."
    )
    assert "estimators" in error.message_hint
    # The session goes on.
    publish(connection, "m", BINARY)
    assert len(explain(connection, "t", ONE_X)) == 2


def test_who_may_predict_may_ask_for_contributions(connection):
    publish(connection, "m", REGRESSION)
    with stranger(connection, "explain_stranger") as role:
        # The model is in the session's cache, which opens it for nobody.
        assert len(explain(connection, "t", ONE_X)) == 2
        connection.execute(f"SET ROLE {role}".encode())
        expected = refusal(connection, f"SELECT sqlml.predict('m', t) FROM {ONE_X}")
        actual = refusal(connection, f"SELECT sqlml.explain_prediction('m', t) FROM {ONE_X}")
        assert actual.sqlstate == expected.sqlstate == "42501"
        assert actual.message_primary == expected.message_primary
        connection.execute("RESET ROLE")
        connection.execute(f"GRANT EXECUTE ON FUNCTION predict_m(anyelement) TO {role}".encode())
        connection.execute(f"SET ROLE {role}".encode())
        assert explain(connection, "t", ONE_X) == [(None, "x", 5.0), (None, None, 0.0)]


def test_a_replaced_model_is_noticed(stack, connection):
    publish(connection, "m", REGRESSION)
    connection.execute("SET plan_cache_mode = force_generic_plan")
    query = f"SELECT e.contribution FROM {ONE_X}, sqlml.explain_prediction('m', t) AS e"
    connection.execute(f"PREPARE ask AS {query}".encode())
    assert connection.execute("EXECUTE ask").fetchall() == [(5.0,), (0.0,)]
    with other_session(stack, connection) as other:
        publish(other, "m", make_line(ProblemType.REGRESSION, intercept=7.0))
    assert connection.execute("EXECUTE ask").fetchall() == [(5.0,), (7.0,)]


def test_parallel_workers_explain(connection):
    publish(connection, "m", NUMBERED)
    connection.execute("CREATE TABLE many AS SELECT generate_series(1, 5000)::float8 AS x")
    query = """
        SELECT e.class, count(*), sum(e.contribution)
          FROM many AS t, sqlml.explain_prediction('m', t) AS e
         WHERE e.column IS NOT NULL GROUP BY 1 ORDER BY 1"""
    for setting in ("min_parallel_table_scan_size", "parallel_setup_cost", "parallel_tuple_cost"):
        connection.execute(f"SET {setting} = 0".encode())
    lines = connection.execute(f"EXPLAIN (ANALYZE, COSTS OFF) {query}".encode()).fetchall()
    plan = "\n".join(line for (line,) in lines)
    gathered = plan.partition("Gather")[2]
    assert "Function Scan on explain_prediction" in gathered
    assert "Workers Launched: 2" in gathered
    total = 5000 * 5001 / 2
    assert connection.execute(query).fetchall() == [
        (label, 5000, weight * total) for label, weight in (("1", 1), ("2", 2), ("3", 3))
    ]


@pytest.mark.parametrize(
    "source",
    [
        "asked AS t, sqlml.explain_prediction('m', {}) AS e",
        "(SELECT t.n, (sqlml.explain_prediction('m', {})).* FROM asked AS t OFFSET 0) AS t",
    ],
    ids=["from", "select list"],
)
@pytest.mark.parametrize("features", ["t", "to_jsonb(t)"])
def test_memory_does_not_grow_with_rows(connection, source, features):
    rows, early = 20_000, 1_000
    connection.execute(USAGE)
    publish(connection, "m", draw_linear(ProblemType.BINARY))
    columns = ", ".join(f't."{column.name}"' for column in COLUMNS)
    make_rows(connection)
    connection.execute(
        f"""
        CREATE TEMPORARY TABLE copied AS
        SELECT n, {columns}
          FROM generate_series(1, {rows}) AS n JOIN asked AS t ON t.id = n % {len(ROWS)}
         ORDER BY n""".encode()
    )
    connection.execute("DROP TABLE asked; ALTER TABLE copied RENAME TO asked")
    query = f"""
        SELECT count(*),
               max(CASE t.n WHEN {early} THEN usage() END),
               max(CASE t.n WHEN {rows} THEN usage() END)
          FROM {source.format(features)}"""
    count, at_first, at_last = connection.execute(query.encode()).fetchone()
    assert count == rows * (len(COLUMNS) + 1)
    assert at_last < at_first + SLACK * rows / 100_000


def test_the_database_may_be_asked_what_it_is(connection):
    query = """
        SELECT provolatile, proparallel, proisstrict, pg_get_function_result(oid)
          FROM pg_proc WHERE oid = 'sqlml.explain_prediction(text, anyelement)'::regprocedure"""
    assert connection.execute(query).fetchone() == (
        *("s", "s", True),
        'TABLE(class text, "column" text, contribution double precision)',
    )
