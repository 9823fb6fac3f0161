"""
Trees and linear terms become SQL expressions over the features f0, f1, …
"""

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlml.compile.double import (
    Number,
    add,
    constant,
    literal,
    multiply,
    subtract,
    write_array,
)
from sqlml.compile.trees import (
    CATEGORICAL,
    DEFAULT_LEFT,
    MISSING_ZERO,
    CompiledTree,
    CompiledTrees,
)
from sqlml.errors import NotCompilable
from sqlml.search.fitted import (
    CodeTerm,
    Feature,
    FeatureOp,
    LinearPart,
    LinearTerm,
    NumericTerm,
    StepTerm,
)

ZERO: float = struct.unpack("<f", struct.pack("<f", 1e-35))[0]
"""LightGBM takes numbers this near zero as zero."""
MAX_DEPTH = 300
"""Splits on the way to a leaf; PostgreSQL's parser is given 2 MB of stack."""


def write_terms(part: LinearPart, place: int) -> dict[str, Number]:
    """Write what every numeric term multiplies by its weights, named u<part>_<term>."""
    return {
        f"u{place}_{index}": multiply_term(term)
        for index, term in enumerate(part.terms)
        if isinstance(term, NumericTerm)
    }


def multiply_term(term: NumericTerm) -> Number:
    """Clip, centre and scale a feature; of a missing one the result is not used."""
    clipped = f"least(greatest(f{term.feature}, {literal(term.low)}), {literal(term.high)})"
    limit = max(abs(term.low), abs(term.high))
    centred = subtract(Number(clipped, limit), term.mean)
    return multiply(Number(f"({centred.text})", centred.most, centred.least), term.inverse_scale)


def write_linear_score(
    part: LinearPart, place: int, output: int, terms: Mapping[str, Number]
) -> Number:
    """Write the intercept and the terms, in their order."""
    score = constant(float(part.intercepts[output]))
    for index, term in enumerate(part.terms):
        score = add(score, _write_term(term, output, terms.get(f"u{place}_{index}")))
    return score


def _write_term(term: LinearTerm, output: int, scaled: Number | None) -> Number:
    match term:
        case CodeTerm():
            return _write_code_term(term, output)
        case StepTerm():
            return _write_step_term(term, output)
        case NumericTerm() if scaled is not None:
            product = multiply(scaled, float(term.weights[output]))
            return _write_missing(term.feature, float(term.missing_weights[output]), product)
    raise NotCompilable("it reads the words of texts, which SQL cannot cut as sqlml does")


def _write_code_term(term: CodeTerm, output: int) -> Number:
    weights = [float(weight) for weight in term.weights[:, output]]
    return Number(
        f"({write_array(weights)})[f{term.feature} + 1]",
        max(abs(weight) for weight in weights),
    )


def _write_step_term(term: StepTerm, output: int) -> Number:
    weights = [float(weight) for weight in term.weights[:, output]]
    step = f"least(f{term.feature}, {literal(len(weights) - 1.0)})::integer + 1"
    chosen = Number(f"({write_array(weights)})[{step}]", max(abs(weight) for weight in weights))
    return _write_missing(term.feature, float(term.missing_weights[output]), chosen)


def _write_missing(feature: int, missing: float, present: Number) -> Number:
    """Write a number that another one stands for where a feature is missing."""
    text = f"CASE WHEN f{feature} IS NULL THEN {literal(missing)} ELSE {present.text} END"
    return Number(text, max(present.most, abs(missing)))


def write_tree_score(
    trees: CompiledTrees, features: Sequence[Feature], output: int, output_count: int
) -> Number:
    """Write the leaves of an output's trees, added from 0 in their order."""
    score = constant(0.0)
    added = trees.trees if trees.has_all_outputs else trees.trees[output::output_count]
    for tree in added:
        score = add(score, write_tree(tree, features, output if trees.has_all_outputs else 0))
    if not trees.is_average:
        return score
    return Number(f"({score.text}) / {literal(float(len(added)))}", score.most)


