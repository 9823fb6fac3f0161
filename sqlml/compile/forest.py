"""
A forest of plain arrays becomes trees: large ones add to all outputs at once, others are
made one an output, as mask tables take no others.
"""

import numpy as np
from numpy.typing import NDArray

from sqlml.compile.trees import DEFAULT_LEFT, MISSING_NAN, CompiledTree, CompiledTrees
from sqlml.errors import NotCompilable
from sqlml.search.cost import adds_to_all
from sqlml.search.fitted import ForestPart, Tree


def read_forest(part: ForestPart, output_count: int, feature_count: int) -> CompiledTrees:
    """Make the trees of a forest, or raise `NotCompilable`."""
    if not part.trees:
        raise NotCompilable("a forest of 0 trees cannot be compiled")
    if not all(0 <= feature < feature_count for feature in part.features):
        raise NotCompilable("a forest has a feature that is none of the model")
    has_all_outputs = adds_to_all(max(len(tree.counts) for tree in part.trees), output_count)
    trees: list[CompiledTree] = []
    for number, tree in enumerate(part.trees):
        if not _is_sound(tree, len(part.features), output_count):
            raise NotCompilable(f"tree {number} of the forest is not sound")
        outputs = [tree.values] if has_all_outputs else np.hsplit(tree.values, output_count)
        trees += [_compile_tree(tree, leaves, part.features) for leaves in outputs]
    return CompiledTrees(
        is_average=part.is_average, trees=tuple(trees), has_all_outputs=has_all_outputs
    )


def _is_sound(tree: Tree, input_count: int, output_count: int) -> bool:
    count = len(tree.feature)
    nodes = (tree.threshold, tree.left, tree.right, tree.missing_left)
    if any(values.shape != (count,) for values in nodes):
        return False
    if tree.values.shape != (count + 1, output_count) or tree.counts.shape != (count + 1,):
        return False
    if (tree.counts < 0).any() or np.isnan(tree.threshold).any():
        return False
    is_input = (tree.feature >= 0) & (tree.feature < input_count)
    return bool(is_input.all()) and _is_tree(tree)


def _is_tree(tree: Tree) -> bool:
    """Whether each leaf and each node but the first is the child of one earlier node."""
    count = len(tree.feature)
    children = np.concatenate([tree.left, tree.right]).astype(np.int64)
    parents = np.tile(np.arange(count), 2)
    is_later = (children < 0) | (children > parents)
    expected = np.arange(-count - 1, count)
    expected = expected[expected != 0] if count else expected[:0]
    return bool(is_later.all()) and np.array_equal(np.sort(children), expected)


def _compile_tree(
    tree: Tree, leaves: NDArray[np.float64], features: tuple[int, ...]
) -> CompiledTree:
    flags = np.where(tree.missing_left, DEFAULT_LEFT, 0) | MISSING_NAN << 2
    return CompiledTree(
        feature=np.array(features, dtype=np.int32)[tree.feature],
        flags=flags.astype(np.uint32),
        left=tree.left,
        right=tree.right,
        threshold=tree.threshold,
        leaves=leaves,
        counts=tree.counts.astype(np.uint32),
        words=np.zeros(0, dtype=np.uint32),
        bounds=np.zeros(0, dtype=np.int64),
    )
