"""
How sqlml's functions are called: the one place to change when they do.
"""

from benchmarks.predicting.server import Session
from benchmarks.predicting.table import TYPES_OF_CUSTOMERS

CLASS = "yes"


def predict(model: str) -> str:
    """The call that users write; `t` is the row."""
    return f"sqlml.predict_proba('{model}', t, '{CLASS}')"


def predict_raw(model: str) -> str:
    """The raw score, through a regression of the same trees."""
    return f"sqlml.predict('{model}_raw', t, NULL::float8)"


def written_out(session: Session, model: str) -> str | None:
    """What `predict` becomes when it is planned, as its user could have written it."""
    name = "sqlml.predict_proba_columns"
    if not session.has_function(name):
        return None
    version = session.connection.execute(
        "SELECT current_version_id FROM sqlml.model WHERE model_name = %s", (model,)
    ).fetchone()
    assert version is not None
    columns = ", ".join(f"t.{column}" for column in TYPES_OF_CUSTOMERS)
    return f"{name}('{model} version 1', {version[0]}, '{CLASS}', {columns})"


def plpython_scalars(session: Session, model: str) -> str | None:
    """PL/Python with the scoring core, one call a row."""
    if not session.has_function("sqlml_plpython.create_function"):
        return None
    session.run(f"CALL sqlml_plpython.create_function('{model}')")
    columns = ", ".join(f"{column} => t.{column}" for column in TYPES_OF_CUSTOMERS)
    return f"predict_{model}_proba('{CLASS}', {columns})"


def plpython_set_wise(session: Session, model: str, table: str) -> str | None:
    """A query that sums predictions of a table, which PL/Python reads and scores itself."""
    if not session.has_function("sqlml_plpython.predict_summary"):
        return None
    return f"SELECT * FROM sqlml_plpython.predict_summary('{model}', 'SELECT * FROM {table}')"
