"""
A child process whose worker is dead: it goes first, its files after it.
"""

import subprocess
import sys

from tests.stack import wait_until

MANY = 5000
"""Files; to delete them takes much longer than to miss one."""

SEARCH = """
import os, sys
from sqlml.job.process import listen
folder, count = sys.argv[1], int(sys.argv[2])
listen(folder)
print("ready", flush=True)
while all(os.path.exists(f"{folder}/{name}") for name in range(0, count, 500)):
    pass
print("missing", flush=True)
"""


def test_a_search_never_misses_the_files_that_its_death_deletes(tmp_path):
    folder = tmp_path / "job"
    folder.mkdir()
    for name in range(MANY):
        (folder / str(name)).touch()
    child = subprocess.Popen(
        [sys.executable, "-c", SEARCH, folder, str(MANY)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout.readline() == "ready\n"
    child.stdin.close()
    assert child.wait(20) == 1
    # The process that deletes has the same standard output, and ends when all is deleted.
    assert child.stdout.read() == ""
    child.stdout.close()
    wait_until(lambda: not folder.exists(), 20, "its files are gone")
