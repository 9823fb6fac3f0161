"""
Model statements for the tests of clients, and an oracle that looks past the proxy.
"""

import json
import os
import subprocess
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from tests.stack import wait_until

FLOWERS = """
DROP TABLE IF EXISTS flowers;
CREATE TABLE flowers AS
SELECT g % 40 / 10.0::float8 AS width, g % 7 AS petals,
       CASE WHEN g % 40 < 20 THEN 'rose' ELSE 'Tür kis "x"' END AS kind
  FROM generate_series(1, 200) AS g
"""
KINDS = {"rose", 'Tür kis "x"'}

# Starting processes is most of the work.
QUICK = "trials = 1, processes = 1"
# Nothing ends it in time but a cancel request.
ENDLESS = "trials = 100000, time_limit = '2 min', processes = 1"

# The first notice of a training; before it there is one if no worker is free. And the notice of a
# training that has to wait for its commit.
PROGRESS = "read 200 rows with 2 columns"
FIRST = (PROGRESS, "waiting for a worker to be free")
STARTS_LATER = 'training of model "{}" starts when this transaction commits'

# The detail of the error that a cancel request ends a training with.
ABORTED = 'Training of model "{}" was aborted.'

MISSPELT = "CREATE MODEL m PREDICT kind FORM flowers"
HINT = "Did you mean FROM?"
POSITION = MISSPELT.index("FORM") + 1


def create(model: str, options: str = QUICK) -> str:
    """The statement that makes a model of the flowers."""
    return f"CREATE MODEL {model} PREDICT kind FROM flowers WITH ({options})"


def count_right(model: str) -> str:
    """The query for how many of the 200 flowers the model knows."""
    return f"SELECT count(*) FROM flowers f WHERE predict_{model}(f) = kind"


@dataclass(frozen=True)
class Oracle:
    """Reads the catalogue through a direct session."""

    connection: psycopg.Connection

    def count_models(self, model: str) -> int:
        """Whether there is such a model, ready or not."""
        return self._count("models", model)

    def count_jobs(self, model: str) -> int:
        """How many jobs ever were for a model of that name."""
        return self._count("jobs", model)

    def has_begun(self, model: str) -> bool:
        """Whether its last job has read the rows and trains."""
        row = self.connection.execute(
            "SELECT EXISTS (SELECT FROM sqlml.event JOIN sqlml.job USING (job_id)"
            " WHERE model_name = %s AND status = 'running' AND event.message = %s)",
            (model, PROGRESS),
        ).fetchone()
        return row == (True,)

    def check_cancelled(self, model: str) -> None:
        """Fail the test unless the model is gone and its last job is aborted soon."""
        assert self.count_models(model) == 0
        wait_until(lambda: self._read_status(model) == "aborted", 60)

    def check_committed(self, model: str) -> None:
        """Fail the test unless all sessions see the model and its job."""
        assert self.count_models(model) == 1
        assert self.count_jobs(model) > 0

    def check_rolled_back(self, model: str) -> None:
        """Fail the test unless nothing is left of the model, its job included."""
        assert self.count_models(model) == 0
        assert self.count_jobs(model) == 0

    def _count(self, view: str, model: str) -> int:
        query = f"SELECT count(*) FROM sqlml.{view} WHERE model = %s"
        row = self.connection.execute(query, (model,)).fetchone()
        assert row is not None
        return int(row[0])

    def _read_status(self, model: str) -> str:
        query = "SELECT status FROM sqlml.jobs WHERE model = %s ORDER BY job_id DESC LIMIT 1"
        row = self.connection.execute(query, (model,)).fetchone()
        assert row is not None
        return str(row[0])


def read_facts(*command: str, **environment: str) -> dict[str, Any]:
    """
    What a client of another language found out.

    Its program prints a line of JSON for each scenario, `{"scenario": …, "facts": …}`; a scenario
    that broke has its error in place of the facts.
    """
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=120,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **environment},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return {line["scenario"]: line["facts"] for line in lines}


def skip_without(is_there: object, what: str) -> None:
    """Skip the test where a system package is missing that only root could install."""
    if not is_there:
        pytest.skip(f"{what} is not installed; scripts/install.sh --test as root installs it")