def write_tree(tree: CompiledTree, features: Sequence[Feature], place: int = 0) -> Number:
    """Write one tree as nested CASEs of what it adds to one of its outputs."""
    nodes = [
        _Node(*values)
        for values in zip(
            tree.feature.tolist(),
            tree.flags.tolist(),
            tree.left.tolist(),
            tree.right.tolist(),
            tree.threshold.tolist(),
            strict=True,
        )
    ]
    leaves = tree.leaves[:, place].tolist()
    words, bounds = tree.words.tolist(), tree.bounds.tolist()
    walk = _Walk(features, nodes, leaves, words, bounds)
    return Number(walk.write(0 if nodes else -1, 0), max(abs(leaf) for leaf in leaves))


@dataclass(frozen=True, slots=True)
class _Node:
    feature: int
    flags: int
    left: int
    right: int
    threshold: float


@dataclass(frozen=True, slots=True)
class _Walk:
    features: Sequence[Feature]
    nodes: Sequence[_Node]
    leaves: Sequence[float]
    words: Sequence[int]
    bounds: Sequence[int]

    def write(self, position: int, depth: int) -> str:
        if position < 0:
            return literal(self.leaves[-1 - position])
        if depth == MAX_DEPTH:
            raise NotCompilable(
                f"the model has a tree that is deeper than {MAX_DEPTH} splits,"
                " and as SQL it would be beyond PostgreSQL's stack"
            )
        node = self.nodes[position]
        left = self.write(node.left, depth + 1)
        right = self.write(node.right, depth + 1)
        if node.flags & CATEGORICAL:
            return f"CASE WHEN {self._write_set(node)} THEN {left} ELSE {right} END"
        if _sends_missing_left(node):
            return f"CASE WHEN {_write_right(node)} THEN {right} ELSE {left} END"
        return f"CASE WHEN {_write_left(node)} THEN {left} ELSE {right} END"

    def _write_set(self, node: _Node) -> str:
        first, end = self.bounds[int(node.threshold)], self.bounds[int(node.threshold) + 1]
        members = [
            str(32 * place + bit)
            for place, word in enumerate(self.words[first:end])
            for bit in range(32)
            if word >> bit & 1
        ]
        is_code = self.features[node.feature].op is FeatureOp.CODE
        value = f"f{node.feature}" if is_code else f"trunc(f{node.feature})"
        type_name = "integer" if is_code else "float8"
        return f"{value} = ANY ('{{{','.join(members)}}}'::{type_name}[])"


def _sends_missing_left(node: _Node) -> bool:
    """Whether a missing value, NULL, goes left. Unless told otherwise it counts as zero."""
    if node.flags >> 2:
        return bool(node.flags & DEFAULT_LEFT)
    return node.threshold >= 0


# A comparison with NULL is not true, so a missing value takes the ELSE: of the two ways to
# write a split the one is chosen whose ELSE is where missing values go.


def _write_left(node: _Node) -> str:
    feature, threshold = f"f{node.feature}", _widen(node.threshold)
    zeros_go_right = node.flags >> 2 == MISSING_ZERO and threshold >= 0
    condition = f"{feature} <= {literal(threshold)}"
    return f"{condition} AND abs({feature}) > {literal(ZERO)}" if zeros_go_right else condition


def _write_right(node: _Node) -> str:
    feature, threshold = f"f{node.feature}", _widen(node.threshold)
    zeros_go_left = node.flags >> 2 == MISSING_ZERO and threshold < 0
    condition = f"{feature} > {literal(threshold)}"
    return f"{condition} AND abs({feature}) > {literal(ZERO)}" if zeros_go_left else condition


def _widen(threshold: float) -> float:
    """Move a threshold so that what counts as zero is compared as zero is."""
    if 0 <= threshold < ZERO:
        return ZERO
    if -ZERO <= threshold < 0:
        return math.nextafter(-ZERO, -math.inf)
    return threshold
