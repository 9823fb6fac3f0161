"""
What is said of a model that cannot answer: the text that a user acts on.
"""

import psycopg
import pytest

QUEUED = (
    "CALL sqlml.create_model(%s, 'churned', relation => 'customers',"
    " options => '{\"wait\": false}')"
)


@pytest.fixture
def queued(connection):
    """A model that waits for a worker, in a schema that is not on the search path."""
    connection.execute("CREATE SCHEMA sales")
    connection.execute(QUEUED, ["sales.queued"])
    yield "sales.queued"
    connection.execute("CALL sqlml.drop_model('sales.queued')")
    connection.execute("DROP SCHEMA sales")


def refused(connection, statement):
    """The message, detail and hint of a statement's error."""
    with pytest.raises(psycopg.Error) as caught:
        connection.execute(statement)
    diagnosis = caught.value.diag
    return diagnosis.message_primary, diagnosis.message_detail, diagnosis.message_hint


def test_a_waiting_job_is_named_and_how_to_wait_for_it(connection, queued):
    (job,) = connection.execute("SELECT max(job_id) FROM sqlml.jobs").fetchone()
    assert refused(connection, "SELECT sqlml.predict('sales.queued', c) FROM customers AS c") == (
        'model "queued" cannot predict yet',
        f"Its job {job} is waiting.",
        "CALL sqlml.wait('sales.queued') waits for it.",
    )


def test_a_model_off_the_search_path_is_named_with_its_schema(connection, queued):
    assert refused(connection, "SELECT sqlml.show_model('queued')") == (
        'model "queued" does not exist',
        None,
        "There is sales.queued: name its schema.",
    )


def test_of_a_model_in_training_no_role_is_known_but_the_target(connection, queued):
    roles = connection.execute(
        "SELECT \"column\", role FROM sqlml.describe_model('sales.queued')"
    ).fetchall()
    assert dict(roles) == {
        "age": None,
        "spend": None,
        "plan": None,
        "since": None,
        "churned": "target",
        "extra": "unused",
    }


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("show_model", 'permission denied for model "queued"'),
        ("describe_model", 'must be owner of model "queued"'),
    ],
)
def test_whoever_may_not_look_is_told_so(connection, queued, function, message):
    connection.execute("CREATE ROLE onlooker")
    connection.execute("GRANT USAGE ON SCHEMA sales TO onlooker")
    try:
        connection.execute("SET ROLE onlooker")
        assert refused(connection, f"SELECT sqlml.{function}('sales.queued')")[0] == message
    finally:
        connection.execute("RESET ROLE")
        connection.execute("DROP OWNED BY onlooker")
        connection.execute("DROP ROLE onlooker")


def test_a_model_that_has_lost_its_function_is_made_anew(connection, queued):
    predict = "SELECT sqlml.predict('sales.queued', c) FROM customers AS c"
    connection.execute("DROP FUNCTION sales.predict_queued(anyelement)")
    assert refused(connection, predict) == (
        'model "queued" has lost its function',
        "It was sales.predict_queued(anyelement) and belonged to postgres.",
        "Train the model again with CREATE OR REPLACE MODEL.",
    )
    connection.execute(QUEUED, ["sales.queued"])
    assert refused(connection, predict)[0] == 'model "queued" cannot predict yet'
    statuses = connection.execute(
        "SELECT abort_requested FROM sqlml.job WHERE model_name = 'queued' ORDER BY job_id DESC"
    ).fetchmany(2)
    assert statuses == [(False,), (True,)]
