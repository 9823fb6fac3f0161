"""
PL/Python: an empty body, LightGBM called plainly, LightGBM's fast call, and our core.
"""

import json
from pathlib import Path

import lightgbm as lgb
import psycopg

from benchmarks.predicting import calls
from benchmarks.predicting.models import Boosted
from benchmarks.predicting.server import Session
from benchmarks.predicting.subject import Subject
from benchmarks.predicting.table import TYPES_OF_CUSTOMERS, take_first

SLOW_ROWS = 5_000
FAST_ROWS = 50_000

# What a user would write: the booster is opened once a session, texts become codes.
OPEN = """
import sys
sys.path.append({packages!r})
import ctypes, json, math
import lightgbm, numpy
found = plpy.execute("SELECT text, levels FROM booster WHERE name = '{model}'")[0]
SD["booster"] = lightgbm.Booster(model_str=found["text"])
SD["codes"] = [
    {{level: code for code, level in enumerate(levels, 2)}} if levels else None
    for levels in json.loads(found["levels"])
]
"""
ENCODE = """
row = []
for codes, value in zip(SD["codes"], args):
    if codes is None:
        row.append(math.nan if value is None else value)
    else:
        row.append(0 if value is None else codes.get(value, 1))
"""
NAIVE = """
if "booster" not in SD:{open}
import math
import numpy{encode}
return float(SD["booster"].predict(numpy.array([row]), num_threads=1)[0])
"""
FAST = """
if "booster" not in SD:{open}
    library = lightgbm.basic._LIB
    config = ctypes.c_void_p()
    status = library.LGBM_BoosterPredictForMatSingleRowFastInit(
        SD["booster"]._handle, 0, 0, -1, 1, {columns}, b"num_threads=1", ctypes.byref(config))
    assert status == 0
    SD["values"] = (ctypes.c_double * {columns})()
    SD["size"], SD["answer"] = ctypes.c_int64(), ctypes.c_double()
    SD["arguments"] = config, SD["values"], ctypes.byref(SD["size"]), ctypes.byref(SD["answer"])
    SD["call"] = library.LGBM_BoosterPredictForMatSingleRowFast
import math{encode}
SD["values"][:] = row
assert SD["call"](*SD["arguments"]) == 0
return SD["answer"].value
"""


def make_plpython(
    session: Session, dsn: str, boosted: dict[str, Boosted], row_count: int
) -> list[Subject]:
    """Queries through PL/Python; none where the server lacks it."""
    try:
        _make_functions(session, boosted)
    except psycopg.Error as error:
        print(f"PL/Python is left out: {error}")
        return []
    subjects: list[Subject] = []

    def scan(name: str, expression: str, count: int) -> None:
        table = take_first(dsn, count)
        query = f"SELECT count(*), sum({expression}) FROM {table} AS t"
        subjects.append(Subject(name, count, lambda: session.spend(query)))

    slow, fast = min(SLOW_ROWS, row_count), min(FAST_ROWS, row_count)
    columns = ", ".join(f"t.{name}" for name in TYPES_OF_CUSTOMERS)
    scan("plpython, empty body", f"plpython_empty({columns})", fast)
    for model in ("a", "b"):
        scan(f"plpython, booster.predict, {model}", f"naive_{model}({columns})", slow)
        scan(f"plpython, single row fast, {model}", f"fast_{model}({columns})", slow)
        core = calls.plpython_scalars(session, model)
        if core is not None:
            scan(f"plpython, core, {model}", core, fast)
    set_wise = calls.plpython_set_wise(session, "a", "customers")
    if set_wise is not None:
        query = set_wise
        subjects.append(Subject("plpython, set-wise, a", row_count, lambda: session.spend(query)))
    return subjects


def _make_functions(session: Session, boosted: dict[str, Boosted]) -> None:
    session.run(
        "CREATE EXTENSION IF NOT EXISTS plpython3u",
        "CREATE TABLE booster (name text PRIMARY KEY, text text, levels text)",
    )
    _make_function(session, "plpython_empty", "\nreturn 0.0\n")
    packages = str(Path(lgb.__file__).parents[1])
    for model in ("a", "b"):
        levels = [feature.levels for feature in boosted[model].features]
        session.connection.execute(
            "INSERT INTO booster VALUES (%s, %s, %s)",
            (model, boosted[model].text, json.dumps(levels)),
        )
        opening = OPEN.format(packages=packages, model=model).replace("\n", "\n    ").rstrip()
        parts = {"open": opening, "encode": ENCODE.rstrip(), "columns": len(TYPES_OF_CUSTOMERS)}
        _make_function(session, f"naive_{model}", NAIVE.format(**parts))
        _make_function(session, f"fast_{model}", FAST.format(**parts))


def _make_function(session: Session, name: str, body: str) -> None:
    arguments = ", ".join(f"{column} {type_}" for column, type_ in TYPES_OF_CUSTOMERS.items())
    session.run(
        f"CREATE FUNCTION {name}({arguments}) RETURNS float8 LANGUAGE plpython3u STABLE"
        f" AS $body${body}$body$"
    )
