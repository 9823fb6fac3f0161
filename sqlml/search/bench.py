"""
All that the trials of a search share: rows, folds, features, metric, fitters.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from sqlml.enums import EstimatorName
from sqlml.errors import NoUsableColumn
from sqlml.extract.dataset import Dataset, SkippedColumn
from sqlml.search.arrays import F64, I64
from sqlml.search.encoder import encode
from sqlml.search.estimators.baseline import Baseline
from sqlml.search.estimators.estimator import Fit, Fitter, Sample
from sqlml.search.estimators.lightgbm import LightGBM
from sqlml.search.estimators.linear import Linear
from sqlml.search.features import learn_features
from sqlml.search.metrics import Metric, find_metric
from sqlml.search.plan import Plan
from sqlml.search.scores import predicted
from sqlml.search.split import Fold, make_folds, split_holdout
from sqlml.search.target import Target, read_target

FITTERS: dict[EstimatorName, Callable[[Sample], Fitter]] = {
    EstimatorName.BASELINE: Baseline,
    EstimatorName.LINEAR: Linear,
    EstimatorName.LIGHTGBM: LightGBM,
}
CELLS_PER_SECOND = 800_000
"""Values (rows by columns) that one second of a budget pays for: encoding them, putting
them into bins and fitting a few trees, each up to three times."""
MAX_CHARGED_CLASSES = 8


@dataclass(slots=True)
class Rows:
    """A sample with its fitters, made when they are first asked for."""

    sample: Sample
    skipped: tuple[SkippedColumn, ...]
    encode_time_s: float
    _fitters: dict[EstimatorName, Fitter] = field(default_factory=dict)

    def fitter(self, estimator: EstimatorName) -> Fitter:
        """Get the fitter of an estimator."""
        if estimator not in self._fitters:
            self._fitters[estimator] = FITTERS[estimator](self.sample)
        return self._fitters[estimator]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """The set-up of one search."""

    dataset: Dataset
    plan: Plan
    target: Target
    metric: Metric
    used: I64
    """Rows that there is time for; all of them, as a rule."""
    held: I64
    """Rows of the holdout, none of which is in `searched`."""
    searched: Rows
    folds: tuple[Fold, ...]

    def score(self, fit: Fit, matrix: F64, truth: F64) -> float:
        """Score a fit on encoded rows."""
        return self.metric.function(truth, predicted(self.target.problem_type, fit.raw(matrix)))


def make_bench(dataset: Dataset, plan: Plan) -> Bench:
    """Decide the problem, split the rows and encode those to search on."""
    target = read_target(dataset, plan.problem_type)
    metric = find_metric(plan.metric, target.problem_type)
    rng = np.random.default_rng(plan.seed)
    used = _affordable_rows(dataset, plan, target, rng)
    kept, held = split_holdout(_take_target(target, used), rng)
    searched = make_rows(dataset, plan, target, metric, used[kept])
    return Bench(
        dataset=dataset,
        plan=plan,
        target=target,
        metric=metric,
        used=used,
        held=used[held],
        searched=searched,
        folds=make_folds(_take_target(target, used[kept]), plan.folds, rng),
    )


def make_rows(dataset: Dataset, plan: Plan, target: Target, metric: Metric, rows: I64) -> Rows:
    """Learn the features of some rows and encode them."""
    started = time.monotonic()
    whole = rows.size == dataset.row_count
    table = dataset.table if whole else dataset.table.take(rows)
    rng = np.random.default_rng(plan.seed)
    found = learn_features(table, dataset.columns, _take_target(target, rows), rng)
    features, skipped = found.features, found.skipped
    if not features:
        raise NoUsableColumn(
            "no column is left to learn from",
            detail="; ".join(f'"{each.name}": {each.reason}' for each in skipped[:10]) or None,
            hint="A column needs at least two different values, and text some that occur twice.",
        )
    sample = Sample(
        problem_type=target.problem_type,
        output_count=target.output_count,
        class_count=len(target.classes),
        features=features,
        matrix=encode(features, table),
        target=target.values[rows],
        metric=metric.name,
        seed=plan.seed,
        threads=plan.threads,
    )
    return Rows(sample, skipped, time.monotonic() - started)


def _affordable_rows(dataset: Dataset, plan: Plan, target: Target, rng: np.random.Generator) -> I64:
    """Choose the rows there is time for: all, or a power of two of them at random."""
    seconds = max(plan.deadline - time.monotonic(), 0.0)
    charged = min(target.output_count, MAX_CHARGED_CLASSES)
    limit = CELLS_PER_SECOND * seconds / max(len(dataset.columns), 1) / charged
    everything = np.arange(dataset.row_count)
    if dataset.row_count <= max(limit, 1000):
        return everything
    # A power of two, so that two runs with nearly the same time take the same rows.
    count = max(2 ** int(np.log2(max(limit, 1))), 1000)
    keep = np.zeros(dataset.row_count, dtype=bool)
    keep[rng.choice(dataset.row_count, count, replace=False)] = True
    if target.classes:
        # Every class stays.
        keep[np.unique(target.values, return_index=True)[1]] = True
    return everything[keep]


def _take_target(target: Target, rows: I64) -> Target:
    """Take some rows of a target."""
    return Target(
        problem_type=target.problem_type, classes=target.classes, values=target.values[rows]
    )
