"""
Processes for trials: what they answer, and what becomes of tasks that go wrong.
"""

import os
import sys
import time
from contextlib import closing
from typing import Any

import pytest

from sqlml.enums import EstimatorName, TrialState
from sqlml.search import pool as pool_module
from sqlml.search import study
from sqlml.search.leaderboard import TrialResult
from sqlml.search.plan import Plan
from sqlml.search.pool import Pool, explain_exit, keeps_much_memory, memory_share
from sqlml.search.study import search
from tests.search.tables import dataset_of

ECHO = """
import json, os, sys, time
print(json.dumps({"ready": True}), flush=True)
for line in sys.stdin:
    message = json.loads(line)
    if "sleep" in message:
        time.sleep(message["sleep"])
    if "exit" in message:
        os._exit(message["exit"])
    if "rest" in message:
        print(json.dumps({"ready": True}), flush=True)
    elif "open" not in message:
        print(json.dumps({"answer": {**message, "pid": os.getpid()}}), flush=True)
"""
LATER = 1000.0


def small_table():
    return dataset_of(
        "y", y=[row % 7 * 1.5 for row in range(60)], x=[float(row % 7) for row in range(60)]
    )


@pytest.fixture
def echo(tmp_path):
    """Two processes that answer what they are asked."""
    with closing(Pool(command=(sys.executable, "-c", ECHO))) as pool:
        pool.open(tmp_path, 2)
        yield pool


def ask(pool, task, kill_after_s=LATER, **message):
    """Submit a task as soon as a process is free."""
    while not pool.has_free:
        pool.wait(time.monotonic() + LATER)
    pool.submit(task, message, time.monotonic() + kill_after_s)


def answer(pool):
    """Wait for one reply."""
    while True:
        replies = pool.wait(time.monotonic() + LATER)
        if replies:
            (reply,) = replies
            return reply


def test_two_processes_answer_side_by_side(echo):
    ask(echo, 1, sleep=0.2)
    ask(echo, 2, sleep=0.2)
    replies: dict[int, Any] = {}
    while len(replies) < 2:
        # Both may have come at once.
        replies |= {reply.task: reply.answer for reply in echo.wait(time.monotonic() + LATER)}
    assert set(replies) == {1, 2}
    assert replies[1]["pid"] != replies[2]["pid"]
    assert not echo.is_busy


def test_process_that_exits_is_replaced(echo):
    ask(echo, 1, exit=3)
    reply = answer(echo)
    assert reply.is_lost
    assert reply.error == "its process ended with exit code 3"
    ask(echo, 2, word="again")
    assert answer(echo).answer["word"] == "again"


def test_process_that_hangs_is_killed_and_replaced(echo):
    ask(echo, 1, kill_after_s=0.1, sleep=LATER)
    reply = answer(echo)
    assert reply.is_lost
    assert reply.error == "it did not end in its time and was killed"
    ask(echo, 2, word="again")
    assert answer(echo).answer["word"] == "again"


def test_dropped_tasks_have_no_answer(echo):
    ask(echo, 1, sleep=LATER)
    echo.drop_tasks()
    assert not echo.is_busy
    echo.fill()
    ask(echo, 2, word="again")
    assert answer(echo).task == 2


def find_pid(pool, task):
    """The number of the process that does a task."""
    ask(pool, task, word="who")
    return answer(pool).answer["pid"]


def test_a_process_rests_between_jobs(echo, tmp_path):
    ask(echo, 1, sleep=LATER)
    pid = find_pid(echo, 2)
    echo.rest(time.monotonic() + LATER)
    # Ready at once, and the same one: the other was busy.
    assert echo.has_free
    assert not echo.is_busy
    echo.open(tmp_path, 1)
    assert find_pid(echo, 3) == pid
    assert {find_pid(echo, task) for task in range(4, 7)} == {pid}


def test_a_busy_process_is_replaced_when_its_job_ends(echo):
    pids = {find_pid(echo, task) for task in range(4)}
    ask(echo, 4, sleep=LATER)
    ask(echo, 5, sleep=LATER)
    echo.rest(time.monotonic() + LATER)
    assert echo.has_free
    assert find_pid(echo, 6) not in pids


def test_a_process_that_keeps_much_memory_is_replaced_when_its_job_ends(echo, monkeypatch):
    pids = {find_pid(echo, task) for task in range(4)}
    monkeypatch.setattr(pool_module, "MAX_IDLE_BYTES", 1 << 20)
    echo.rest(time.monotonic() + LATER)
    assert echo.has_free
    assert find_pid(echo, 4) not in pids


