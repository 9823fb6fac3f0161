"""
Whose rights count: training reads with the owner's, predicting needs a grant.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg
import pytest

CREATE = (
    "CALL sqlml.create_model(%s, 'y', relation => 'readings',"
    """ options => '{"time_limit": "20 s", "trials": 1}')"""
)

SETUP = """
CREATE ROLE test_anna;
CREATE ROLE test_bert;
CREATE ROLE test_eve;
CREATE SCHEMA lab;
GRANT USAGE, CREATE ON SCHEMA lab TO test_anna, test_bert;
GRANT USAGE ON SCHEMA lab TO test_eve;
CREATE TABLE lab.readings (who name, x float8, y float8);
INSERT INTO lab.readings
SELECT CASE WHEN g <= 200 THEN 'test_anna' ELSE 'test_bert' END, g % 50, (g % 50) * 2
  FROM generate_series(1, 300) AS g;
ALTER TABLE lab.readings ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_rows ON lab.readings USING (who = current_user);
GRANT SELECT ON lab.readings TO test_anna, test_bert;
"""

TEARDOWN = """
DROP OWNED BY test_anna, test_bert, test_eve;
DROP SCHEMA lab CASCADE;
DROP ROLE test_anna, test_bert, test_eve;
"""


@pytest.fixture(scope="module", autouse=True)
def roles(database) -> Iterator[None]:
    """Three roles and a table with row-level security."""
    with closing(psycopg.connect(database, autocommit=True)) as connection:
        connection.execute(SETUP)
        yield
        connection.execute(TEARDOWN)


@contextmanager
def acting_as(connection, role):
    """Be another role for a while."""
    connection.execute(f"SET ROLE {role}")
    connection.execute("SET search_path = lab")
    yield
    connection.execute("RESET ROLE")
    connection.execute("RESET search_path")


def test_training_sees_the_owners_rows_only(connection, module_worker):
    for role, rows in (("test_anna", 200), ("test_bert", 100)):
        with acting_as(connection, role):
            connection.execute(CREATE, [f"of_{role}"])
            trained = connection.execute(
                "SELECT train_rows, owner::text FROM sqlml.models WHERE model = %s", [f"of_{role}"]
            ).fetchone()
        assert trained == (rows, role)


def test_no_privilege_on_the_relation(connection, module_worker):
    connection.execute("GRANT CREATE ON SCHEMA lab TO test_eve")
    with acting_as(connection, "test_eve"), pytest.raises(psycopg.Error) as caught:
        connection.execute(CREATE, ["stolen"])
    connection.execute("RESET ROLE")
    assert caught.value.sqlstate == "42501"
    assert "readings" in caught.value.diag.message_primary
    assert connection.execute(
        "SELECT count(*) FROM sqlml.model WHERE model_name = 'stolen'"
    ).fetchone() == (0,)
    connection.execute("REVOKE CREATE ON SCHEMA lab FROM test_eve")


def test_a_model_is_private_until_granted(connection, module_worker):
    row = "(SELECT r FROM (SELECT 3::float8 AS x, 'a'::name AS who) AS r)"
    with acting_as(connection, "test_anna"):
        connection.execute(CREATE, ["private"])
    with acting_as(connection, "test_eve"):
        for call in (f"lab.predict_private({row})", f"sqlml.predict('lab.private', {row})"):
            with pytest.raises(psycopg.Error) as caught:
                connection.execute(f"SELECT {call}")
            assert caught.value.sqlstate == "42501"
        assert connection.execute("SELECT count(*) FROM sqlml.version").fetchone() == (0,)
        assert connection.execute("SELECT count(*) FROM sqlml.models").fetchone() == (0,)
    with acting_as(connection, "test_anna"):
        connection.execute("GRANT EXECUTE ON FUNCTION lab.predict_private(anyelement) TO test_eve")
    with acting_as(connection, "test_eve"):
        answer = connection.execute(f"SELECT lab.predict_private({row})").fetchone()[0]
        assert isinstance(answer, float)
        assert connection.execute("SELECT model FROM sqlml.models").fetchall() == [("private",)]
        assert connection.execute("SELECT count(*) FROM sqlml.trials").fetchone() == (0,)
    (version_id,) = connection.execute(
        "SELECT current_version_id FROM sqlml.model WHERE model_name = 'private'"
    ).fetchone()
    for role, is_shown in (("test_anna", True), ("test_bert", False), ("test_eve", False)):
        with acting_as(connection, role):
            for condition in (
                f"feature WHERE version_id = {version_id}",
                "features WHERE model = 'private'",
            ):
                query = f"SELECT count(*) > 0 FROM sqlml.{condition}"
                assert connection.execute(query.encode()).fetchone() == (is_shown,), (
                    role,
                    condition,
                )


def test_only_the_owner_replaces_and_drops(connection, module_worker):
    with acting_as(connection, "test_anna"):
        connection.execute(CREATE, ["mine"])
    with acting_as(connection, "test_bert"):
        for statement in (
            "CALL sqlml.drop_model('mine')",
            "CALL sqlml.create_model('mine', 'y', relation => 'readings', replace => true)",
        ):
            with pytest.raises(psycopg.Error, match="must be owner") as caught:
                connection.execute(statement)
            assert caught.value.sqlstate == "42501"
        assert connection.execute("DELETE FROM sqlml.model WHERE model_name = 'mine'").rowcount == 0
    with acting_as(connection, "test_anna"):
        connection.execute("CALL sqlml.drop_model('mine')")


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO sqlml.model (schema_name, model_name, owner) VALUES ('lab', 'f', 'test_anna')",
        "INSERT INTO sqlml.model (schema_name, model_name) VALUES ('pg_catalog', 'forged')",
        "UPDATE sqlml.model SET owner = 'test_eve'",
        "UPDATE sqlml.model SET current_version_id = 1",
        "UPDATE sqlml.job SET status = 'succeeded'",
        "INSERT INTO sqlml.version (model_id) VALUES (1)",
        "DELETE FROM sqlml.version",
        "INSERT INTO sqlml.feature (version_id) VALUES (1)",
        "UPDATE sqlml.trial SET weight = 1",
        "SELECT * FROM sqlml.fetch_job()",
        "DELETE FROM sqlml.option",
    ],
)
def test_the_catalogue_cannot_be_forged(connection, statement):
    with acting_as(connection, "test_eve"), pytest.raises(psycopg.Error) as caught:
        connection.execute(statement)
    connection.execute("RESET ROLE")
    assert caught.value.sqlstate == "42501"


def test_the_worker_reads_no_user_table(database, worker_dsn_of):
    with (
        closing(psycopg.connect(worker_dsn_of(database), autocommit=True)) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("SELECT * FROM customers")


def test_the_training_query_cannot_write_or_change_its_role(connection, module_worker):
    for query, sqlstate in (
        ("WITH gone AS (DELETE FROM customers RETURNING *) SELECT * FROM gone", None),
        (
            "SELECT age, churned, set_config('role', 'test_eve', true) AS role FROM customers",
            "42501",
        ),
    ):
        with pytest.raises(psycopg.Error) as caught:
            connection.execute("CALL sqlml.create_model('wicked', 'churned', query => %s)", [query])
        if sqlstate:
            assert caught.value.sqlstate == sqlstate
    assert connection.execute("SELECT count(*) FROM customers").fetchone() == (300,)
