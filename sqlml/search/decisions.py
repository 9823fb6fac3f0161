"""
What is decided about a column, in words that a user can read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlml.enums import ColumnKind
from sqlml.search.fitted import Feature, FeatureOp, Vocabulary


class Role(StrEnum):
    """What a column is good for."""

    NUMBER = "number"
    FLAG = "flag"
    CATEGORY = "category"
    TEXT = "text"
    DATETIME = "datetime"
    ARRAY = "array"
    IDENTIFIER = "identifier"
    CONSTANT = "constant"
    DUPLICATE = "duplicate"
    EMPTY = "empty"
    SUSPECTED_LEAK = "suspected leak"
    """Used, but it tells so much of the target that it may not be known in time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What one column became, and why."""

    column: str
    type_name: str
    kind: ColumnKind
    role: Role
    features: tuple[str, ...]
    """The features in words, such as `city: code`; none where the column is not used."""
    reason: str
    distinct_count: int
    """Different values, NULL not among them."""
    null_count: int
    """NULLs, and NaNs of a number."""


def describe_features(
    features: Sequence[Feature], vocabulary: Vocabulary | None
) -> tuple[str, ...]:
    """Name the features of a column: `code of 12 levels`, `year`, `30 topics`."""
    named: list[str] = []
    for feature in features:
        match feature.op:
            case FeatureOp.CODE:
                levels = len(feature.levels)
                named.append(f"code of {levels} level{'' if levels == 1 else 's'}")
            case FeatureOp.LOOKUP:
                named.append("count of the value")
            case FeatureOp.TOPIC | FeatureOp.ELEMENT:
                pass
            case op:
                named.append(str(op))
    if vocabulary is not None:
        named.append(f"{vocabulary.hashes.size} terms")
    for op in (FeatureOp.TOPIC, FeatureOp.ELEMENT):
        count = sum(feature.op is op for feature in features)
        if count:
            named.append(f"{count} {op}{'' if count == 1 else 's'}")
    return tuple(named)
