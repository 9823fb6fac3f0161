"""
What an artifact cannot express exactly is refused by name.
"""

import re
from dataclasses import replace
from typing import Any

import lightgbm as lgb
import numpy as np
import pytest
from numpy.typing import NDArray

from sqlml.compile.artifact import compile_model
from sqlml.enums import ColumnKind, EstimatorName, ProblemType
from sqlml.errors import NotCompilable
from sqlml.extract.dataset import Column
from sqlml.search.fitted import (
    Blend,
    CodeTerm,
    Feature,
    FeatureOp,
    FittedModel,
    ForestPart,
    LinearPart,
    LinearTerm,
    Link,
    NumericTerm,
    Part,
    StepTerm,
    TextTerm,
    Tree,
    TreePart,
    Vocabulary,
)

COLUMNS = (
    Column("x", "double precision", ColumnKind.NUMERIC),
    Column("c", "text", ColumnKind.CATEGORY),
)
FEATURES = (
    Feature(column="x", op=FeatureOp.VALUE),
    Feature(column="c", op=FeatureOp.CODE, levels=("a", "b")),
)
CLASSES = {
    ProblemType.BINARY: ("no", "yes"),
    ProblemType.MULTICLASS: ("a", "b", "c"),
    ProblemType.REGRESSION: (),
}


def make_model(part: Part, problem_type: ProblemType) -> FittedModel:
    return FittedModel(
        problem_type=problem_type,
        target=Column("y", "text", ColumnKind.CATEGORY),
        classes=CLASSES[problem_type],
        columns=COLUMNS,
        features=FEATURES,
        parts=(part,),
    )


def train(problem_type: ProblemType, **params: object) -> FittedModel:
    rng = np.random.default_rng(0)
    matrix = np.column_stack([rng.normal(size=200), rng.integers(0, 4, 200)])
    target = (np.arange(200) % max(len(CLASSES[problem_type]), 7)) + 1.0
    if CLASSES[problem_type]:
        target -= 1
        target %= len(CLASSES[problem_type])
    booster = lgb.train({"verbosity": -1, **params}, lgb.Dataset(matrix, target), 3)
    return make_model(TreePart(estimator=EstimatorName.LIGHTGBM, booster=booster), problem_type)


NUMBER = NumericTerm(
    feature=0,
    low=-1.0,
    high=1.0,
    mean=0.0,
    inverse_scale=1.0,
    weights=np.array([2.0]),
    missing_weights=np.array([0.0]),
)
LINEAR = LinearPart(
    estimator=EstimatorName.LINEAR,
    intercepts=np.array([1.0]),
    terms=(NUMBER, CodeTerm(feature=1, weights=np.zeros((4, 1)))),
)
MODEL = make_model(LINEAR, ProblemType.REGRESSION)
CHOICE = make_model(LINEAR, ProblemType.BINARY)


