"""
The sample tables are in the database as they are in scikit-learn.
"""

import psycopg
import pytest
from sklearn import datasets

from sqlml.samples.load import load_samples

COUNTS = {
    "breast_cancer": (569, 31),
    "wine": (178, 14),
    "diabetes": (442, 11),
    "digits": (1797, 65),
}


@pytest.mark.parametrize("name", COUNTS)
def test_table_is_complete(dsn, name):
    with psycopg.connect(dsn) as connection:
        rows = connection.execute(f'SELECT * FROM public."{name}"').fetchall()
    assert (len(rows), len(rows[0])) == COUNTS[name]


def test_text_targets_are_the_right_ones(dsn):
    with psycopg.connect(dsn) as connection:
        tumours = connection.execute(
            "SELECT diagnosis, count(*) FROM breast_cancer GROUP BY 1 ORDER BY 1"
        ).fetchall()
        wines = connection.execute(
            "SELECT cultivar, count(*), round(avg(proline)) FROM wine GROUP BY 1 ORDER BY 1"
        ).fetchall()
    assert tumours == [("benign", 357), ("malignant", 212)]
    assert [wine[:2] for wine in wines] == [("barbera", 48), ("barolo", 59), ("grignolino", 71)]
    # Barolo is the one rich in proline.
    assert max(wines, key=lambda wine: wine[2])[0] == "barolo"


def test_values_are_not_scaled_and_not_rounded(dsn):
    with psycopg.connect(dsn) as connection:
        ages = connection.execute("SELECT min(age), max(age) FROM diabetes").fetchone()
        radii = connection.execute("SELECT mean_radius FROM breast_cancer").fetchall()
    assert ages == (19, 79)
    assert [row[0] for row in radii] == datasets.load_breast_cancer().data[:, 0].tolist()


def test_loading_again_keeps_what_is_there(dsn):
    with psycopg.connect(dsn) as connection:
        before = connection.execute("SELECT 'public.wine'::regclass::oid").fetchone()
    load_samples(dsn)
    with psycopg.connect(dsn) as connection:
        assert connection.execute("SELECT 'public.wine'::regclass::oid").fetchone() == before
        assert connection.execute("SELECT count(*) FROM wine").fetchone() == (178,)
