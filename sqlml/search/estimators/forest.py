"""
Trees of scikit-learn as plain arrays.

Owns the thresholds: scikit-learn rounds a value to float32 before it compares, the artifact
does not.
"""

import numpy as np
from sklearn.tree import BaseDecisionTree

from sqlml.search.arrays import F64
from sqlml.search.fitted import Tree

FLOAT32_MAX = float(np.finfo(np.float32).max)


def make_tree(tree: BaseDecisionTree, values: F64) -> Tree:
    """Number nodes and leaves apart; `values` has a row for every node of scikit-learn's."""
    found = tree.tree_
    is_leaf = found.children_left < 0
    # Nodes keep their order, in which children come after their parents.
    numbers = np.where(is_leaf, ~(np.cumsum(is_leaf) - 1), np.cumsum(~is_leaf) - 1)
    nodes = np.flatnonzero(~is_leaf)
    return Tree(
        feature=found.feature[nodes].astype(np.int32),
        threshold=exact_thresholds(found.threshold[nodes]),
        left=numbers[found.children_left[nodes]].astype(np.int32),
        right=numbers[found.children_right[nodes]].astype(np.int32),
        missing_left=found.missing_go_to_left[nodes].astype(np.bool_),
        values=np.ascontiguousarray(values[is_leaf], dtype=np.float64),
        counts=found.n_node_samples[is_leaf].astype(np.int32),
    )


def exact_thresholds(thresholds: F64) -> F64:
    """Find the largest doubles that, rounded to float32, do not exceed the thresholds."""
    with np.errstate(over="ignore"):
        below = thresholds.astype(np.float32)
        below = np.where(below > thresholds, np.nextafter(below, np.float32(-np.inf)), below)
        above = np.nextafter(below, np.float32(np.inf)).astype(np.float64)
        # The float32 that infinity stands in for, if there were one more.
        above = np.where(np.isinf(above), 2.0**128, above)
        middle = (below.astype(np.float64) + above) / 2
        is_rounded_down = middle.astype(np.float32) == below
    return np.where(is_rounded_down, middle, np.nextafter(middle, -np.inf))
