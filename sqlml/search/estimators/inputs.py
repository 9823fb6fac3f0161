"""
What trees see of a sample: codes or target means, turned coordinates, a linear model's scores.

Owns which features are computed from the target, and that a training row never sees its own:
its means and scores are from the rows of other folds, those of all other rows, and of the
artifact, from all training rows (Wolpert 1992).
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from sqlml.search.arrays import F64, I64
from sqlml.search.encoder import Encoded
from sqlml.search.encoding import mean_outputs, target_means
from sqlml.search.estimators.estimator import Fitter, Order, Sample
from sqlml.search.estimators.raw import extend, part_scores
from sqlml.search.estimators.rotations import Rotations
from sqlml.search.fitted import Feature, FeatureOp, Part
from sqlml.search.leaderboard import Hyperparameters

STACK_FOLDS = 4
MAX_STACKED_CLASSES = 20


class Encoding(StrEnum):
    """What trees are told about categories and texts."""

    CODES = "codes"
    """Categories as they are."""
    MEANS = "means"
    """Target means instead of the categories that are worth it."""
    STACKED = "stacked"
    """Target means, and the scores of a linear model."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Inputs:
    """The inputs of the trees of one fit."""

    columns: tuple[int, ...]
    """Features by number; those from the width of the sample on are `features`."""
    categories: tuple[int, ...]
    """Which of the inputs are codes without an order."""
    features: tuple[Feature, ...] = ()
    helpers: tuple[Part, ...] = ()
    """The parts that SCORE features are from."""
    learnt: F64 | None = None
    """Values of `features` for the training rows, shape (rows, features)."""

    def train_matrix(self, rows: Encoded) -> F64:
        """Get the inputs of the training rows."""
        whole = rows.matrix if self.learnt is None else np.hstack([rows.matrix, self.learnt])
        return _take_columns(whole, self.columns)

    def matrix(self, rows: Encoded) -> F64:
        """Get the inputs of rows that the fit has not seen."""
        return _take_columns(extend(self.helpers, self.features, rows).matrix, self.columns)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Helper:
    """The linear model whose scores are features."""

    fitter: Fitter
    hyperparameters: Hyperparameters


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Learner:
    """What features are computed from the target with."""

    sample: Sample
    target: F64
    """Of each row of the sample; small numbers or classes."""
    encoded: tuple[int, ...]
    """The CODE features that target means are taken of."""
    rotations: Rotations
    helper: Helper | None = None
    """None: there are no scores."""

    def inputs(self, order: Order) -> Inputs:
        """Learn the inputs from the ordered training rows."""
        rows = np.arange(self.target.size) if order.train is None else order.train
        features, values = self._means(rows)
        helpers: tuple[Part, ...] = self.rotations.parts
        if self.rotations.features:
            features += self.rotations.features
            values += list(self.rotations.values(self.sample.rows.take(rows)).T)
        if self.helper is not None:
            helper, scores = self._scores(self.helper, rows, order.until)
            features += [
                Feature(column="", op=FeatureOp.SCORE, source=len(helpers), place=place)
                for place in range(scores.shape[1])
            ]
            helpers += (helper,)
            values += list(scores.T)
        found, width = self.sample.features, self.sample.matrix.shape[1]
        encoded = {feature.column for feature in features if feature.op is FeatureOp.LOOKUP}
        columns = tuple(
            each
            for each in sorted({*found.categories, *found.numbers})
            if each not in found.categories or found.features[each].column not in encoded
        )
        return Inputs(
            columns=columns + tuple(range(width, width + len(features))),
            categories=tuple(columns.index(each) for each in found.categories if each in columns),
            features=tuple(features),
            helpers=helpers,
            learnt=np.column_stack(values) if values else None,
        )

    def _means(self, rows: I64) -> tuple[list[Feature], list[F64]]:
        """Compute target means of the categories that are worth it."""
        sample, task = self.sample, self.sample.task
        if not self.encoded:
            return [], []
        outputs = mean_outputs(self.target[rows], task.problem_type, task.class_count)
        features: list[Feature] = []
        values: list[F64] = []
        if outputs is None:
            return features, values
        weight = None if sample.weight is None else sample.weight[rows]
        for source in self.encoded:
            feature = sample.features.features[source]
            codes = sample.matrix[rows, source]
            count = len(feature.levels) + 2
            means = target_means(codes, count, outputs, weight, sample.seed)
            features += [_lookup(feature.column, source, table) for table in means.values.T]
            values += list(means.learnt.T)
        return features, values

    def _scores(self, helper: Helper, rows: I64, until: float) -> tuple[Part, F64]:
        """Fit the linear model, and compute out-of-fold scores of the training rows."""
        sample = self.sample
        folds = np.random.default_rng(sample.seed).permutation(rows.size) % STACK_FOLDS
        scores = np.empty((rows.size, sample.task.output_count))
        for fold in range(STACK_FOLDS):
            part = _fit(helper, rows[folds != fold], until)
            others = folds == fold
            scores[others] = part_scores(part, sample.rows.take(rows[others]))
        return _fit(helper, rows, until), scores.astype(np.float32).astype(np.float64)


def _fit(helper: Helper, rows: I64, until: float) -> Part:
    """Fit the linear model on some rows."""
    order = Order(until=until, train=rows)
    return helper.fitter.fit(helper.hyperparameters, order).parts[-1]


def _take_columns(matrix: F64, columns: tuple[int, ...]) -> F64:
    """Take columns of a matrix, which is not copied where they are all."""
    return matrix if columns == tuple(range(matrix.shape[1])) else matrix[:, columns]


def _lookup(column: str, source: int, table: F64) -> Feature:
    """Make the feature that looks a code up."""
    values = tuple(table.tolist())
    return Feature(column=column, op=FeatureOp.LOOKUP, source=source, values=values)