def test_much_memory_is_what_a_process_keeps_now(monkeypatch):
    monkeypatch.setattr(pool_module, "MAX_IDLE_BYTES", 1 << 40)
    assert not keeps_much_memory(os.getpid())
    monkeypatch.setattr(pool_module, "MAX_IDLE_BYTES", 1 << 20)
    assert keeps_much_memory(os.getpid())
    # Where nothing is known, it is safer to begin afresh.
    assert keeps_much_memory(-1)


def test_process_that_cannot_start_is_told_at_once(tmp_path):
    with closing(Pool(command=(sys.executable, "-c", "raise SystemExit(5)"))) as pool:
        pool.open(tmp_path, 1)
        with pytest.raises(RuntimeError, match="did not start: its process ended with exit code 5"):
            pool.wait(time.monotonic() + LATER)


def test_others_work_when_one_process_cannot_start(tmp_path):
    # Whoever starts first makes the folder; the others fail at it.
    program = f"import os; os.mkdir({str(tmp_path / 'first')!r})\n{ECHO}"
    with closing(Pool(command=(sys.executable, "-c", program))) as pool:
        pids = {find_pid(pool, 1)}
        pool.open(tmp_path, 2)
        pids |= {find_pid(pool, task) for task in range(2, 5)}
        wait_for_end(pool)
        pool.fill()
        pids |= {find_pid(pool, task) for task in range(5, 8)}
        assert len(pids) == 1


def wait_for_end(pool):
    """Wait until all but one process have ended."""
    end = time.monotonic() + LATER
    while len(pool._processes) > 1 and time.monotonic() < end:
        pool.wait(time.monotonic() + 0.05)


def test_processes_end_with_their_pool(echo):
    ask(echo, 1, word="who")
    pid = answer(echo).answer["pid"]
    echo.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (1, "its process ended with exit code 1"),
        (-11, "its process was ended by SIGSEGV"),
        (-9, "its process was ended by SIGKILL; it may have run out of memory"),
    ],
)
def test_ends_are_explained(code, text):
    assert explain_exit(code) == text


def test_memory_is_shared_by_the_processes():
    whole, half = memory_share(1), memory_share(2)
    assert half <= whole
    assert half >= 1 << 30


def test_trials_that_are_refused_at_once_do_not_end_the_search():
    plan = Plan(
        deadline=time.monotonic() + 600.0,
        trials=6,
        folds=2,
        estimators=(EstimatorName.LINEAR,),
        processes=1,
    )
    with closing(Pool(command=(sys.executable, "-m", "tests.search.faulty", "refuse"))) as pool:
        leaderboard = search(small_table(), plan, lambda progress: None, pool=pool)
    states = [trial.state for trial in leaderboard.trials]
    assert states == [TrialState.COMPLETE, *[TrialState.FAIL] * 6]


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("raise", "ValueError: singular matrix"),
        ("print", "ValueError: singular matrix"),
        ("exit", "its process ended with exit code 3"),
        ("kill", "its process was ended by SIGKILL; it may have run out of memory"),
        ("eat memory", "there was not enough memory"),
        ("hang", "it did not end in its time and was killed"),
    ],
)
def test_trial_that_goes_wrong_fails_alone(monkeypatch, fault, error):
    monkeypatch.setattr(study, "MAX_LINEAR_SHARE", 0.001)
    estimators = (EstimatorName.LINEAR, EstimatorName.LIGHTGBM)
    plan = Plan(
        deadline=time.monotonic() + (60.0 if fault == "hang" else 120.0),
        trials=None if fault == "hang" else 2,
        folds=2,
        estimators=estimators,
        hyperparameters={"num_trees": 5},
        processes=1,
    )
    with closing(Pool(command=(sys.executable, "-m", "tests.search.faulty", fault))) as pool:
        found: list[TrialResult | None] = []

        def stop_early(progress):
            found.append(progress.result)
            if fault == "hang" and progress.result and progress.result.number == 2:
                raise KeyboardInterrupt

        try:
            leaderboard = search(small_table(), plan, stop_early, pool=pool)
        except KeyboardInterrupt:
            leaderboard = None
    trials = [each for each in found if each is not None]
    assert [trial.estimator for trial in trials] == [EstimatorName.BASELINE, *estimators]
    assert trials[1].state is TrialState.FAIL
    assert trials[1].error.startswith(error)
    assert trials[2].state is TrialState.COMPLETE
    if leaderboard is not None:
        assert leaderboard.winner.estimator is EstimatorName.LIGHTGBM
