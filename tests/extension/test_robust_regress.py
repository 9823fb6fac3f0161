"""
The extension's own regression tests, which run without Python, on every version of the server.
"""

import os
import subprocess
import sys
from pathlib import Path

import psycopg.conninfo
import pytest

from sqlml.server.binaries import find_binaries
from tests.extension.regress_models import FIXTURE, write_fixture
from tests.stack import Stack

EXTENSION = Path(__file__).parents[2] / "pg_extension"


def test_the_fixture_is_current():
    assert FIXTURE.read_text(encoding="utf-8") == write_fixture()


def find_pg_regress(pg_config: Path) -> Path:
    """The driver beside pg_config; the wheel's of PostgreSQL 18 does not start at all."""
    others = [binaries.bin_dir / "pg_config" for binaries in find_binaries()]
    for candidate in (pg_config, *others):
        done = subprocess.run([candidate, "--pgxs"], capture_output=True, text=True, check=True)
        driver = Path(done.stdout.strip()).parents[1] / "test/regress/pg_regress"
        if driver.exists() and subprocess.run([driver, "--version"], check=False).returncode == 0:
            return driver
    pytest.skip("there is no pg_regress")


def test_installcheck(matrix_stack: Stack):
    pg_config = matrix_stack.bin_dir / "pg_config"
    driver = find_pg_regress(pg_config)
    place = psycopg.conninfo.conninfo_to_dict(matrix_stack.dsn)
    settings = {f"PG{name.upper()}": str(place[name]) for name in ("host", "port", "user")}
    settings["PGPASSWORD"] = str(place["password"])
    done = subprocess.run(
        [
            *("make", "-C", str(EXTENSION), "installcheck", f"PG_CONFIG={pg_config}"),
            f"pg_regress_installcheck={driver} --bindir={matrix_stack.bin_dir}",
            f"PYTHON={sys.executable}",
        ],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    differences = [path.read_text() for path in EXTENSION.glob("build/*/regression.diffs")]
    assert done.returncode == 0, "\n".join([done.stdout, done.stderr, *differences])
