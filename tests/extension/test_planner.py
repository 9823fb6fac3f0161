"""
Calls of predict() that become calls on columns when a query is planned: on which rows, with
which answers, and until when.
"""

import pytest

from sqlml.enums import ColumnKind, ProblemType
from sqlml.extract.dataset import Column
from sqlml.search.fitted import Feature, FeatureOp
from tests.extension.conftest import Connection, connect, publish
from tests.extension.test_predict import BINARY, ask
from tests.predict.models import COLUMNS, draw_linear, training_rows
from tests.stack import Stack

TABLE = """
CREATE TABLE t (id integer PRIMARY KEY, gone text, extra text, "seen at" timestamp, city varchar(9),
                is_new boolean, amount numeric, "größe" smallint);
ALTER TABLE t DROP COLUMN gone;
CREATE TABLE parts (LIKE t) PARTITION BY LIST (is_new);
CREATE TABLE part_null PARTITION OF parts FOR VALUES IN (NULL);
CREATE TABLE part_other ("größe" smallint, city varchar(9), is_new boolean, extra text,
                         "seen at" timestamp, id integer NOT NULL, amount numeric);
ALTER TABLE parts ATTACH PARTITION part_other FOR VALUES IN (true, false);
CREATE TABLE parent (LIKE t);
CREATE TABLE child (note text) INHERITS (parent);
CREATE VIEW seen AS SELECT id, amount, city, "größe", is_new, "seen at" FROM t WHERE id > 3;
CREATE VIEW guarded WITH (security_barrier) AS SELECT * FROM t WHERE id > 3;
CREATE VIEW counted AS SELECT *, count(*) OVER () FROM t;
CREATE DOMAIN amount AS numeric CHECK (value IS NULL OR value <> 7);
CREATE DOMAIN row_of_t AS t;
CREATE TABLE made ("größe" smallint, is_new boolean, city name, "seen at" timestamp,
                   base float8, amount float8 GENERATED ALWAYS AS (base * 2) STORED, d amount);
CREATE FUNCTION all_t() RETURNS SETOF t STABLE LANGUAGE plpgsql AS
    'BEGIN RETURN QUERY SELECT * FROM t; END';
CREATE FUNCTION some_columns()
    RETURNS TABLE (amount numeric, "größe" integer, is_new boolean, city text, "seen at" timestamp)
    STABLE LANGUAGE plpgsql
    AS 'BEGIN RETURN QUERY SELECT t.amount, t."größe"::integer, t.is_new, t.city::text,
                                  t."seen at" FROM t; END';
"""
SELECTED = 'amount, "größe", is_new, city, "seen at"'

