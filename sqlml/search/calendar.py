"""
Parts of dates: proleptic Gregorian calendar, UTC, exact also before 2000 and before Christ.

Years are astronomical: year 0 is 1 BC.
"""

import numpy as np
from numpy.typing import NDArray

from sqlml.search.arrays import F64, I64
from sqlml.search.fitted import FeatureOp

MICROS_PER_SECOND = 1_000_000
MICROS_PER_HOUR = 3600 * MICROS_PER_SECOND
MICROS_PER_DAY = 24 * MICROS_PER_HOUR
DAYS_1970_TO_2000 = 10_957
SATURDAY = 5
"""The weekday of 2000-01-01, when Monday is 0."""


def date_part(micros: I64, op: FeatureOp) -> F64:
    """Compute one part of microseconds since 2000-01-01 00:00 UTC."""
    if op is FeatureOp.EPOCH:
        return micros.astype(np.float64) / MICROS_PER_SECOND
    if op is FeatureOp.HOUR:
        return (micros % MICROS_PER_DAY // MICROS_PER_HOUR).astype(np.float64)
    days = micros // MICROS_PER_DAY
    if op is FeatureOp.WEEKDAY:
        return ((days + SATURDAY) % 7).astype(np.float64)
    # Days, not microseconds: the offset to 1970 would overflow on the latest timestamps.
    return _civil_part((days + DAYS_1970_TO_2000).astype("datetime64[D]"), op)


def _civil_part(days: NDArray[np.datetime64], op: FeatureOp) -> F64:
    """Compute year, month, day or day of the year."""
    years = days.astype("datetime64[Y]")
    months = days.astype("datetime64[M]")
    match op:
        case FeatureOp.YEAR:
            part = years.astype(np.int64) + 1970
        case FeatureOp.MONTH:
            part = months.astype(np.int64) % 12 + 1
        case FeatureOp.DAY:
            part = (days - months.astype("datetime64[D]")).astype(np.int64) + 1
        case FeatureOp.YEARDAY:
            part = (days - years.astype("datetime64[D]")).astype(np.int64) + 1
        case _:
            raise ValueError(f"{op} is not a part of a date")
    return part.astype(np.float64)
