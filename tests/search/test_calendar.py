"""
Parts of dates against Python's own calendar.
"""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlml.search.calendar import MICROS_PER_DAY, date_part
from sqlml.search.fitted import FeatureOp

START = datetime(2000, 1, 1, tzinfo=UTC)
MICRO = timedelta(microseconds=1)


@given(st.datetimes(timezones=st.just(UTC)))
def test_parts_are_those_of_python(moment):
    micros = np.array([(moment - START) // MICRO], dtype=np.int64)
    expected = {
        FeatureOp.EPOCH: micros[0] / 1e6,
        FeatureOp.YEAR: moment.year,
        FeatureOp.MONTH: moment.month,
        FeatureOp.DAY: moment.day,
        FeatureOp.WEEKDAY: moment.weekday(),
        FeatureOp.YEARDAY: moment.timetuple().tm_yday,
        FeatureOp.HOUR: moment.hour,
    }
    assert {op: date_part(micros, op)[0] for op in expected} == expected


@pytest.mark.parametrize(
    ("micros", "year", "month", "day"),
    [
        pytest.param(-1, 1999, 12, 31, id="a microsecond before the epoch"),
        # SELECT timestamp '0001-01-01 BC' - timestamp '2000-01-01' is -730485 days.
        pytest.param(-730_485 * MICROS_PER_DAY, 0, 1, 1, id="1 BC"),
        # The first and the last timestamp of PostgreSQL.
        pytest.param(-211_813_488_000_000_000, -4713, 11, 24, id="Julian day 0"),
        pytest.param(9_223_371_331_199_999_999, 294276, 12, 31, id="294276 AD"),
    ],
)
def test_parts_outside_of_python(micros, year, month, day):
    values = np.array([micros], dtype=np.int64)
    parts = [date_part(values, op)[0] for op in (FeatureOp.YEAR, FeatureOp.MONTH, FeatureOp.DAY)]
    assert parts == [year, month, day]
