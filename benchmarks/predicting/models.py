"""
The models that are measured: boosters of the goals' shapes, and a logistic regression.

Owns their training, which is cached, and the way into the catalogue by compile and publish.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import lightgbm as lgb
import numpy as np
import psycopg
import pyarrow as pa
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from benchmarks.predicting.table import (
    NUMBERS,
    SEED,
    TYPES_OF_CODED,
    TYPES_OF_CUSTOMERS,
    Rows,
    make_columns,
    make_dataset,
)
from sqlml.compile.artifact import compile_model
from sqlml.enums import ColumnKind, EstimatorName, ProblemType
from sqlml.extract.dataset import Column
from sqlml.search.encoder import encode
from sqlml.search.features import plain_features
from sqlml.search.fitted import (
    Feature,
    FeatureOp,
    FittedModel,
    LinearPart,
    NumericTerm,
    TreePart,
)
from tests.extension.conftest import publish

TRAINING_ROWS = 100_000
CLASSES = ("no", "yes")
TARGET = Column("label", "text", ColumnKind.CATEGORY)


@dataclass(frozen=True, slots=True)
class Shape:
    """How a booster is built."""

    trees: int
    leaves: int
    types: dict[str, str]

    @property
    def table(self) -> str:
        """The table that it predicts."""
        return "customers" if self.types is TYPES_OF_CUSTOMERS else "coded"


SHAPES = {
    "a": Shape(100, 31, TYPES_OF_CUSTOMERS),
    "b": Shape(500, 63, TYPES_OF_CUSTOMERS),
    "an": Shape(100, 31, TYPES_OF_CODED),
    "bn": Shape(500, 63, TYPES_OF_CODED),
    "a5": Shape(500, 31, TYPES_OF_CUSTOMERS),
}
"""The names of the goals; a5 has five times the trees of a."""


@dataclass(frozen=True, slots=True)
class Boosted:
    """A booster with what is known around it."""

    name: str
    shape: Shape
    booster: lgb.Booster
    features: tuple[Feature, ...]
    artifact: bytes

    @property
    def digest(self) -> str:
        """What tells this artifact from others."""
        return hashlib.sha256(self.artifact).hexdigest()[:16]

    @property
    def text(self) -> str:
        """LightGBM's own form of the model."""
        text: str = self.booster.model_to_string()
        return text

    def matrix(self, rows: Rows, row_count: int) -> NDArray[np.float64]:
        """Encode rows for LightGBM; row by row in memory, as it likes them best."""
        dataset = make_dataset(rows, self.shape.types, row_count)
        return np.ascontiguousarray(encode(self.features, dataset))


@dataclass(frozen=True, slots=True)
class Linear:
    """The logistic regression, and the expression that a user would write for it."""

    estimator: LogisticRegression
    fills: tuple[float, ...]
    means: NDArray[np.float64]
    scales: NDArray[np.float64]
    expression: str
    artifact: bytes

    def probabilities(self, filled: NDArray[np.float64]) -> NDArray[np.float64]:
        """scikit-learn's own answer for rows without missing values."""
        scaled = (filled - self.means) * self.scales
        return np.asarray(self.estimator.predict_proba(scaled)[:, 1])


def train_boosters(rows: Rows, label: NDArray[np.int64], cache: Path) -> dict[str, Boosted]:
    """Train all shapes on the first rows."""
    count = min(TRAINING_ROWS, len(label))
    boosted = {}
    for name, shape in SHAPES.items():
        dataset = make_dataset(rows, shape.types, count)
        features = plain_features(dataset, make_columns(shape.types))
        booster = _train(shape, features, dataset, label[:count], cache)
        model = make_classifier(shape, features, booster)
        boosted[name] = Boosted(name, shape, booster, features, compile_model(model).data)
    return boosted


