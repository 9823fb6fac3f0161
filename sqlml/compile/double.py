"""
Arithmetic on float8 in SQL that gives what C gives.

PostgreSQL raises an error where a sum or product overflows or a product underflows, and C
goes on with infinity or zero. So every expression carries the range of its values: where
it cannot leave float8 the plain operator stands, where it can become too small a CASE stands
before it, and where it could become too large the model is refused.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sqlml.errors import NotCompilable

TINIEST = math.ulp(0.0)
LARGEST_EXPONENT = 709.782712893384
"""exp() of anything larger is infinite, of this it is not."""
SMALLEST_EXPONENT = -708.396418532264
"""exp() of anything smaller is denormal, which PostgreSQL's exp() refuses."""
ONE_EXPONENT = 40.0
"""1 + exp(-x) is 1 from here on."""
ZERO_SQUARE = 1.5717277847026285e-162
"""The largest number whose square rounds to zero."""
FINITE_SQUARE = 1.3407807929942596e154
"""The largest number whose square is finite."""
LARGEST_REAL = 3.4028234663852886e38
ZERO_REAL = 7.006492321624085e-46
"""The largest number that is zero as a real."""


@dataclass(frozen=True, slots=True)
class Number:
    """A float8 expression that is neither NULL nor NaN nor infinite, and its range."""

    text: str
    most: float
    """The largest absolute value."""
    least: float = TINIEST
    """The smallest absolute value that is not zero."""


def literal(value: float) -> str:
    """Write a double so that it reads back as the same one."""
    if math.isinf(value):
        return f"'{'-' if value < 0 else ''}Infinity'::float8"
    return f"'{value!r}'::float8"


def constant(value: float) -> Number:
    """A number that stands in the model."""
    return Number(literal(value), abs(value), abs(value) or TINIEST)


def write_array(values: Sequence[float]) -> str:
    """Write an array of doubles so that they read back as the same ones."""
    return f"'{{{','.join(map(repr, values))}}}'::float8[]"


def add(left: Number, right: Number) -> Number:
    """Add two numbers. Rounding is monotone, so the bound holds for the rounded sum."""
    return Number(f"{left.text} + {right.text}", _check(left.most + right.most))


def subtract(left: Number, value: float) -> Number:
    """Subtract a constant; differences near it are not below its last place."""
    least = math.ulp(value) / 4 if value else TINIEST
    return Number(
        f"{left.text} - {literal(value)}", _check(left.most + abs(value)), max(least, TINIEST)
    )


def multiply(number: Number, factor: float) -> Number:
    """Multiply a number, whose text is a column's name, by a constant."""
    most = _check(number.most * abs(factor))
    product = f"{number.text} * {literal(factor)}"
    limit = find_underflow(factor)
    if number.least > limit:
        return Number(product, most, max(number.least * abs(factor), TINIEST))
    zero = literal(math.copysign(0.0, factor))
    text = (
        f"CASE WHEN abs({number.text}) <= {literal(limit)}"
        f" THEN {number.text} * {zero} ELSE {product} END"
    )
    return Number(text, most)


def find_underflow(factor: float) -> float:
    """Find the largest double whose product with the factor is zero though neither is."""
    if abs(factor) > 0.5 or factor == 0:
        return 0.0
    mantissa, exponent = math.frexp(abs(factor))
    limit = math.ldexp(0.5 / mantissa, -1074 - exponent)
    while limit * factor != 0:
        limit = math.nextafter(limit, 0)
    while math.nextafter(limit, 1) * factor == 0:
        limit = math.nextafter(limit, 1)
    return limit


def round_to_real(number: Number) -> Number:
    """Round a number, whose text is a column's name, to a real."""
    text = number.text
    if number.most > LARGEST_REAL:
        raise NotCompilable("a score of the model may overflow, which SQL cannot do")
    rounded = (
        f"CASE WHEN abs({text}) <= {literal(ZERO_REAL)} THEN {text} * {literal(0.0)}"
        f" ELSE {text}::real::float8 END"
    )
    return Number(rounded, LARGEST_REAL)


def square(score: Number) -> str:
    """The square with the number's own sign."""
    text = score.text
    return (
        f"CASE WHEN abs({text}) <= {literal(ZERO_SQUARE)} THEN {text} * {literal(0.0)}"
        f" WHEN {text} > {literal(FINITE_SQUARE)} THEN {literal(math.inf)}"
        f" WHEN {text} < {literal(-FINITE_SQUARE)} THEN {literal(-math.inf)}"
        f" ELSE {text} * abs({text}) END"
    )


def exponential(score: Number) -> str:
    """exp(); a denormal result becomes 0."""
    text = score.text
    if score.most < -SMALLEST_EXPONENT:
        return f"exp({text})"
    return (
        f"CASE WHEN {text} > {literal(LARGEST_EXPONENT)} THEN {literal(math.inf)}"
        f" WHEN {text} < {literal(SMALLEST_EXPONENT)} THEN {literal(0.0)}"
        f" ELSE exp({text}) END"
    )


def exponential_minus_one(score: Number) -> str:
    """expm1(), which PostgreSQL lacks, through sinh(): right but for the last places."""
    text = score.text
    return (
        f"CASE WHEN {text} > {literal(LARGEST_EXPONENT)} THEN {literal(math.inf)}"
        f" WHEN {text} < {literal(-ONE_EXPONENT)} THEN {literal(-1.0)}"
        f" WHEN abs({text}) < {literal(1e-300)} THEN {text}"
        f" ELSE {literal(2.0)} * (sinh({text} / 2) * exp({text} / 2)) END"
    )


def logistic(score: Number) -> str:
    """1 / (1 + exp(-x))."""
    text = score.text
    return (
        f"CASE WHEN {text} > {literal(ONE_EXPONENT)} THEN {literal(1.0)}"
        f" WHEN {text} < {literal(-LARGEST_EXPONENT)} THEN {literal(0.0)}"
        f" ELSE {literal(1.0)} / ({literal(1.0)} + exp(-{text})) END"
    )


def _check(bound: float) -> float:
    if not math.isfinite(bound):
        raise NotCompilable("a score of the model may overflow, which SQL cannot do")
    return bound
