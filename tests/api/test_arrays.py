"""
Columns that are arrays of numbers: from the table through CREATE MODEL to predict().
"""

import numpy as np
import psycopg
import pyarrow as pa
import pytest

from sqlml.predict.reference import ReferencePredictor
from sqlml.predict.scorer import Scorer

DIMENSIONS = 24
PAGES = f"""
CREATE TABLE pages AS
SELECT page, kind IN (0, 2) AS is_spam,
       (SELECT array_agg((sin(kind * 7 + place) + random())::real ORDER BY place)
          FROM generate_series(1, {DIMENSIONS}) AS place) AS embedding,
       CASE WHEN page % 9 > 0 THEN array_fill(page % 5, ARRAY[page % 4]) || NULL END AS visits,
       ARRAY[[page, 1.5], [NULL, 'NaN']]::numeric[] AS sizes
  FROM (SELECT page, page * 7 % 4 AS kind FROM generate_series(1, 600) AS page) AS kinds
"""
OPTIONS = '{"time_limit": "20 s", "trials": 1, "estimators": ["lightgbm"], "exclude": ["page"]}'


@pytest.fixture(scope="module")
def pages(database, module_worker):
    """A session in a database with a model of a table with arrays."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("SELECT setseed(0.5)")
        connection.execute(PAGES)
        connection.execute(
            "CALL sqlml.create_model('spam', 'is_spam', relation => 'pages', options => %s)",
            [OPTIONS],
        )
        yield connection


def read_rows(connection):
    """The rows as training reads them, one list a column."""
    rows = connection.execute(
        "SELECT embedding::float8[], visits::float8[], sizes::float8[]"
        " FROM pages ORDER BY page LIMIT 150"
    ).fetchall()
    embedding, visits, sizes = zip(*rows, strict=True)
    flat = [[number for line in matrix for number in line] for matrix in sizes]
    kind = pa.large_list(pa.float64())
    return pa.table(
        {
            "embedding": pa.array(embedding, kind),
            "visits": pa.array(visits, kind),
            "sizes": pa.array(flat, kind),
        }
    )


def test_predictions_are_those_of_the_artifact(pages):
    data = pages.execute(
        "SELECT artifact FROM sqlml.version JOIN sqlml.model USING (model_id)"
        " WHERE model_name = 'spam' AND version_id = current_version_id"
    ).fetchone()[0]
    reference, rows = ReferencePredictor(data), read_rows(pages)
    expected = [reference.predict(row) for row in rows.to_pylist()]
    probabilities = [reference.probabilities(row)[1] for row in rows.to_pylist()]
    raw = Scorer(data, "spam").raw_scores(rows)
    assert len(np.unique(raw)) > 50
    for features in ("p", "to_jsonb(p)", "(SELECT q FROM (SELECT p.* OFFSET 0) AS q)"):
        found = pages.execute(
            f"SELECT sqlml.predict('spam', {features}),"
            f" sqlml.predict_proba('spam', {features}, 'true')"
            " FROM pages AS p ORDER BY page LIMIT 150"
        ).fetchall()
        assert [row[0] for row in found] == expected
        assert [row[1] for row in found] == probabilities


def test_the_model_learnt_from_the_elements(pages):
    score, baseline = pages.execute(
        "SELECT score, baseline_score FROM sqlml.models WHERE model = 'spam'"
    ).fetchone()
    assert score > baseline + 0.2
    described = {
        row[0]: row[1:]
        for row in pages.execute(
            "SELECT \"column\", type, kind, role, importance FROM sqlml.describe_model('spam')"
        )
    }
    assert described["embedding"][:3] == ("real[]", "array", "array")
    assert described["embedding"][3] > 0.5
    assert described["visits"][:3] == ("integer[]", "array", "array")
    assert described["sizes"][:3] == ("numeric[]", "array", "array")


def test_the_columns_contribute(pages):
    row = pages.execute(
        'SELECT array_agg("column" ORDER BY "column") FROM pages AS p,'
        " LATERAL sqlml.explain_prediction('spam', p) WHERE page = 1"
    ).fetchone()
    assert {"embedding", "sizes", "visits"} >= set(row[0]) - {None, "(base)"}


def test_it_has_no_sql_and_says_why(pages):
    with pytest.raises(psycopg.errors.FeatureNotSupported) as caught:
        pages.execute("SELECT sqlml.model_sql('spam')")
    assert "array" in (caught.value.diag.message_detail or "")


def test_an_array_has_no_other_role(pages):
    for option in ("group_by", "order_by", "weight"):
        with pytest.raises(psycopg.errors.DatatypeMismatch, match=r"has type real\[\]"):
            pages.execute(
                "CALL sqlml.create_model('other', 'is_spam', relation => 'pages', options => %s)",
                [f'{{"{option}": "embedding"}}'],
            )
    with pytest.raises(psycopg.Error, match=r"has type real\[\], which cannot be predicted"):
        pages.execute("CALL sqlml.create_model('other', 'embedding', relation => 'pages')")
