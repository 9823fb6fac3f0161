"""
The eight real tables: straight from COPY, through the proxy, and better than the baseline.
"""

from contextlib import closing

import psycopg
import pytest

from tests.clients.tables import load_table
from tests.data import TABLES

pytestmark = pytest.mark.slow

# The same metric, computed in SQL from predictions for rows that training never saw, and
# the baseline's value for them: a constant prediction.
TEST_SCORE = {
    "roc_auc": """
        SELECT (sum(place) FILTER (WHERE positive) - n1 * (n1 + 1) / 2) / (n1 * n0), 0.5, true
          FROM (SELECT rank() OVER (ORDER BY p)
                       + (count(*) OVER (PARTITION BY p) - 1) / 2.0 AS place,
                       positive, (count(*) FILTER (WHERE positive) OVER ())::float8 AS n1,
                       (count(*) FILTER (WHERE NOT positive) OVER ())::float8 AS n0
                  FROM (SELECT sqlml.predict_proba('{model}', t, '1') AS p,
                               "{target}" = 1 AS positive FROM {table} t) AS scored) AS ranked
         GROUP BY n1, n0""",
    "rmse": """
        SELECT sqrt(avg(("{target}" - "predict_{model}"(t)) ^ 2)), stddev_pop("{target}"), false
          FROM {table} t""",
    "log_loss": """
        SELECT avg(-ln(greatest(sqlml.predict_proba('{model}', t, t."{target}"), 1e-15))),
               (SELECT -sum(share * ln(share))
                  FROM (SELECT count(*)::float8 / sum(count(*)) OVER () AS share
                          FROM {table} GROUP BY "{target}") AS shares), false
          FROM {table} t""",
}


@pytest.fixture(scope="module")
def proxied(proxy_dsn):
    """A session through the proxy."""
    with closing(psycopg.connect(proxy_dsn, autocommit=True)) as connection:
        yield connection


@pytest.mark.parametrize("name", TABLES)
def test_a_real_table_beats_the_baseline(proxied, name):
    load_table(proxied, name)
    target, metric = TABLES[name]
    proxied.execute(
        f'CREATE OR REPLACE MODEL {name} PREDICT "{target}" FROM {name}_train'
        " WITH (trials = 2, time_limit = '2 min')"
    )
    score, baseline, direction = proxied.execute(
        "SELECT score, baseline_score, direction FROM sqlml.models WHERE model = %s",
        [name],
    ).fetchone()
    assert (score > baseline) == (direction == "maximize")
    assert score != baseline
    query = TEST_SCORE[metric].format(model=name, target=target, table=f"{name}_test")
    tested, constant, is_maximized = proxied.execute(query).fetchone()
    assert tested > constant if is_maximized else tested < constant
