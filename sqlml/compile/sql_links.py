"""
Stages of the SQL, and the links: raw scores become responses, and responses raw scores.
"""

import math
from collections.abc import Iterable, Mapping

from sqlml.compile.double import (
    LARGEST_EXPONENT,
    Number,
    exponential,
    exponential_minus_one,
    literal,
    logistic,
    square,
)
from sqlml.errors import NotCompilable
from sqlml.search.fitted import Link

ROW = "input_row"


class Stages:
    """The chain of common table expressions, written from front to back."""

    def __init__(self) -> None:
        self._stages: list[str] = []
        self._source = f"input AS {ROW}"

    @property
    def text(self) -> str:
        """All stages, with commas between them."""
        return ",\n".join(self._stages)

    def add(self, name: str, expressions: Mapping[str, str], kept: Iterable[str] = ()) -> None:
        """Compute expressions over the last stage's columns, and keep some of these."""
        selected = [ROW, *kept, *(f"{text} AS {column}" for column, text in expressions.items())]
        lines = ",\n           ".join(selected)
        self._stages.append(f"{name} AS (\n    SELECT {lines}\n      FROM {self._source} OFFSET 0)")
        self._source = name

    def add_numbers(
        self, name: str, numbers: Mapping[str, Number], kept: Iterable[str] = ()
    ) -> list[Number]:
        """Compute numbers; give what later stages know them by, the names of their columns."""
        self.add(name, {column: number.text for column, number in numbers.items()}, kept)
        return [Number(column, number.most, number.least) for column, number in numbers.items()]


def write_responses(
    stages: Stages, link: Link, scores: list[Number], suffix: str, waiting: list[Number]
) -> list[Number]:
    """Add a stage with the responses r<suffix>0, r<suffix>1, … beside those who wait."""
    kept = [number.text for number in waiting]
    if link is Link.SOFTMAX:
        return _write_softmax(stages, scores, suffix, kept)
    (score,) = scores
    most = score.most
    match link:
        case Link.EXP:
            text = exponential(score)
            most = math.exp(most) if most < LARGEST_EXPONENT else math.inf
        case Link.EXPM1:
            text = exponential_minus_one(score)
            most = math.exp(most) if most < LARGEST_EXPONENT else math.inf
        case Link.SQUARE:
            text, most = square(score), most * most
        case Link.LOGISTIC:
            text, most = logistic(score), 1.0
        case _:
            text = score.text
    return stages.add_numbers(f"response{suffix}", {f"r{suffix}0": Number(text, most)}, kept)


def _write_softmax(
    stages: Stages, scores: list[Number], suffix: str, kept: list[str]
) -> list[Number]:
    names = [score.text for score in scores]
    largest = f"m{suffix}"
    stages.add(f"largest{suffix}", {largest: f"greatest({', '.join(names)})"}, kept)
    most = 2 * max(score.most for score in scores)
    if math.isinf(most):
        raise NotCompilable("a score of the model may overflow, which SQL cannot do")
    exponentials = {
        f"e{suffix}{k}": Number(exponential(Number(f"({name} - {largest})", most)), 1.0)
        for k, name in enumerate(names)
    }
    stages.add_numbers(f"exponential{suffix}", exponentials, kept)
    total = " + ".join(exponentials)
    responses = {
        f"r{suffix}{k}": Number(f"{name} / ({total})", 1.0) for k, name in enumerate(exponentials)
    }
    return stages.add_numbers(f"response{suffix}", responses, kept)


def invert_responses(stages: Stages, link: Link, responses: list[Number]) -> list[Number]:
    """Add a stage with the raw scores of blended responses, c0, c1, …"""
    lowest = {Link.EXP: 1e-300, Link.SOFTMAX: 1e-15, Link.LOGISTIC: 1e-15}.get(link)
    if lowest is None:
        return responses
    scores = {}
    for k, response in enumerate(responses):
        clipped = f"greatest({response.text}, {literal(lowest)})"
        text = f"ln({clipped})"
        most = max(-math.log(lowest), math.log(max(response.most, 1.0))) + 1
        if link is Link.LOGISTIC:
            clipped = f"least({clipped}, {literal(1 - lowest)})"
            text = f"ln({clipped}) - ln({literal(1.0)} - {clipped})"
            most *= 2
        scores[f"c{k}"] = Number(text, most)
    return stages.add_numbers("unlinked", scores)
