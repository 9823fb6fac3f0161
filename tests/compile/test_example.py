"""
The example of docs/artifact.md is what compile writes and what the core reads.
"""

import re
from pathlib import Path

import lightgbm as lgb
import pyarrow as pa

from sqlml.compile.artifact import compile_model
from sqlml.enums import ColumnKind, EstimatorName, ProblemType
from sqlml.extract.dataset import Column
from sqlml.predict.scorer import Scorer
from sqlml.search.fitted import Feature, FeatureOp, FittedModel, TreePart

PAGE = Path(__file__).parents[2] / "docs" / "artifact.md"
BOOSTER = """tree
version=v4
num_class=1
num_tree_per_iteration=1
label_index=0
max_feature_idx=0
objective=binary sigmoid:1
feature_names=f0
feature_infos=[0:80]

Tree=0
num_leaves=2
num_cat=0
split_feature=0
split_gain=1
threshold=8.5
decision_type=10
left_child=-1
right_child=-2
leaf_value=0.5 -0.25
leaf_weight=1 1
leaf_count=20 80
internal_value=0
internal_weight=0
internal_count=100
is_linear=0
shrinkage=1


end of trees
"""
MODEL = FittedModel(
    problem_type=ProblemType.BINARY,
    target=Column("survived", "boolean", ColumnKind.BOOLEAN),
    classes=("false", "true"),
    columns=(Column("age", "integer", ColumnKind.NUMERIC),),
    features=(Feature(column="age", op=FeatureOp.VALUE),),
    parts=(TreePart(estimator=EstimatorName.LIGHTGBM, booster=lgb.Booster(model_str=BOOSTER)),),
)


def read_dump() -> bytes:
    """Read the bytes of the example; what follows them on a line explains them."""
    (dump,) = re.findall(r"## Example.*?```text\n(.*?)```", PAGE.read_text(), re.DOTALL)
    data = bytearray()
    for line in dump.splitlines():
        offset, digits, _ = re.fullmatch(r"([0-9a-f]{4})  ((?:[0-9a-f]{2} )+) *(.*)", line).groups()
        assert int(offset, 16) == len(data)
        data += bytes.fromhex(digits)
    return bytes(data)


def test_the_dump_is_what_compile_writes():
    assert read_dump().hex(" ") == compile_model(MODEL).data.hex(" ")


def test_the_dump_scores_as_the_page_says():
    table = pa.table({"age": pa.array([8.0, 9.0, None])})
    assert Scorer(read_dump(), "m").raw_scores(table)[:, 0].tolist() == [0.5, -0.25, 0.5]
