"""
Boosters drawn at random, among them such as training never makes: thresholds that are
zero, infinite or as good as zero, every way of missing, sets of any categories.
"""

import struct
from dataclasses import dataclass

import lightgbm as lgb
import numpy as np

ZERO = struct.unpack("<f", struct.pack("<f", 1e-35))[0]
THRESHOLDS = (
    *(0.0, -0.0, ZERO, -ZERO, 1e-36, -1e-36, 5e-324, -5e-324, 1e300, -1e300),
    *(0.1, 1.5, -2.5, 16777217.0, 2.0**53, 9007199254740994.0, 631152000.0),
)
LEAVES = (0.0, -0.0, 5e-324, 1e-300, 1e300, -1e300, 0.1, 1 / 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What a booster is drawn to be like."""

    feature_count: int
    output_count: int = 1
    iterations: int = 4
    max_leaves: int = 12
    objective: str = "regression"
    is_average: bool = False
    is_tame: bool = False
    """Leaves of ordinary size, so that sums of them are near each other in any order."""


def draw_booster(shape: Shape, seed: int) -> lgb.Booster:
    """Draw a booster; the same for the same seed."""
    rng = np.random.default_rng(seed)
    trees = [
        _draw_tree(rng, shape, number) for number in range(shape.iterations * shape.output_count)
    ]
    names = " ".join(f"f{index}" for index in range(shape.feature_count))
    header = (
        f"tree\nversion=v4\nnum_class={shape.output_count}\n"
        f"num_tree_per_iteration={shape.output_count}\nlabel_index=0\n"
        f"max_feature_idx={shape.feature_count - 1}\nobjective={shape.objective}\n"
        + ("average_output\n" if shape.is_average else "")
        + f"feature_names={names}\nfeature_infos={' '.join(['[-1:1]'] * shape.feature_count)}\n"
    )
    return lgb.Booster(model_str=header + "\n" + "\n".join(trees) + "\nend of trees\n")


def _draw_tree(rng: np.random.Generator, shape: Shape, number: int) -> str:
    leaf_count = int(rng.integers(1, shape.max_leaves + 1))
    left, right = _draw_children(rng, leaf_count)
    features, types, thresholds = [], [], []
    words: list[int] = []
    bounds = [0]
    for _ in range(leaf_count - 1):
        features.append(int(rng.integers(shape.feature_count)))
        if rng.random() < 0.3:
            types.append(1)
            thresholds.append(str(len(bounds) - 1))
            words += [int(word) for word in rng.integers(2**32, size=rng.integers(1, 4))]
            bounds.append(len(words))
        else:
            types.append(int(rng.integers(3)) << 2 | int(rng.integers(2)) << 1)
            thresholds.append(repr(_draw_threshold(rng)))
    leaves = [float(rng.normal()) for _ in range(leaf_count)]
    if not shape.is_tame:
        leaves = [float(rng.choice(LEAVES)) if rng.random() < 0.2 else leaf for leaf in leaves]
    leaf_counts = [int(count) for count in rng.integers(1, 1000, size=leaf_count)]
    node_counts = _sum_counts(left, right, leaf_counts)
    fields = {
        "Tree": number,
        "num_leaves": leaf_count,
        "num_cat": len(bounds) - 1,
        "split_feature": features,
        "split_gain": [1] * (leaf_count - 1),
        "threshold": thresholds,
        "decision_type": types,
        "left_child": left,
        "right_child": right,
        "leaf_value": [repr(leaf) for leaf in leaves],
        "leaf_weight": [1] * leaf_count,
        "leaf_count": leaf_counts,
        "internal_value": [0] * (leaf_count - 1),
        "internal_weight": [1] * (leaf_count - 1),
        "internal_count": node_counts,
        **({"cat_boundaries": bounds, "cat_threshold": words} if words else {}),
        "is_linear": 0,
        "shrinkage": 1,
    }
    return "".join(f"{key}={_join(value)}\n" for key, value in fields.items()) + "\n"


def _join(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _draw_threshold(rng: np.random.Generator) -> float:
    if rng.random() < 0.4:
        return float(rng.choice(THRESHOLDS))
    return float(np.round(rng.normal() * 3, int(rng.integers(0, 3))))


def _draw_children(rng: np.random.Generator, leaf_count: int) -> tuple[list[int], list[int]]:
    """Split leaf after leaf as LightGBM does: the new node's left child keeps the leaf's number."""
    left: list[int] = []
    right: list[int] = []
    for node in range(leaf_count - 1):
        leaf = int(rng.integers(node + 1))
        for children in (left, right):
            if ~leaf in children:
                children[children.index(~leaf)] = node
        left.append(~leaf)
        right.append(~(node + 1))
    return left, right


def _sum_counts(left: list[int], right: list[int], leaf_counts: list[int]) -> list[int]:
    counts = [0] * len(left)

    def get_count(child: int) -> int:
        return counts[child] if child >= 0 else leaf_counts[~child]

    for node in reversed(range(len(left))):
        counts[node] = get_count(left[node]) + get_count(right[node])
    return counts
