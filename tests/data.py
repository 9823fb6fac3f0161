"""
Where the real tables for tests and benchmarks lie, and what they are.

`SQLML_TEST_DATA` names the folder; otherwise it is `shared/data` beside the repository.
"""

import os
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest


class DataTable(NamedTuple):
    """A table's target and its metric."""

    target: str
    metric: str


TABLES = {
    "adult": DataTable("income", "roc_auc"),
    "california_housing": DataTable("median_house_value", "rmse"),
    "credit_g": DataTable("class", "roc_auc"),
    "hotel_rates": DataTable("avg_price_per_room", "rmse"),
    "seoul_bike": DataTable("bike_count", "rmse"),
    "tate_text": DataTable("year", "rmse"),
    "titanic": DataTable("Survived", "roc_auc"),
    "wine_quality": DataTable("quality", "log_loss"),
}


def find_data_folder() -> Path:
    """The folder of the data files; `FileNotFoundError` where there is none."""
    default = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("SQLML_TEST_DATA", default))
    if not (folder / "manifest.json").exists():
        raise FileNotFoundError(f"no test data in {folder}; SQLML_TEST_DATA names the folder")
    return folder


def read_part(name: str, part: str) -> pa.Table:
    """Read the part `train` or `test` of a table; skips the test where there is no data."""
    try:
        folder = find_data_folder()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    return pq.read_table(folder / f"{name}.{part}.parquet")
