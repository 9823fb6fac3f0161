"""
The training source of a job: which columns its training function gives.

Reads the column facts that CREATE MODEL wrote down. Does not connect.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlml.enums import ColumnKind
from sqlml.extract.dataset import NO_ROLES, Column, Roles, SkippedColumn


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What to read, in the order in which the training function gives it."""

    function: str
    """The training function as SQL text, such as `sqlml_training.job_7()`."""
    columns: tuple[Column, ...]
    target: Column
    skipped: tuple[SkippedColumn, ...]
    roles: Roles = NO_ROLES
    max_rows: int | None = None
    seed: int = 0


def parse_columns(
    items: Sequence[Mapping[str, str | None]], target: str
) -> tuple[tuple[Column, ...], Column, tuple[SkippedColumn, ...], Roles]:
    """Split the catalogue's column facts into features, target, skipped columns and roles."""
    columns: list[Column] = []
    skipped: list[SkippedColumn] = []
    roles: dict[str, Column] = {}
    found: Column | None = None
    for item in items:
        name, type_name = str(item["name"]), str(item["type"])
        reason = item.get("reason")
        if reason is not None:
            skipped.append(SkippedColumn(name, type_name, reason))
            continue
        column = Column(name, type_name, ColumnKind(str(item["kind"])))
        role = item.get("role")
        if name == target:
            found = column
        elif role is not None:
            roles[role] = column
        else:
            columns.append(column)
    if found is None:
        raise ValueError(f"the column facts lack the target {target!r}")
    return tuple(columns), found, tuple(skipped), Roles(**roles)
