"""
The unit in which a regression is learnt.

Owns the shift and scale between the target and the numbers that estimators see: LightGBM
keeps targets as float32, which would spoil epoch seconds and overflow on 1e300.
"""

from dataclasses import dataclass

import numpy as np

from sqlml.search.arrays import F64


@dataclass(frozen=True, slots=True)
class Unit:
    """`target = (learnt * 2**inner + shift) * 2**outer`; the powers of two are exact."""

    outer: int
    shift: float
    inner: int

    def learnt(self, target: F64) -> F64:
        """Turn target values into the numbers to learn, all within [-1, 1]."""
        return np.ldexp(np.ldexp(target, -self.outer) - self.shift, -self.inner)

    def restored(self, learnt: F64) -> F64:
        """Turn learnt numbers back into target values."""
        return np.ldexp(np.ldexp(learnt, self.inner) + self.shift, self.outer)

    def scaled(self, weights: F64) -> F64:
        """Turn differences of learnt numbers into differences of target values."""
        return np.ldexp(weights, self.inner + self.outer)


def make_unit(target: F64) -> Unit:
    """Choose the unit of a target."""
    outer = _exponent(target)
    small = np.ldexp(target, -outer)
    shift = float(small.mean())
    return Unit(outer, shift, _exponent(small - shift))


def _exponent(values: F64) -> int:
    """Find the power of two that no value exceeds."""
    return int(np.frexp(np.abs(values).max())[1])
