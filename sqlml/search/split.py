"""
Which rows are searched, validated and held out.

The holdout is decided by the content of rows, so that it stays the same when rows are added
or come in another order. Folds are random with the seed. Rows of a group are never on both
sides of a split, and where rows have an order, validation is later than training.
"""

from dataclasses import dataclass
from heapq import heapify, heapreplace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from sqlml.enums import ProblemType
from sqlml.search.arrays import F64, I64, U64
from sqlml.search.content import mix
from sqlml.search.target import Target

MIN_HOLDOUT_ROWS = 10_000
"""Fewer rows are all needed for learning; cross-validation scores them."""
HOLDOUT_SHARE = 0.1
MAX_HOLDOUT_ROWS = 10_000
MIN_CLASS_FOR_HOLDOUT = 10
"""A rarer class is needed whole for learning, and its few held-out rows would make a score
by chance."""
MAX_CONTENT_SHARE = 0.01
"""Rows of one content that are more than this share of all are no accident; they are parted
one by one."""
FOLDS_BY_ROWS = ((2_000, 8), (50_000, 5), (500_000, 3))
"""Row counts below which there are so many folds; above, one."""
MAX_LATEST_SHARE = 0.5
SINGLE_FOLD_SHARE = 0.125
MAX_SINGLE_FOLD_ROWS = 50_000


@dataclass(frozen=True, slots=True)
class Fold:
    """Row numbers to fit on and row numbers to validate on, both ascending."""

    train: I64
    valid: I64


@dataclass(frozen=True, slots=True, kw_only=True)
class Ties:
    """What binds rows to each other, one value a row; None binds nothing."""

    groups: I64 | None = None
    """Numbers of groups that are never on both sides."""
    order: F64 | None = None
    """Times or numbers; validation is later than training."""

    def take(self, rows: I64) -> "Ties":
        """Take some rows."""
        return Ties(
            groups=None if self.groups is None else self.groups[rows],
            order=None if self.order is None else self.order[rows],
        )


def default_folds(row_count: int) -> int:
    """Choose the number of folds by size."""
    return next((folds for limit, folds in FOLDS_BY_ROWS if row_count < limit), 1)


def holdout_share(row_count: int) -> float:
    """
    Choose the share of the rows that is held out: a tenth, halved until about 10 000 rows.

    Halving keeps it the same while a table grows a little, and a smaller holdout is part
    of the larger one. It is 0 where cross-validation gives the score.
    """
    if row_count < MIN_HOLDOUT_ROWS:
        return 0.0
    share = HOLDOUT_SHARE
    while share * row_count > MAX_HOLDOUT_ROWS:
        share /= 2
    return share


def split_holdout(
    target: Target, content: U64, ties: Ties | None = None, share: float | None = None
) -> tuple[I64, I64]:
    """
    Part the rows into those of the search and those held out (maybe none).

    `content` is `content_hashes` of the rows, or of their groups where these are: rows of the
    same content are on the same side. With an order the latest rows are held out. Classes
    with few rows are kept for learning.
    """
    row_count = target.values.size
    share = holdout_share(row_count) if share is None else share
    if share <= 0:
        return np.arange(row_count), np.arange(0)
    if ties is not None and ties.order is not None:
        held = _latest(ties.order, share)
        if ties.groups is not None:
            held &= ~np.isin(ties.groups, ties.groups[~held])
    else:
        is_grouped = ties is not None and ties.groups is not None
        content = content if is_grouped else _part_frequent(content)
        held = mix(content) < np.uint64(share * 2.0**64)
        held = _keep_classes(target, content, held)
    return np.flatnonzero(~held), np.flatnonzero(held)


def make_folds(
    target: Target, folds: int | None, rng: np.random.Generator, ties: Ties | None = None
) -> tuple[Fold, ...]:
    """
    Make cross-validation folds; for very many rows a single one.

    Validation parts do not overlap. They leave out rows of classes that have one row only,
    and with an order the earliest rows: these are only learnt from.
    """
    row_count = target.values.size
    ties = ties or Ties()
    wanted = folds or default_folds(row_count)
    if ties.order is not None:
        made = _expanding_folds(ties.order, wanted, ties.groups)
    else:
        made = _random_folds(target, wanted, rng, ties.groups)
    if not made:
        raise ValueError("the rows cannot be parted into folds")
    return made


def _random_folds(
    target: Target, wanted: int, rng: np.random.Generator, groups: I64 | None
) -> tuple[Fold, ...]:
    """Deal rows, or groups of them, to folds."""
    row_count = target.values.size
    unit_count = row_count // 2 if groups is None else np.unique(groups).size
    share = min(SINGLE_FOLD_SHARE, MAX_SINGLE_FOLD_ROWS / row_count)
    dealt = min(wanted if wanted > 1 else int(np.ceil(1 / share)), unit_count)
    if dealt < 2:
        return ()
    if groups is None:
        fold_of_row = _deal_rows(target, dealt, rng)
    else:
        fold_of_row = _deal_groups(target, groups, dealt, rng)
    made = dealt if wanted > 1 else 1
    return tuple(
        Fold(np.flatnonzero(fold_of_row != index), np.flatnonzero(fold_of_row == index))
        for index in range(made)
    )


