"""
The main job on every PostgreSQL that is at hand: through the proxy, in one statement.
"""

from contextlib import closing

import psycopg


def test_the_main_job(matrix_stack):
    with closing(psycopg.connect(matrix_stack.proxy_dsn, autocommit=True)) as connection:
        connection.execute(
            "CREATE MODEL tumour PREDICT diagnosis FROM breast_cancer"
            " WITH (trials = 2, time_limit = '20 s')"
        )
        right, all_rows = connection.execute(
            "SELECT count(*) FILTER (WHERE predict_tumour(t) = diagnosis), count(*)"
            "  FROM breast_cancer t"
        ).fetchone()
        score, baseline = connection.execute(
            "SELECT score, baseline_score FROM sqlml.models"
        ).fetchone()
        assert connection.execute("DROP MODEL tumour").statusmessage == "DROP MODEL"
        with closing(psycopg.connect(matrix_stack.proxy_dsn)) as other:
            other.execute("CREATE MODEL later PREDICT diagnosis FROM breast_cancer")
            other.rollback()
        left = connection.execute("SELECT count(*) FROM sqlml.models").fetchone()
    assert all_rows == 569
    assert right > 520
    assert score > baseline
    assert left == (0,)
