"""
A JSON object is scored as the row that it was made of, and bad ones are refused clearly.
"""

import json
import math
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sqlml import _scoring
from sqlml.compile.artifact import compile_model
from sqlml.enums import ColumnKind, EstimatorName, ProblemType
from sqlml.extract.dataset import Column
from sqlml.predict.reference import ReferencePredictor
from sqlml.search.fitted import (
    CodeTerm,
    Feature,
    FeatureOp,
    FittedModel,
    LinearPart,
    NumericTerm,
)
from tests.predict.models import EPOCH_2000, draw_linear, fit_trees, hostile_rows, make_classes

REGRESSION = compile_model(fit_trees(ProblemType.REGRESSION)).data
BINARY = compile_model(fit_trees(ProblemType.BINARY)).data
MULTICLASS = compile_model(draw_linear(ProblemType.MULTICLASS)).data


def make_single(kind: ColumnKind, type_name: str, levels: tuple[str, ...] = ()) -> FittedModel:
    """A regression that gives its only feature back, or 10 times its code."""
    op = {ColumnKind.DATETIME: FeatureOp.EPOCH, ColumnKind.CATEGORY: FeatureOp.CODE}.get(
        kind, FeatureOp.VALUE
    )
    term = (
        CodeTerm(feature=0, weights=np.arange(0.0, 10.0 * len(levels) + 20, 10).reshape(-1, 1))
        if op is FeatureOp.CODE
        else NumericTerm(
            feature=0,
            low=-1e308,
            high=1e308,
            mean=0.0,
            inverse_scale=1.0,
            weights=np.ones(1),
            missing_weights=-np.ones(1),
        )
    )
    return FittedModel(
        problem_type=ProblemType.REGRESSION,
        target=Column("y", "double precision", ColumnKind.NUMERIC),
        classes=(),
        columns=(Column("x", type_name, kind),),
        features=(Feature(column="x", op=op, levels=levels),),
        parts=(LinearPart(estimator=EstimatorName.LINEAR, intercepts=np.zeros(1), terms=(term,)),),
    )


EPOCH_DATA = compile_model(make_single(ColumnKind.DATETIME, "timestamp with time zone")).data


def as_json(row: dict[str, object]) -> str | None:
    """Write a row as PostgreSQL's to_jsonb does; None where Python's dates do not reach."""
    written = dict(row)
    for name, value in row.items():
        if isinstance(value, float) and not math.isfinite(value):
            written[name] = {"inf": "Infinity", "-inf": "-Infinity"}.get(str(value), "NaN")
    if row["seen at"] is not None:
        try:
            moment = datetime.fromtimestamp(0, UTC).replace(year=2000) + (
                datetime.resolution * int(str(row["seen at"]))
            )
        except OverflowError:
            return None
        written["seen at"] = moment.replace(tzinfo=None).isoformat()
    return json.dumps(written)


@pytest.mark.parametrize("data", [REGRESSION, BINARY, MULTICLASS])
@given(row=hostile_rows())
@settings(max_examples=60, deadline=None)
def test_json_is_scored_as_its_row(data, row):
    text = as_json(row)
    if text is None:
        return
    model, reference = _scoring.open(data, "m"), ReferencePredictor(data)
    assert model.predict_json(text, True) == reference.predict(row)
    if data is not REGRESSION:
        for label, probability in zip(reference.classes, reference.probabilities(row), strict=True):
            assert model.probability_json(text, True, label) == probability


@pytest.mark.parametrize("problem_type", [ProblemType.BINARY, ProblemType.MULTICLASS])
@given(row=hostile_rows())
@settings(max_examples=30, deadline=None)
def test_probabilities_are_a_distribution_and_the_largest_is_predicted(problem_type, row):
    reference = ReferencePredictor(BINARY if problem_type is ProblemType.BINARY else MULTICLASS)
    probabilities = reference.probabilities(row)
    assert sum(probabilities) == pytest.approx(1)
    best = make_classes(problem_type).index(str(reference.predict(row)))
    assert probabilities[best] == max(probabilities)


