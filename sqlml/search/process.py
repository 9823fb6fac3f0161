"""
The process that fits: it takes one order a line and answers in one line.

It knows nothing of trials and scores.
"""

import gc
import os
import queue
import resource
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np

from sqlml.lines import Message, read_messages, take_output, write_message
from sqlml.search.arrays import I64
from sqlml.search.estimators import ESTIMATORS
from sqlml.search.estimators.estimator import Fit, Fitter, Order, OutOfTime
from sqlml.search.estimators.files import write_fit
from sqlml.search.folder import Folder
from sqlml.search.orders import FitAnswer, FitOrder
from sqlml.search.scores import respond


class Desk:
    """The sample of a job with its fitters, which keep what all fits share."""

    def __init__(self, folder: Folder):
        self._folder = folder
        self._sample = folder.read_sample()
        self._folds = folder.read_folds()
        self._held = folder.read_held()
        self._fitters: dict[str, Fitter] = {}
        self._shares: dict[tuple[int, float], I64] = {}

    def fit(self, order: FitOrder) -> FitAnswer:
        """Fit as ordered, keep the fit, and what it says of the rows that it did not see."""
        started = time.monotonic()
        if order.estimator not in self._fitters:
            self._fitters[order.estimator] = ESTIMATORS[order.estimator].fitter(self._sample)
        valid = None if order.fold is None else self._folds[order.fold].valid
        fit = self._fitters[order.estimator].fit(
            order.hyperparameters,
            Order(
                until=order.until,
                train=self._train(order),
                valid=valid if order.rounds is None else None,
                rounds=order.rounds,
                max_rounds=order.max_rounds,
                max_cost_ns=order.max_cost_ns,
            ),
        )
        fitted = time.monotonic()
        if not order.is_probe:
            self._keep(order, fit)
        return FitAnswer(
            took_s=fitted - started,
            keep_s=time.monotonic() - fitted,
            rounds=fit.rounds,
            is_cut=fit.is_cut,
            link=fit.link,
            facts=tuple(asdict(each) for each in fit.facts),
        )

    def _train(self, order: FitOrder) -> I64 | None:
        """Get the rows to fit on: always the same array for the same rows."""
        if order.fold is None:
            return None
        rows = self._folds[order.fold].train
        if order.share >= 1:
            return rows
        key = (order.fold, order.share)
        if key not in self._shares:
            rng = np.random.default_rng(self._sample.seed)
            count = int(np.ceil(rows.size * order.share))
            self._shares[key] = np.sort(rng.choice(rows, count, replace=False))
        return self._shares[key]

    def _keep(self, order: FitOrder, fit: Fit) -> None:
        """Write raw scores, and the fit where it may be needed."""
        if order.fold is not None:
            self._write_raw(order.name, "valid", fit, self._folds[order.fold].valid)
        if order.share < 1:
            return
        if order.fold is not None and self._held.size:
            self._write_raw(order.name, "held", fit, self._held)
        path = self._folder.fit_path(order.name)
        path.mkdir()
        write_fit(fit, path)

    def _write_raw(self, name: str, part: str, fit: Fit, rows: I64) -> None:
        """Write what a fit says of some rows; it must be numbers."""
        raw = fit.raw(self._sample.rows.take(rows))
        if not (np.isfinite(raw).all() and np.isfinite(respond(raw, fit.link)).all()):
            raise FloatingPointError("a prediction is not finite")
        self._folder.write_raw(name, part, raw)


def main() -> None:
    """Answer orders until the standard input ends."""
    output = take_output()
    messages: queue.SimpleQueue[Message] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(messages,), name="read", daemon=True).start()
    write_message(output, {"ready": True})
    desk: Desk | None = None
    folder = Folder(Path())
    while True:
        message = messages.get()
        if "open" in message:
            folder, desk = Folder(Path(message["open"])), None
            _limit_memory(message["memory_bytes"])
            continue
        if "rest" in message:
            desk = None
            gc.collect()
            write_message(output, {"ready": True})
            continue
        try:
            desk = desk or Desk(folder)
            answer = asdict(desk.fit(FitOrder(**message)))
            write_message(output, {"answer": answer})
        except OutOfTime as reason:
            write_message(output, {"error": str(reason), "is_out_of_time": True})
        except MemoryError as reason:
            desk = None
            write_message(output, {"error": f"there was not enough memory: {reason}"})
        except Exception as reason:
            write_message(output, {"error": f"{type(reason).__name__}: {reason}"})


def _read(messages: "queue.SimpleQueue[Message]") -> None:
    """Pass on what comes; exit at its end, also in the middle of a fit: the owner is dead."""
    for message in read_messages(sys.stdin.fileno()):
        messages.put(message)
    os._exit(1)


def _limit_memory(size_bytes: int | None) -> None:
    """Let allocations beyond the limit fail, which is an error of one fit."""
    if size_bytes is not None:
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        if hard != resource.RLIM_INFINITY:
            size_bytes = min(size_bytes, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (size_bytes, hard))


if __name__ == "__main__":
    main()
