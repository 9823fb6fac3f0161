"""
The processes of a search at their work: fits are ordered here, and found here again.
"""

import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from sqlml.search.arrays import F64
from sqlml.search.estimators.estimator import Fit
from sqlml.search.estimators.files import read_fit
from sqlml.search.folder import Folder
from sqlml.search.orders import FitAnswer, FitOrder
from sqlml.search.pool import Pool, Reply
from sqlml.search.process import Desk
from sqlml.search.trial import Evaluation, fit_name

HANG_FACTOR = 2.0
"""A fit that takes so many times its slot is killed."""
MIN_HANG_S = 5.0
"""But not earlier than this after its slot: loading the sample and predicting take a while."""


@dataclass(slots=True)
class Crew:
    """A pool that works on the files of one job."""

    pool: Pool
    folder: Folder
    desk: Desk
    """For fits that need no process."""

    @property
    def has_free(self) -> bool:
        """Whether a process is free."""
        return self.pool.has_free

    def fit(self, task: int, order: FitOrder, slot_s: float) -> None:
        """Order a fit of a free process; `wait` has its answer under the task's number."""
        kill_at = time.monotonic() + max(HANG_FACTOR * slot_s, slot_s + MIN_HANG_S)
        self.pool.submit(task, asdict(order), kill_at)

    def wait(self, until: float) -> list[Reply]:
        """Wait for answers, or for a process to be free, until a time at most."""
        return self.pool.wait(until)

    def fit_all(self, orders: Sequence[FitOrder], until: float) -> list[FitAnswer | None]:
        """Do fits side by side until a time at most; None where there is none."""
        answers: list[FitAnswer | None] = [None] * len(orders)
        waiting = list(range(len(orders)))
        running: set[int] = set()
        if waiting:
            self.pool.fill()
        while (waiting or running) and time.monotonic() < until:
            while waiting and self.pool.has_free:
                index = waiting.pop(0)
                running.add(index)
                slot_s = max(orders[index].until - time.monotonic(), 0.0)
                self.fit(index, orders[index], slot_s)
            for reply in self.pool.wait(until):
                running.discard(reply.task)
                if reply.answer is not None:
                    answers[reply.task] = FitAnswer(**reply.answer)
        self.drop_tasks()
        return answers

    def drop_tasks(self) -> None:
        """Give up what is being done."""
        self.pool.drop_tasks()

    def read_raw(self, number: int, fold: int, part: str) -> F64:
        """Get the raw scores of a trial's fit for the rows `valid` or `held`."""
        return self.folder.read_raw(fit_name(number, fold), part)

    def read_fit(self, name: str) -> Fit:
        """Get a fit."""
        return read_fit(self.folder.fit_path(name))

    def forget(self, evaluations: Sequence[Evaluation]) -> None:
        """Delete the files of trials that no model will need."""
        for evaluation in evaluations:
            for name in evaluation.fit_names:
                shutil.rmtree(self.folder.fit_path(name), ignore_errors=True)
                for part in ("valid", "held"):
                    self.folder.raw_path(name, part).unlink(missing_ok=True)
