"""
What the extractor hands to training and what the extension hands to the core are the same.

Every column type with hostile values goes the real way into Arrow and becomes features there;
models that answer one feature each must then give the same numbers for the table's rows, for
rows of an expression, and for the rows as JSON.
"""

import itertools
import random
import sys
from collections.abc import Iterator
from decimal import Decimal

import numpy as np
import psycopg
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from sqlml.compile.artifact import compile_model
from sqlml.enums import ColumnKind, EstimatorName, ProblemType
from sqlml.errors import SqlmlError
from sqlml.extract.dataset import Column, Dataset
from sqlml.extract.reader import read_dataset
from sqlml.extract.source import Source, parse_columns
from sqlml.predict.scorer import Scorer
from sqlml.search.candidates import DATE_OPS, SUMMARIES
from sqlml.search.encoder import encode_feature
from sqlml.search.fitted import CodeTerm, Feature, FeatureOp, FittedModel, LinearPart, NumericTerm
from tests.extension.conftest import Connection, publish
from tests.predict.models import make_model
from tests.stack import Stack

MISSING = 4321.1234567
LARGEST = sys.float_info.max

REALS = ("0.1", "-0", "NaN", "Infinity", "-Infinity", "1e-45", "1.17549435e-38", "3.4028235e38")
DOUBLES = (
    *("0.1", "-0", "NaN", "Infinity", "-Infinity", "5e-324", "-5e-324", "1e-35", "1.0000001e-35"),
    *("2.2250738585072014e-308", "1.7976931348623157e308", "9007199254740993", "16777217"),
)
NUMERICS = (
    *("0", "-0.00", "0.1", "-0.1", "12.50", "1e-20", "1e30", "NaN", "Infinity", "-Infinity"),
    *("9007199254740991", "9007199254740992", "9007199254740993", "-9007199254740993.0000"),
    *("9999999999999999", "123456789012345678901234567890.5", "1e-300", "4.9e-324", "1.5e308"),
    *("0." + "123456789" * 1820, "9" * 300 + "." + "7" * 16000),
)
TEXTS = (
    *("", " ", "a", "A", "ab", "ab ", " ab", "a\tb\n", "Köln", "Ko\u0308ln", "東京", "\U0001f600"),
    *('"', "\\", "{}", "null", "NaN", "\ufeff", "\u00a0", "x" * 100_000),
    *("".join(random.Random(0).choices("abcdefghijklmnopqrstuvwxyzäöü", k=20_000)), "ünseen"),
)
SHORT_TEXTS = ("", " ", "ab", "ab ", " ab ", "Köln", "東京", "\\N", "\U0001f600")
DAYS = (
    *("infinity", "-infinity", "4714-11-24 BC", "0001-12-31 BC", "0001-01-01", "1582-10-15"),
    *("1969-12-31", "1970-01-01", "1999-12-31", "2000-01-01", "2000-02-29", "2100-03-01"),
)
TIMES = (
    *(*DAYS, "1999-12-31 23:59:59.999999", "2000-01-01 00:00:00.000001", "1969-12-31 23:59:59.5"),
    *("294276-12-31 23:59:59.999999", "0044-03-15 12:00:00 BC", "2024-03-31 02:30:00"),
)
INTEGER_ARRAYS = (
    *("{}", "{7}", "{-32768,0,32767}", "{NULL}", "{1,NULL,3}", "{{1,2},{NULL,4}}"),
    *("[5:6]={8,9}", "{" + "7," * 9_999 + "NULL}"),
)
VALUES = {
    "smallint": ("-32768", "0", "7", "32767"),
    "integer": ("-2147483648", "-1", "0", "2147483647"),
    "bigint": ("-9223372036854775808", "9007199254740993", "9223372036854775807", "0"),
    "real": REALS,
    "double precision": DOUBLES,
    "numeric": NUMERICS,
    "numeric(12,2)": ("0.005", "-0.01", "9999999999.99", "NaN"),
    "a_share": ("0.1", "16777217", "NaN"),
    "an_amount": ("0.1", "1e-20", "Infinity"),
    "boolean": ("true", "false"),
    "a_flag": ("true", "false"),
    "text": TEXTS,
    "varchar": TEXTS,
    "varchar(4)": SHORT_TEXTS,
    "character(5)": SHORT_TEXTS,
    "bpchar": SHORT_TEXTS,
    "a_code": SHORT_TEXTS,
    "name": ("", "ab", "ab ", "Köln", "n" * 63),
    "a_mood": ("sad", "so la la", "", "ünseen"),
    "a_feeling": ("sad", "so la la"),
    "uuid": ("00000000-0000-0000-0000-000000000000", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"),
    "date": (*DAYS, "5874897-12-31"),
    "a_day": DAYS,
    "timestamp": TIMES,
    "timestamp(0)": TIMES[:-3],
    "timestamptz": (*TIMES, "1850-01-01 00:00:00.1", "2024-11-03 01:30:00-05"),
    "a_moment": TIMES,
    "smallint[]": INTEGER_ARRAYS,
    "integer[]": INTEGER_ARRAYS,
    "bigint[]": (*INTEGER_ARRAYS, "{9223372036854775807,9007199254740993}"),
    "real[]": (f"{{{','.join(REALS)}}}", f"{{NULL,{','.join(REALS[:2])}}}", "{}"),
    "double precision[]": (
        *(f"{{{','.join(DOUBLES)}}}", "{}", "{NaN,NULL}", "{1e308,1e308}", "{-0,0}", "{0,-0}"),
        *("{{0.1,NULL},{Infinity,-Infinity}}", "{" + "0.1," * 9_999 + "0.3}"),
        *("{" + f"{value}," * 3 + "1}" for value in DOUBLES),
    ),
    "numeric[]": (f"{{{','.join(NUMERICS)}}}", *(f"{{NULL,{value}}}" for value in NUMERICS)),
    "numeric(12,2)[]": ("{0.005,-0.01}", "{9999999999.99,NaN}"),
    "a_share[]": (f"{{{','.join(REALS)}}}", "{0.1,16777217,NULL}"),
    "some_shares": ("{0.1,NULL}", "{}"),
}
"""Every type that a model can use, with what its column holds besides NULL."""
UNREADABLE = ("5874897-12-31",)
"""Training itself refuses them: no timestamp holds them."""

TYPES = """
CREATE DOMAIN a_share AS real;
CREATE DOMAIN some_shares AS a_share[] CHECK (cardinality(value) < 3);
CREATE DOMAIN an_amount AS numeric CHECK (value > 0);
CREATE DOMAIN a_flag AS boolean;
CREATE DOMAIN a_code AS character(6);
CREATE TYPE a_mood AS ENUM ('', 'sad', 'so la la', 'ünseen');
CREATE DOMAIN a_feeling AS a_mood;
CREATE DOMAIN a_day AS date;
CREATE DOMAIN an_instant AS timestamptz;
CREATE DOMAIN a_moment AS an_instant;
"""


def answer_one(feature: Feature, columns: tuple[Column, ...]) -> FittedModel:
    """A regression that answers one feature as it is."""
    term: NumericTerm | CodeTerm
    if feature.op is FeatureOp.CODE:
        term = CodeTerm(
            feature=0, weights=np.arange(len(feature.levels) + 2, dtype=float).reshape(-1, 1)
        )
    else:
        term = NumericTerm(
            feature=0,
            low=-LARGEST,
            high=LARGEST,
            mean=0.0,
            inverse_scale=1.0,
            weights=np.ones(1),
            missing_weights=np.full(1, MISSING),
        )
    part = LinearPart(estimator=EstimatorName.LINEAR, intercepts=np.zeros(1), terms=(term,))
    return make_model(ProblemType.REGRESSION, (feature,), part, columns)


def expect(feature: Feature, values: pa.ChunkedArray) -> NDArray[np.float64]:
    """What training sees, as such a model answers it."""
    encoded = encode_feature(feature, values)
    # The sum that a score is has no negative zero.
    return np.clip(np.where(np.isnan(encoded), MISSING, encoded), -LARGEST, LARGEST) + 0.0


def make_features(column: Column, values: pa.ChunkedArray) -> Iterator[Feature]:
    """Every feature that a column could give; one text stays unseen."""
    match column.kind:
        case ColumnKind.CATEGORY:
            levels = [text for text in dict.fromkeys(values.to_pylist()) if text is not None]
            known = tuple(text for text in levels if not text.startswith("ünseen"))
            yield Feature(column=column.name, op=FeatureOp.CODE, levels=known)
        case ColumnKind.DATETIME:
            yield from (Feature(column=column.name, op=op) for op in DATE_OPS)
        case ColumnKind.ARRAY:
            for place in (0, 1, 2, 9_999):
                yield Feature(column=column.name, op=FeatureOp.ELEMENT, place=place)
            yield from (Feature(column=column.name, op=op) for op in SUMMARIES)
        case _:
            yield Feature(column=column.name, op=FeatureOp.VALUE)
            yield Feature(column=column.name, op=FeatureOp.VALUE, fill=-7.5)


def extract(connection: Connection, dsn: str, table: str, job_id: int) -> Dataset:
    """Read a table as training does, y being the target."""
    query = f"SELECT * FROM {table}"
    facts = connection.execute("SELECT sqlml.describe_query(%s)", [query]).fetchone()[0]
    connection.execute(
        "SELECT sqlml.make_training_function(%s, %s, sqlml.describe_query(%s))",
        [job_id, query, query],
    )
    try:
        columns, target, skipped, _ = parse_columns(facts, "y")
        assert skipped == ()
        source = Source(
            function=f"sqlml_training.job_{job_id}()",
            columns=columns,
            target=target,
            skipped=skipped,
        )
        return read_dataset(dsn, source)
    finally:
        connection.execute(f"DROP FUNCTION sqlml_training.job_{job_id}()".encode())


def fill_table(connection: Connection) -> None:
    """One column a type, short columns repeated, and NULL in each of them."""
    connection.execute(TYPES.encode())
    columns = ", ".join(f'"c {number}" {name}' for number, name in enumerate(VALUES))
    connection.execute(f"CREATE TABLE t (y integer, {columns})".encode())
    lists = [
        (None, *(value for value in values if value not in UNREADABLE))
        for values in VALUES.values()
    ]
    count = max(map(len, lists))
    places = ", ".join(["%s"] * (len(lists) + 1))
    rows = [
        [number, *column]
        for number, column in enumerate(
            itertools.islice(zip(*map(itertools.cycle, lists), strict=True), count)
        )
    ]
    connection.cursor().executemany(f"INSERT INTO t VALUES ({places})".encode(), rows)


def predict(connection: Connection, features: str, rows: str) -> bytes:
    """The answers of model m to rows in the order of y, all bytes of them."""
    query = f"SELECT float8send(sqlml.predict('m', {features}, NULL::float8)) FROM {rows}"
    found = b"".join(row[0] for row in connection.execute(query.encode()))
    return np.frombuffer(found, ">f8").astype(float).tobytes()


@pytest.mark.parametrize("time_zone", ["UTC", "America/New_York"])
def test_training_and_prediction_see_the_same(connection, dsn, time_zone):
    fill_table(connection)
    connection.execute(f"SET TimeZone = '{time_zone}'".encode())
    dataset = extract(connection, dsn, "t", 2_000_000_000)
    assert len(dataset.columns) == len(VALUES)
    assert dataset.table.column("y").to_pylist() == list(range(dataset.row_count))
    table = "(SELECT * FROM t ORDER BY y) AS t"
    for column in dataset.columns:
        values = dataset.table.column(column.name)
        one = f'(SELECT "{column.name}" FROM t ORDER BY y OFFSET 0) AS s'
        for feature in make_features(column, values):
            data = compile_model(answer_one(feature, (column,))).data
            expected = expect(feature, values).tobytes()
            assert Scorer(data, "m").raw_scores(dataset.table).tobytes() == expected
            publish(connection, "m", data)
            for features, rows in (("t", table), ("s", one), ("to_jsonb(s)", one)):
                found = predict(connection, features, rows)
                assert found == expected, (column.type_name, feature.op, features)


@pytest.mark.parametrize(
    ("type_name", "value", "sqlstate"),
    [
        ("numeric", "1e400", "22003"),
        ("numeric", "-1e309", "22003"),
        ("numeric", "1e-400", "22003"),
        ("numeric[]", "{1,1e400}", "22003"),
        ("date", "5874897-12-31", "22008"),
        ("date", "294277-01-01", "22008"),
    ],
)
def test_what_training_refuses_prediction_refuses(connection, dsn, type_name, value, sqlstate):
    connection.execute(f"CREATE TABLE t AS SELECT 1 AS y, '{value}'::{type_name} AS x".encode())
    with pytest.raises(SqlmlError) as refused:
        extract(connection, dsn, "t", 2_000_000_001)
    assert refused.value.sqlstate == sqlstate
    kind, op = {
        "numeric": (ColumnKind.NUMERIC, FeatureOp.VALUE),
        "numeric[]": (ColumnKind.ARRAY, FeatureOp.LENGTH),
        "date": (ColumnKind.DATETIME, FeatureOp.EPOCH),
    }[type_name]
    model = answer_one(Feature(column="x", op=op), (Column("x", type_name, kind),))
    publish(connection, "m", model)
    for features in ("t", "to_jsonb(t)"):
        with pytest.raises(psycopg.Error) as caught:
            connection.execute(f"SELECT sqlml.predict('m', {features}) FROM t".encode())
        assert caught.value.sqlstate == sqlstate


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("1.5::real", "has type real"),
        ("ARRAY['1']", "has type text[]"),
        ("ARRAY[true]", "has type boolean[]"),
        ("ARRAY[now()]", "has type timestamp with time zone[]"),
        ("'[1]'::jsonb", "has type jsonb"),
        ("'{1}'::text", "has type text"),
    ],
)
def test_what_is_no_array_of_numbers_is_refused(connection, value, problem):
    model = answer_one(
        Feature(column="v", op=FeatureOp.LENGTH), (Column("v", "real[]", ColumnKind.ARRAY),)
    )
    publish(connection, "m", model)
    for row in (f"(SELECT {value} AS v)", f"(SELECT {value} AS v OFFSET 0)"):
        for features in ("s", "(SELECT r FROM (SELECT s.v OFFSET 0) AS r)"):
            with pytest.raises(psycopg.errors.DatatypeMismatch) as caught:
                connection.execute(f"SELECT sqlml.predict('m', {features}) FROM {row} AS s")
            assert caught.value.diag.message_primary == (
                f'column "v" of the row {problem}, but model "m" expects real[]'
            )


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("1.5", "is a number"),
        ('"{1}"', "is a string"),
        ("{}", "is an object"),
        ('[1, "two"]', "has an element that is a string"),
        ("[true]", "has an element that is a boolean"),
        ('[1, {"a": 1}]', "has an element that is an object"),
        ("[[1], [[false]]]", "has an element that is a boolean"),
    ],
)
def test_json_that_is_no_array_of_numbers_is_refused(connection, evaluator, value, problem):
    column = Column("v", "integer[]", ColumnKind.ARRAY)
    publish(connection, "m", answer_one(Feature(column="v", op=FeatureOp.LENGTH), (column,)))
    with pytest.raises(psycopg.errors.DatatypeMismatch) as caught:
        connection.execute(
            f"SELECT {evaluator}.predict('m', %s::jsonb)", [f'{{"v": {value}}}']
        ).fetchone()
    assert caught.value.diag.message_primary == (
        f'column "v" of the row {problem}, but model "m" expects integer[]'
    )


