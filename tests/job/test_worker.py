"""
What a worker says while it has no connection.
"""

import logging
import threading

import psycopg

from sqlml.job.worker import Worker


def test_a_loss_is_logged_once(monkeypatch, caplog):
    monkeypatch.setattr(logging.getLogger("sqlml"), "propagate", True)
    worker = Worker("", threading.Event())
    for text in ("refused\n\tIs the server running?", "refused\n", "no password"):
        worker.log_loss(psycopg.OperationalError(text))
    assert [record.getMessage().partition(": ")[2] for record in caplog.records] == [
        "refused",
        "no password",
    ]
