"""
Plans that hold a version: they are made anew when another version, user, name or privilege
counts, and nobody uses them for what he may not.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg import sql

from sqlml.enums import ProblemType
from sqlml.search.fitted import FittedModel
from tests.extension.conftest import Connection, connect, publish
from tests.extension.test_predict import BINARY, NUMBERED, REGRESSION, ask, make_line, refusal
from tests.predict.models import draw_linear
from tests.stack import Stack

ASK = "SELECT sqlml.predict('line', t, 0) FROM t"


def make_more(intercept: float) -> FittedModel:
    """A model that gives back x and some more."""
    return make_line(ProblemType.REGRESSION, intercept=intercept)


@pytest.fixture
def line(connection: Connection) -> Connection:
    """The model line, which gives back x, and a table of one row with x = 7."""
    publish(connection, "line", REGRESSION, "integer")
    connection.execute("CREATE TABLE t (x integer)")
    connection.execute("INSERT INTO t VALUES (7)")
    return connection


@contextmanager
def other_session(stack: Stack, connection: Connection) -> Iterator[Connection]:
    """A second session with the first one's schema in its path."""
    schema = ask(connection, "current_schema()")
    with psycopg.connect(stack.dsn, autocommit=True) as other:
        other.execute(sql.SQL("SET search_path = {}, public").format(sql.Identifier(schema)))
        yield other


@contextmanager
def stranger(connection: Connection, name: str = "planner_stranger") -> Iterator[str]:
    """A role that may see the schema and its tables, but use no model."""
    schema = ask(connection, "quote_ident(current_schema())")
    connection.execute(f"CREATE ROLE {name}".encode())
    try:
        connection.execute(f"GRANT USAGE ON SCHEMA {schema} TO {name}".encode())
        connection.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {name}".encode())
        yield name
    finally:
        connection.execute("RESET ROLE")
        connection.execute(f"DROP OWNED BY {name}".encode())
        connection.execute(f"DROP ROLE {name}".encode())


def run(connection: Connection, query: str) -> Any:
    """The only value of a query."""
    row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


PLAN_KEEPERS = {
    "prepared statement": (f"PREPARE ask AS {ASK}", "EXECUTE ask"),
    "PL/pgSQL": (
        "CREATE FUNCTION ask() RETURNS integer LANGUAGE plpgsql STABLE AS"
        f" $$ BEGIN RETURN ({ASK}); END $$",
        "SELECT ask()",
    ),
    "PL/pgSQL expression": (
        "CREATE FUNCTION ask() RETURNS integer LANGUAGE plpgsql STABLE AS"
        " $$ BEGIN RETURN sqlml.predict('line', ROW(7)::t, 0); END $$",
        "SELECT ask()",
    ),
    "view and the model's own function": (
        "CREATE VIEW asked AS SELECT predict_line(t) FROM t",
        "SELECT * FROM asked",
    ),
}


@pytest.fixture(params=PLAN_KEEPERS)
def keeper(request: pytest.FixtureRequest, line: Connection) -> str:
    """A query whose plan the session keeps; it has been run six times."""
    make, query = PLAN_KEEPERS[request.param]
    # With prepared statements of its own, psycopg would drop ours after ROLLBACK and DROP.
    line.prepare_threshold = None
    line.execute("SET plan_cache_mode = force_generic_plan")
    line.execute(make.encode())
    for _ in range(6):
        assert run(line, query) == 7
    return query


def test_another_session_replaces_the_model(stack, line, keeper):
    with other_session(stack, line) as other:
        for intercept in (100.0, 200.0):
            publish(other, "line", make_more(intercept))
            assert run(line, keeper) == 7 + intercept


def test_the_own_transaction_replaces_the_model(line, keeper):
    with line.transaction(force_rollback=True):
        publish(line, "line", make_more(100.0))
        assert run(line, keeper) == 107
        with line.transaction(force_rollback=True):
            publish(line, "line", make_more(200.0))
            assert run(line, keeper) == 207
        assert run(line, keeper) == 107
    assert run(line, keeper) == 7


def test_another_session_drops_the_model(stack, line, keeper):
    with other_session(stack, line) as other:
        other.execute("DROP VIEW IF EXISTS asked")
        other.execute("CALL sqlml.drop_model('line')")
    error = refusal(line, keeper)
    assert error.sqlstate in ("42704", "42P01")


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_a_transaction_keeps_the_version_of_its_snapshot(stack, line, keeper, level):
    with other_session(stack, line) as other:
        line.execute(f"BEGIN ISOLATION LEVEL {level}")
        assert run(line, keeper) == 7
        publish(other, "line", make_more(100.0))
        line.execute("DISCARD PLANS")
        assert [run(line, query) for query in (keeper, ASK, keeper)] == [7, 7, 7]
        line.execute("COMMIT")
        assert run(line, keeper) == 107


