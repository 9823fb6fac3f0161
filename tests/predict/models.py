"""
Small models of every sort, and the hostile rows that they are asked about.
"""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import lightgbm as lgb
import numpy as np
import pyarrow as pa
from hypothesis import strategies as st
from numpy.typing import NDArray

from sqlml.enums import ColumnKind, EstimatorName, ProblemType
from sqlml.extract.dataset import Column
from sqlml.extract.reader import ARROW_TYPES
from sqlml.search.encoder import encode
from sqlml.search.features import plain_features
from sqlml.search.fitted import (
    CodeTerm,
    Feature,
    FeatureOp,
    FittedModel,
    LinearPart,
    Link,
    NumericTerm,
    Part,
    TreePart,
)

COLUMNS = (
    Column("amount", "double precision", ColumnKind.NUMERIC),
    Column("größe", "integer", ColumnKind.NUMERIC),
    Column("is_new", "boolean", ColumnKind.BOOLEAN),
    Column("city", "text", ColumnKind.CATEGORY),
    Column("seen at", "timestamp without time zone", ColumnKind.DATETIME),
)
CITIES = ("Köln", "", "Paris", "東京", "a b", " a b", "ab ")
HOSTILE_NUMBERS = (
    *(float("nan"), float("inf"), float("-inf"), 0.0, -0.0, 5e-324, -5e-324, 1e-35, -1e-35),
    *(2.2250738585072014e-308, 1.7976931348623157e308, 2.0**53, float(2**53 + 2), 0.1),
    *(struct.unpack("<f", struct.pack("<f", 1e-35))[0], 1.0000001e-35, -1.0000001e-35),
)
EPOCH_2000 = datetime(2000, 1, 1, tzinfo=UTC)
INT64 = (-(2**63), 2**63 - 1)
TIMESTAMPS = (-211_813_488_000_000_000, 9_223_371_331_199_999_999)
"""PostgreSQL's first and last timestamp."""

CHARACTERS = st.characters(codec="utf-8", exclude_characters="\0")

Row = dict[str, Any]


def make_table(rows: Sequence[Row], columns: Sequence[Column] = COLUMNS) -> pa.Table:
    """Put rows into the form of a dataset."""
    return pa.table(
        {
            column.name: pa.array([row[column.name] for row in rows], ARROW_TYPES[column.kind])
            for column in columns
        }
    )