def test_an_absent_key_is_null_for_an_object_and_an_error_for_a_row():
    model = _scoring.open(BINARY, "churn")
    assert model.predict_json("{}", False) == model.predict_json(
        '{"amount": null, "größe": null, "is_new": null, "city": null, "seen at": null}', True
    )
    with pytest.raises(_scoring.ScoringError) as caught:
        model.predict_json('{"amount": 1}', True)
    sqlstate, message, detail, hint = caught.value.args
    assert (sqlstate, message, detail) == ("42703", 'the row has no column "größe"', None)
    assert hint is not None
    assert hint.startswith('Model "churn" was trained with that column')


@pytest.mark.parametrize(
    ("text", "sqlstate", "message"),
    [
        (
            '{"amount": "1"}',
            "42804",
            'column "amount" of the row is a string, but model "m" expects double precision',
        ),
        ('{"amount": true}', "42804", "is a boolean"),
        ('{"größe": [1]}', "42804", 'is an array, but model "m" expects integer'),
        ('{"is_new": 1}', "42804", "is a number"),
        ('{"city": 1}', "42804", "expects text"),
        ('{"city": {}}', "42804", "is an object"),
        ('{"seen at": 5}', "42804", "expects timestamp"),
        ('{"seen at": "soon"}', "22007", 'invalid date or time in column "seen at": "soon"'),
        ('{"seen at": "2023-02-29"}', "22007", "invalid"),
        ('{"seen at": "5874897-12-31"}', "22008", "out of range"),
        ('{"amount": 1e400}', "22003", '"1e400" is out of range for type double precision'),
        ('{"amount": -1e-400}', "22003", "out of range"),
        ("[]", "42804", "features must be a row or a JSON object, not an array"),
        ("null", "42804", "not null"),
        ("1", "42804", "not a number"),
        ("{", "22P02", "cannot be read as JSON"),
        ("[" * 100_000, "22P02", "cannot be read as JSON"),
    ],
)
def test_bad_json_is_refused_with_an_sqlstate(text, sqlstate, message):
    with pytest.raises(_scoring.ScoringError) as caught:
        _scoring.open(REGRESSION, "m").predict_json(text, False)
    assert caught.value.args[0] == sqlstate
    assert message in caught.value.args[1]


def test_probability_of_a_regression_and_of_an_unknown_class():
    with pytest.raises(_scoring.ScoringError) as caught:
        _scoring.open(REGRESSION, "m").probability_json("{}", False, "a")
    assert caught.value.args[0] == "42809"
    with pytest.raises(_scoring.ScoringError) as caught:
        _scoring.open(MULTICLASS, "m").probability_json("{}", False, "x")
    assert caught.value.args == (
        "22023",
        'model "m" has no class "x"',
        "The classes are: a, ä, b b.",
        None,
    )


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("2024-05-01", "2024-05-01T00:00:00"),
        ("2024-05-01 12:00", "2024-05-01T12:00:00.000Z"),
        ("2024-05-01T12:00:00+02:00", "2024-05-01T10:00:00"),
        ("2024-05-01T12:00:00-0530", "2024-05-01T17:30:00"),
        ("1883-01-01T00:00:00-04:56:02", "1883-01-01T04:56:02"),
        ("2024-05-01T24:00:00", "2024-05-02"),
        ("0044-03-15T00:00:00+00:00 BC", "0044-03-15 BC"),
    ],
)
def test_ways_to_write_a_moment(text, same):
    model = _scoring.open(EPOCH_DATA, "m")
    first, second = (model.predict_json(json.dumps({"x": at}), False) for at in (text, same))
    assert first == second
    assert model.predict_json('{"x": "infinity"}', False) != first


@given(st.datetimes(), st.integers(-1439, 1439))
@example(datetime(2000, 1, 1), 0)
@settings(max_examples=150, deadline=None)
def test_moments_are_read_as_python_reads_them(moment, offset):
    sign = "-" if offset < 0 else "+"
    text = f"{moment.isoformat()}{sign}{abs(offset) // 60:02}:{abs(offset) % 60:02}"
    micros = (moment.replace(tzinfo=UTC) - EPOCH_2000) // datetime.resolution - offset * 60_000_000
    read = _scoring.open(EPOCH_DATA, "m").predict_json(json.dumps({"x": text}), False)
    assert read == float(micros) / 1e6