def test_a_running_query_keeps_its_version(stack, line):
    line.execute("INSERT INTO t SELECT generate_series(8, 500)")
    with line.transaction(), line.cursor("portal") as cursor:
        cursor.itersize = 1
        cursor.execute("SELECT sqlml.predict('line', t, 0) FROM t")
        assert cursor.fetchone() == (7,)
        with other_session(stack, line) as other:
            publish(other, "line", make_more(1000.0))
        assert [row[0] for row in cursor] == list(range(8, 501))


def test_a_model_that_is_dropped_before_the_first_row(stack, line):
    with line.transaction(force_rollback=True), line.cursor("portal") as cursor:
        cursor.execute(ASK)
        with other_session(stack, line) as other:
            other.execute("CALL sqlml.drop_model('line')")
        line.execute("CREATE TABLE some_message_is_read ()")
        with pytest.raises(psycopg.Error) as caught:
            cursor.fetchone()
    error = caught.value.diag
    assert (error.sqlstate, error.message_primary) == ("55000", 'model "line" was dropped')
    assert error.message_hint == "Run the query again."


def test_an_unqualified_name_follows_the_search_path(line, keeper):
    schema = ask(line, "current_schema()")
    line.execute("CREATE SCHEMA planner_other")
    try:
        line.execute("SET search_path = planner_other")
        publish(line, "line", make_more(100.0), "integer")
        line.execute("CREATE TABLE t AS SELECT 7 AS x")
        path = sql.SQL("SET search_path = planner_other, {}").format(sql.Identifier(schema))
        line.execute(path)
        if "asked" not in keeper:
            assert run(line, keeper) == 107
        line.execute(sql.SQL("SET search_path = {}").format(sql.Identifier(schema)))
        assert run(line, keeper) == 7
    finally:
        line.execute("DELETE FROM sqlml.model WHERE schema_name = 'planner_other'")
        line.execute("SET client_min_messages = warning")
        line.execute("DROP SCHEMA planner_other CASCADE")


def test_altering_the_table_is_noticed(line, keeper):
    line.execute("ALTER TABLE t ADD COLUMN y integer")
    assert run(line, keeper) == 7
    if "asked" not in keeper:
        line.execute("ALTER TABLE t DROP COLUMN x")
        assert refusal(line, keeper).sqlstate == "42703"


def test_privileges_are_those_of_the_asking_user(stack, line, keeper):
    with stranger(line) as role:
        line.execute(
            f"GRANT SELECT ON ALL TABLES IN SCHEMA CURRENT_SCHEMA TO {role}"
        ) if 0 else None
        line.execute(f"SET ROLE {role}".encode())
        assert refusal(line, keeper).sqlstate == "42501"
        line.execute("RESET ROLE")
        assert run(line, keeper) == 7
        with other_session(stack, line) as other:
            other.execute(f"GRANT EXECUTE ON FUNCTION predict_line TO {role}".encode())
            line.execute(f"SET ROLE {role}".encode())
            assert run(line, keeper) == 7
            other.execute(f"REVOKE EXECUTE ON FUNCTION predict_line FROM {role}".encode())
            assert refusal(line, keeper).sqlstate == "42501"


def test_a_membership_counts_while_it_lasts(line):
    with stranger(line) as role, stranger(line, "planner_group") as group:
        line.execute(f"GRANT EXECUTE ON FUNCTION predict_line TO {group}".encode())
        line.execute(f"GRANT {group} TO {role}".encode())
        line.execute(f"SET ROLE {role}".encode())
        assert run(line, ASK) == 7
        line.execute("RESET ROLE")
        line.execute(f"REVOKE {group} FROM {role}".encode())
        line.execute(f"SET ROLE {role}".encode())
        assert refusal(line, ASK).sqlstate == "42501"


def test_a_security_definer_function_predicts_with_its_owners_privilege(line):
    line.execute(f"""
        CREATE FUNCTION ask() RETURNS integer LANGUAGE plpgsql SECURITY DEFINER AS
        $$ BEGIN RETURN ({ASK}); END $$""")
    assert run(line, "SELECT ask()") == 7
    with stranger(line) as role:
        line.execute(f"SET ROLE {role}".encode())
        assert run(line, "SELECT ask()") == 7
        assert refusal(line, ASK).sqlstate == "42501"


