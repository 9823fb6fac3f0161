"""
From runs to means, ranks and normalised scores, for one time limit and one number of cores.

A failed run counts as a constant prediction: that is what its user is left with. Scores of the
seeds are averaged first. Ranks (1 is best, equals share) and normalised scores are per table and
then averaged over the tables that every system has run.

Normalised: 0 is the linear baseline, 1 the best peer. Where no peer is better than the linear
baseline, 1 is the linear baseline and 0 the constant prediction. Kept between -1 and 2, so that
no single table decides.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import mean, median, stdev

import numpy as np
from scipy.stats import friedmanchisquare, rankdata, studentized_range

from benchmarks.automl_peers.environments import PEERS
from benchmarks.automl_peers.runs import Run
from benchmarks.automl_peers.scoring import SIGNS
from benchmarks.automl_peers.statements import SYSTEMS

BASELINE = "linear"
RIVALS = ("sqlml", *PEERS)
"""Who is ranked, in the order of the tables; variants of sqlml are only shown beside them."""

NORMALISED_RANGE = (-1.0, 2.0)
OVERRUN_SHARE, OVERRUN_S = 0.05, 1.0
"""What a fit may take beyond its limit."""


@dataclass(frozen=True, slots=True)
class Cell:
    """The runs of one system on one table, one a seed."""

    runs: tuple[Run, ...]

    @property
    def scores(self) -> list[float]:
        """A score for each run, the failed ones too."""
        return [
            run.constant_score if run.outcome.score is None else run.outcome.score
            for run in self.runs
        ]

    @property
    def mean(self) -> float:
        """Mean over the seeds."""
        return mean(self.scores)

    @property
    def sd(self) -> float | None:
        """Standard deviation over the seeds; None for a single one."""
        return stdev(self.scores) if len(self.runs) > 1 else None

    @property
    def failures(self) -> list[str]:
        """The reasons of the failed runs."""
        return [run.outcome.failure for run in self.runs if run.outcome.failure]


@dataclass(frozen=True)
class Comparison:
    """All cells of one time limit and number of cores."""

    seconds: float
    cores: int
    metrics: dict[str, str]
    """By table, in the order of first appearance."""
    cells: dict[tuple[str, str], Cell]
    """By table and system."""

    @property
    def systems(self) -> list[str]:
        """The systems that ran at all."""
        known = {system for _, system in self.cells}
        return [name for name in dict.fromkeys((*SYSTEMS, *PEERS)) if name in known]

    @property
    def rivals(self) -> list[str]:
        """Those of them that are ranked."""
        return [name for name in RIVALS if name in self.systems]

    @cached_property
    def common_tables(self) -> list[str]:
        """The tables that all rivals have run."""
        return [
            table
            for table in self.metrics
            if all((table, system) in self.cells for system in self.rivals)
        ]

    def ranks(self) -> dict[str, float]:
        """Average rank of each rival."""
        return dict(zip(self.rivals, self._rank_rows().mean(axis=0).tolist(), strict=True))

    def friedman_p(self) -> float:
        """How likely such ranks are if the systems are equals."""
        return float(friedmanchisquare(*self._rank_rows().T).pvalue)

    def critical_difference(self) -> float:
        """Nemenyi's, at 5 % (Demšar 2006): average ranks that differ by less may be luck."""
        count, tables = len(self.rivals), len(self.common_tables)
        quantile = studentized_range.ppf(0.95, count, np.inf) / np.sqrt(2)
        return float(quantile * np.sqrt(count * (count + 1) / (6 * tables)))

    def normalise(self, table: str, system: str) -> float | None:
        """The normalised score; None without the system or the linear baseline."""
        if not {(table, system), (table, BASELINE)} <= self.cells.keys():
            return None
        sign = SIGNS[self.metrics[table]]
        zero = sign * self.cells[table, BASELINE].mean
        one = max(
            sign * self.cells[table, peer].mean for peer in PEERS if (table, peer) in self.cells
        )
        if one <= zero:
            zero = sign * self.cells[table, BASELINE].runs[0].constant_score
        value = (sign * self.cells[table, system].mean - zero) / (one - zero)
        return float(np.clip(value, *NORMALISED_RANGE))

    def mean_normalised(self, system: str) -> float | None:
        """Mean over the common tables; None where the system misses one of them."""
        values = [self.normalise(table, system) for table in self.common_tables]
        known = [value for value in values if value is not None]
        return mean(known) if known and len(known) == len(values) else None

    def worst_time(self, system: str) -> float | None:
        """The longest fit, in limits."""
        times_s = [run.outcome.fit_s for run in self.runs(system) if run.outcome.fit_s]
        return max(times_s) / self.seconds if times_s else None

    def overrun_count(self, system: str) -> int:
        """Fits that took more than may be."""
        bound_s = self.seconds * (1 + OVERRUN_SHARE) + OVERRUN_S
        return sum((run.outcome.fit_s or 0) > bound_s for run in self.runs(system))

    def predict_us(self, system: str) -> tuple[float, float] | None:
        """Median and greatest microseconds a row."""
        costs = [run.outcome.predict_us for run in self.runs(system) if run.outcome.predict_us]
        return (median(costs), max(costs)) if costs else None

    def runs(self, system: str) -> list[Run]:
        """All runs of a system."""
        return [
            run for (_, name), cell in self.cells.items() if name == system for run in cell.runs
        ]

    def _rank_rows(self) -> np.ndarray:
        """Ranks (common tables, rivals)."""
        return np.array(
            [
                rankdata([-self._signed_mean(table, system) for system in self.rivals])
                for table in self.common_tables
            ]
        )

    def _signed_mean(self, table: str, system: str) -> float:
        return SIGNS[self.metrics[table]] * self.cells[table, system].mean


def compare(runs: Sequence[Run], metrics: dict[str, str]) -> Iterable[Comparison]:
    """A comparison for each time limit and number of cores that there are runs of."""
    for seconds, cores in sorted({(run.key.seconds, run.key.cores) for run in runs}):
        found: dict[tuple[str, str], list[Run]] = {}
        for run in runs:
            if (run.key.seconds, run.key.cores) == (seconds, cores):
                found.setdefault((run.key.table, run.key.system), []).append(run)
        tables = {table for table, _ in found}
        yield Comparison(
            seconds,
            cores,
            {table: metric for table, metric in metrics.items() if table in tables},
            {place: Cell(tuple(cell)) for place, cell in found.items()},
        )
