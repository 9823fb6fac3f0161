"""
What arrives from PostgreSQL: every type under its kind, and rows without a target left out.
"""

import math
from datetime import UTC, datetime

import numpy as np
import psycopg
import pytest

from sqlml.enums import ColumnKind
from sqlml.errors import SqlmlError, TargetAllNull
from sqlml.extract.reader import read_dataset
from sqlml.extract.source import Source, parse_columns
from tests.api.conftest import connection, database, worker_dsn_of  # noqa: F401

TYPES = """
CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE DOMAIN share AS numeric(5, 2) CHECK (value >= 0);
CREATE TABLE types AS
SELECT 7::smallint AS small, 2147483647 AS whole, 9007199254740993 AS big, 0.1::real AS single,
       0.1::float8 AS double, 12.50::numeric AS exact, 0.25::share AS domain, true AS flag,
       'text'::text AS words, 'vary'::varchar(9) AS varied, 'pad'::char(6) AS padded,
       'happy'::mood AS mood, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid AS id,
       date '2000-01-02' AS day, timestamp '1999-12-31 23:59:59.999999' AS moment,
       timestamptz '2000-01-01 01:00+01' AS instant, 'infinity'::date AS never,
       '-infinity'::timestamptz AS ever, ''::text AS empty, NULL::integer AS nothing,
       'NaN'::float8 AS nan, 'infinity'::float8 AS huge,
       '{}'::jsonb AS json, ARRAY[1] AS list, '1 2'::int2vector AS vector,
       ARRAY['a'] AS words_too, interval '1 day' AS span,
       1.0::float8 AS y
"""


@pytest.fixture
def read(connection, database, worker_dsn_of):  # noqa: F811
    """Read a query's rows as the worker does."""

    def read(query, target="y", **more):
        connection.execute(
            "CALL sqlml.create_model('reading', %s, query => %s, options => %s)",
            [target, query, '{"wait": false}'],
        )
        job_id, columns = connection.execute(
            "SELECT job_id, columns FROM sqlml.job ORDER BY job_id DESC LIMIT 1"
        ).fetchone()
        features, found, skipped, roles = parse_columns(columns, target)
        source = Source(
            function=f"sqlml_training.job_{job_id}()",
            columns=features,
            target=found,
            skipped=skipped,
            roles=roles,
            **more,
        )
        try:
            return read_dataset(worker_dsn_of(database), source)
        finally:
            connection.execute("CALL sqlml.drop_model('reading')")

    return read


def test_every_type_arrives_under_its_kind(connection, read):  # noqa: F811
    connection.execute(TYPES)
    dataset = read("SELECT * FROM types")
    row = dataset.table.to_pylist()[0]
    assert math.isnan(row.pop("nan"))
    before_2000 = -1
    assert row == {
        "small": 7.0, "whole": 2147483647.0, "big": float(9007199254740993),
        "single": 0.10000000149011612, "double": 0.1, "exact": 12.5, "domain": 0.25,
        "flag": True, "words": "text", "varied": "vary", "padded": "pad", "mood": "happy",
        "id": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "day": 86_400_000_000,
        "moment": before_2000, "instant": 0, "never": None, "ever": None, "empty": "",
        "nothing": None, "huge": math.inf, "list": [1.0], "y": 1.0,
    }  # fmt: skip
    assert {(column.name, column.reason) for column in dataset.skipped} == {
        ("json", "type not supported"),
        ("vector", "type not supported"),
        ("words_too", "type not supported"),
        ("span", "type not supported"),
    }
    assert dataset.columns[0].type_name == "smallint"


ARRAYS = """
CREATE DOMAIN part AS real;
CREATE DOMAIN parts AS part[] CHECK (cardinality(value) < 9);
CREATE TABLE arrays AS
SELECT '{7,NULL,-32768}'::smallint[] AS small, '{2147483647}'::integer[] AS whole,
       '{9007199254740993,NULL}'::bigint[] AS big, '{0.1,1e30,NULL}'::real[] AS single,
       '{0.1,1e300,5e-324,Infinity,-Infinity}'::float8[] AS double,
       ARRAY[12.50, 1e-300, repeat('9', 300)::numeric, NULL] AS exact,
       '{}'::real[] AS empty, NULL::integer[] AS nothing, '{NULL,NULL}'::float8[] AS nulls,
       '{{1,2},{3,NULL},{5,6}}'::integer[] AS matrix, '[-3:-2]={1,2}'::float8[] AS shifted,
       '[0:1][5:6]={{1,2},{3,4}}'::numeric(4,1)[] AS shifted_matrix,
       '{0.1}'::part[] AS domains, '{0.1,NULL}'::parts AS domain, 1.0::float8 AS y
"""


def test_arrays_of_numbers_arrive_flat(connection, read):  # noqa: F811
    connection.execute(ARRAYS)
    dataset = read("SELECT * FROM arrays UNION ALL SELECT * FROM arrays")
    single = 0.10000000149011612
    expected = {
        "small": [7.0, None, -32768.0], "whole": [2147483647.0],
        "big": [float(9007199254740993), None], "single": [single, float(np.float32(1e30)), None],
        "double": [0.1, 1e300, 5e-324, math.inf, -math.inf],
        "exact": [12.5, 1e-300, 1e300, None], "empty": [], "nothing": None, "nulls": [None, None],
        "matrix": [1.0, 2.0, 3.0, None, 5.0, 6.0], "shifted": [1.0, 2.0],
        "shifted_matrix": [1.0, 2.0, 3.0, 4.0], "domains": [single], "domain": [single, None],
        "y": 1.0,
    }  # fmt: skip
    assert dataset.table.to_pylist() == [expected, expected]
    assert {column.kind for column in dataset.columns} == {ColumnKind.ARRAY}
    types = {column.name: column.type_name for column in dataset.columns}
    assert types["domains"] == types["domain"] == types["single"] == "real[]"
    assert types["shifted_matrix"] == "numeric(4,1)[]"


