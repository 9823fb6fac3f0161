"""
The models that pg_regress predicts with, small enough to work out their answers by hand.

`python -m tests.extension.regress_models` writes pg_extension/test/fixtures/models.sql again.
"""

import json
from pathlib import Path

import lightgbm as lgb
import numpy as np

from sqlml.compile.artifact import compile_model
from sqlml.enums import ColumnKind, EstimatorName, ProblemType
from sqlml.extract.dataset import Column
from sqlml.search.fitted import (
    CodeTerm,
    Feature,
    FeatureOp,
    FittedModel,
    LinearPart,
    NumericTerm,
    TreePart,
)
from tests.predict.models import make_model

FIXTURE = Path(__file__).parents[2] / "pg_extension/test/fixtures/models.sql"

X = Column("x", "double precision", ColumnKind.NUMERIC)
COLUMNS = (
    Column("amount", "double precision", ColumnKind.NUMERIC),
    Column("is new", "boolean", ColumnKind.BOOLEAN),
    Column("city", "text", ColumnKind.CATEGORY),
    Column("seen", "timestamp without time zone", ColumnKind.DATETIME),
)
CITIES = ("Köln", "Paris")

TREE = """Tree=0
num_leaves=3
num_cat=1
split_feature=0 1
split_gain=1 1
threshold=2.5 0
decision_type=10 1
left_child=1 -1
right_child=-3 -2
leaf_value=1.5 -2 10.25
leaf_weight=1 1 1
leaf_count=1 1 1
internal_value=0 0
internal_weight=0 0
internal_count=3 2
cat_boundaries=0 1
cat_threshold=4
is_linear=0
shrinkage=1


"""
BOOSTER = f"""tree
version=v4
num_class=1
num_tree_per_iteration=1
label_index=0
max_feature_idx=1
objective=regression
feature_names=f0 f1
feature_infos=[0:10] 0:1:2:3
tree_sizes={len(TREE)}

{TREE}end of trees

parameters:
end of parameters
"""
"""x <= 2.5 or NULL: 1.5 in Köln, else -2; greater: 10.25."""


def make_number_term(feature: int, *weights: float, missing: float = 0.0) -> NumericTerm:
    """A term that is a weight times the number."""
    return NumericTerm(
        feature=feature,
        low=-1e300,
        high=1e300,
        mean=0.0,
        inverse_scale=1.0,
        weights=np.array(weights),
        missing_weights=np.full(len(weights), missing),
    )


def make_line(problem_type: ProblemType, *weights: float) -> FittedModel:
    """Raw scores that are x times a weight."""
    part = LinearPart(
        estimator=EstimatorName.LINEAR,
        intercepts=np.zeros(len(weights)),
        terms=(make_number_term(0, *weights),),
    )
    feature = Feature(column="x", op=FeatureOp.VALUE)
    return make_model(problem_type, (feature,), part, (X,))


def make_price() -> FittedModel:
    """
    100 + 2 * amount + 10 for new + a weight a city + the hour.

    Missing: amount -50, is new -5, hour -0.5. Cities: NULL 1000, another one 2000, Köln 3000,
    Paris 4000.
    """
    features = (
        Feature(column="amount", op=FeatureOp.VALUE),
        Feature(column="is new", op=FeatureOp.VALUE),
        Feature(column="city", op=FeatureOp.CODE, levels=CITIES),
        Feature(column="seen", op=FeatureOp.HOUR),
    )
    terms = (
        make_number_term(0, 2.0, missing=-50.0),
        make_number_term(1, 10.0, missing=-5.0),
        CodeTerm(feature=2, weights=np.array([[1000.0], [2000.0], [3000.0], [4000.0]])),
        make_number_term(3, 1.0, missing=-0.5),
    )
    part = LinearPart(estimator=EstimatorName.LINEAR, intercepts=np.full(1, 100.0), terms=terms)
    return make_model(ProblemType.REGRESSION, features, part, COLUMNS)


def make_tree() -> FittedModel:
    """A tree with a category set."""
    features = (
        Feature(column="x", op=FeatureOp.VALUE),
        Feature(column="city", op=FeatureOp.CODE, levels=CITIES),
    )
    part = TreePart(estimator=EstimatorName.LIGHTGBM, booster=lgb.Booster(model_str=BOOSTER))
    return make_model(ProblemType.REGRESSION, features, part, (X, COLUMNS[2]))


MODELS: dict[str, tuple[FittedModel, str, list[tuple[dict[str, object], list[float]]]]] = {
    "line": (make_line(ProblemType.REGRESSION, 1.0), "double precision", [({"x": 7}, [7])]),
    "verdict": (make_line(ProblemType.BINARY, 1.0), "text", [({"x": -1}, [-1])]),
    "colour": (make_line(ProblemType.MULTICLASS, -1.0, 0.0, 1.0), "text", [({}, [0, 0, 0])]),
    "price": (
        make_price(),
        "numeric",
        [
            ({"amount": 1, "is new": True, "city": "Paris", "seen": "2000-01-01T05:00:00"}, [4117]),
            ({"amount": None}, [1044.5]),
        ],
    ),
    "tree": (make_tree(), "double precision", [({"x": 2.5, "city": "Köln"}, [1.5])]),
}
"""By name: the model, the type of its target, golden rows with their raw scores."""


def write_fixture() -> str:
    """The calls that publish the models."""
    lines = ["-- Made by `python -m tests.extension.regress_models`. Do not edit."]
    for name, (model, target_type, rows) in MODELS.items():
        golden = json.dumps([{"row": row, "raw": raw} for row, raw in rows], ensure_ascii=False)
        artifact = compile_model(model).data.hex()
        lines.append(f"SELECT publish('{name}', '{target_type}', '\\x{artifact}', '{golden}');")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    FIXTURE.write_text(write_fixture(), encoding="utf-8")