def l2_of_ones_own(
    raw: NDArray[np.float64], data: lgb.Dataset
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return raw - np.asarray(data.get_label()), np.ones_like(raw)


@pytest.mark.parametrize(
    ("problem_type", "params", "named"),
    [
        (ProblemType.REGRESSION, {"objective": "l2", "linear_tree": True}, "linear trees"),
        (ProblemType.REGRESSION, {"objective": "poisson"}, "poisson"),
        (ProblemType.REGRESSION, {"objective": "gamma"}, "gamma"),
        (ProblemType.REGRESSION, {"objective": "tweedie"}, "tweedie"),
        (ProblemType.REGRESSION, {"objective": "l2", "reg_sqrt": True}, "regression sqrt"),
        (ProblemType.REGRESSION, {"objective": "binary"}, "binary sigmoid:1"),
        (ProblemType.REGRESSION, {"objective": l2_of_ones_own}, '"none"'),
        (ProblemType.BINARY, {"objective": "l2"}, "regression"),
        (ProblemType.BINARY, {"objective": "cross_entropy_lambda"}, "cross_entropy_lambda"),
        (ProblemType.MULTICLASS, {"objective": "multiclassova", "num_class": 3}, "multiclassova"),
        (ProblemType.MULTICLASS, {"objective": "multiclass", "num_class": 4}, "4 trees"),
    ],
)
def test_booster_is_refused_by_the_name_of_what_is_in_the_way(problem_type, params, named):
    with pytest.raises(NotCompilable, match=named):
        compile_model(train(problem_type, **params))


@pytest.mark.parametrize("objective", ["l2", "l1", "huber", "fair", "quantile", "mape"])
def test_regressions_whose_prediction_is_the_raw_score_are_compiled(objective):
    compile_model(train(ProblemType.REGRESSION, objective=objective))


class Text(lgb.Booster):
    """A booster whose text was changed, also to what LightGBM itself would not read."""

    def __init__(self, text: str):
        self.text = text

    def model_to_string(self, *args: Any, **kwargs: Any) -> str:
        return self.text

    def __del__(self) -> None:
        pass


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("objective=regression", "objective=lambdarank", "lambdarank"),
        ("objective=regression", "objective=rank_xendcg", "rank_xendcg"),
        ("objective=regression", "objective=regression clipped:1", "clipped:1"),
        ("objective=regression", "objective=new", '"new"'),
        ("objective=regression\n", "", '"none"'),
        ("version=v4", "version=v5", "v5"),
        ("tree\n", "forest\n", "not LightGBM's"),
        ("end of trees", "end", "not LightGBM's"),
        ("is_linear=0", "is_linear=1", "linear trees"),
        ("decision_type=2", "decision_type=16", "split of type 16"),
        ("decision_type=2", "decision_type=", "tree 0"),
        ("num_leaves=", "num_leaves=9", "lacks a split"),
        ("leaf_value=", "leaf_value=1 ", "lacks a leaf"),
        ("leaf_count=", "leaf_count=1 ", "lacks a leaf"),
        ("leaf_value=", "leaf_value=nan ", "not finite"),
        ("threshold=", "threshold=nan ", "no number"),
    ],
)
def test_text_is_refused_by_the_name_of_what_is_in_the_way(old, new, named):
    (part,) = train(ProblemType.REGRESSION, objective="l2").parts
    assert isinstance(part, TreePart)
    text = part.booster.model_to_string()
    assert old in text
    if new.endswith("nan "):
        old = re.search(f"{old}[^ ]+ ", text)[0]
    part = replace(part, booster=Text(text.replace(old, new, 1)))
    with pytest.raises(NotCompilable, match=named):
        compile_model(make_model(part, ProblemType.REGRESSION))


@pytest.mark.parametrize(
    ("model", "named"),
    [
        (replace(MODEL, link=Link.SOFTMAX), "the link softmax"),
        (replace(CHOICE, link=Link.IDENTITY), "the link identity"),
        (replace(MODEL, link=Link.SQUARE, blend=Blend.RESPONSE), "square cannot be blended"),
        (replace(MODEL, link=Link.EXPM1, blend=Blend.RESPONSE), "expm1 cannot be blended"),
        (replace(MODEL, parts=(), weights=()), "0 parts"),
        (replace(MODEL, parts=(LINEAR,) * 257, weights=(1.0,) * 257), "257 parts"),
        (replace(MODEL, parts=(LINEAR, LINEAR)), "2 parts cannot have 1 weights"),
        (replace(MODEL, weights=(float("nan"),)), "not finite"),
        (replace(MODEL, scale=float("inf")), "not finite"),
        (replace(MODEL, offsets=(float("inf"),)), "not finite"),
        (replace(MODEL, offsets=(1.0, 2.0)), "1 outputs cannot have 2 offsets"),
        (replace(MODEL, weights=(0.0,)), "the weight 0 for every part"),
        (replace(MODEL, links=(Link.IDENTITY,) * 2), "1 parts cannot have 2 links"),
        (replace(MODEL, links=(Link.EXP,)), "cannot have the link exp"),
        (replace(MODEL, links=(Link.SOFTMAX,), blend=Blend.RESPONSE), "the link softmax"),
        (replace(MODEL, links=(Link.LOGISTIC,), blend=Blend.RESPONSE), "the link logistic"),
        (replace(CHOICE, links=(Link.IDENTITY,), blend=Blend.RESPONSE), "the link identity"),
        (replace(MODEL, threshold=0.5), "a threshold"),
        (replace(CHOICE, threshold=float("nan")), "not finite"),
    ],
)
def test_parts_are_refused_by_the_name_of_what_is_in_the_way(model, named):
    with pytest.raises(NotCompilable, match=named):
        compile_model(model)


