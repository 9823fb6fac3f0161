"""
The scoring core's own tests, which need neither PostgreSQL nor Python.
"""

import subprocess
from pathlib import Path

EXTENSION = Path(__file__).parents[2] / "pg_extension"


def test_the_core_passes_its_own_tests():
    done = subprocess.run(
        ["make", "--silent", "-C", EXTENSION, "core-test", "STRICT=1"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
