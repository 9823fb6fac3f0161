"""
A LightGBM booster becomes the TREES section.

Reads the booster's own text, whose doubles round-trip. Owns which of LightGBM's
constructs the artifact can express; everything else is refused by name.
"""

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass

import lightgbm as lgb

from sqlml.compile.writer import Writer
from sqlml.enums import ProblemType
from sqlml.errors import NotCompilable

MODEL_VERSION = "v4"
CATEGORICAL = 1
MAX_FLAGS = 11
IDENTITY_OBJECTIVES = frozenset(
    {"regression", "regression_l1", "huber", "fair", "quantile", "mape"}
)
"""Objectives of a regression whose prediction is the raw score."""
FAMILIES = {ProblemType.BINARY: "binary", ProblemType.MULTICLASS: "multiclass"}


@dataclass(frozen=True, slots=True)
class BoosterText:
    """What stands before the trees, and the fields of each tree."""

    header: Mapping[str, str]
    trees: tuple[Mapping[str, str], ...]


def write_trees(
    booster: lgb.Booster, problem_type: ProblemType, output_count: int, feature_count: int
) -> bytes:
    """Write the trees of a booster in LightGBM's order."""
    text = parse_booster(booster.model_to_string())
    _check_header(text.header, problem_type, output_count, feature_count)
    if not text.trees or len(text.trees) % output_count:
        raise NotCompilable(f"a booster of {len(text.trees)} trees cannot be compiled")
    writer = Writer()
    writer.u32(len(text.trees))
    for tree in text.trees:
        _write_tree(writer, tree, feature_count)
    return writer.take()


def parse_booster(text: str) -> BoosterText:
    """Read LightGBM's model text up to the end of its trees."""
    body, end, _ = text.partition("\nend of trees\n")
    head, *blocks = body.split("\nTree=")
    if not end or not head.startswith("tree\n"):
        raise NotCompilable("the booster's text is not LightGBM's")
    return BoosterText(_parse_fields(head), tuple(_parse_fields(block) for block in blocks))


def _parse_fields(block: str) -> dict[str, str]:
    # A line without "=" is a switch, such as average_output.
    return {key: value for key, _, value in (line.partition("=") for line in block.split("\n"))}


def _check_header(
    header: Mapping[str, str], problem_type: ProblemType, output_count: int, feature_count: int
) -> None:
    if header.get("version") != MODEL_VERSION:
        raise NotCompilable(f"LightGBM's model version {header.get('version')} is not known")
    if "average_output" in header:
        raise NotCompilable("random forests, which average their trees, cannot be compiled")
    if header.get("num_tree_per_iteration") != str(output_count):
        raise NotCompilable(
            f"the booster has {header.get('num_tree_per_iteration')} trees an iteration "
            f"instead of {output_count}"
        )
    if header.get("max_feature_idx") != str(feature_count - 1):
        raise NotCompilable(f"the booster was not trained on {feature_count} features")
    _check_objective(header.get("objective", "none"), problem_type)


def _check_objective(objective: str, problem_type: ProblemType) -> None:
    name, *settings = objective.split()
    if problem_type is ProblemType.REGRESSION:
        is_exact = name in IDENTITY_OBJECTIVES and "sqrt" not in settings
    else:
        is_exact = name == FAMILIES[problem_type] and not any(
            key == "sigmoid" and float(value) != 1
            for key, _, value in (setting.partition(":") for setting in settings)
        )
    if not is_exact:
        raise NotCompilable(f'objective "{objective}" cannot be compiled for {problem_type}')


def _write_tree(writer: Writer, tree: Mapping[str, str], feature_count: int) -> None:
    if tree.get("is_linear", "0") != "0":
        raise NotCompilable("linear trees cannot be compiled")
    leaf_count = int(tree["num_leaves"])
    words = [int(word) for word in tree.get("cat_threshold", "").split()]
    bounds = [int(bound) for bound in tree.get("cat_boundaries", "").split()]
    nodes = _read_nodes(tree, leaf_count - 1)
    writer.u32(leaf_count - 1)
    writer.u32(len(words))
    for node in nodes:
        _write_node(writer, node, bounds, feature_count)
    leaves = [float(value) for value in tree["leaf_value"].split()]
    if len(leaves) != leaf_count:
        raise NotCompilable("the booster's text has a tree that lacks a leaf")
    for leaf in leaves:
        writer.finite(leaf)
    writer.raw(struct.pack(f"<{len(words)}I", *words))


@dataclass(frozen=True, slots=True)
class _Node:
    feature: int
    flags: int
    left: int
    right: int
    threshold: float


def _read_nodes(tree: Mapping[str, str], count: int) -> list[_Node]:
    if count == 0:
        return []
    nodes = [
        _Node(int(feature), int(flags), int(left), int(right), float(threshold))
        for feature, flags, left, right, threshold in zip(
            tree["split_feature"].split(),
            tree["decision_type"].split(),
            tree["left_child"].split(),
            tree["right_child"].split(),
            tree["threshold"].split(),
            strict=True,
        )
    ]
    if len(nodes) != count:
        raise NotCompilable("the booster's text has a tree that lacks a split")
    return nodes


def _write_node(writer: Writer, node: _Node, bounds: list[int], feature_count: int) -> None:
    if not 0 <= node.feature < feature_count or not 0 <= node.flags <= MAX_FLAGS:
        raise NotCompilable(f"a split of type {node.flags} cannot be compiled")
    head = struct.pack("<IIii", node.feature, node.flags, node.left, node.right)
    if node.flags & CATEGORICAL:
        # Of a categorical split the threshold is the number of its set.
        first, end = bounds[int(node.threshold)], bounds[int(node.threshold) + 1]
        writer.raw(head + struct.pack("<II", first, end - first))
    else:
        # Infinite where a split only tells missing values from others.
        if math.isnan(node.threshold):
            raise NotCompilable("the booster has a threshold that is no number")
        writer.raw(head + struct.pack("<d", node.threshold))
