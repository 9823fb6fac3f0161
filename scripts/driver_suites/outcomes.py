"""
What became of each test of a suite, and where two routes differ.
"""

import xml.etree.ElementTree as ElementTree
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

PASSED, FAILED, SKIPPED, ABSENT = "passed", "failed", "skipped", "absent"
_WORST_FIRST = (FAILED, SKIPPED, PASSED)

Outcomes = dict[str, str]
"""passed, failed or skipped by test."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A test that ended otherwise than direct, and how it ended when it was repeated."""

    test: str
    direct: str
    through: str
    repeated_direct: tuple[str, ...] = ()
    repeated_through: tuple[str, ...] = ()

    @property
    def is_chance(self) -> bool:
        """Whether repeating it showed nothing through the proxy that direct does not show too."""
        return set() != set(self.repeated_through) <= set(self.repeated_direct)

    def __str__(self) -> str:
        text = f"  {self.test}: {self.direct} direct, {self.through} through"
        if self.repeated_direct:
            text += f"; again {_count(self.repeated_direct)} direct"
            text += f", {_count(self.repeated_through)} through"
        return text


def parse_junit(path: Path) -> Outcomes:
    """The outcomes in a JUnit file, named as pytest names tests where it says their files."""
    outcomes: Outcomes = {}
    for case in ElementTree.parse(path).iter("testcase"):
        name = _name(case)
        outcomes[name] = worse(outcomes.get(name, PASSED), _outcome(case))
    return outcomes


def worse(one: str, other: str) -> str:
    """What counts of two outcomes of a test."""
    return min(one, other, key=_WORST_FIRST.index)


def find_different(direct: Outcomes, through: Outcomes) -> list[Difference]:
    """The tests that end in another way than direct."""
    pairs = (
        Difference(name, direct.get(name, ABSENT), through.get(name, ABSENT))
        for name in sorted(direct | through)
    )
    return [pair for pair in pairs if pair.direct != pair.through]


def summarise(outcomes: Outcomes) -> str:
    """How many passed, failed and were skipped."""
    counts = Counter(outcomes.values())
    return ", ".join(f"{counts[kind]} {kind}" for kind in (PASSED, FAILED, SKIPPED))


def _count(outcomes: tuple[str, ...]) -> str:
    return "+".join(f"{number} {kind}" for kind, number in sorted(Counter(outcomes).items()))


def _outcome(case: ElementTree.Element) -> str:
    kinds = {child.tag for child in case}
    if kinds & {"failure", "error"}:
        return FAILED
    return SKIPPED if "skipped" in kinds else PASSED


def _name(case: ElementTree.Element) -> str:
    name, place, file = (case.get(key, "") for key in ("name", "classname", "file"))
    if not file:
        return f"{place}::{name}" if place else name
    module = file.removesuffix(".py").replace("/", ".")
    classes = place.removeprefix(module).strip(".").split(".")
    return "::".join(part for part in (file, *classes, name) if part)
