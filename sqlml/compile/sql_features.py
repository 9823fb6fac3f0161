"""
Columns become features in SQL: numbers, codes and parts of dates, missing ones NULL.
"""

import json
import math

from sqlml.compile.double import literal, write_array
from sqlml.enums import ColumnKind
from sqlml.errors import NotCompilable
from sqlml.extract.dataset import Column
from sqlml.search.fitted import Feature, FeatureOp

EPOCH_2000 = "timestamp '2000-01-01 00:00'"
FIRST_YEAR = "timestamp '0001-01-01 00:00'"
DATE_FIELDS = {
    FeatureOp.MONTH: "month",
    FeatureOp.DAY: "day",
    FeatureOp.YEARDAY: "doy",
    FeatureOp.HOUR: "hour",
}


def encode(feature: Feature, column: Column, value: str) -> str:
    """Write a feature of a column's value: float8, or integer for a code, which is never NULL."""
    if feature.op is FeatureOp.CODE:
        return _encode_code(feature, value)
    match column.kind:
        case ColumnKind.NUMERIC:
            number = f"nullif({value}::float8, 'NaN'::float8)"
        case ColumnKind.BOOLEAN:
            number = f"{value}::boolean::integer::float8"
        case ColumnKind.CATEGORY:
            number = _encode_text(feature, f"{value}::text")
        case ColumnKind.DATETIME:
            number = _encode_date(feature.op, column, value)
        case ColumnKind.ARRAY:
            raise NotCompilable(f'it reads arrays, of column "{column.name}", which SQL does not')
    return number if math.isnan(feature.fill) else f"coalesce({number}, {literal(feature.fill)})"


def look_up(feature: Feature) -> str:
    """Write the value of a code that is a column of the last stage."""
    return f"({write_array(feature.values)})[f{feature.source} + 1]"


def quote_literal(text: str) -> str:
    """Write a text so that it reads back alike whatever standard_conforming_strings says."""
    quoted = text.replace("'", "''")
    return "E'" + quoted.replace("\\", "\\\\") + "'" if "\\" in text else f"'{quoted}'"


def quote_name(name: str) -> str:
    """Write a name as an identifier."""
    return '"' + name.replace('"', '""') + '"'


def _encode_code(feature: Feature, value: str) -> str:
    # A JSON object finds a key by its bytes, whatever the collation, and in logarithmic time.
    codes = {level: 2 + place for place, level in enumerate(feature.levels)}
    table = quote_literal(json.dumps(codes, ensure_ascii=False))
    return (
        f"CASE WHEN {value} IS NULL THEN 0"
        f" ELSE coalesce(({table}::jsonb -> {value}::text)::integer, 1) END"
    )


def _encode_text(feature: Feature, text: str) -> str:
    match feature.op:
        case FeatureOp.CHARACTERS:
            return f"char_length({text})::float8"
        case FeatureOp.DIGITS:
            others = f"translate({text}, '0123456789', '')"
            return f"(char_length({text}) - char_length({others}))::float8"
    raise NotCompilable(
        f'it reads the words of column "{feature.column}", which SQL cannot cut as sqlml does'
    )


def _encode_date(op: FeatureOp, column: Column, value: str) -> str:
    has_zone = "with time zone" in column.type_name
    moment = f"({value} AT TIME ZONE 'UTC')" if has_zone else f"{value}::timestamp"
    match op:
        case FeatureOp.EPOCH:
            # From an interval extract() is exact; from a timestamp it rounds far from now.
            micros = f"(extract(epoch FROM {moment} - {EPOCH_2000}) * 1000000)::float8"
            part = f"{micros} / {literal(1e6)}"
        case FeatureOp.YEAR:
            # PostgreSQL has no year 0.
            before = f"CASE WHEN {moment} < {FIRST_YEAR} THEN 1 ELSE 0 END"
            part = f"date_part('year', {moment}) + {before}"
        case FeatureOp.WEEKDAY:
            part = f"date_part('isodow', {moment}) - 1"
        case _:
            part = f"date_part('{DATE_FIELDS[op]}', {moment})"
    return f"CASE WHEN isfinite({value}) THEN {part} END"