def _deal_rows(target: Target, count: int, rng: np.random.Generator) -> I64:
    """
    Give each row the number of a fold, or -1 where it is the only one of its class.

    Classes are spread evenly. Numbers are dealt in blocks of neighbours, one to each fold,
    so that the folds have about the same distribution.
    """
    values = target.values
    order = rng.permutation(values.size)
    order = order[np.argsort(values[order], kind="stable")]
    fold_of_row = np.empty(values.size, dtype=np.int64)
    if target.problem_type is not ProblemType.REGRESSION:
        fold_of_row[order] = np.arange(values.size) % count
        codes = values.astype(np.int64)
        fold_of_row[np.bincount(codes)[codes] == 1] = -1
        return fold_of_row
    blocks = rng.permuted(np.tile(np.arange(count), (-(-values.size // count), 1)), axis=1)
    last = values.size % count
    if last:
        # A part of a block goes to the first folds, so that their sizes differ by one.
        blocks[-1, :last] = rng.permutation(last)
    fold_of_row[order] = blocks.ravel()[: values.size]
    return fold_of_row


def _deal_groups(target: Target, groups: I64, count: int, rng: np.random.Generator) -> I64:
    """
    Give each group to the fold with the fewest rows of the group's main class, then of all.

    Large groups go first, so that small ones level the sizes.
    """
    _, codes, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    is_number = target.problem_type is ProblemType.REGRESSION
    main = np.zeros(sizes.size, np.int64) if is_number else _main_classes(target, codes, sizes.size)
    order = rng.permutation(sizes.size)
    order = order[np.lexsort((-sizes[order], main[order]))]
    fold_of_group = np.empty(sizes.size, dtype=np.int64)
    loads = np.zeros(count, dtype=np.int64)
    for of_class in np.split(order, np.flatnonzero(np.diff(main[order])) + 1):
        heap = [(0, int(loads[fold]), fold) for fold in range(count)]
        heapify(heap)
        for group in of_class:
            in_class, load, fold = heap[0]
            size = int(sizes[group])
            fold_of_group[group] = fold
            loads[fold] += size
            heapreplace(heap, (in_class + size, load + size, fold))
    return fold_of_group[codes.ravel()]


def _main_classes(target: Target, codes: I64, group_count: int) -> I64:
    """Find the class that most rows of each group have; of equally many the rarest."""
    classes = target.values.astype(np.int64)
    class_count = int(classes.max()) + 1
    pairs, counts = np.unique(codes.ravel() * class_count + classes, return_counts=True)
    rarity = np.bincount(classes, minlength=class_count)[pairs % class_count]
    order = np.lexsort((-rarity, counts))
    main = np.zeros(group_count, dtype=np.int64)
    main[pairs[order] // class_count] = pairs[order] % class_count
    return main


def _expanding_folds(order: F64, wanted: int, groups: I64 | None) -> tuple[Fold, ...]:
    """
    Cut the order into blocks and validate each but the first on all that is earlier.

    Rows of the same time are in one block. Rows of a group that is validated are not
    learnt from. One fold validates the latest rows.
    """
    ranks = np.argsort(np.argsort(order, kind="stable"), kind="stable")
    size = order.size
    if wanted == 1:
        share = min(SINGLE_FOLD_SHARE, MAX_SINGLE_FOLD_ROWS / size)
        cuts = [round(size * (1 - share)), size]
    else:
        cuts = [round(size * place / (wanted + 1)) for place in range(1, wanted + 2)]
    sorted_order = order[np.argsort(ranks)]
    # The first rank with the time at the cut: rows of that time are all later.
    starts = [int(np.searchsorted(sorted_order, sorted_order[min(cut, size - 1)])) for cut in cuts]
    # All rows of the earliest time are learnt from, however many they are.
    second = int(np.searchsorted(sorted_order, sorted_order[0], side="right"))
    starts = [max(start, second) for start in starts]
    starts[-1] = size
    first_rank = np.searchsorted(sorted_order, order)
    folds = []
    for start, end in pairwise(starts):
        train = first_rank < start
        valid = (first_rank >= start) & (first_rank < end)
        if groups is not None:
            train &= ~np.isin(groups, groups[valid])
        if train.any() and valid.any():
            folds.append(Fold(np.flatnonzero(train), np.flatnonzero(valid)))
    return tuple(folds)


def _latest(order: F64, share: float) -> NDArray[np.bool_]:
    """Mark about a share of the rows, later than all others."""
    at = np.sort(order)[round(order.size * (1 - share))]
    held = order >= at
    # Where most rows have one time, those that are later still must do.
    return np.asarray(order > at if held.mean() > MAX_LATEST_SHARE else held)


def _part_frequent(content: U64) -> U64:
    """Tell apart the rows of contents that are frequent: the first, second, … of each."""
    _, codes, counts = np.unique(content, return_inverse=True, return_counts=True)
    frequent = counts > max(MAX_CONTENT_SHARE * content.size, 1)
    if not frequent.any():
        return content
    order = np.argsort(codes, kind="stable")
    starts = np.cumsum(counts) - counts
    occurrence = np.empty(content.size, dtype=np.uint64)
    occurrence[order] = (np.arange(content.size) - starts[codes[order]]).astype(np.uint64)
    return np.where(frequent[codes], mix(content + mix(occurrence)), content)


def _keep_classes(target: Target, content: U64, held: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Take back what holds the rows of a rare class, or all rows of a class."""
    if target.problem_type is ProblemType.REGRESSION:
        return held
    codes = target.values.astype(np.int64)
    sizes = np.bincount(codes)
    learnt = np.bincount(codes[~held], minlength=sizes.size)
    needed = (sizes < MIN_CLASS_FOR_HOLDOUT) | (learnt == 0)
    return held & ~np.isin(content, content[held & needed[codes]])


def take(values: F64, rows: I64 | None) -> F64:
    """Take rows of an array; None is all of them."""
    return values if rows is None else values[rows]
