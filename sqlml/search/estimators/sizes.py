"""
What a prediction of fitted parts has to do, in counts.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sqlml.search.fitted import ForestPart, LinearPart, Part, TextTerm


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """What one row goes through."""

    tree_count: int = 0
    leaf_count: int = 0
    """Of all trees together."""
    term_count: int = 0
    """Linear terms, those of texts not among them."""
    text_count: int = 0
    """Linear terms of texts."""


def measure(parts: Sequence[Part]) -> Sizes:
    """Count trees, leaves and terms."""
    leaves: list[int] = []
    term_count = text_count = 0
    for part in parts:
        if isinstance(part, LinearPart):
            texts = sum(isinstance(term, TextTerm) for term in part.terms)
            text_count += texts
            term_count += len(part.terms) - texts
        elif isinstance(part, ForestPart):
            # A leaf of several outputs is one of as many trees.
            leaves += [len(tree.values) for tree in part.trees for _ in tree.values[0]]
        else:
            text = part.booster.model_to_string()
            leaves += map(int, re.findall(r"^num_leaves=(\d+)$", text, flags=re.MULTILINE))
    return Sizes(
        tree_count=len(leaves),
        leaf_count=sum(leaves),
        term_count=term_count,
        text_count=text_count,
    )