def test_a_sigmoid_is_refused_where_responses_are_blended():
    model = train(ProblemType.BINARY, objective="binary", sigmoid=2.0)
    compile_model(model)
    with pytest.raises(NotCompilable, match="sigmoid:2"):
        compile_model(replace(model, blend=Blend.RESPONSE))


def test_a_booster_of_other_features_is_refused():
    model = train(ProblemType.REGRESSION, objective="l2")
    with pytest.raises(NotCompilable, match="1 features"):
        compile_model(replace(model, features=FEATURES[:1]))


def change_term(**changes: Any) -> FittedModel:
    term = replace(NUMBER, **changes)
    return replace(MODEL, parts=(replace(LINEAR, terms=(term,)),))


@pytest.mark.parametrize(
    ("model", "named"),
    [
        (replace(MODEL, classes=("a", "b")), "2 classes"),
        (replace(MODEL, problem_type=ProblemType.BINARY, classes=("a", "a")), "2 classes"),
        (replace(MODEL, columns=COLUMNS[:1]), '"c" is no column'),
        (replace(MODEL, columns=(COLUMNS[0], COLUMNS[0])), "the same name"),
        (replace(MODEL, features=(FEATURES[0], replace(FEATURES[1], column="x"))), "no code"),
        (
            replace(MODEL, features=(FEATURES[0], replace(FEATURES[1], levels=("a", "a")))),
            "the same level",
        ),
        (
            replace(MODEL, features=(replace(FEATURES[0], fill=float("inf")), FEATURES[1])),
            "infinite fill",
        ),
        (replace(MODEL, features=(replace(FEATURES[0], levels=("a",)), FEATURES[1])), "levels"),
        (
            replace(MODEL, features=(FEATURES[0], replace(FEATURES[1], levels=("a", "\0")))),
            "zero byte",
        ),
        (change_term(low=2.0), "empty range"),
        (change_term(mean=float("nan")), "not finite"),
        (change_term(feature=7), "feature 7"),
        (change_term(feature=1), "wrong kind"),
        (change_term(weights=np.array([1.0, 2.0])), "shape"),
        (change_term(weights=np.array([np.inf])), "not finite"),
    ],
)
def test_model_is_refused_by_the_name_of_what_is_in_the_way(model, named):
    with pytest.raises(NotCompilable, match=named):
        compile_model(model)


def test_a_sound_model_is_compiled():
    assert compile_model(MODEL).data[:8] == b"SQLMLART"


