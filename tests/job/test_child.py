"""
A worker's child: one process does one job after another.
"""

import sys
from contextlib import contextmanager

import pytest

from sqlml.job.child import Child
from tests.job.jobs import JOB
from tests.stack import wait_until

PROGRAM = """
import os
from sqlml.job import process, runner
from sqlml.search import pool

def run_job(assignment, dsn, fitting):
    print("what a library says", flush=True)
    assert fitting.has_free
    {job}

runner.run_job = run_job
pool.MAX_IDLE_BYTES = {memory}
process.main()
"""
MUCH = 1 << 40


@contextmanager
def ready_child(job="pass", memory=MUCH):
    """A child that does something else instead of jobs."""
    child = Child("", (sys.executable, "-c", PROGRAM.format(job=job, memory=memory)))
    try:
        wait_until(lambda: child.is_ready, 60, "the child is ready")
        yield child
    finally:
        child.kill()


def test_a_child_does_one_job_after_another():
    with ready_child() as child:
        for _ in range(3):
            wait_until(lambda: child.is_ready, 60, "the child is ready")
            child.start(JOB, 0.0)
            assert child.wait(60)
            assert child.is_done
        assert child.exit_code is None


def test_a_child_that_keeps_much_memory_ends_after_its_job():
    with ready_child(memory=0) as child:
        child.start(JOB, 0.0)
        assert child.wait(60)
        assert child.is_done
        wait_until(lambda: child.exit_code == 0, 60, "the child ends")


@pytest.mark.parametrize(("job", "code"), [("os._exit(7)", 7), ("os.kill(os.getpid(), 9)", -9)])
def test_a_child_that_dies_at_its_job_has_not_done_it(job, code):
    with ready_child(job=job) as child:
        child.start(JOB, 0.0)
        assert child.wait(60)
        assert not child.is_done
        assert child.exit_code == code


def test_a_job_for_a_child_that_died_meanwhile_is_not_done():
    with ready_child() as child:
        child._process.kill()
        child._process.wait()
        child.start(JOB, 0.0)
        assert child.wait(60)
        assert not child.is_done


def test_a_job_that_goes_on_is_waited_for():
    with ready_child(job="import time; time.sleep(100)") as child:
        child.start(JOB, 0.0)
        assert not child.wait(0.1)
        assert not child.is_done
        assert child.exit_code is None
