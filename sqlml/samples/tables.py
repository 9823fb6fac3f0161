"""
The sample tables: their columns under readable names, and their rows.

Owns names and types. Does not know a database.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, LiteralString

from sklearn import datasets

# Forina's three wines from Piedmont, in the order of scikit-learn's class_0 to class_2.
CULTIVARS = ("barolo", "grignolino", "barbera")
DIABETES_COLUMNS: dict[str, LiteralString] = {
    "age": "integer",
    "sex": "integer",
    "bmi": "double precision",
    "blood_pressure": "double precision",
    "total_cholesterol": "double precision",
    "ldl": "double precision",
    "hdl": "double precision",
    "cholesterol_ratio": "double precision",
    "log_triglycerides": "double precision",
    "glucose": "double precision",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleTable:
    """A table; its last column is what one would want to predict."""

    name: str
    description: str
    columns: tuple[tuple[str, LiteralString], ...]
    """Name and SQL type."""
    rows: tuple[tuple[Any, ...], ...]


def read_sample_tables() -> Iterator[SampleTable]:
    """Read all sample tables, one after the other."""
    yield _read_breast_cancer()
    yield _read_wine()
    yield _read_diabetes()
    yield _read_digits()


def _read_breast_cancer() -> SampleTable:
    bunch = datasets.load_breast_cancer()
    names = [_clean(name) for name in bunch.feature_names]
    return SampleTable(
        name="breast_cancer",
        description="569 tumours: measures of cell nuclei, and the diagnosis (Wisconsin, 1995)",
        columns=(*((name, "double precision") for name in names), ("diagnosis", "text")),
        rows=_join(bunch.data, (bunch.target_names[index] for index in bunch.target)),
    )


def _read_wine() -> SampleTable:
    bunch = datasets.load_wine()
    names = [_clean(name) for name in bunch.feature_names]
    return SampleTable(
        name="wine",
        description="178 wines of Piedmont: chemistry, and the cultivar (Forina, 1988)",
        columns=(*((name, "double precision") for name in names), ("cultivar", "text")),
        rows=_join(bunch.data, (CULTIVARS[index] for index in bunch.target)),
    )


def _read_diabetes() -> SampleTable:
    bunch = datasets.load_diabetes(scaled=False)
    rows = tuple(
        (int(row[0]), int(row[1]), *(float(value) for value in row[2:]), float(target))
        for row, target in zip(bunch.data, bunch.target, strict=True)
    )
    return SampleTable(
        name="diabetes",
        description="442 patients, and the progression of their diabetes in a year (Efron, 2004)",
        columns=(*DIABETES_COLUMNS.items(), ("progression", "double precision")),
        rows=rows,
    )


def _read_digits() -> SampleTable:
    bunch = datasets.load_digits()
    rows = tuple(
        (*(int(value) for value in row), int(target))
        for row, target in zip(bunch.data, bunch.target, strict=True)
    )
    return SampleTable(
        name="digits",
        description="1797 handwritten digits of 8 x 8 pixels, 0 to 16 (Alpaydin, 1998)",
        columns=(*((name, "smallint") for name in bunch.feature_names), ("digit", "smallint")),
        rows=rows,
    )


def _join(data: Any, labels: Iterator[Any]) -> tuple[tuple[Any, ...], ...]:
    return tuple(
        (*(float(value) for value in row), str(label))
        for row, label in zip(data, labels, strict=True)
    )


def _clean(name: str) -> str:
    return name.replace(" ", "_").replace("/", "_")