REWRITTEN = {
    "table": "t AS r",
    "table with other names for its columns": "t AS r (a, b, c, d)",
    "only": "ONLY parent AS r",
    "partitioned": "parts AS r",
    "inherited": "parent AS r",
    "join": "t AS r JOIN t AS other USING (id)",
    "outer side of an outer join": "t AS r LEFT JOIN t AS other ON other.id = r.id + 5",
    "cross join": "t AS r, (VALUES (1), (2)) AS v (i)",
    "subquery": f"(SELECT 1 AS one, {SELECTED} FROM t) AS r",
    "subquery with an order": f"(SELECT {SELECTED} FROM t ORDER BY id LIMIT 7) AS r",
    "subquery with a volatile column": f"(SELECT {SELECTED}, random() FROM t) AS r",
    "grouped subquery": f"(SELECT {SELECTED}, count(*) FROM t GROUP BY {SELECTED}) AS r",
    "renamed subquery": "(SELECT 1.5, 2, true, 'Köln', now()::timestamp FROM t)"
    ' AS r (amount, "größe", is_new, city, "seen at")',
    "expressions": '(SELECT id + 0.5 AS amount, -id AS "größe", id > 5 AS is_new,'
    " 'Paris' AS city, NULL::timestamp AS \"seen at\" FROM t) AS r",
    "union": f"(SELECT {SELECTED} FROM t UNION SELECT {SELECTED} FROM parts) AS r",
    "union all": f"(SELECT {SELECTED} FROM t UNION ALL SELECT {SELECTED} FROM parts) AS r",
    "values": "(VALUES (1.5, 2, true, 'Köln', timestamp '2024-02-03'),"
    ' (NULL, NULL, NULL, NULL, NULL)) AS r (amount, "größe", is_new, city, "seen at")',
    "constant": "(SELECT 1.5 AS amount, 2 AS \"größe\", true AS is_new, 'Köln' AS city,"
    " timestamp '2024-02-03' AS \"seen at\") AS r",
    "view": "seen AS r",
    "security barrier": "guarded AS r",
    "view that is not pulled up": "counted AS r",
    "generated column": "made AS r",
    "function": "all_t() AS r",
    "function with columns": "some_columns() AS r",
    "function with ordinality": "all_t() WITH ORDINALITY AS r",
    "lateral": f"t AS o, LATERAL (SELECT {SELECTED} FROM t WHERE t.id = o.id LIMIT 1) AS r",
    "join with a name": "(t JOIN (SELECT id AS number FROM t) AS n ON n.number = t.id) AS r",
    "sample": "t AS r TABLESAMPLE BERNOULLI (100)",
    "exists beside it": "t AS r WHERE EXISTS (SELECT FROM parts WHERE parts.id = r.id)",
    "record": 'json_to_recordset(\'[{"amount": 2, "city": "Paris"}]\') AS r'
    ' (amount numeric, "größe" integer, is_new boolean, city text, "seen at" timestamp)',
    "two functions": "ROWS FROM (unnest(ARRAY[1.5, 2]), unnest(ARRAY[1, 2]), unnest(ARRAY[true]),"
    " unnest(ARRAY['Köln']), unnest(ARRAY[now()::timestamp]))"
    ' AS r (amount, "größe", is_new, city, "seen at")',
}

KEPT = {
    "inner side of an outer join": "t AS o LEFT JOIN t AS r ON r.id = o.id + 5",
    "full join": "t AS r FULL JOIN (SELECT 99 AS n) AS o ON r.id = o.n",
    "subquery in an outer join": f"t AS o LEFT JOIN (SELECT id AS n, {SELECTED} FROM t) AS r"
    " ON r.n = o.id + 5",
    "json": "(SELECT to_jsonb(t) AS r FROM t) AS j",
    "row in a column": "(SELECT t AS r FROM t OFFSET 0) AS j",
    "domain over the row type": "(SELECT t::row_of_t AS r FROM t) AS j",
}


@pytest.fixture
def table(connection: Connection) -> Connection:
    fill(connection)
    return connection


def fill(connection: Connection) -> None:
    """A table of a model's columns in every sort of relation, and the model m."""
    connection.execute(TABLE.encode())
    assert [column.name for column in COLUMNS] == ["amount", "größe", "is_new", "city", "seen at"]
    connection.cursor().executemany(
        'INSERT INTO t (id, amount, "größe", is_new, city, "seen at")'
        " VALUES (%s, %s::float8, %s, %s, left(%s, 9), %s)",
        [
            (number, 1.5 * number, number, row["is_new"], row["city"], "2024-01-01")
            for number, row in enumerate(training_rows(12, 0))
        ],
    )
    connection.execute("INSERT INTO t (id) VALUES (100)")
    connection.execute("INSERT INTO parts SELECT * FROM t")
    connection.execute("INSERT INTO parent SELECT * FROM t WHERE id < 5")
    connection.execute("INSERT INTO child SELECT *, 'x' FROM t WHERE id >= 5")
    connection.execute(
        'INSERT INTO made ("größe", is_new, city, "seen at", base)'
        ' SELECT "größe", is_new, city, "seen at", id FROM t'
    )
    publish(connection, "m", draw_linear(ProblemType.MULTICLASS))
    connection.execute("SET planner.model = 'm'")


def explain(connection: Connection, query: str) -> str:
    """The plan of a query with its expressions."""
    rows = connection.execute(f"EXPLAIN (VERBOSE, COSTS OFF) {query}".encode()).fetchall()
    return "\n".join(row[0] for row in rows)