def _train(
    shape: Shape,
    features: tuple[Feature, ...],
    dataset: pa.Table,
    label: NDArray[np.int64],
    cache: Path,
) -> lgb.Booster:
    codes = [index for index, feature in enumerate(features) if feature.op is FeatureOp.CODE]
    params = {
        "objective": "binary",
        "num_leaves": shape.leaves,
        "learning_rate": 0.05,
        "min_data_in_leaf": 10,
        "seed": SEED,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 1,
        "verbosity": -1,
    }
    key = repr((lgb.__version__, sorted(params.items()), shape.trees, codes, len(label), SEED))
    path = cache / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.txt"
    if path.exists():
        return lgb.Booster(model_file=path)
    binned = lgb.Dataset(encode(features, dataset), label, categorical_feature=codes)
    booster = lgb.train(params, binned, shape.trees)
    booster.save_model(path)
    return booster


def make_classifier(
    shape: Shape, features: tuple[Feature, ...], booster: lgb.Booster
) -> FittedModel:
    """Put a two-class model around a booster."""
    return FittedModel(
        problem_type=ProblemType.BINARY,
        target=TARGET,
        classes=CLASSES,
        columns=make_columns(shape.types),
        features=features,
        parts=(TreePart(estimator=EstimatorName.LIGHTGBM, booster=booster),),
    )


def make_raw_twin(boosted: Boosted) -> FittedModel:
    """The same trees as a regression, whose prediction is the raw score itself."""
    text = boosted.text.replace("objective=binary sigmoid:1", "objective=regression")
    return FittedModel(
        problem_type=ProblemType.REGRESSION,
        target=TARGET,
        classes=(),
        columns=make_columns(boosted.shape.types),
        features=boosted.features,
        parts=(TreePart(estimator=EstimatorName.LIGHTGBM, booster=lgb.Booster(model_str=text)),),
    )


def train_linear(rows: Rows, label: NDArray[np.int64]) -> Linear:
    """Fit a logistic regression on the numeric columns, missing values filled with medians."""
    count = min(TRAINING_ROWS, len(label))
    raw = encode(
        [Feature(column=name, op=FeatureOp.VALUE) for name in NUMBERS],
        make_dataset(rows, NUMBERS, count),
    )
    fills = tuple(float(fill) for fill in np.nanmedian(raw, axis=0))
    filled = np.where(np.isnan(raw), fills, raw)
    means, scales = filled.mean(axis=0), 1 / filled.std(axis=0)
    estimator = LogisticRegression(max_iter=200).fit((filled - means) * scales, label[:count])
    weights = estimator.coef_[0]
    terms = tuple(
        NumericTerm(
            feature=index,
            low=-1e300,
            high=1e300,
            mean=float(means[index]),
            inverse_scale=float(scales[index]),
            weights=weights[index : index + 1],
            missing_weights=np.zeros(1),
        )
        for index in range(len(NUMBERS))
    )
    model = FittedModel(
        problem_type=ProblemType.BINARY,
        target=TARGET,
        classes=CLASSES,
        columns=make_columns(NUMBERS),
        features=tuple(
            Feature(column=name, op=FeatureOp.VALUE, fill=fill)
            for name, fill in zip(NUMBERS, fills, strict=True)
        ),
        parts=(
            LinearPart(
                estimator=EstimatorName.LINEAR, intercepts=estimator.intercept_, terms=terms
            ),
        ),
    )
    slopes = weights * scales
    level = float(estimator.intercept_[0] - (slopes * means).sum())
    sum_of_terms = " + ".join(
        f"{slope!r}::float8 * coalesce({name}, {fill!r})"
        for slope, name, fill in zip(map(float, slopes), NUMBERS, fills, strict=True)
    )
    expression = f"1 / (1 + exp(-({level!r}::float8 + {sum_of_terms})))"
    return Linear(estimator, fills, means, scales, expression, compile_model(model).data)


def publish_all(dsn: str, boosted: dict[str, Boosted], linear: Linear) -> None:
    """Put every model into the catalogue, a and b also as regressions of their raw scores."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        for name, one in boosted.items():
            publish(connection, name, one.artifact)
        publish(connection, "c", linear.artifact)
        for name in ("a", "b"):
            publish(connection, f"{name}_raw", make_raw_twin(boosted[name]), "double precision")
