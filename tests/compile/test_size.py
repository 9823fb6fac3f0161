"""
An artifact takes at most half the bytes of the text that LightGBM writes of the same trees.
"""

import lightgbm as lgb
import numpy as np
import pytest

from sqlml.compile.artifact import compile_model
from sqlml.enums import ColumnKind, EstimatorName, ProblemType
from sqlml.extract.dataset import Column
from sqlml.search.fitted import Feature, FeatureOp, FittedModel, TreePart

NUMBERS, CATEGORIES, LEVELS, ROWS = 20, 8, 40, 4000
COLUMNS = (
    *(Column(f"x{i}", "double precision", ColumnKind.NUMERIC) for i in range(NUMBERS)),
    *(Column(f"c{i}", "text", ColumnKind.CATEGORY) for i in range(CATEGORIES)),
)
FEATURES = tuple(
    Feature(column=column.name, op=FeatureOp.VALUE)
    if column.kind is ColumnKind.NUMERIC
    else Feature(
        column=column.name,
        op=FeatureOp.CODE,
        levels=tuple(f"level {level}" for level in range(LEVELS)),
    )
    for column in COLUMNS
)


@pytest.mark.parametrize(("trees", "leaves"), [(100, 31), (500, 63)])
def test_an_artifact_is_at_most_half_of_the_text(trees, leaves):
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=(ROWS, NUMBERS))
    codes = rng.integers(2, LEVELS + 2, size=(ROWS, CATEGORIES))
    label = numbers[:, :5].sum(axis=1) + (codes[:, 0] % 3) + rng.normal(size=ROWS)
    booster = lgb.train(
        {"num_leaves": leaves, "min_data_in_leaf": 5, "num_threads": 1, "verbosity": -1},
        lgb.Dataset(
            np.column_stack([numbers, codes]),
            label,
            categorical_feature=list(range(NUMBERS, NUMBERS + CATEGORIES)),
        ),
        trees,
    )
    model = FittedModel(
        problem_type=ProblemType.REGRESSION,
        target=Column("y", "double precision", ColumnKind.NUMERIC),
        classes=(),
        columns=COLUMNS,
        features=FEATURES,
        parts=(TreePart(estimator=EstimatorName.LIGHTGBM, booster=booster),),
    )
    dump = booster.model_to_string().partition("\nend of trees\n")[0]
    assert dump.count("num_cat=0") < trees
    assert compile_model(model).size_bytes <= 0.5 * len(dump)