def check_shape(connection: Connection, relation: str, is_rewritten: bool) -> None:
    """Compare the answers of a constant name, of one that is not, and of JSON."""
    label = ask(connection, "sqlml.predict('m', t) FROM t LIMIT 1")
    calls = [
        "sqlml.predict('m', {})",
        f"sqlml.predict_proba('m', {{}}, '{label}')",
        "predict_m({})",
    ]
    for call in calls:
        constant = call.format("r")
        others = [
            call.format("to_jsonb(r)"),
            constant.replace("'m'", "current_setting('planner.model')"),
        ]
        query = f"SELECT {constant}, {', '.join(others)} FROM {relation}"
        rows = connection.execute(query.encode()).fetchall()
        assert rows
        assert all(row[0] == row[1] == row[2] for row in rows), rows
        assert (
            "_columns(" in explain(connection, f"SELECT {constant} FROM {relation}")
        ) is is_rewritten
        # for a parallel plan or a sort below it, the optimizer may move the call
        ordered = f"SELECT {constant} AS p FROM {relation}"
        sorted_rows = connection.execute(f"SELECT p FROM ({ordered}) AS s ORDER BY p".encode())
        assert sorted_rows.fetchall() == sorted(
            [(row[0],) for row in rows], key=lambda row: (row[0] is None, row[0])
        )


@pytest.mark.parametrize("shape", REWRITTEN)
def test_rows_that_are_rewritten(table, shape):
    check_shape(table, REWRITTEN[shape], True)


@pytest.mark.parametrize("shape", KEPT)
def test_rows_that_stay_rows(table, shape):
    check_shape(table, KEPT[shape], False)


CALL = "sqlml.predict('m', {})"
UNPLANNED = "sqlml.predict(current_setting('planner.model'), {})"


@pytest.mark.parametrize(
    "query",
    [
        # The planner simplifies an EXISTS with the outer query's state in its hands.
        f"""
        SELECT o.label, EXISTS (
            SELECT FROM (SELECT {SELECTED}, id FROM t OFFSET 0) AS r
             WHERE predict(r) = o.label)
          FROM (SELECT id AS a, "seen at", city, is_new, "größe", amount, label
                  FROM t, (VALUES ('a'), ('ä'), ('b b')) AS labels (label) OFFSET 0) AS o""",
        """
        SELECT o.label, EXISTS (
            SELECT FROM (VALUES (100)) AS n (id) LEFT JOIN t AS r ON r.id = n.id + 1
             WHERE coalesce(predict(r), 'none') = o.label)
          FROM (VALUES ('a'), ('none')) AS o (label)""",
        "SELECT city, (SELECT predict(r)) FROM t AS r",
        "SELECT city, (SELECT predict(r) LIMIT 1) FROM t AS r",
        "SELECT id FROM t AS r WHERE predict(r) = 'a'",
        "SELECT predict(r), count(*) FROM t AS r GROUP BY 1",
        "SELECT predict(r), count(*) FROM t AS r GROUP BY predict(r) HAVING predict(r) > 'a'",
        "SELECT predict(r), count(*) FROM t AS r GROUP BY r",
        "SELECT predict(r), count(*) FROM t AS r GROUP BY r.id",
        "SELECT predict(r), grouping(r) FROM t AS r GROUP BY ROLLUP (r)",
        "SELECT predict(r), grouping(r, city) FROM t AS r GROUP BY GROUPING SETS ((r), (city), ())",
        "SELECT id, rank() OVER (ORDER BY predict(r), id) FROM t AS r",
        "SELECT id FROM t AS r ORDER BY predict(r), id",
        "SELECT DISTINCT ON (predict(r)) predict(r) FROM t AS r ORDER BY 1",
        "SELECT max(predict(r)) FILTER (WHERE predict(r) < 'b') FROM t AS r",
        "WITH r AS MATERIALIZED (SELECT * FROM t) SELECT predict(r) FROM r",
        "WITH r AS NOT MATERIALIZED (SELECT * FROM t) SELECT predict(r) FROM r",
        f"""
        WITH RECURSIVE r AS (
            SELECT {SELECTED} FROM t WHERE id = 1
            UNION ALL
            SELECT amount + 1, "größe", is_new, predict(r), "seen at" FROM r WHERE amount < 5)
        SELECT amount, city FROM r""".replace("city, ", "city::text, ", 1),
        "SELECT predict(r) FROM t AS r WHERE false",
        "SELECT predict(ROW(1, 'gone', NULL, 'Paris', true, 2.5, 3)::part_other) FROM t",
        "SELECT a.id, predict(r) FROM t AS a, LATERAL (SELECT a.*) AS r",
        "SELECT a.id, predict(a) FROM parent AS a WHERE tableoid = 'child'::regclass",
        "SELECT CASE WHEN id > 3 THEN predict(r) END FROM t AS r",
        "SELECT id, (SELECT predict(r) FROM t AS r WHERE r.id = o.id) FROM t AS o",
        "SELECT predict(r) FROM t AS r FOR UPDATE",
        "SELECT p FROM t AS r, LATERAL unnest(ARRAY[predict(r), 'x']) AS p",
    ],
)
def test_clauses(table, query):
    query = query.replace("::part_other", "::t").replace("ROW(1, 'gone', NULL", "ROW(1, NULL, NULL")
    answers = [
        sorted(
            table.execute(query.replace("predict(", call.removesuffix("{})")).encode()).fetchall(),
            key=str,
        )
        for call in (CALL, UNPLANNED)
    ]
    assert answers[0] == answers[1]