@pytest.mark.parametrize("how", ["fresh", "cached"])
def test_the_internal_functions_give_nothing_away(line, how):
    version = ask(line, "max(version_id) FROM sqlml.version")
    call = f"SELECT sqlml.predict_columns('x', {version}, 0, 7)"
    if how == "cached":
        assert run(line, call) == 7
    with stranger(line) as role:
        line.execute(f"SET ROLE {role}".encode())
        error = refusal(line, call)
        assert (error.sqlstate, error.message_primary) == (
            "42501",
            f"version {version} cannot be read",
        )


def test_a_privilege_on_predict_itself_counts(line):
    with stranger(line) as role:
        line.execute(f"GRANT EXECUTE ON FUNCTION predict_line TO {role}".encode())
        line.execute("REVOKE EXECUTE ON FUNCTION sqlml.predict(text, anyelement) FROM PUBLIC")
        try:
            line.execute(f"SET ROLE {role}".encode())
            error = refusal(line, "SELECT sqlml.predict('line', t) FROM t")
            assert error.message_primary == "permission denied for function predict"
        finally:
            line.execute("RESET ROLE")
            line.execute("GRANT EXECUTE ON FUNCTION sqlml.predict(text, anyelement) TO PUBLIC")


@pytest.mark.parametrize(
    ("call", "sqlstate", "message"),
    [
        ("predict_columns('m', {}, 0)", "42883", None),
        (
            "predict_columns('m', {}, 0, 1, 2)",
            "22023",
            "the number of columns is not that of version {}",
        ),
        (
            "predict_columns('m', {}, 0, VARIADIC ARRAY[1])",
            "22023",
            "the number of columns is not that of version {}",
        ),
        (
            "predict_columns('m version 3', {}, 0, 'a'::text)",
            "42804",
            'column "x" of the row has type text, but model "m" expects double precision',
        ),
        ("predict_columns('m', {}, 0, NULL)", "42804", None),
        ("predict_columns('m', 2147483647, 0, 1)", "42501", "version 2147483647 cannot be read"),
        ("predict_columns('m', 0, 0, 1)", "42501", "version 0 cannot be read"),
        ("predict_columns('m', -1, 0, 1)", "42501", "version -1 cannot be read"),
        (
            "predict_proba_columns('m', {}, 'a', 1)",
            "42809",
            'model "m" is a regression and has no probabilities',
        ),
    ],
)
def test_bad_calls_of_the_internal_functions(line, call, sqlstate, message):
    version = ask(line, "max(version_id) FROM sqlml.version")
    error = refusal(line, f"SELECT sqlml.{call.format(version)}")
    assert error.sqlstate == sqlstate
    if message is not None:
        assert error.message_primary == message.format(version)


def test_nulls_for_the_internal_functions(line):
    version = ask(line, "max(version_id) FROM sqlml.version")
    assert ask(line, "sqlml.predict_columns('m', NULL, 0, 1)") is None
    assert ask(line, f"sqlml.predict_columns(NULL, {version}, 0, 1)") == 1
    assert ask(line, f"sqlml.predict_columns('m', {version}, 0, NULL::integer)") == 0
    assert ask(line, f"sqlml.predict_proba_columns('m', {version}, NULL, 1)") is None


def test_the_internal_functions_follow_their_version_argument(line):
    first = ask(line, "max(version_id) FROM sqlml.version")
    publish(line, "line", make_more(100.0))
    line.execute("SET sqlml.cache_size = 0")
    query = f"""
        SELECT sqlml.predict_columns('', v, 0, x)
          FROM (VALUES ({first}, 1), ({first + 1}, 2), ({first}, 3)) AS c (v, x)"""
    assert line.execute(query.encode()).fetchall() == [(1,), (102,), (3,)]


@pytest.mark.parametrize(
    ("call", "sqlstate", "message"),
    [
        ("predict('line', t) FROM (SELECT 1 AS y FROM t) AS t", "42703", 'no column "x"'),
        ("predict('line', s) FROM (SELECT 1 AS x, 2 AS x FROM t) AS s", "42702", "two columns"),
        (
            "predict('line', s) FROM (SELECT x::text FROM t) AS s",
            "42804",
            'column "x" of the row has type text, but model "line" expects double precision',
        ),
        ("predict('nope', t) FROM t", "42704", 'model "nope" does not exist'),
        ("predict('empty', t) FROM t", "55000", 'model "empty" cannot predict yet'),
        ("predict_proba('line', t, 'a') FROM t", "42809", "has no probabilities"),
        ("predict_proba('two', t, 'a') FROM t", "22023", 'model "two" has no class "a"'),
        ("predict('broken', t) FROM t", "XX001", 'artifact of model "broken" is damaged'),
    ],
)
def test_mistakes_are_named_when_the_query_is_planned(line, call, sqlstate, message):
    publish(line, "two", BINARY)
    publish(line, "broken", b"no artifact")
    line.execute(
        "INSERT INTO sqlml.model (schema_name, model_name) VALUES (current_schema(), 'empty')"
    )
    line.execute("SELECT sqlml.make_predict_function(current_schema(), 'empty', 'text')")
    error = refusal(line, f"EXPLAIN SELECT sqlml.{call}")
    assert error.sqlstate == sqlstate
    assert message in error.message_primary
    assert error.context is None
    # Who only writes the call down is not told.
    line.execute(f"CREATE VIEW written AS SELECT sqlml.{call}".encode())
    line.execute(f"PREPARE written AS SELECT sqlml.{call}".encode())


