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