def test_statements_that_write(table):
    table.execute("CREATE TABLE log (id integer UNIQUE, p text)")
    expected = dict(table.execute(f"SELECT id, {UNPLANNED.format('t')} FROM t".encode()).fetchall())

    def check_log() -> None:
        assert dict(table.execute("SELECT * FROM log").fetchall()) == expected

    table.execute(f"INSERT INTO log SELECT id, {CALL.format('t')} FROM t".encode())
    check_log()
    table.execute(
        f"UPDATE log SET p = {CALL.format('t')} || 'x' FROM t WHERE t.id = log.id".encode()
    )
    table.execute("UPDATE log SET p = rtrim(p, 'x')")
    check_log()
    table.execute(
        f"""
        INSERT INTO t AS old SELECT * FROM t ON CONFLICT (id) DO UPDATE
           SET extra = {CALL.format("EXCLUDED")} WHERE {CALL.format("old")} >= ''""".encode()
    )
    assert dict(table.execute("SELECT id, extra FROM t").fetchall()) == expected
    returned = table.execute(f"DELETE FROM parts RETURNING id, {CALL.format('parts')}".encode())
    assert dict(returned.fetchall()) == expected
    returned = table.execute(
        f"INSERT INTO parts SELECT * FROM t RETURNING id, {CALL.format('parts')}".encode()
    )
    assert dict(returned.fetchall()) == expected
    table.execute("DELETE FROM log WHERE id < 6")
    table.execute(
        f"""
        MERGE INTO log USING t ON t.id = log.id
         WHEN MATCHED AND {CALL.format("t")} = p THEN UPDATE SET p = {CALL.format("t")}
         WHEN NOT MATCHED THEN INSERT VALUES (t.id, {CALL.format("t")})""".encode()
    )
    check_log()


def test_triggers_and_cursors(table):
    table.execute("CREATE TABLE log (id integer, p text)")
    table.execute(f"""
        CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF TG_LEVEL = 'ROW' THEN
                INSERT INTO log VALUES (NEW.id, {CALL.format("NEW")});
            ELSE
                INSERT INTO log SELECT id, {CALL.format("changed")} FROM changed;
            END IF;
            RETURN NULL;
        END $$""")
    table.execute(f"""
        CREATE TRIGGER one AFTER UPDATE ON t FOR EACH ROW
        WHEN ({CALL.format("NEW")} IS NOT NULL) EXECUTE FUNCTION note()""")
    table.execute("""
        CREATE TRIGGER two AFTER UPDATE ON t REFERENCING NEW TABLE AS changed
        FOR EACH STATEMENT EXECUTE FUNCTION note()""")
    table.execute("UPDATE t SET amount = amount + 1")
    expected = table.execute(f"SELECT id, {UNPLANNED.format('t')} FROM t ORDER BY id").fetchall()
    noted = table.execute("SELECT id, p, count(*) FROM log GROUP BY id, p ORDER BY id").fetchall()
    assert noted == [(*row, 2) for row in expected]
    with table.transaction(), table.cursor("portal") as cursor:
        cursor.itersize = 2
        cursor.execute(f"SELECT id, {CALL.format('t')} FROM t ORDER BY id")
        assert cursor.fetchall() == expected


