"""
Slices as the load generator reports them, and what follows from them.
"""

import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

MB = 1e6


@dataclass(frozen=True, slots=True)
class Slice:
    """What one route did in one slice of a cycle."""

    seconds: float
    exchanges: int
    byte_count: int
    """In both directions."""
    proxy_cpu_s: float
    total_cpu_s: float
    """Of the proxy, the backends and the client; 0 where sessions come and go."""

    def rate(self) -> float:
        """Exchanges in a second."""
        return self.exchanges / self.seconds

    def duration_s(self) -> float:
        """Seconds of one exchange, where they follow each other."""
        return self.seconds / self.exchanges

    def mb_rate(self) -> float:
        """Megabytes in a second."""
        return self.byte_count / MB / self.seconds

    def proxy_cpu_us(self) -> float:
        """The proxy's CPU time for one exchange."""
        return self.proxy_cpu_s / self.exchanges * 1e6

    def proxy_cpu_ms_per_mb(self) -> float:
        """The proxy's CPU time for a megabyte."""
        return self.proxy_cpu_s * 1e3 / (self.byte_count / MB)

    def total_cpu_us(self) -> float:
        """Everybody's CPU time for one exchange."""
        return self.total_cpu_s / self.exchanges * 1e6


Measure = Callable[[Slice], float]


@dataclass(frozen=True, slots=True)
class Spread:
    """A median over the cycles, and the quartiles around it."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f}-{self.high:.2f})"


@dataclass(frozen=True, slots=True)
class Cell:
    """The slices of one kind of work: by route, one a cycle."""

    by_route: dict[str, list[Slice]]

    def median(self, route: str, measure: Measure) -> float:
        """The median of a route's slices."""
        return statistics.median(map(measure, self.by_route[route]))

    def ratio(self, over: str, under: str, measure: Measure) -> float:
        """The median of one route by another within each cycle."""
        return self.spread(over, under, measure).median

    def spread(self, over: str, under: str, measure: Measure) -> Spread:
        """The median with the quartiles around it."""
        pairs = zip(self.by_route[over], self.by_route[under], strict=True)
        return _spread([measure(one) / measure(other) for one, other in pairs])


def read_slices(lines: Iterable[str]) -> Cell:
    """Read the generator's report."""
    by_route: defaultdict[str, list[Slice]] = defaultdict(list)
    for line in lines:
        route, numbers = line.split("\t")
        seconds, exchanges, byte_count, proxy_cpu_s, total_cpu_s = numbers.split()
        by_route[route].append(
            Slice(
                float(seconds),
                int(exchanges),
                int(byte_count),
                float(proxy_cpu_s),
                float(total_cpu_s),
            )
        )
    return Cell(dict(by_route))


def _spread(values: list[float]) -> Spread:
    if len(values) == 1:
        return Spread(values[0], values[0], values[0])
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(median, low, high)
