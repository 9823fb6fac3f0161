"""
A LightGBM booster becomes trees.

Reads the booster's own text, whose doubles round-trip. Owns which of LightGBM's
constructs the artifact can express; everything else is refused by name.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sqlml.compile.trees import CATEGORICAL, MAX_FLAGS, CompiledTree, CompiledTrees
from sqlml.enums import ProblemType
from sqlml.errors import NotCompilable
from sqlml.search.fitted import Link, TreePart

MODEL_VERSION = "v4"
OBJECTIVE_LINKS = {
    **dict.fromkeys(
        ("regression", "regression_l1", "huber", "fair", "quantile", "mape"), Link.IDENTITY
    ),
    **dict.fromkeys(("poisson", "gamma", "tweedie"), Link.EXP),
    **dict.fromkeys(("binary", "cross_entropy"), Link.LOGISTIC),
    "multiclass": Link.SOFTMAX,
}
"""What LightGBM makes of the raw scores of an objective. The others cannot be compiled."""

ONE_LEAF = {
    **dict.fromkeys(("split_feature", "decision_type", "left_child", "right_child"), ""),
    "threshold": "",
    "leaf_count": "0",
}
"""What LightGBM does not keep of a tree of one leaf."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a model says of one of its parts."""

    problem_type: ProblemType
    link: Link
    output_count: int
    feature_count: int


@dataclass(frozen=True, slots=True)
class _Text:
    """What stands before the trees, and the fields of each tree."""

    header: Mapping[str, str]
    trees: tuple[Mapping[str, str], ...]

    @property
    def objective(self) -> str:
        """The objective with its settings, as LightGBM writes it."""
        return self.header.get("objective", "none")


def read_booster(part: TreePart, around: Surroundings) -> CompiledTrees:
    """
    Read the trees that `Booster.predict` uses, up to the best iteration where there is one.

    Raises `NotCompilable` unless they give what the model says.
    """
    features = range(around.feature_count) if part.features is None else part.features
    if not all(0 <= feature < around.feature_count for feature in features):
        raise NotCompilable("a booster has a feature that is none of the model")
    text = _parse_booster(part.booster.model_to_string())
    _check_header(text.header, around.output_count, len(features))
    _check_objective(text.objective, around)
    if not text.trees or len(text.trees) % around.output_count:
        raise NotCompilable(f"a booster of {len(text.trees)} trees cannot be compiled")
    _, settings = _parse_objective(text.objective)
    return CompiledTrees(
        is_average="average_output" in text.header,
        trees=tuple(_read_tree(number, tree, features) for number, tree in enumerate(text.trees)),
        sigmoid=float(settings.get("sigmoid", 1)),
        objective=text.objective,
    )


def _parse_booster(text: str) -> _Text:
    """Read LightGBM's model text up to the end of its trees."""
    body, end, _ = text.partition("\nend of trees\n")
    head, *blocks = body.split("\nTree=")
    if not end or not head.startswith("tree\n"):
        raise NotCompilable("the booster's text is not LightGBM's")
    return _Text(_parse_fields(head), tuple(_parse_fields(block) for block in blocks))


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


def _check_objective(objective: str, around: Surroundings) -> None:
    """Check that LightGBM's link is the part's, or none where the target was transformed."""
    name, settings = _parse_objective(objective)
    link = OBJECTIVE_LINKS.get(name)
    if link is Link.IDENTITY and "sqrt" in settings:
        link = Link.SQUARE
    is_known = settings.keys() <= {"sqrt", "sigmoid", "num_class"}
    is_transformed = link is Link.IDENTITY and around.problem_type is ProblemType.REGRESSION
    if not is_known or not (link is around.link or is_transformed):
        raise NotCompilable(
            f'objective "{objective}" cannot be compiled for {around.problem_type}'
            f" with the link {around.link}"
        )


def _read_tree(number: int, tree: Mapping[str, str], features: Sequence[int]) -> CompiledTree:
    if tree.get("is_linear", "0") != "0":
        raise NotCompilable("linear trees cannot be compiled")
    try:
        return _read_fields(tree, features)
    except (KeyError, ValueError, IndexError, OverflowError) as error:
        raise NotCompilable(f"tree {number} of the booster's text is not sound") from error


def _read_fields(tree: Mapping[str, str], features: Sequence[int]) -> CompiledTree:
    leaf_count = int(tree["num_leaves"])
    if leaf_count == 1:
        tree = {**tree, **ONE_LEAF}
    inputs, flags = _integers(tree["split_feature"]), _integers(tree["decision_type"])
    if len(inputs) != leaf_count - 1:
        raise NotCompilable("the booster's text has a tree that lacks a split")
    for place, flag in zip(inputs, flags, strict=True):
        if not 0 <= place < len(features) or not 0 <= flag <= MAX_FLAGS:
            raise NotCompilable(f"a split of type {flag} cannot be compiled")
    leaves, counts = _doubles(tree["leaf_value"]), _integers(tree["leaf_count"])
    if len(leaves) != leaf_count or len(counts) != leaf_count:
        raise NotCompilable("the booster's text has a tree that lacks a leaf")
    compiled = CompiledTree(
        feature=np.array([features[place] for place in inputs], dtype=np.int32),
        flags=np.array(flags, dtype=np.uint32),
        left=np.array(_integers(tree["left_child"]), dtype=np.int32),
        right=np.array(_integers(tree["right_child"]), dtype=np.int32),
        threshold=_doubles(tree["threshold"]),
        leaves=leaves[:, None],
        counts=np.array(counts, dtype=np.uint32),
        words=np.array(_integers(tree.get("cat_threshold", "")), dtype=np.uint32),
        bounds=np.array(_integers(tree.get("cat_boundaries", "")), dtype=np.int64),
    )
    if np.isnan(compiled.threshold[(compiled.flags & CATEGORICAL) == 0]).any():
        raise NotCompilable("the booster has a threshold that is no number")
    return compiled


def _integers(text: str) -> list[int]:
    return [int(value) for value in text.split()]


def _doubles(text: str) -> NDArray[np.float64]:
    return np.array([float(value) for value in text.split()], dtype=np.float64)
