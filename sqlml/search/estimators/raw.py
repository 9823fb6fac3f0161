"""
Raw scores of fitted parts: what the artifact will compute, on encoded rows.

Owns the arithmetic of parts, in the order that `fitted.py` defines.
"""

from collections.abc import Sequence

import numpy as np

from sqlml.search.arrays import F64, I64
from sqlml.search.encoder import Encoded, look_up
from sqlml.search.fitted import (
    CodeTerm,
    Feature,
    FeatureOp,
    ForestPart,
    LinearPart,
    LinearTerm,
    NumericTerm,
    Part,
    TextTerm,
    Tree,
    TreePart,
)


def raw_scores(parts: Sequence[Part], features: Sequence[Feature], rows: Encoded) -> F64:
    """Compute the raw scores of the last part; `features` follow those of the rows."""
    return part_scores(parts[-1], extend(parts, features, rows))


def extend(parts: Sequence[Part], features: Sequence[Feature], rows: Encoded) -> Encoded:
    """Add LOOKUP and SCORE features to encoded rows."""
    if not features:
        return rows
    width = rows.matrix.shape[1]
    matrix = np.empty((len(rows), width + len(features)), dtype=np.float64, order="F")
    matrix[:, :width] = rows.matrix
    scores: dict[int, F64] = {}
    for column, feature in enumerate(features, start=width):
        if feature.op is FeatureOp.LOOKUP:
            matrix[:, column] = look_up(feature, matrix[:, feature.source])
        else:
            if feature.source not in scores:
                # No term of it is on a SCORE feature, so what is there by now is enough.
                scores[feature.source] = part_scores(
                    parts[feature.source], Encoded(matrix[:, :column], rows.texts)
                )
            matrix[:, column] = scores[feature.source][:, feature.place].astype(np.float32)
    return Encoded(matrix, rows.texts)


def part_scores(part: Part, rows: Encoded) -> F64:
    """Compute the raw scores of one part, shape (rows, outputs)."""
    match part:
        case LinearPart():
            return _linear_scores(part, rows)
        case TreePart():
            return _booster_scores(part, rows.matrix)
        case ForestPart():
            return _forest_scores(part, rows.matrix)


def _linear_scores(part: LinearPart, rows: Encoded) -> F64:
    """Add up the terms in their order."""
    scores = np.tile(part.intercepts, (len(rows), 1))
    with np.errstate(over="ignore"):
        for term in part.terms:
            scores += _term_scores(term, rows)
    return scores


def _term_scores(term: LinearTerm, rows: Encoded) -> F64:
    """Compute what one term adds, shape (rows, outputs)."""
    if isinstance(term, TextTerm):
        weights = term.weights.astype(np.float64)
        return np.asarray(rows.texts[term.vocabulary] @ weights, dtype=np.float64)
    values = rows.matrix[:, term.feature]
    if isinstance(term, CodeTerm):
        return np.asarray(term.weights[values.astype(np.int64)])
    is_missing = np.isnan(values)
    if isinstance(term, NumericTerm):
        clipped = np.minimum(np.maximum(values, term.low), term.high)
        present = ((clipped - term.mean) * term.inverse_scale)[:, None] * term.weights
    else:
        steps = np.where(is_missing, 0.0, values).astype(np.int64)
        present = term.weights[np.minimum(steps, len(term.weights) - 1)]
    if is_missing.any():
        present[is_missing] = term.missing_weights
    return np.asarray(present)


def _booster_scores(part: TreePart, matrix: F64) -> F64:
    """Compute LightGBM's own raw scores."""
    inputs = matrix if part.features is None else matrix[:, list(part.features)]
    raw = part.booster.predict(inputs, raw_score=True)
    return np.asarray(raw, dtype=np.float64).reshape(len(matrix), -1)


def _forest_scores(part: ForestPart, matrix: F64) -> F64:
    """Add up the leaves of the rows, tree after tree."""
    # Row by row in memory, as that is how a walk reads it.
    inputs = np.ascontiguousarray(matrix[:, list(part.features)])
    scores = np.zeros((len(matrix), part.trees[0].values.shape[1]))
    for tree in part.trees:
        scores += tree.values[_leaves(tree, inputs)]
    return scores / len(part.trees) if part.is_average else scores


def _leaves(tree: Tree, inputs: F64) -> I64:
    """Walk every row down to its leaf, all rows level by level."""
    places = np.zeros(len(inputs), dtype=np.int64)
    if tree.feature.size == 0:
        return places
    walking = np.arange(len(inputs))
    while walking.size:
        nodes = places[walking]
        values = inputs[walking, tree.feature[nodes]]
        is_left = (values <= tree.threshold[nodes]) | (np.isnan(values) & tree.missing_left[nodes])
        children = np.where(is_left, tree.left[nodes], tree.right[nodes])
        places[walking] = children
        walking = walking[children >= 0]
    return ~places