def training_rows(count: int, seed: int) -> list[Row]:
    """Rows as a table may hold them: every column with NULLs but the second."""
    rng = np.random.default_rng(seed)

    def or_none(value: object) -> object:
        return None if rng.random() < 0.1 else value

    return [
        {
            "amount": or_none(float(rng.choice([rng.normal(), 0.0, rng.normal() * 1e-30]))),
            "größe": float(rng.integers(-5, 6)),
            "is_new": or_none(bool(rng.integers(2))),
            "city": or_none(str(rng.choice(CITIES))),
            "seen at": or_none(int(rng.integers(*TIMESTAMPS) // 1000)),
        }
        for _ in range(count)
    ]


def hostile_rows() -> st.SearchStrategy[Row]:
    """Any row that PostgreSQL could bring, and some that it could not."""
    numbers = st.none() | st.sampled_from(HOSTILE_NUMBERS) | st.floats()
    texts = st.none() | st.sampled_from(CITIES) | st.text(CHARACTERS)
    micros = st.none() | st.sampled_from((*INT64, *TIMESTAMPS, 0, -1)) | st.integers(*INT64)
    return st.fixed_dictionaries(
        {
            "amount": numbers,
            "größe": numbers,
            "is_new": st.none() | st.booleans(),
            "city": texts,
            "seen at": micros,
        }
    )


def make_classes(problem_type: ProblemType) -> tuple[str, ...]:
    """Labels for a problem type."""
    return {
        ProblemType.BINARY: ("non", "oui"),
        ProblemType.MULTICLASS: ("a", "ä", "b b"),
        ProblemType.REGRESSION: (),
    }[problem_type]


def make_model(
    problem_type: ProblemType,
    features: tuple[Feature, ...],
    part: Part,
    columns: tuple[Column, ...] = COLUMNS,
) -> FittedModel:
    """Put a model around its part."""
    return FittedModel(
        problem_type=problem_type,
        target=Column("y", "text", ColumnKind.CATEGORY),
        classes=make_classes(problem_type),
        columns=columns,
        features=features,
        parts=(part,),
    )


def fit_trees(
    problem_type: ProblemType,
    seed: int = 0,
    *,
    table: pa.Table | None = None,
    features: tuple[Feature, ...] = (),
    columns: tuple[Column, ...] = COLUMNS,
    as_codes: tuple[str, ...] = (),
    link: Link | None = None,
    **params: object,
) -> FittedModel:
    """Train a small booster on every column of a table; by default one of its own."""
    if table is None:
        table = make_table(training_rows(400, seed))
        features = plain_features(table, columns)
    matrix = encode(features, table)
    rng = np.random.default_rng(seed)
    target = rng.normal(size=len(matrix)) + np.clip(np.nan_to_num(matrix), -5, 5).sum(axis=1)
    classes = len(make_classes(problem_type))
    if classes:
        target = np.argsort(np.argsort(target)) * classes // len(target)
    elif link is Link.EXP:
        target = np.abs(target) + 0.1
    elif link is Link.LOGISTIC:
        target = 1 / (1 + np.exp(-target))
    objective = {"binary": "binary", "multiclass": "multiclass", "regression": "l2"}[problem_type]
    settings = {
        "objective": objective,
        "min_data_in_leaf": 3,
        "min_data_per_group": 3,
        "cat_smooth": 1,
        "num_threads": 1,
        "verbosity": -1,
        **({"num_class": classes} if problem_type is ProblemType.MULTICLASS else {}),
        **params,
    }
    codes = [index for index, feature in enumerate(features) if feature.op is FeatureOp.CODE]
    codes += [index for index, feature in enumerate(features) if feature.column in as_codes]
    rounds = int(str(settings.pop("rounds", 8)))
    booster = lgb.train(settings, lgb.Dataset(matrix, target, categorical_feature=codes), rounds)
    part = TreePart(estimator=EstimatorName.LIGHTGBM, booster=booster)
    model = make_model(problem_type, features, part, columns)
    return model if link is None else replace(model, link=link)


def draw_linear(
    problem_type: ProblemType,
    seed: int = 0,
    *,
    features: tuple[Feature, ...] = (),
    columns: tuple[Column, ...] = COLUMNS,
) -> FittedModel:
    """Make a linear model of random weights with a term for every feature."""
    if not features:
        features = plain_features(make_table(training_rows(400, seed)), columns)
    outputs = get_output_count(problem_type)
    rng = np.random.default_rng(seed)
    terms = tuple(
        CodeTerm(feature=index, weights=rng.normal(size=(len(feature.levels) + 2, outputs)))
        if feature.op is FeatureOp.CODE
        else NumericTerm(
            feature=index,
            low=-1.5,
            high=1e12,
            mean=float(rng.normal()),
            inverse_scale=float(rng.random()),
            weights=rng.normal(size=outputs),
            missing_weights=rng.normal(size=outputs),
        )
        for index, feature in enumerate(features)
    )
    part = LinearPart(
        estimator=EstimatorName.LINEAR, intercepts=rng.normal(size=outputs), terms=terms
    )
    return make_model(problem_type, features, part, columns)


def get_output_count(problem_type: ProblemType) -> int:
    """Raw scores a row."""
    return 3 if problem_type is ProblemType.MULTICLASS else 1


def booster_of(model: FittedModel) -> lgb.Booster:
    """The booster of a model that is one."""
    (part,) = model.parts
    assert isinstance(part, TreePart)
    return part.booster


def score_with_lightgbm(model: FittedModel, table: pa.Table) -> NDArray[np.float64]:
    """LightGBM's own raw scores, shape (rows, outputs)."""
    matrix = encode(model.features, table)
    raw = booster_of(model).predict(matrix, raw_score=True, num_threads=1)
    return np.asarray(raw).reshape(table.num_rows, -1)


def seal(artifact: bytes) -> bytes:
    """Give changed bytes a header that suits them."""
    body = artifact[32:]
    return artifact[:12] + struct.pack("<IQQ", zlib.crc32(body), 32 + len(body), 0) + body


def find_payload(artifact: bytes, kind: int) -> int:
    """The offset at which the payload of a section begins."""
    offset = 32
    while True:
        found, _, size = struct.unpack_from("<IIQ", artifact, offset)
        if found == kind:
            return offset + 16
        offset += 16 + int(size)
