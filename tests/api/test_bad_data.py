"""
CREATE MODEL on bad data: it gives a model, or says plainly what is wrong; the model answers
for rows that are worse than those it has learnt from.
"""

import math

import psycopg
import pytest
from psycopg import sql
from psycopg.types.json import Jsonb

DATA = """
CREATE TABLE odd_names AS
SELECT g % 7 AS "a b", g * 1.5 AS score, g % 3 AS f0, (g % 5)::text AS "Größe 東京",
       g % 2 = 0 AS "x'; --", now() AS "select", g % 4 > 1 AS "y z"
  FROM generate_series(1, 200) AS g;
INSERT INTO odd_names ("y z") VALUES (NULL);
CREATE TABLE odd_names_asked AS TABLE odd_names WITH NO DATA;
INSERT INTO odd_names_asked DEFAULT VALUES;
INSERT INTO odd_names_asked VALUES (7, 'NaN', -1, repeat('x', 100000), NULL, 'infinity');

CREATE TABLE extremes AS
SELECT CASE g % 3 WHEN 0 THEN 9223372036854775807 WHEN 1 THEN -9223372036854775808 END AS large,
       CASE g % 4 WHEN 0 THEN 1.7e308 WHEN 1 THEN 'infinity' WHEN 2 THEN -1.7e308 ELSE g
        END::float8 AS huge,
       CASE g % 4 WHEN 0 THEN timestamptz '294276-12-31' WHEN 1 THEN '4714-11-24 BC'
                  WHEN 2 THEN 'infinity' ELSE now() END AS moment,
       CASE g % 3 WHEN 0 THEN date '294276-12-31' WHEN 1 THEN '4714-11-24 BC' ELSE '-infinity'
        END AS day,
       CASE g % 3 WHEN 0 THEN true WHEN 1 THEN false END AS flag,
       CASE g % 3 WHEN 0 THEN '' WHEN 1 THEN '😀東京' END AS word,
       9007199254740993 + g % 50 AS y
  FROM generate_series(1, 200) AS g;
CREATE TABLE extremes_asked AS TABLE extremes WITH NO DATA;
INSERT INTO extremes_asked DEFAULT VALUES;
INSERT INTO extremes_asked VALUES (0, 'NaN', '-infinity', 'infinity', NULL, E'\\x01');

CREATE TABLE out_of_range AS
SELECT date '5874897-12-31' AS day, 10::numeric ^ 400 AS large, g % 5 AS x, g % 2 = 0 AS y
  FROM generate_series(1, 100) AS g;

CREATE TABLE long_texts AS
SELECT repeat(format('w%s w%s ', g % 9, g % 4), 100000) AS body, g % 2 = 0 AS y
  FROM generate_series(1, 20) AS g;
CREATE TABLE long_texts_asked AS SELECT repeat('w1 ', 400000) AS body UNION ALL SELECT NULL;

CREATE TABLE many_classes AS
SELECT 'class ' || g % 200 AS y, g % 200 AS x, sin(g) AS z FROM generate_series(1, 2000) AS g;
CREATE TABLE many_classes_asked AS SELECT NULL::int AS x, 'NaN'::float8 AS z;

CREATE TABLE odd_groups AS
SELECT g AS own, NULL::text AS nothing, 1 AS one, g % 7 AS x, g % 3 = 0 AS y
  FROM generate_series(1, 60) AS g;
"""


@pytest.fixture(scope="module", autouse=True)
def tables(database: str) -> None:
    """The tables and the rows that are asked for."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(DATA)


def create(connection, relation, target, **options):
    """Create a model of the relation's name."""
    connection.execute(
        "CALL sqlml.create_model(%s, %s, relation => %s, options => %s)",
        [f"of_{relation}", target, relation, Jsonb({"time_limit": 60, "trials": 2} | options)],
    )


@pytest.mark.parametrize(
    ("relation", "target"),
    [
        ("odd_names", "y z"),
        ("extremes", "y"),
        ("long_texts", "y"),
        ("many_classes", "y"),
    ],
)
def test_model_of_bad_data_answers_for_worse_rows(connection, module_worker, relation, target):
    create(connection, relation, target, num_trees=5)
    asked = sql.Identifier(f"{relation}_asked")
    rows = connection.execute(
        sql.SQL("SELECT sqlml.predict({}, asked) FROM {} AS asked").format(f"of_{relation}", asked)
    ).fetchall()
    assert rows
    assert all(answer is not None for (answer,) in rows)
    if relation == "extremes":
        assert all(math.isfinite(float(answer)) for (answer,) in rows)


@pytest.mark.parametrize(
    ("relation", "target", "options", "message"),
    [
        ("odd_groups", "y", {"group_by": "one"}, "the rows cannot be parted into folds"),
        ("odd_groups", "y", {"group_by": "nothing"}, "the rows cannot be parted into folds"),
        ("odd_groups", "y", {"order_by": "one"}, "the rows cannot be parted into folds"),
        (
            "odd_groups",
            "x",
            {"class_weight": "balanced", "problem_type": "regression"},
            'no estimator of this search has a hyperparameter "class_weight"',
        ),
        ("out_of_range", "y", {"exclude": ["large"]}, "date out of range for timestamp"),
        ("out_of_range", "y", {"exclude": ["day"]}, "is out of range for type double precision"),
    ],
)
def test_what_the_data_do_not_allow(connection, module_worker, relation, target, options, message):
    with pytest.raises(psycopg.Error, match=message) as caught:
        create(connection, relation, target, **options)
    diagnosis = caught.value.diag
    assert caught.value.sqlstate.startswith("22")
    assert diagnosis.message_hint
    assert "\n" not in diagnosis.message_primary