def test_a_number_for_a_real_column_is_rounded_to_real():
    real = _scoring.open(compile_model(make_single(ColumnKind.NUMERIC, "real")).data, "m")
    double = _scoring.open(compile_model(make_single(ColumnKind.NUMERIC, "numeric")).data, "m")
    assert real.predict_json('{"x": 0.1}', False) == 0.10000000149011612
    assert double.predict_json('{"x": 0.1}', False) == 0.1
    assert double.predict_json('{"x": 9007199254740993}', False) == float(2**53)
    assert double.predict_json('{"x": ' + "9" * 300 + "}", False) == 1e300


def test_trailing_blanks_of_a_character_column_mean_nothing():
    padded = compile_model(make_single(ColumnKind.CATEGORY, "character(5)", ("ab", ""))).data
    text = compile_model(make_single(ColumnKind.CATEGORY, "character varying(5)", ("ab", ""))).data
    assert _scoring.open(padded, "m").predict_json('{"x": "ab   "}', False) == 20
    assert _scoring.open(padded, "m").predict_json('{"x": "     "}', False) == 30
    assert _scoring.open(text, "m").predict_json('{"x": "ab   "}', False) == 10
    assert _scoring.open(text, "m").predict_json('{"x": null}', False) == 0


VECTOR = Column("v", "double precision[]", ColumnKind.ARRAY)


def make_vector(problem_type: ProblemType, type_name: str = VECTOR.type_name) -> FittedModel:
    """A model of elements and summaries of an array."""
    ops = (FeatureOp.LENGTH, FeatureOp.MEAN, FeatureOp.MINIMUM, FeatureOp.MAXIMUM)
    features = (
        *(Feature(column="v", op=FeatureOp.ELEMENT, place=place, fill=0.5) for place in range(3)),
        *(Feature(column="v", op=op, fill=-1.0) for op in ops),
    )
    return draw_linear(
        problem_type, features=features, columns=(Column("v", type_name, ColumnKind.ARRAY),)
    )


@pytest.mark.parametrize(
    ("text", "elements"),
    [
        ("null", None),
        ("[]", []),
        ("[1, null, 2.5]", [1.0, None, 2.5]),
        ('["NaN", "Infinity", "-Infinity", 1e300]', [math.nan, math.inf, -math.inf, 1e300]),
        ("[[1, 2], [3, null]]", [1.0, 2.0, 3.0, None]),
        ("[[[5]]]", [5.0]),
        (f"[{'0.1, ' * 9_999} 7]", [0.1] * 9_999 + [7.0]),
    ],
)
def test_arrays_are_scored_as_their_elements(text, elements):
    data = compile_model(make_vector(ProblemType.MULTICLASS)).data
    model, reference = _scoring.open(data, "m"), ReferencePredictor(data)
    row = f'{{"v": {text}}}'
    assert model.predict_json(row, True) == reference.predict({"v": elements})
    for label, probability in zip(
        reference.classes, reference.probabilities({"v": elements}), strict=True
    ):
        assert model.probability_json(row, True, label) == probability


def test_elements_of_reals_are_rounded_to_reals():
    rounded = float(np.float32(0.1))
    for type_name, element in (("real[]", rounded), ("numeric(9,3)[]", 0.1)):
        data = compile_model(make_vector(ProblemType.REGRESSION, type_name)).data
        found = _scoring.open(data, "m").predict_json('{"v": [[0.1], null]}', True)
        assert found == ReferencePredictor(data).predict({"v": [element, None]})


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("1", "is a number"),
        ('"{1}"', "is a string"),
        ("{}", "is an object"),
        ('[1, "1"]', "has an element that is a string"),
        ("[[true]]", "has an element that is a boolean"),
        ("[1, {}]", "has an element that is an object"),
    ],
)
def test_json_that_is_no_array_of_numbers_is_refused(text, problem):
    model = _scoring.open(compile_model(make_vector(ProblemType.BINARY)).data, "m")
    with pytest.raises(_scoring.ScoringError) as caught:
        model.predict_json(f'{{"v": {text}}}', False)
    assert caught.value.args[:2] == (
        "42804",
        f'column "v" of the row {problem}, but model "m" expects double precision[]',
    )