def test_the_plan_names_the_model_and_its_version(connection):
    connection.execute("CREATE TABLE t (z text, x integer)")
    for version in (1, 2):
        publish(connection, "line", BINARY)
        plan = explain(connection, "SELECT predict_line(features => t) FROM t")
        assert f"predict_columns('line version {version}'::text, " in plan
        assert "NULL::text, x)" in plan
    schema = ask(connection, "current_schema()")
    named = f"""sqlml.predict_proba(class => 'true', features => t, model => '"{schema}".line')"""
    plan = explain(connection, f"SELECT {named} FROM t")
    assert "predict_proba_columns('line version 2'::text, " in plan
    assert "'true'::text, x)" in plan
    plan = explain(connection, "SELECT sqlml.predict('line', t, NULL::boolean) FROM t")
    assert "NULL::boolean, x)" in plan


@pytest.mark.parametrize("count", [97, 98])
def test_models_of_very_many_columns(connection, count):
    """PostgreSQL's functions take 100 arguments, of which three are not columns."""
    names = [f"x{number}" for number in range(count)]
    model = draw_linear(
        ProblemType.REGRESSION,
        features=tuple(Feature(column=name, op=FeatureOp.VALUE) for name in names),
        columns=tuple(Column(name, "integer", ColumnKind.NUMERIC) for name in names),
    )
    publish(connection, "m", model)
    connection.execute(f"CREATE TABLE t ({', '.join(f'{name} integer' for name in names)})")
    connection.execute(f"INSERT INTO t VALUES ({', '.join(map(str, range(count)))})")
    call = f"SELECT {CALL.format('t')}, {CALL.format('to_jsonb(t)')} FROM t"
    row = connection.execute(call.encode()).fetchone()
    assert row is not None
    assert row[0] == row[1]
    assert ("predict_columns(" in explain(connection, call)) is (count == 97)


def test_rows_on_every_version_of_postgresql(matrix_stack: Stack):
    with connect(matrix_stack.dsn) as connection:
        fill(connection)
        for shapes, is_rewritten in ((REWRITTEN, True), (KEPT, False)):
            for relation in shapes.values():
                check_shape(connection, relation, is_rewritten)
        if connection.info.server_version >= 180000:
            check_what_is_new_in_18(connection)


def check_what_is_new_in_18(connection: Connection) -> None:
    connection.execute(
        'CREATE TABLE g ("größe" integer, is_new boolean, city text, "seen at" timestamp,'
        " base float8, amount float8 GENERATED ALWAYS AS (base * 2) VIRTUAL)"
    )
    connection.execute('INSERT INTO g SELECT "größe", is_new, city, "seen at", id FROM t')
    check_shape(connection, "g AS r", True)
    check_shape(connection, "g AS r LEFT JOIN t ON false", True)
    for query in (
        "INSERT INTO g (base) VALUES (1) RETURNING predict(old), predict(new), predict(g)",
        "UPDATE g SET base = base + 1 RETURNING predict(old), predict(new), predict(g)",
        """
        MERGE INTO t USING (SELECT * FROM t WHERE id < 3) AS s ON t.id = s.id
         WHEN NOT MATCHED BY SOURCE THEN UPDATE SET extra = predict(t)
         WHEN MATCHED THEN DELETE
        RETURNING merge_action(), predict(s), predict(t), predict(old), predict(new)""",
    ):
        answers = []
        for call in (CALL, UNPLANNED):
            connection.execute("BEGIN")
            calls = query.replace("predict(", call.removesuffix("{})"))
            answers.append(sorted(connection.execute(calls.encode()).fetchall(), key=str))
            connection.execute("ROLLBACK")
        assert answers[0] == answers[1]
