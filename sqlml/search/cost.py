"""
What a prediction costs, estimated from facts about the model's parts.

The scoring core scores trees of at most 64 leaves by masks, in blocks of 16 trees (up to 32
leaves) or 8, four blocks a group: each group looks at each of its features once. Larger trees
are walked. docs/decisions/0010 describes both. The constants are those of an idle core with
AVX-512; `docs/decisions/0013` says how they were measured. A large forest of several outputs is
walked once for all of them: `adds_to_all`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, log2, sqrt

CALL_NS = 1000.0
"""Being called for a row, and taking the row apart."""
FEATURE_NS = 15.0
"""Reading a value, a category's level or a date's part, and finding its bin."""
WORD_NS = 60.0
"""Cutting a word out of a text, hashing it and looking it up; twice with bigrams."""
COMPONENT_NS = 0.5
"""Adding one weight of a word to one output or component."""
TERM_NS = 1.6
OUTPUT_NS = 1.0
"""A term's weight for one output more."""

MASK_LEAVES = 64
NARROW_LEAVES, NARROW_TREES, WIDE_TREES = 32, 16, 8
GROUP_BLOCKS = 4
ROW_BYTES = 64
AND_NS = 1.0
LEAF_NS = 0.7
USUAL_FEATURES = 25
BYTE_NS = 5e-4
"""A byte of tables: the more there are, all parts together, the fewer stay in a core's caches."""
NEAR_BYTES, FAR_BYTE_NS = 5e6, 5e-3
"""Beyond so many bytes of one part most have to come from memory."""

LEVEL_NS = 4.0
"""A level of a tree that is walked."""
NEAR_LEAVES = 200_000
"""So many leaves make a walk twice as long, by the square root: what does not fit into a near
cache is in the next one. Two large forests of one model share these caches."""
ROW_NS = 0.5
"""Adding a leaf of several outputs to one of them."""
NEAR_ROWS = 60_000
"""So many of such leaves make that twice as long."""
MAX_SPLITS = 60_000
"""So many splits of one feature may a model's forests have. Where thresholds make more than
65,000 bins, all parts are walked without bins, three times slower."""
LEAF_BYTES, VALUE_BYTES = 105, 17
"""What a leaf with its split takes in a connection, and each of its values."""
MAX_BYTES = 60_000_000
"""So much may a model take there: a connection keeps 64 MB of models (`sqlml.cache_size`) and would
open a larger one again with every call."""


def adds_to_all(largest_tree: int, output_count: int) -> bool:
    """
    Tell whether each tree of a forest adds to all outputs, or is copied for each.

    What is walked anyway is walked once; mask tables know trees of one output only.
    """
    return output_count > 1 and largest_tree > MASK_LEAVES


@dataclass(frozen=True, slots=True, kw_only=True)
class PartFacts:
    """What of a part decides how long it takes to score a row."""

    tree_count: int = 0
    """Trees of all outputs."""
    leaf_size: int = 1
    """Outputs that a tree adds to: one, or all."""
    leaf_count: int = 0
    """Leaves of all trees."""
    largest_tree: int = 0
    """Leaves of the largest tree; 0 where unknown: the average counts."""
    feature_count: int = 0
    """Features that the trees split on; 0 where unknown: 25 count."""
    most_splits: int = 0
    """Splits on one feature, of a forest with random thresholds; others have few thresholds."""
    output_count: int = 1
    term_count: int = 0
    """Terms of a linear part, but those on texts."""
    text_term_count: int = 0
    """Terms of a linear part on texts."""

    @property
    def room_share(self) -> float:
        """What share of the room for a model's trees it takes, by its splits or its memory."""
        memory = self.leaf_count * (LEAF_BYTES + VALUE_BYTES * self.leaf_size)
        return max(self.most_splits / MAX_SPLITS, memory / MAX_BYTES)


def forest_facts(
    leaves: Sequence[int], output_count: int, feature_count: int, most_splits: int = 0
) -> PartFacts:
    """Describe a forest of trees with so many leaves each, all of which know all outputs."""
    largest = max(leaves)
    leaf_size = output_count if adds_to_all(largest, output_count) else 1
    copies = output_count // leaf_size
    return PartFacts(
        tree_count=copies * len(leaves),
        leaf_size=leaf_size,
        leaf_count=copies * sum(leaves),
        largest_tree=largest,
        feature_count=feature_count,
        most_splits=most_splits,
        output_count=output_count,
    )


def predict_cost_ns(
    parts: Sequence[PartFacts], feature_count: int, word_count: float = 0.0, topic_count: int = 0
) -> float:
    """
    Estimate the nanoseconds that a row takes on one core.

    `feature_count` is the features that parts use, but topics; `word_count` the terms of a
    row's texts on average, bigrams included; `topic_count` the topics of each text.
    """
    text_ns = word_count * (WORD_NS + topic_count * COMPONENT_NS)
    part_ns = sum(part_cost_ns(part, word_count) for part in parts)
    return CALL_NS + feature_count * FEATURE_NS + text_ns + part_ns


def part_cost_ns(part: PartFacts, word_count: float = 0.0) -> float:
    """Estimate the nanoseconds of one part, once the features are there."""
    of_terms = part.term_count * (TERM_NS + OUTPUT_NS * (part.output_count - 1))
    of_texts = part.text_term_count * word_count * part.output_count * COMPONENT_NS
    return of_terms + of_texts + (_trees_ns(part) if part.tree_count else 0.0)


def _trees_ns(part: PartFacts) -> float:
    """Estimate the nanoseconds of a part's trees."""
    average = part.leaf_count / part.tree_count
    largest = max(part.largest_tree, ceil(average))
    if largest > MASK_LEAVES:
        walk_ns = LEVEL_NS * log2(max(average, 2)) * (1 + sqrt(part.leaf_count / NEAR_LEAVES))
        row_ns = ROW_NS * part.leaf_size * (1 + sqrt(part.leaf_count / NEAR_ROWS))
        return part.tree_count * (walk_ns + (row_ns if part.leaf_size > 1 else 0.0))
    trees = NARROW_TREES if largest <= NARROW_LEAVES else WIDE_TREES
    groups = ceil(part.tree_count / (trees * GROUP_BLOCKS))
    splits = max(part.leaf_count - part.tree_count, 1)
    used = min(part.feature_count or USUAL_FEATURES, ceil(splits / groups))
    rows = groups * GROUP_BLOCKS * used
    table_bytes = ROW_BYTES * (part.leaf_count + rows)
    memory_ns = table_bytes * BYTE_NS + max(table_bytes - NEAR_BYTES, 0.0) * FAR_BYTE_NS
    return rows * AND_NS + memory_ns + part.tree_count * LEAF_NS