def test_a_sample_of_arrays(read):
    query = "SELECT array_fill(g::real, ARRAY[g % 5]) AS x, g AS y FROM generate_series(1, 9000) g"
    table = read(query, max_rows=100).table
    assert table.num_rows == 100
    for row in table.to_pylist():
        assert row["x"] == [row["y"]] * (int(row["y"]) % 5)


@pytest.mark.parametrize("array", ["ARRAY[g]", "ARRAY[g::numeric]"])
def test_an_array_is_no_target(read, array):
    with pytest.raises(psycopg.Error, match="which cannot be predicted") as caught:
        read(f"SELECT g AS x, {array} AS y FROM generate_series(1, 50) AS g")
    assert caught.value.sqlstate == "ML005"


def test_rows_without_a_target_are_left_out_and_counted(read):
    dataset = read(
        "SELECT g AS x, CASE g % 4 WHEN 0 THEN NULL WHEN 1 THEN 'NaN' WHEN 2 THEN 'infinity'"
        " ELSE g::text END::float8 AS y FROM generate_series(1, 400) AS g"
    )
    assert dataset.row_count == 100
    assert dataset.null_target_count == 300
    assert dataset.table.column("x").to_pylist() == list(range(3, 400, 4))


def test_target_null_everywhere(read):
    with pytest.raises(TargetAllNull, match="NULL, NaN or infinite in all 5 rows"):
        read("SELECT g AS x, NULL::float8 AS y FROM generate_series(1, 5) AS g")


def test_a_sample_is_of_the_wanted_size_and_repeatable(read):
    query = "SELECT g AS x, nullif(g % 2, 0) AS y FROM generate_series(1, 200000) AS g"
    first, second, other = (
        read(query, max_rows=500, seed=seed).table.column("x").to_pylist() for seed in (1, 1, 2)
    )
    assert len(first) == 500
    assert first == second == sorted(first)
    assert first != other
    assert 80_000 < sum(first) / 500 < 120_000
    assert read(query, max_rows=500, seed=1).sampled_from == 100_000


def test_an_error_of_the_query_keeps_its_sqlstate(read):
    with pytest.raises(SqlmlError, match="division by zero") as caught:
        read("SELECT 1 / (g - 3) AS x, g AS y FROM generate_series(1, 5) AS g")
    assert caught.value.sqlstate == "22012"


def test_timestamps_do_not_depend_on_the_session(connection, read):  # noqa: F811
    moment = datetime(2024, 3, 31, 1, 30, tzinfo=UTC)
    micros = int((moment - datetime(2000, 1, 1, tzinfo=UTC)).total_seconds()) * 1_000_000
    connection.execute("SET TimeZone = 'Europe/Berlin'")
    table = read(
        "SELECT timestamptz '2024-03-31 01:30Z' AS t, timestamp '2024-03-31 01:30' AS u, 1.0 AS y"
    ).table
    assert table.column("t").to_pylist() == [micros]
    assert table.column("u").to_pylist() == [micros]


def test_a_query_means_what_it_meant_to_who_wrote_it(connection, read):  # noqa: F811
    connection.execute("SET TimeZone = 'Asia/Tokyo'")
    connection.execute("SET DateStyle = 'German'")
    connection.execute("SET standard_conforming_strings = off")
    table = read(
        "SELECT extract(hour FROM timestamptz '2024-01-01 00:00Z')::int AS hour,"
        " extract(month FROM date '02.01.2024')::int AS month,"
        " length('a\\\\b') AS size, (timestamptz '2024-01-01 00:00Z')::text AS words, 1.0 AS y"
    ).table
    assert table.to_pylist() == [
        {"hour": 9.0, "month": 1.0, "size": 3.0, "words": "01.01.2024 09:00:00 JST", "y": 1.0}
    ]


def test_timestamps_are_exact_to_the_ends_of_their_range(connection, read):  # noqa: F811
    moments = (
        "timestamp '294276-12-31 23:59:59.999999'",
        "timestamptz '4713-11-24 00:00:00.000001 BC'",
        "timestamp '294270-01-01 00:00:00.000001'",
    )
    # What PostgreSQL itself stores: eight bytes, microseconds since 2000.
    stored = [
        connection.execute(
            f"SELECT ('x' || encode(timestamp_send({moment}), 'hex'))::bit(64)::bigint"
            if moment.startswith("timestamp ")
            else f"SELECT ('x' || encode(timestamptz_send({moment}), 'hex'))::bit(64)::bigint"
        ).fetchone()[0]
        for moment in moments
    ]
    listed = ", ".join(f"{moment} AS t{number}" for number, moment in enumerate(moments))
    row = read(f"SELECT {listed}, 1.0 AS y").table.to_pylist()[0]
    assert [row["t0"], row["t1"], row["t2"]] == stored


def test_the_connection_is_not_left_behind(connection, read):  # noqa: F811
    read("SELECT 1 AS x, 2 AS y")
    left = connection.execute(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE usename = 'sqlml_worker' AND datname = current_database()"
    ).fetchone()
    assert left == (0,)
    assert isinstance(connection, psycopg.Connection)
