"""
The process of a worker's child: it does one job after another.

It imports the learning libraries once, and so does the process that fits for it. Ready means
that both have, so that a job's time limit is spent on learning. It ends after a job that left
it with much memory, and when its worker dies.
"""

import gc
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing

from sqlml.config import read_settings
from sqlml.job.child import THREADS, ChildState
from sqlml.lines import Message, read_messages, take_output, write_message
from sqlml.log import start_logging
from sqlml.search.pool import Pool, keeps_much_memory

START_S = 60.0
"""If the process that fits takes longer to start, jobs begin without it."""
OUTLIVE_S = 1
"""How long after this process its files are deleted: those that fit end when they miss it."""


def main() -> None:
    """Do jobs until one leaves much memory behind."""
    start_logging(read_settings().log_level)
    # What runs trials needs no database.
    dsn = os.environ.pop("SQLML_CHILD_DSN")
    tempfile.tempdir = os.environ.pop("SQLML_CHILD_FOLDER")
    output = take_output()
    with closing(Pool(THREADS)) as pool:
        assignments = listen(tempfile.tempdir)
        # Here, as the pool's process imports the same libraries meanwhile.
        from sqlml.job.runner import make_assignment, run_job

        while True:
            pool.rest(time.monotonic() + START_S)
            write_message(output, {"state": ChildState.READY})
            run_job(make_assignment(assignments.get()), dsn, pool)
            write_message(output, {"state": ChildState.DONE})
            gc.collect()
            if keeps_much_memory(os.getpid()):
                return


def listen(folder: str) -> "queue.SimpleQueue[Message]":
    """
    Pass on what the worker says, from a thread of its own.

    Exit when the worker's end of our standard input closes: it died. Our files go after us.
    """
    messages: queue.SimpleQueue[Message] = queue.SimpleQueue()

    def read() -> None:
        for message in read_messages(sys.stdin.fileno()):
            messages.put(message)
        # Not deleted here: the search would find its files missing, and write that it failed.
        subprocess.Popen(
            ["/bin/sh", "-c", f'sleep {OUTLIVE_S}; exec rm -rf -- "$1"', "sh", folder],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        os._exit(1)

    threading.Thread(target=read, name="listen to worker", daemon=True).start()
    return messages


if __name__ == "__main__":
    main()