FULL_COLUMNS = (
    *COLUMNS,
    Column("t", "date", ColumnKind.DATETIME),
    Column("v", "real[]", ColumnKind.ARRAY),
)
MONTH = Feature(column="t", op=FeatureOp.MONTH)
LOOKUP = Feature(column="c", op=FeatureOp.LOOKUP, source=1, values=(1.0, 2.0, 3.0, 4.0))
TOPIC = Feature(column="c", op=FeatureOp.TOPIC, place=1)
SCORE = Feature(column="", op=FeatureOp.SCORE)
ELEMENT = Feature(column="v", op=FeatureOp.ELEMENT, place=3)
WORDS = Feature(column="c", op=FeatureOp.WORDS)
VOCABULARY = Vocabulary(
    column="c",
    bigrams=True,
    normalise=True,
    frequency_weights=(1.0, 1.5),
    hashes=np.array([3, 2**63 + 1], dtype=np.uint64),
    idf=np.array([1.0, 2.0]),
    components=np.ones((2, 2), dtype=np.float32),
)
TEXT = TextTerm(vocabulary=0, weights=np.ones((2, 1), dtype=np.float32))
STEP = StepTerm(feature=2, weights=np.ones((13, 1)), missing_weights=np.zeros(1))
TREE = Tree(
    feature=np.array([0, 1], dtype=np.int32),
    threshold=np.array([0.5, -np.inf]),
    left=np.array([-1, -2], dtype=np.int32),
    right=np.array([1, -3], dtype=np.int32),
    missing_left=np.array([True, False]),
    values=np.array([[1.0], [2.0], [3.0]]),
    counts=np.array([1, 2, 3], dtype=np.int32),
)
FOREST = ForestPart(
    estimator=EstimatorName.LIGHTGBM, trees=(TREE, TREE), features=(5, 0), is_average=True
)
FULL = FittedModel(
    problem_type=ProblemType.REGRESSION,
    target=COLUMNS[0],
    classes=(),
    columns=FULL_COLUMNS,
    features=(*FEATURES, MONTH, LOOKUP, TOPIC, SCORE, ELEMENT, WORDS),
    parts=(replace(LINEAR, terms=(*LINEAR.terms, TEXT, STEP)), FOREST),
    weights=(0.0, 1.0),
    vocabularies=(VOCABULARY,),
)


def change_feature(number: int, **changes: Any) -> FittedModel:
    features = list(FULL.features)
    features[number] = replace(features[number], **changes)
    return replace(FULL, features=tuple(features))


def change_line(*terms: LinearTerm) -> FittedModel:
    return replace(FULL, parts=(replace(LINEAR, terms=terms), FOREST))


def change_tree(**changes: Any) -> FittedModel:
    forest = replace(FOREST, trees=(TREE, replace(TREE, **changes)))
    return replace(FULL, parts=(FULL.parts[0], forest))


def change_vocabulary(**changes: Any) -> FittedModel:
    return replace(FULL, vocabularies=(replace(VOCABULARY, **changes),))


ON_SCORE = replace(NUMBER, feature=5)


