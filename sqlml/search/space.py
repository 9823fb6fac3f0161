"""
The space of an estimator: what values a hyperparameter may take.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Numbers from `low` to `high`, both included; drawn by their logarithm with `is_log`."""

    low: float
    high: float
    is_log: bool = False
    is_integer: bool = False


@dataclass(frozen=True, slots=True)
class Choices:
    """One of some values."""

    values: tuple[str | int | float | bool, ...]


Dimension = Range | Choices
