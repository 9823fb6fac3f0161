"""
Trees become the TREES section, whatever trained them.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sqlml.compile.writer import Writer
from sqlml.errors import NotCompilable

CATEGORICAL, DEFAULT_LEFT = 1, 2
MISSING_ZERO, MISSING_NAN = 1, 2
"""What is missing at a node: bits 2 and 3 of its flags."""
MAX_FLAGS = 11
AVERAGE, ALL_OUTPUTS = 1, 2
NODE = np.dtype(
    [
        ("feature", "<u4"),
        ("flags", "<u4"),
        ("left", "<i4"),
        ("right", "<i4"),
        ("threshold", "<f8"),
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledTree:
    """
    One tree, its nodes as arrays; `leaves` has the shape (leaves, outputs that it adds to).

    Of a categorical node the threshold is the number of its set, and the words of set i are
    `words[bounds[i]:bounds[i + 1]]`.
    """

    feature: NDArray[np.int32]
    flags: NDArray[np.uint32]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    threshold: NDArray[np.float64]
    leaves: NDArray[np.float64]
    counts: NDArray[np.uint32]
    words: NDArray[np.uint32]
    bounds: NDArray[np.int64]

    def __post_init__(self) -> None:
        """Raise ValueError where an array lacks an element."""
        nodes = (self.feature, self.flags, self.left, self.right, self.threshold)
        if {len(values) for values in nodes} != {len(self.leaves) - 1}:
            raise ValueError("a tree lacks a split")

    @property
    def node_count(self) -> int:
        """Splits of the tree."""
        return len(self.feature)


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledTrees:
    """
    The trees of a part: tree i adds to output i mod outputs, or with `has_all_outputs` to all.

    `sigmoid` is what their raw scores are still to be multiplied by.
    """

    is_average: bool
    trees: tuple[CompiledTree, ...]
    has_all_outputs: bool = False
    sigmoid: float = 1.0
    objective: str = ""

    def iteration_count(self, output_count: int) -> int:
        """Trees that add to each output."""
        return len(self.trees) // (1 if self.has_all_outputs else output_count)


def write_trees(trees: CompiledTrees) -> bytes:
    """Write the trees in their order."""
    writer = Writer()
    average = AVERAGE if trees.is_average else 0
    writer.u32(average | (ALL_OUTPUTS if trees.has_all_outputs else 0))
    writer.u32(len(trees.trees))
    for tree in trees.trees:
        _write_tree(writer, tree)
    return writer.take()


def _write_tree(writer: Writer, tree: CompiledTree) -> None:
    nodes = np.empty(tree.node_count, dtype=NODE)
    for name in ("feature", "flags", "left", "right", "threshold"):
        nodes[name] = getattr(tree, name)
    is_set = (tree.flags & CATEGORICAL) != 0
    if is_set.any():
        numbers = tree.threshold[is_set].astype(np.int64)
        if not ((numbers >= 0) & (numbers < len(tree.bounds) - 1)).all():
            raise NotCompilable("a tree has a split on a set of categories that it lacks")
        first, end = tree.bounds[numbers], tree.bounds[numbers + 1]
        # In place of a threshold stand the first word of the set and their number.
        nodes["threshold"][is_set] = (first | (end - first) << 32).view(np.float64)
    writer.u32(tree.node_count)
    writer.u32(len(tree.words))
    writer.raw(nodes.tobytes())
    writer.doubles(tree.leaves)
    writer.raw(tree.counts.astype("<u4").tobytes())
    writer.raw(tree.words.astype("<u4").tobytes())
