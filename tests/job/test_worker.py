"""
What a worker says while it has no connection, and what a job's waiting costs it.
"""

import logging
import threading
from dataclasses import replace

import psycopg
import pytest

from sqlml.job.worker import Worker, charged_wait_s
from tests.job.jobs import JOB


def test_a_loss_is_logged_once(monkeypatch, caplog):
    monkeypatch.setattr(logging.getLogger("sqlml"), "propagate", True)
    worker = Worker("", threading.Event())
    for text in ("refused\n\tIs the server running?", "refused\n", "no password"):
        worker.log_loss(psycopg.OperationalError(text))
    assert [record.getMessage().partition(": ")[2] for record in caplog.records] == [
        "refused",
        "no password",
    ]


@pytest.mark.parametrize(
    ("waited_s", "free_s", "charged_s"),
    [
        (1.5, 100.0, 1.5),  # the worker was getting ready
        (50.0, 1.0, 1.0),  # another job came first
        (50.0, 100.0, 2.0),  # most of the limit is for learning
        (-1.0, 100.0, 0.0),  # somebody set the server's clock
    ],
)
def test_only_the_wait_for_a_free_worker_counts(waited_s, free_s, charged_s):
    job = replace(JOB, waited_s=waited_s)
    assert charged_wait_s(job, free_s) == charged_s
