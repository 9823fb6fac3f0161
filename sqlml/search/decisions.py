"""
What is decided about a column, in words that a user can read.
"""

from dataclasses import dataclass
from enum import StrEnum

from sqlml.enums import ColumnKind


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
