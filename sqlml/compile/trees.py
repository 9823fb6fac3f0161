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
from sqlml.search.fitted import FittedModel, Link

MODEL_VERSION = "v4"
CATEGORICAL = 1
MAX_FLAGS = 11
AVERAGE = 1
OBJECTIVE_LINKS = {
    **dict.fromkeys(
        ("regression", "regression_l1", "huber", "fair", "quantile", "mape"), Link.IDENTITY
    ),
    **dict.fromkeys(("poisson", "gamma", "tweedie"), Link.EXP),
    **dict.fromkeys(("binary", "cross_entropy"), Link.LOGISTIC),
    "multiclass": Link.SOFTMAX,
}
"""What LightGBM makes of the raw scores of an objective. The others cannot be compiled."""


@dataclass(frozen=True, slots=True)
class BoosterText:
    """What stands before the trees, and the fields of each tree."""

    header: Mapping[str, str]
    trees: tuple[Mapping[str, str], ...]

    @property
    def objective(self) -> str:
        """The objective with its settings, as LightGBM writes it."""
        return self.header.get("objective", "none")

    @property
    def sigmoid(self) -> float:
        """What LightGBM multiplies the raw scores by before its own link."""
        return float(_parse_objective(self.objective)[1].get("sigmoid", 1))


def read_booster(booster: lgb.Booster, model: FittedModel, output_count: int) -> BoosterText:
    """
    Read the trees that `Booster.predict` uses, up to the best iteration where there is one.

    Raises `NotCompilable` unless they give what the model says.
    """
    text = parse_booster(booster.model_to_string())
    _check_header(text.header, output_count, len(model.features))
    _check_objective(text.objective, model)
    if not text.trees or len(text.trees) % output_count:
        raise NotCompilable(f"a booster of {len(text.trees)} trees cannot be compiled")
    return text


def write_trees(text: BoosterText, feature_count: int) -> bytes:
    """Write the trees of a booster in LightGBM's order."""
    writer = Writer()
    writer.u32(AVERAGE if "average_output" in text.header else 0)
    writer.u32(len(text.trees))
    for number, tree in enumerate(text.trees):
        try:
            _write_tree(writer, tree, feature_count)
        except (KeyError, ValueError, IndexError, struct.error) as error:
            raise NotCompilable(f"tree {number} of the booster's text is not sound") from error
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


def _check_header(header: Mapping[str, str], output_count: int, feature_count: int) -> None:
    if header.get("version") != MODEL_VERSION:
        raise NotCompilable(f"LightGBM's model version {header.get('version')} is not known")
    if header.get("num_tree_per_iteration") != str(output_count):
        raise NotCompilable(
            f"the booster has {header.get('num_tree_per_iteration')} trees an iteration "
            f"instead of {output_count}"
        )
    if header.get("max_feature_idx") != str(feature_count - 1):
        raise NotCompilable(f"the booster was not trained on {feature_count} features")


def _parse_objective(objective: str) -> tuple[str, dict[str, str]]:
    name, *settings = objective.split()
    return name, {key: value for key, _, value in (item.partition(":") for item in settings)}


def _check_objective(objective: str, model: FittedModel) -> None:
    """Check that LightGBM's link is the model's, or none where the target was transformed."""
    name, settings = _parse_objective(objective)
    link = OBJECTIVE_LINKS.get(name)
    if link is Link.IDENTITY and "sqrt" in settings:
        link = Link.SQUARE
    is_known = settings.keys() <= {"sqrt", "sigmoid", "num_class"}
    is_transformed = link is Link.IDENTITY and model.problem_type is ProblemType.REGRESSION
    if not is_known or not (link is model.link or is_transformed):
        raise NotCompilable(
            f'objective "{objective}" cannot be compiled for {model.problem_type}'
            f" with the link {model.link}"
        )


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
    # LightGBM does not keep the count of a tree's only leaf.
    counts = [int(count) for count in tree["leaf_count"].split()] if nodes else [0]
    if len(leaves) != leaf_count or len(counts) != leaf_count:
        raise NotCompilable("the booster's text has a tree that lacks a leaf")
    for leaf in leaves:
        writer.finite(leaf)
    writer.words(counts)
    writer.words(words)


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