REFUSED = [
    (change_feature(3, source=0), "feature 3 is a lookup of nothing"),
    (change_feature(3, source=3), "feature 3 is a lookup of nothing"),
    (change_feature(3, values=(1.0,)), "feature 3 is a lookup of nothing"),
    (change_feature(3, values=(1.0, 2.0, 3.0, np.nan)), "not finite"),
    (change_feature(3, fill=0.0), "a fill for a lookup"),
    (change_feature(3, place=1), "a source or a place"),
    (change_feature(4, source=1), "feature 4 is a topic of nothing"),
    (change_feature(4, place=2), "feature 4 is a topic of nothing"),
    (change_feature(4, fill=0.0), "a fill for a topic"),
    (change_feature(5, source=1), "feature 5 is a score of nothing"),
    (change_feature(5, source=2), "feature 5 is a score of nothing"),
    (change_feature(5, place=1), "feature 5 is a score of nothing"),
    (change_feature(5, fill=0.0), "a fill for a score"),
    (change_line(ON_SCORE), "feature 5 is a score of nothing"),
    (change_feature(7, levels=("a",)), "levels but no code"),
    (change_feature(7, values=(1.0,)), "values but no lookup"),
    (change_feature(0, source=1), "a source or a place"),
    (change_line(replace(TEXT, weights=np.ones((3, 1), np.float32))), "shape"),
    (change_line(replace(TEXT, weights=np.full((2, 1), np.inf, np.float32))), "not finite"),
    (change_line(replace(STEP, feature=0)), 'column "x" has a term of the wrong kind'),
    (change_line(replace(STEP, missing_weights=np.ones(2))), "shape"),
    (change_feature(2, fill=1.5), 'column "t" has a term of the wrong kind'),
    (change_feature(2, fill=-1.0), 'column "t" has a term of the wrong kind'),
    (change_vocabulary(frequency_weights=()), "0 weights of term frequencies"),
    (change_vocabulary(frequency_weights=(1.0,) * 65), "65 weights of term frequencies"),
    (change_vocabulary(frequency_weights=(np.nan,)), "not finite"),
    (change_vocabulary(hashes=VOCABULARY.hashes[::-1]), "do not ascend"),
    (change_vocabulary(hashes=np.array([3, 3], dtype=np.uint64)), "do not ascend"),
    (change_vocabulary(idf=np.ones(3)), "another number of terms"),
    (change_vocabulary(idf=np.array([1.0, np.inf])), "not finite"),
    (change_vocabulary(components=np.ones((1, 2), np.float32)), "another number of terms"),
    (change_vocabulary(components=np.full((2, 2), np.nan, np.float32)), "not finite"),
    (change_tree(threshold=np.array([0.5, np.nan])), "tree 1 of the forest"),
    (change_tree(left=np.array([-1, 0], dtype=np.int32)), "tree 1 of the forest"),
    (change_tree(left=np.array([-1, 1], dtype=np.int32)), "tree 1 of the forest"),
    (change_tree(right=np.array([1, -4], dtype=np.int32)), "tree 1 of the forest"),
    (change_tree(right=np.array([1, -2], dtype=np.int32)), "tree 1 of the forest"),
    (change_tree(values=np.array([[1.0], [2.0], [np.inf]])), "not finite"),
]
"""Models whose bytes no reader may take either, and what names what is in their way."""
UNWRITABLE = [
    (change_feature(3, source=-7), "feature 3 is a lookup of nothing"),
    (change_feature(3, column="x"), "has no lookup"),
    (change_feature(5, column="x"), 'a feature of column "x"'),
    (change_feature(6, place=-1), "a source or a place"),
    (change_feature(6, column="c"), "is category and has no element"),
    (change_feature(7, column="v"), "is array and has no words"),
    (change_line(replace(TEXT, vocabulary=1)), "no vocabulary 1"),
    (change_line(replace(STEP, weights=np.ones((0, 1)))), "no steps"),
    (change_vocabulary(column="x"), 'column "x" is no text'),
    (replace(FULL, parts=(FULL.parts[0], replace(FOREST, trees=()))), "0 trees"),
    (replace(FULL, parts=(FULL.parts[0], replace(FOREST, features=(0, 8)))), "a feature"),
    (change_tree(feature=np.array([0, 2], dtype=np.int32)), "tree 1 of the forest"),
    (change_tree(counts=np.array([1, 2, -3], dtype=np.int32)), "tree 1 of the forest"),
    (change_tree(values=np.ones((3, 2))), "tree 1 of the forest"),
]
"""Models that have no bytes, or those of another model."""


@pytest.mark.parametrize(("model", "named"), [*REFUSED, *UNWRITABLE])
def test_a_construct_is_refused_by_the_name_of_what_is_in_the_way(model, named):
    with pytest.raises(NotCompilable, match=named):
        compile_model(model)


def test_a_sound_model_of_every_construct_is_compiled():
    assert compile_model(FULL).data[:8] == b"SQLMLART"


@pytest.mark.parametrize("features", [(0,), (0, 2), (-1, 0), (0, 0, 1)])
def test_a_booster_is_refused_whose_inputs_are_not_features_of_the_model(features):
    model = train(ProblemType.REGRESSION, objective="l2")
    (part,) = model.parts
    assert isinstance(part, TreePart)
    compile_model(replace(model, parts=(replace(part, features=(1, 0)),)))
    with pytest.raises(NotCompilable, match="feature"):
        compile_model(replace(model, parts=(replace(part, features=features),)))
