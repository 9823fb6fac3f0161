"""
What a prediction costs, from facts about the model's parts.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PartFacts:
    """What of a part decides how long it takes to score a row."""

    tree_count: int = 0
    """Trees of all outputs."""
    leaf_count: int = 0
    """Leaves of all trees."""
    largest_tree: int = 0
    """Leaves of the largest tree; 0 where unknown: the average counts."""
    output_count: int = 1
    term_count: int = 0
    """Terms of a linear part."""


def predict_cost_ns(parts: Sequence[PartFacts], feature_count: int, word_count: float = 0) -> float:
    """
    Estimate the nanoseconds that a row takes on one core.

    `feature_count` is the features that parts use, `word_count` the tokens of a row's texts.
    """
    return 0.0
