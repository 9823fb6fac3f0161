"""
The parts of dates are those of Python's datetime, and right far beyond its years.
"""

from datetime import UTC, datetime, timedelta

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sqlml.compile.artifact import compile_model
from sqlml.enums import ColumnKind, EstimatorName, ProblemType
from sqlml.extract.dataset import Column
from sqlml.predict.reference import ReferencePredictor
from sqlml.predict.scorer import Scorer
from sqlml.search.fitted import Feature, FeatureOp, FittedModel, LinearPart, NumericTerm
from tests.predict.models import EPOCH_2000, INT64, TIMESTAMPS, make_table

COLUMN = Column("at", "timestamp with time zone", ColumnKind.DATETIME)
PARTS = (
    FeatureOp.EPOCH,
    FeatureOp.YEAR,
    FeatureOp.MONTH,
    FeatureOp.DAY,
    FeatureOp.WEEKDAY,
    FeatureOp.YEARDAY,
    FeatureOp.HOUR,
)


def make_parts_model() -> bytes:
    """A model whose raw scores are the parts themselves."""
    identity = np.eye(len(PARTS))
    terms = tuple(
        NumericTerm(
            feature=index,
            low=-1e300,
            high=1e300,
            mean=0.0,
            inverse_scale=1.0,
            weights=identity[index],
            missing_weights=np.zeros(len(PARTS)),
        )
        for index in range(len(PARTS))
    )
    model = FittedModel(
        problem_type=ProblemType.MULTICLASS,
        target=COLUMN,
        classes=tuple(PARTS),
        columns=(COLUMN,),
        features=tuple(Feature(column="at", op=op) for op in PARTS),
        parts=(
            LinearPart(
                estimator=EstimatorName.LINEAR, intercepts=np.zeros(len(PARTS)), terms=terms
            ),
        ),
    )
    return compile_model(model).data


DATA = make_parts_model()
SCORER = Scorer(DATA, "parts")
REFERENCE = ReferencePredictor(DATA)


def parts_of(micros: int) -> list[float]:
    scores: list[float] = SCORER.raw_scores(make_table([{"at": micros}], (COLUMN,)))[0].tolist()
    assert scores == REFERENCE.raw_scores({"at": micros})
    return scores


@given(st.datetimes(timezones=st.just(UTC)))
@example(datetime(2000, 2, 29, 23, 59, 59, 999_999, UTC))
@example(datetime(1900, 3, 1, tzinfo=UTC))
@example(datetime(1, 1, 1, tzinfo=UTC))
@settings(max_examples=400)
def test_parts_are_those_of_python(moment):
    micros = (moment - EPOCH_2000) // timedelta(microseconds=1)
    assert parts_of(micros) == [
        float(micros) / 1e6,
        moment.year,
        moment.month,
        moment.day,
        moment.weekday(),
        moment.timetuple().tm_yday,
        moment.hour,
    ]


@given(st.integers(*INT64))
@example(INT64[0])
@example(INT64[1])
@settings(max_examples=400)
def test_parts_of_every_int64_agree_with_the_reference(micros):
    parts_of(micros)


def test_parts_at_the_ends_of_postgresqls_range():
    first, last = (parts_of(micros) for micros in TIMESTAMPS)
    # 24 November 4714 BC, a Monday, and 31 December 294276, a Tuesday by 400-year cycles.
    assert first[1:] == [-4713, 11, 24, 0, 328, 0]
    assert last[1:4] + last[5:] == [294276, 12, 31, 366, 23]


def test_every_day_of_400_years():
    day = 86_400_000_000
    table = make_table([{"at": number * day} for number in range(-73_000, 73_100)], (COLUMN,))
    scores = SCORER.raw_scores(table)
    moments = [
        (datetime(2000, 1, 1, tzinfo=UTC) + timedelta(days=number)).timetuple()
        for number in range(-73_000, 73_100)
    ]
    expected = np.array(
        [(m.tm_year, m.tm_mon, m.tm_mday, m.tm_wday, m.tm_yday, 0) for m in moments]
    )
    assert (scores[:, 1:] == expected).all()
