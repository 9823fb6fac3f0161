"""
A subject is one thing that is measured; rounds run all of them in turn.
"""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Subject:
    """Something that spends CPU time on rows, or on queries or connections."""

    name: str
    row_count: int
    spend: Callable[[], float]
    """Do it once; the CPU seconds that it took."""


@dataclass(slots=True)
class Samples:
    """What the rounds have measured: seconds a row, by subject, in the order of the rounds."""

    by_subject: dict[str, list[float]] = field(default_factory=dict)

    def best(self, name: str) -> float:
        """The least of a subject."""
        return min(self.by_subject[name])

    def ratio(self, over: str, under: str) -> float:
        """The best of one subject by the best of another."""
        return self.best(over) / self.best(under)

    def paired_ratio(self, over: str, under: str) -> float:
        """The median of the ratios within each round."""
        pairs = zip(self.by_subject[over], self.by_subject[under], strict=True)
        return statistics.median(one / other for one, other in pairs)

    def has(self, *names: str) -> bool:
        """Whether all of these were measured."""
        return all(name in self.by_subject for name in names)


def run_rounds(subjects: Sequence[Subject], rounds: int, report: Callable[[str], None]) -> Samples:
    """Run every subject once a round, each round beginning with another one."""
    samples = Samples({subject.name: [] for subject in subjects})
    for subject in subjects:
        subject.spend()
    report("warmed up")
    for number in range(rounds):
        start = number * len(subjects) // rounds
        for subject in (*subjects[start:], *subjects[:start]):
            spent = subject.spend()
            samples.by_subject[subject.name].append(spent / subject.row_count)
        report(f"round {number + 1} of {rounds}")
    return samples
