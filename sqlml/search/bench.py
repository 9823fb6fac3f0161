"""
All that the trials of a search share: rows, folds, features, metric.
"""

import math
import time
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sqlml.enums import ProblemType
from sqlml.errors import NoUsableColumn, OptionNotUsable
from sqlml.extract.dataset import Dataset
from sqlml.search.arrays import F64, I64
from sqlml.search.content import content_hashes
from sqlml.search.estimators.estimator import Sample, Task, make_task
from sqlml.search.features import learn_features
from sqlml.search.fitted import Link
from sqlml.search.metrics import Metric, find_metric
from sqlml.search.plan import Plan
from sqlml.search.pool import count_processes
from sqlml.search.scores import predicted
from sqlml.search.split import Fold, Ties, holdout_share, make_folds, split_holdout
from sqlml.search.target import Target, check_weights, read_target

CELLS_PER_SECOND = 800_000
"""Values (rows by columns) that one second of a budget pays for: encoding them, putting
them into bins and fitting a few trees, each up to three times."""
LONE_FOLD_CELLS_PER_SECOND = 35_000
"""With so many values for each second there is time for a few fits only: one
fold that learns from most rows, and needs no refit, is worth more than several."""
MAX_CHARGED_CLASSES = 8
FEATURES_SHARE = 0.15
"""Of the time of a search, learning features may take so much."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bench:
    """The set-up of one search."""

    dataset: Dataset
    plan: Plan
    metric: Metric
    classes: tuple[str, ...]
    rows: I64
    """Row numbers of the dataset that the sample has: those to search on, then those held out."""
    held_count: int
    """Rows at the end of the sample that no trial learns from."""
    sample: Sample
    folds: tuple[Fold, ...]

    @property
    def task(self) -> Task:
        """What is learnt."""
        return self.sample.task

    @property
    def process_count(self) -> int:
        """Processes that run trials side by side."""
        return self.plan.processes or count_processes()

    @property
    def searched_count(self) -> int:
        """Rows to search on: the first ones of the sample."""
        return self.rows.size - self.held_count

    @property
    def is_ordered(self) -> bool:
        """Whether later rows are predicted by models of earlier ones."""
        return self.dataset.roles.order_by is not None

    @property
    def held(self) -> I64:
        """Rows of the sample that are held out."""
        return np.arange(self.searched_count, self.rows.size)

    def half_time(self) -> float:
        """When half of the time that is left now is over, by `time.monotonic()`."""
        return (time.monotonic() + self.plan.deadline) / 2

    def find_unjudged(self) -> tuple[str, ...]:
        """Find the classes of which no row is among those that the score is from."""
        rows = [self.held] if self.held_count else [fold.valid for fold in self.folds]
        judged = np.unique(self.sample.target[np.concatenate(rows)]).tolist()
        return tuple(name for code, name in enumerate(self.classes) if code not in judged)

    def predicted(self, raw: F64, link: Link) -> F64:
        """Turn raw scores into what metrics score."""
        return predicted(self.task.problem_type, raw, link)

    def score(self, shown: F64, rows: I64) -> float:
        """Score what is predicted of some rows of the sample."""
        weight = None if self.sample.weight is None else self.sample.weight[rows]
        return self.metric.score(self.sample.target[rows], shown, weight)


def make_bench(dataset: Dataset, plan: Plan) -> Bench:
    """Decide the problem, split the rows and encode them."""
    dataset = _without_weightless(dataset)
    target = read_target(dataset, plan.problem_type)
    metric = find_metric(plan.metric, target.problem_type, plan.metric_parameter)
    rng = np.random.default_rng(plan.seed)
    used = _affordable_rows(dataset, plan, target, rng)
    ties = _read_ties(dataset, used)
    kept, held = _part(dataset, plan, target.take(used), used, ties)
    rows = np.concatenate([used[kept], used[held]])
    searched = target.take(used[kept])
    fold_count = plan.folds
    if fold_count is None and held.size and _is_lone_fold(dataset, plan, searched):
        fold_count = 1
    folds = _make_folds(searched, fold_count, rng, ties.take(kept))
    judged = [rows[fold.valid] for fold in folds]
    if plan.metric is None and _judges_one_class(target, judged, used[held]):
        metric = find_metric("log_loss", target.problem_type)
    sample = _make_sample(dataset, plan, target, metric, rows, kept.size)
    return Bench(
        dataset=dataset,
        plan=plan,
        metric=metric,
        classes=target.classes,
        rows=rows,
        held_count=held.size,
        sample=sample,
        folds=folds,
    )


def _make_sample(
    dataset: Dataset, plan: Plan, target: Target, metric: Metric, rows: I64, searched_count: int
) -> Sample:
    """Learn features from the rows to search on, and encode all."""
    table = dataset.table.take(rows)
    searched = rows[:searched_count]
    seconds = math.inf
    if plan.trials is None:
        seconds = FEATURES_SHARE * max(plan.deadline - time.monotonic(), 0.0)
    rng = np.random.default_rng(plan.seed)
    found = learn_features(
        table.slice(0, searched_count),
        dataset.columns,
        target.take(searched),
        rng,
        seconds,
        is_plain=plan.is_plain,
    )
    if not found.features:
        reasons = "; ".join(f'"{each.name}": {each.reason}' for each in found.skipped[:10])
        raise NoUsableColumn(
            "no column is left to learn from",
            detail=reasons or None,
            hint="A column needs at least two different values, and text some that occur twice.",
        )
    encoded = found.encode(table)
    taken = target.take(rows)
    return Sample(
        task=make_task(taken, found, metric),
        features=found,
        matrix=encoded.matrix,
        texts=encoded.texts,
        target=taken.values,
        weight=_read_weight(dataset, rows),
        seed=plan.seed,
        threads=plan.threads,
    )


def _part(dataset: Dataset, plan: Plan, target: Target, used: I64, ties: Ties) -> tuple[I64, I64]:
    """Part the used rows into those to search on and those to hold out."""
    if (holdout_share(used.size) if plan.holdout is None else plan.holdout) <= 0:
        # Hashing long texts takes its time.
        return np.arange(used.size), np.arange(0)
    group = dataset.roles.group_by
    # Rows of a group share their fate, so that the group is all the content that counts.
    names = [group.name] if group else [column.name for column in dataset.columns]
    content = content_hashes(dataset.table.take(used), names)
    return split_holdout(target, content, ties, plan.holdout)


def _is_lone_fold(dataset: Dataset, plan: Plan, target: Target) -> bool:
    """Tell whether there is time for one fold only; counted trials have all their folds."""
    if plan.trials is not None:
        return False
    seconds = max(plan.deadline - time.monotonic(), 0.0)
    cells = target.values.size * len(dataset.columns) * _charged_outputs(target)
    return cells > LONE_FOLD_CELLS_PER_SECOND * seconds


def _make_folds(
    target: Target, fold_count: int | None, rng: np.random.Generator, ties: Ties
) -> tuple[Fold, ...]:
    """Make the folds; rows that cannot be parted are refused."""
    try:
        return make_folds(target, fold_count, rng, ties)
    except ValueError as reason:
        raise OptionNotUsable(
            str(reason),
            detail="A model is judged by rows that it has not learnt from.",
            hint="Leave group_by and order_by out, or name columns with more values.",
        ) from reason


def _judges_one_class(target: Target, validated: list[I64], held: I64) -> bool:
    """Tell whether no fold, or not the holdout, has rows of both classes to be ranked."""
    if target.problem_type is not ProblemType.BINARY:
        return False
    has_both = [np.unique(target.values[rows]).size == 2 for rows in (*validated, held)]
    return not any(has_both[:-1]) or (held.size > 0 and not has_both[-1])


def _read_ties(dataset: Dataset, rows: I64) -> Ties:
    """Read what binds rows together."""
    roles = dataset.roles
    groups = order = None
    if roles.group_by is not None:
        values = dataset.table.column(roles.group_by.name).take(rows)
        encoded = values.combine_chunks().dictionary_encode()
        groups = pc.fill_null(encoded.indices, -1).to_numpy().astype(np.int64)
    if roles.order_by is not None:
        order = dataset.table.column(roles.order_by.name).to_numpy()[rows].astype(np.float64)
    return Ties(groups=groups, order=order)


def _without_weightless(dataset: Dataset) -> Dataset:
    """Leave out the rows of weight 0, which count nowhere."""
    column = dataset.roles.weight
    if column is None:
        return dataset
    weight = check_weights(dataset.table.column(column.name).to_numpy(), column.name)
    if weight.all():
        return dataset
    return replace(dataset, table=dataset.table.filter(pa.array(weight > 0)))


def _read_weight(dataset: Dataset, rows: I64) -> F64 | None:
    """Read the rows' weights, with a mean of 1."""
    column = dataset.roles.weight
    if column is None:
        return None
    return check_weights(dataset.table.column(column.name).to_numpy()[rows], column.name)


def _charged_outputs(target: Target) -> int:
    """Count the outputs that a row's values are charged for."""
    return min(target.output_count, MAX_CHARGED_CLASSES)


def _affordable_rows(dataset: Dataset, plan: Plan, target: Target, rng: np.random.Generator) -> I64:
    """Choose the rows there is time for: all, or a power of two of them at random."""
    everything = np.arange(dataset.row_count)
    seconds = max(plan.deadline - time.monotonic(), 0.0)
    limit = CELLS_PER_SECOND * seconds / max(len(dataset.columns), 1) / _charged_outputs(target)
    if dataset.row_count <= max(limit, 1000):
        return everything
    # A power of two, so that two runs with nearly the same time take the same rows.
    count = max(2 ** int(np.log2(max(limit, 1))), 1000)
    keep = np.zeros(dataset.row_count, dtype=bool)
    keep[rng.choice(dataset.row_count, count, replace=False)] = True
    if target.problem_type is not ProblemType.REGRESSION:
        # Every class stays.
        keep[np.unique(target.values, return_index=True)[1]] = True
    return everything[keep]
