"""
What the programs of all peers share: arguments, files, stop-watch.

Runs in a peer's own environment, with pandas, numpy and pyarrow only. A program gives one
function that fits; what it returns predicts. The answer lies in a folder:

    fitting          there when the fit begins: imports and reading are over
    fitted           there when the fit has ended
    predictions.npy  regression: (rows,); otherwise probabilities (rows, classes)
    answer.json      fit_s, predict_us, classes (texts, in the order of the columns), facts
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

BATCH_ROWS = 10_000
"""Rows of the batch whose prediction is timed; a smaller test part is repeated."""


@dataclass(frozen=True)
class Order:
    """What one run is to do."""

    train: Path
    test: Path
    target: str
    problem: str
    metric: str
    seconds: float
    seed: int
    cores: int
    folder: Path


@dataclass(frozen=True)
class Fitted:
    """A fitted system: predicts a table without the target."""

    predict: Callable[[pd.DataFrame], np.ndarray]
    classes: tuple[str, ...] = ()
    facts: tuple[tuple[str, str | float], ...] = ()


def parse_order() -> Order:
    """The command line as an order."""
    parser = argparse.ArgumentParser()
    for name in ("train", "test", "folder"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    for name in ("target", "problem", "metric"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--cores", type=int, required=True)
    return Order(**vars(parser.parse_args()))


def read(path: Path) -> pd.DataFrame:
    """A table as the libraries know it best: texts are objects, with None where missing."""
    table = pd.read_parquet(path)
    for name in table:
        if pd.api.types.is_string_dtype(table[name].dtype):
            column = table[name].astype(object)
            table[name] = column.where(column.notna(), None)
    return table


def run(
    fit: Callable[[Order, pd.DataFrame], Fitted],
    prepare: Callable[[Order], None] = lambda order: None,
) -> None:
    """Prepare, fit, predict the test part, measure, answer."""
    order = parse_order()
    prepare(order)
    train, test = read(order.train), read(order.test).drop(columns=order.target)
    (order.folder / "fitting").touch()
    started, cpu_s = time.perf_counter(), time.process_time()
    fitted = fit(order, train)
    fit_s, cpu_s = time.perf_counter() - started, time.process_time() - cpu_s
    (order.folder / "fitted").touch()
    np.save(order.folder / "predictions.npy", fitted.predict(test).astype(np.float64))
    answer = {
        "fit_s": fit_s,
        "predict_us": measure_prediction(fitted, test),
        "classes": fitted.classes,
        # Much less than the wall's on one core means that something else had the core.
        "facts": {"fit_cpu_s": cpu_s, **dict(fitted.facts)},
    }
    # Whole or not there at all: it is waited for.
    (order.folder / "answer.part").write_text(json.dumps(answer))
    (order.folder / "answer.part").rename(order.folder / "answer.json")


def measure_prediction(fitted: Fitted, test: pd.DataFrame) -> float:
    """Microseconds a row of a batch, the better of two runs."""
    batch = pd.concat([test] * -(-BATCH_ROWS // len(test)), ignore_index=True)[:BATCH_ROWS]
    times_s = []
    for _ in range(2):
        started = time.perf_counter()
        fitted.predict(batch)
        times_s.append(time.perf_counter() - started)
    return min(times_s) / len(batch) * 1e6


def name_classes(classes: object) -> tuple[str, ...]:
    """Class labels as texts."""
    return tuple(str(label) for label in classes)  # type: ignore[attr-defined]
