"""
The real tables through CREATE MODEL: test score, baseline, and how the time limit held.

Starts an embedded stack, loads each table with COPY, trains through the proxy, and scores
the predictions of the test part in SQL.

    python benchmarks/tables.py [--time-limit 20] [--tables adult titanic] [--json FILE]
"""

import argparse
import json
import sys
from contextlib import closing
from pathlib import Path

import psycopg

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.clients.tables import load_table
from tests.clients.test_tables import TEST_SCORE
from tests.data import TABLES
from tests.stack import temporary_stack

CREATE = 'CREATE MODEL {name} PREDICT "{target}" FROM {name}_train WITH (time_limit = {limit})'
FACTS = """
SELECT extract(epoch FROM finished_at - started_at)::float8, trial_count, estimator, score
  FROM sqlml.models JOIN sqlml.jobs USING (schema, model) WHERE model = %s
"""


def measure(connection: psycopg.Connection, name: str, limit_s: float) -> dict[str, float | str]:
    """Train one table and score its test part."""
    target, metric = TABLES[name]
    load_table(connection, name)
    connection.execute(CREATE.format(name=name, target=target, limit=limit_s).encode())
    facts = connection.execute(FACTS, [name]).fetchone()
    query = TEST_SCORE[metric].format(model=name, target=target, table=f"{name}_test")
    scores = connection.execute(query.encode()).fetchone()
    assert facts is not None
    assert scores is not None
    return {
        "test_score": float(scores[0]),
        "baseline_test_score": float(scores[1]),
        "reported_score": facts[3],
        "seconds_per_limit": facts[0] / limit_s,
        "trials": facts[1],
        "estimator": facts[2],
    }


def main() -> None:
    """Measure the tables, print them, write them as one flat object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--time-limit", type=float, default=20.0, help="seconds for each table")
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES))
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    figures: dict[str, float | str] = {"time_limit_s": options.time_limit}
    print(f"{'table':20} {'metric':9} {'test':>10} {'baseline':>10} {'time/limit':>10} trials")
    with (
        temporary_stack() as stack,
        closing(psycopg.connect(stack.proxy_dsn, autocommit=True)) as connection,
    ):
        for name in options.tables:
            found = measure(connection, name, options.time_limit)
            figures |= {f"{name}.{key}": value for key, value in found.items()}
            print(
                f"{name:20} {TABLES[name].metric:9} {found['test_score']:10.4f}"
                f" {found['baseline_test_score']:10.4f} {found['seconds_per_limit']:10.3f}"
                f" {found['trials']} ({found['estimator']})"
            )
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
