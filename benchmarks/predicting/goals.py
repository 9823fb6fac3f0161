"""
The goals as ratios, and whether a run has met them.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.predicting.facts import Facts
from benchmarks.predicting.subject import Samples


@dataclass(frozen=True, slots=True)
class Bar:
    """The values that meet a goal."""

    low: float = 0.0
    high: float = float("inf")

    def __str__(self) -> str:
        if self == ANY:
            return ""
        if self.low == 0:
            return f"≤ {self.high:g}"
        return f"≥ {self.low:g}" if self.high == float("inf") else f"{self.low:g} - {self.high:g}"

    def is_met_by(self, value: float) -> bool:
        """Whether a value meets the goal."""
        return self.low <= value <= self.high


ANY = Bar()
"""For what is shown beside the goals."""


def at_most(value: float) -> Bar:
    return Bar(high=value)


def at_least(value: float) -> Bar:
    return Bar(low=value)


@dataclass(frozen=True, slots=True)
class Goal:
    """A ratio of two subjects' times a row; without a second one, seconds or a fact."""

    name: str
    over: str
    under: str | None
    bar: Bar
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """A goal that was measured."""

    goal: Goal
    value: float
    paired: float | None
    """The median of the ratios within each round."""

    @property
    def is_met(self) -> bool:
        return self.goal.bar.is_met_by(self.value)


GOALS = (
    Goal("predict A ÷ scan floor", "predict a", "floor", at_most(4.0)),
    Goal("predict B ÷ scan floor", "predict b", "floor", at_most(24)),
    Goal("predict A ÷ C no-op over the same columns", "predict a", "noop", at_most(2.8)),
    Goal(
        "rewritten call ÷ written-out arguments",
        "predict a",
        "predict a, written out",
        at_most(1.05),
    ),
    Goal("LightGBM batch ÷ predict: A", "lightgbm, a", "predict a", at_least(11)),
    Goal("LightGBM batch ÷ predict: B", "lightgbm, b", "predict b", at_least(15)),
    Goal("LightGBM batch ÷ predict: An", "lightgbm, an", "predict an", at_least(7.5)),
    Goal("LightGBM batch ÷ predict: Bn", "lightgbm, bn", "predict bn", at_least(7.5)),
    Goal("lleaves ÷ C core with encoding: A", "lleaves, a", "core, a", at_least(6)),
    Goal("lleaves ÷ C core with encoding: B", "lleaves, b", "core, b", at_least(4)),
    Goal("ADBC round trip ÷ insert inside: A", "round trip, a", "insert inside, a", at_least(9)),
    Goal("ADBC round trip ÷ insert inside: B", "round trip, b", "insert inside, b", at_least(14)),
    Goal("linear ÷ scan floor", "predict c", "floor", at_most(2.7)),
    Goal("linear ÷ hand-written SQL", "predict c", "sql c", at_most(1.05)),
    Goal(
        "PL/Python + C core ÷ empty body: A",
        "plpython, core, a",
        "plpython, empty body",
        at_most(1.6),
    ),
    Goal(
        "PL/Python + C core ÷ empty body: B",
        "plpython, core, b",
        "plpython, empty body",
        at_most(2.5),
    ),
    Goal(
        "naive PL/Python ÷ PL/Python with C core: A",
        "plpython, booster.predict, a",
        "plpython, core, a",
        at_least(10),
    ),
    Goal(
        "naive PL/Python ÷ PL/Python with C core: B",
        "plpython, booster.predict, b",
        "plpython, core, b",
        at_least(15),
    ),
    Goal("PL/Python set-wise ÷ C predict", "plpython, set-wise, a", "predict a", at_most(1.1)),
    Goal(
        "naive PL/Python ÷ C predict: A", "plpython, booster.predict, a", "predict a", at_least(80)
    ),
    Goal(
        "naive PL/Python ÷ C predict: B", "plpython, booster.predict, b", "predict b", at_least(35)
    ),
    Goal(
        "point query with ÷ without predict(A), simple",
        "point query, simple, with",
        "point query, simple, without",
        at_most(1.4),
    ),
    Goal(
        "point query with ÷ without predict(A), prepared",
        "point query, prepared, with",
        "point query, prepared, without",
        at_most(1.4),
    ),
    Goal("two parallel workers ÷ one", "two parallel workers by one", None, at_least(1.8)),
    Goal("bit-equal rows: A", "bit-equal raw scores, a", None, at_least(1)),
    Goal("bit-equal rows: B", "bit-equal raw scores, b", None, at_least(1)),
    Goal("bit-equal probabilities: A", "bit-equal probabilities, a", None, at_least(1)),
    Goal("bit-equal probabilities: B", "bit-equal probabilities, b", None, at_least(1)),
    Goal(
        "linear: largest difference from scikit-learn",
        "largest difference from scikit-learn, c",
        None,
        at_most(1e-14),
    ),
    Goal(
        "ten times the rows: time a row",
        "predict a",
        "predict a, a tenth of the rows",
        Bar(0.95, 1.05),
    ),
    Goal("five times the trees: time", "predict a5", "predict a", at_most(6.5)),
    Goal("first call in a fresh connection, A, ms", "first call, a", None, at_most(20), 1e3),
    Goal("first call in a fresh connection, B, ms", "first call, b", None, ANY, 1e3),
    Goal(
        "a connection's memory ÷ LightGBM's text: A", "memory by lightgbm text, a", None, at_most(1)
    ),
    Goal("a connection's memory ÷ artifact: A", "memory by artifact, a", None, ANY),
)


def judge(samples: Samples, facts: Facts) -> Iterator[tuple[Goal, Outcome | None]]:
    """Every goal; no outcome where the run has not measured it."""
    for goal in GOALS:
        yield goal, _find_outcome(goal, samples, facts)


def _find_outcome(goal: Goal, samples: Samples, facts: Facts) -> Outcome | None:
    if goal.over in facts:
        return Outcome(goal, facts[goal.over] * goal.scale, None)
    if goal.under is None and samples.has(goal.over):
        return Outcome(goal, samples.best(goal.over) * goal.scale, None)
    if goal.under is None or not samples.has(goal.over, goal.under):
        return None
    value = samples.ratio(goal.over, goal.under)
    return Outcome(goal, value, samples.paired_ratio(goal.over, goal.under))