def test_what_was_written_down_before_its_model_works_with_it(line):
    line.execute("CREATE VIEW written AS SELECT sqlml.predict('later', t, 0) FROM t")
    line.execute("PREPARE written AS SELECT sqlml.predict('later', t, 0) FROM t")
    assert refusal(line, "EXECUTE written").sqlstate == "42704"
    publish(line, "later", make_more(1.0))
    for query in ("EXECUTE written", "TABLE written"):
        assert run(line, query) == 8


def test_one_planning_has_one_version_and_many_models(line):
    for number in range(3):
        publish(line, f"m{number}", make_more(100.0 * number))
    calls = " + ".join(f"sqlml.predict('m{number % 3}', t, 0)" for number in range(9))
    assert run(line, f"SELECT {calls} FROM t") == 9 * 7 + 3 * 300
    publish(line, "m1", NUMBERED)
    assert run(line, "SELECT sqlml.predict_proba('m1', t, '3') FROM t") > 0.99


def test_parallel_workers_use_the_version_of_the_plan(line):
    line.execute("INSERT INTO t SELECT generate_series(1, 20000)")
    line.execute("ANALYZE t")
    for setting in (
        "parallel_setup_cost = 0",
        "parallel_tuple_cost = 0",
        "min_parallel_table_scan_size = 0",
        "parallel_leader_participation = off",
    ):
        line.execute(f"SET {setting}".encode())
    query = "SELECT sum(sqlml.predict('line', t, 0)) FROM t WHERE sqlml.predict('line', t, 0) > 7"
    plan = "".join(row[0] for row in line.execute(f"EXPLAIN (ANALYZE, VERBOSE) {query}".encode()))
    assert "Workers Launched: 0" not in plan
    assert "Workers Launched" in plan
    assert "predict_columns('line version 1'" in plan
    assert run(line, query) == 20000 * 20001 // 2 - sum(range(8))


@pytest.mark.parametrize("name", ["'m'", "current_setting('planner.model')"])
def test_memory_does_not_grow_with_rows(connection, name):
    """Toasted texts and long numbers, once in columns and once in a record."""
    publish(connection, "m", draw_linear(ProblemType.MULTICLASS))
    connection.execute("SET planner.model = 'm'")
    connection.execute("""
        CREATE TABLE big AS
        SELECT number, repeat('ü', 3000) AS city, number::numeric / 7 AS amount, true AS is_new,
               number AS "größe", timestamp '2024-01-01' AS "seen at"
          FROM generate_series(1, 4000) AS number""")
    connection.execute("ALTER TABLE big ALTER COLUMN city SET STORAGE EXTERNAL")
    connection.execute("UPDATE big SET city = city || ''")
    rows = connection.execute(f"""
        SELECT sqlml.predict({name}, b), CASE WHEN number % 1000 = 0 THEN
               (SELECT sum(used_bytes) FROM pg_backend_memory_contexts WHERE number > 0) END
          FROM big AS b""").fetchall()
    used = [row[1] for row in rows if row[1] is not None]
    assert len(used) == 4
    assert used[-1] < used[0] + 100_000


def test_all_of_it_on_every_version_of_postgresql(matrix_stack: Stack):
    with connect(matrix_stack.dsn) as connection:
        publish(connection, "line", REGRESSION)
        connection.execute("CREATE TABLE t AS SELECT 7 AS x")
        connection.execute(f"PREPARE ask AS {ASK}".encode())
        connection.execute("SET plan_cache_mode = force_generic_plan")
        assert run(connection, "EXECUTE ask") == 7
        with other_session(matrix_stack, connection) as other:
            publish(other, "line", make_more(100.0))
        assert run(connection, "EXECUTE ask") == 107
        with stranger(connection) as role:
            connection.execute(f"SET ROLE {role}".encode())
            assert refusal(connection, "EXECUTE ask").sqlstate == "42501"
