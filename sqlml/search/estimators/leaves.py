"""
Leaves of a booster's text in another unit.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sqlml.search.arrays import F64


@dataclass(frozen=True, slots=True, kw_only=True)
class LeafChange:
    """What becomes of leaf values; the shift is carried by the trees of the first round."""

    shift: Callable[[F64, int], F64]
    """Of leaves and the number of their output."""
    scale: Callable[[F64], F64]
    """Of the leaves of all other rounds."""


def change_leaves(text: str, change: LeafChange, output_count: int) -> str:
    """
    Change the leaf values of a model's text. Where the trees are averaged, each of them
    carries the shift. (LightGBM's own way to set a leaf makes values below 1e-35 zero.)
    """
    tree_count = 0
    is_average = "\naverage_output\n" in text

    def changed(match: re.Match[str]) -> str:
        nonlocal tree_count
        leaves = np.array(match[1].split(), dtype=np.float64)
        if is_average or tree_count < output_count:
            leaves = change.shift(leaves, tree_count % output_count)
        else:
            leaves = change.scale(leaves)
        tree_count += 1
        return "leaf_value=" + " ".join(map(repr, leaves.tolist()))

    # The sizes would be wrong now; without them LightGBM reads tree after tree.
    text = re.sub(r"^tree_sizes=.*\n", "", text, flags=re.MULTILINE)
    return re.sub(r"^leaf_value=(.*)$", changed, text, flags=re.MULTILINE)