def draw_numeric(rng: random.Random) -> str:
    """A numeric of any shape, most of them near the borders of the fast conversion."""
    sign = rng.choice(("", "-"))
    match rng.randrange(6):
        case 0:
            return sign + f"{rng.randrange(10 ** rng.randint(1, 12))}.{rng.randrange(100):02}"
        case 1:
            digits = rng.randrange(10 ** rng.randint(1, 22))
            return f"{sign}{digits}e{rng.randint(-40, 30)}"
        case 2:
            digits = 2**53 * rng.choice((1, 10, 100, 1000)) + rng.randint(-3, 3)
            return f"{sign}{digits}e{rng.randint(-26, 26)}"
        case 3:
            digits = rng.randrange(10 ** rng.randint(1, 40))
            return f"{sign}{digits}.{rng.randrange(10 ** rng.randint(1, 80))}"
        case 4:
            # Halfway between two doubles, and beside it.
            half = Decimal(rng.getrandbits(53) | 1 << 52) + Decimal("0.5")
            return f"{sign}{half * 2 ** rng.randint(0, 12)}{rng.choice(('', '00001'))}"
        case _:
            return f"{sign}{rng.randrange(1, 10**6)}e{rng.randint(-320, 300)}"


def test_numeric_arrives_as_postgresql_casts_it(matrix_stack: Stack):
    rng = random.Random(0)
    column = Column("x", "numeric", ColumnKind.NUMERIC)
    model = answer_one(Feature(column="x", op=FeatureOp.VALUE), (column,))
    with psycopg.connect(matrix_stack.dsn) as connection:
        connection.execute("CREATE SCHEMA numbers")
        connection.execute("SET search_path = numbers, public")
        connection.execute("CREATE TABLE t (x numeric)")
        with connection.cursor().copy("COPY t FROM STDIN") as copy:
            for value in (*NUMERICS, "0.0000000000", "1" * 308, f"0.{'0' * 300}1"):
                copy.write_row([value])
            for _ in range(200_000):
                copy.write_row([draw_numeric(rng)])
        publish(connection, "m", model)
        # Packed in the table, with a full header when computed, and out of JSON.
        for features in ("t", "s", "to_jsonb(t)"):
            query = f"""
                SELECT count(*),
                       count(*) FILTER (WHERE float8send(found) <> float8send(expected)),
                       min(x::text) FILTER (WHERE float8send(found) <> float8send(expected))
                  FROM (SELECT t.x, sqlml.predict('m', {features}, NULL::float8) AS found,
                               CASE t.x WHEN 'NaN' THEN {MISSING} ELSE greatest(
                                   least(t.x::float8, {LARGEST!r}), {-LARGEST!r}) END AS expected
                          FROM t, LATERAL (SELECT +t.x AS x OFFSET 0) AS s) AS compared"""
            count, differing, example = connection.execute(query.encode()).fetchone()
            assert (count, differing, example) == (200_000 + len(NUMERICS) + 3, 0, None)
        connection.rollback()
