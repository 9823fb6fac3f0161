"""
Every evaluator of the core gives LightGBM's raw scores, with every instruction set.

The boosters are not trained but written: trees whose splits stand at the hardest values,
with every rule about missing values on one feature.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import lightgbm as lgb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sqlml import _scoring
from sqlml.compile.artifact import compile_model
from sqlml.enums import ColumnKind, EstimatorName, ProblemType
from sqlml.extract.dataset import Column
from sqlml.predict.scorer import Scorer
from sqlml.search.fitted import Feature, FeatureOp, FittedModel, TreePart
from tests.predict.models import make_model, make_table, score_with_lightgbm

EVALUATORS = {"plain": 1, "masks": 2, "walk": 3}
INSTRUCTIONS = {"portable": 1, "avx2": 2, "avx512": 3}
"""The numbers of evaluator.h."""

LIMIT = float(np.float32(1e-35))
SPECIAL = (
    *(0.0, -0.0, LIMIT, -LIMIT, 5e-324, -5e-324, 1e-36, 2.2250738585072014e-308, 1.0, -1.0, 0.5),
    *(2.0**24 + 1, 2.0**31 - 1, 2.0**31, 2.0**53, 2.0**53 + 2, -(2.0**53), 1e300, math.inf),
    -math.inf,
)
SIXTEEN = "sechzehn Zeichen"
LEVELS = (
    "",
    "a",
    "aa",
    "aaa",
    "aab",
    "aaaa",
    "1234567",
    "12345678",
    "123456789",
    SIXTEEN,
    SIXTEEN + "!",
    SIXTEEN + "?",
)
NUMBERS = ("x", "y", "z")
HAS_MANY_LEVELS = 3000


@dataclass(frozen=True)
class Shape:
    """What a booster is to be like."""

    problem_type: ProblemType
    leaf_counts: tuple[int, ...]
    many_levels: int = 40
    has_only_numbers: bool = False


def columns_of(shape: Shape) -> tuple[tuple[Column, ...], tuple[Feature, ...]]:
    numbers = [Column(name, "double precision", ColumnKind.NUMERIC) for name in NUMBERS]
    texts = [Column(name, "text", ColumnKind.CATEGORY) for name in ("few", "many")]
    times = [Column("at", "timestamp with time zone", ColumnKind.DATETIME)]
    many = tuple(f"level {i}" for i in range(shape.many_levels))
    plain = tuple(Feature(column=name, op=FeatureOp.VALUE) for name in NUMBERS[:2])
    if shape.has_only_numbers:
        return tuple(numbers[:2]), plain
    features = (
        *plain,
        Feature(column="z", op=FeatureOp.VALUE, fill=0.5),
        Feature(column="few", op=FeatureOp.CODE, levels=LEVELS),
        Feature(column="many", op=FeatureOp.CODE, levels=many),
        Feature(column="at", op=FeatureOp.MONTH),
        Feature(column="at", op=FeatureOp.HOUR, fill=-1.0),
    )
    return (*numbers, *texts, *times), features


def draw_threshold(rng: np.random.Generator, feature: Feature) -> float:
    if feature.op is not FeatureOp.VALUE:
        return float(rng.integers(0, 24)) + 0.5
    if rng.random() < 0.3:
        return float(rng.choice(SPECIAL))
    return float(rng.normal() if rng.random() < 0.7 else rng.integers(-300, 300))


def draw_words(rng: np.random.Generator, feature: Feature) -> list[int]:
    """A category set: of a code some of its codes, of a number any categories."""
    count = len(feature.levels) + 2 if feature.op is FeatureOp.CODE else int(rng.integers(1, 100))
    members = rng.random(count) < rng.random()
    words = [0] * ((count + 31) // 32)
    for category in np.flatnonzero(members).tolist():
        words[category // 32] |= 1 << (category % 32)
    return words


def draw_tree(rng: np.random.Generator, features: Sequence[Feature], leaf_count: int) -> str:
    """A tree in LightGBM's text, every split of a leaf drawn at random."""
    children: list[list[int]] = []
    parents: list[tuple[int, int]] = [(-1, 0)]
    splits: list[tuple[int, int, float]] = []
    words: list[int] = []
    bounds = [0]
    for node in range(leaf_count - 1):
        leaf = int(rng.integers(len(parents)))
        parent, side = parents[leaf]
        if parent >= 0:
            children[parent][side] = node
        children.append([~leaf, ~len(parents)])
        parents[leaf] = (node, 0)
        parents.append((node, 1))
        index = int(rng.integers(len(features)))
        feature = features[index]
        is_set = rng.random() < (0.9 if feature.op is FeatureOp.CODE else 0.1)
        if is_set:
            words += draw_words(rng, feature)
            splits.append((index, int(rng.choice([1, 9])), float(len(bounds) - 1)))
            bounds.append(len(words))
        else:
            flags = 2 * int(rng.integers(2)) + 4 * int(rng.integers(3))
            splits.append((index, flags, draw_threshold(rng, feature)))
    leaves = rng.normal(size=leaf_count) * 10.0 ** rng.integers(-12, 12, size=leaf_count)
    ones = " ".join(["1"] * leaf_count)
    lines = {
        "num_leaves": leaf_count,
        "num_cat": len(bounds) - 1,
        "split_feature": " ".join(str(index) for index, _, _ in splits),
        "split_gain": " ".join("1" for _ in splits),
        "threshold": " ".join(repr(threshold) for _, _, threshold in splits),
        "decision_type": " ".join(str(flags) for _, flags, _ in splits),
        "left_child": " ".join(str(left) for left, _ in children),
        "right_child": " ".join(str(right) for _, right in children),
        "leaf_value": " ".join(repr(float(leaf)) for leaf in leaves),
        "leaf_weight": ones,
        "leaf_count": ones,
        "internal_value": " ".join("0" for _ in splits),
        "internal_weight": " ".join("1" for _ in splits),
        "internal_count": " ".join("1" for _ in splits),
    }
    if len(bounds) > 1:
        lines["cat_boundaries"] = " ".join(map(str, bounds))
        lines["cat_threshold"] = " ".join(map(str, words))
    lines |= {"is_linear": 0, "shrinkage": 1}
    return "".join(f"{key}={value}\n" for key, value in lines.items())


OBJECTIVES = {
    ProblemType.BINARY: "binary sigmoid:1",
    ProblemType.MULTICLASS: "multiclass num_class:3",
    ProblemType.REGRESSION: "regression",
}


def draw_model(rng: np.random.Generator, shape: Shape) -> FittedModel:
    columns, features = columns_of(shape)
    outputs = 3 if shape.problem_type is ProblemType.MULTICLASS else 1
    head = {
        "version": "v4",
        "num_class": outputs,
        "num_tree_per_iteration": outputs,
        "label_index": 0,
        "max_feature_idx": len(features) - 1,
        "objective": OBJECTIVES[shape.problem_type],
        "feature_names": " ".join(f"Column_{i}" for i in range(len(features))),
        "feature_infos": " ".join("[-1:1]" for _ in features),
    }
    text = "tree\n" + "".join(f"{key}={value}\n" for key, value in head.items()) + "\n"
    for index, leaf_count in enumerate(shape.leaf_counts):
        text += f"Tree={index}\n{draw_tree(rng, features, leaf_count)}\n\n"
    text += "end of trees\n\nfeature_importances:\n\nparameters:\nend of parameters\n"
    booster = lgb.Booster(model_str=text)
    part = TreePart(estimator=EstimatorName.LIGHTGBM, booster=booster)
    return make_model(shape.problem_type, features, part, columns)


def find_thresholds(model: FittedModel, booster: lgb.Booster) -> list[float]:
    """Every threshold of a number, and the numbers beside it."""
    found = []
    for line in booster.model_to_string().split("\n"):
        if line.startswith("threshold="):
            found += [float(word) for word in line.partition("=")[2].split()]
    return [
        float(value)
        for threshold in sorted(set(found))
        for value in (
            threshold,
            np.nextafter(threshold, math.inf),
            np.nextafter(threshold, -math.inf),
        )
    ]


def draw_rows(
    rng: np.random.Generator, shape: Shape, thresholds: Sequence[float], count: int
) -> list[dict[str, Any]]:
    numbers = (*thresholds, *SPECIAL, math.nan, 3.0, 40.5, 99.0, 1e9)
    few = (*LEVELS, SIXTEEN + ".", "c", "ä", "ab", "aba", "aaaaa", SIXTEEN[:-1])
    rows: list[dict[str, Any]] = [
        {name: float(rng.choice(numbers)) for name in NUMBERS}
        | {
            "few": str(rng.choice(few)),
            "many": f"level {rng.integers(shape.many_levels + 2)}",
            "at": int(rng.integers(-(2**60), 2**60)),
        }
        for _ in range(count)
    ]
    for row in rows:
        for name in row:
            if rng.random() < 0.1:
                row[name] = None
    return rows


def open_all(data: bytes) -> dict[str, Scorer]:
    """The artifact with each evaluator that suits it and each set of instructions here."""
    scorers = {}
    for (kind, number), (name, instructions) in itertools.product(
        EVALUATORS.items(), INSTRUCTIONS.items()
    ):
        scorer = Scorer(data, "m")
        scorer._model = _scoring.open(data, "m", number, instructions)
        if scorer._model.evaluators == (kind,) and scorer._model.instructions in (name, None):
            scorers[f"{kind} {name}"] = scorer
    return scorers


def check_model(shape: Shape, seed: int, row_count: int) -> dict[str, Scorer]:
    rng = np.random.default_rng(seed)
    model = draw_model(rng, shape)
    data = compile_model(model).data
    part = get_part(model)
    table = make_table(
        draw_rows(rng, shape, find_thresholds(model, part.booster), row_count), model.columns
    )
    expected = score_with_lightgbm(model, table)
    scorers = open_all(data)
    for name, scorer in scorers.items():
        scores = scorer.raw_scores(table)
        different = np.flatnonzero((scores.view(np.int64) != expected.view(np.int64)).any(axis=1))
        assert not different.size, f"{name}: {table.slice(int(different[0]), 1).to_pylist()}"
    return scorers


def get_part(model: FittedModel) -> TreePart:
    (part,) = model.parts
    assert isinstance(part, TreePart)
    return part


leaf_counts = st.sampled_from((1, 2, 3, 8, 31, 32, 33, 63, 64, 65, 127, 300))


@st.composite
def shapes(draw: st.DrawFn) -> Shape:
    problem_type = draw(st.sampled_from(ProblemType))
    most = draw(leaf_counts)
    outputs = 3 if problem_type is ProblemType.MULTICLASS else 1
    counts = draw(
        st.lists(leaf_counts.filter(lambda count: count <= most), min_size=1, max_size=40)
    )
    return Shape(
        problem_type=problem_type,
        leaf_counts=tuple(counts * outputs),
        many_levels=draw(st.sampled_from((1, 40, 300))),
    )


@given(shape=shapes(), seed=st.integers(0, 2**32))
@settings(max_examples=100, deadline=None)
def test_every_evaluator_is_bit_equal_to_lightgbm(shape, seed):
    check_model(shape, seed, row_count=60)


@pytest.mark.parametrize(
    ("leaf_count", "tree_count", "kinds"),
    [
        (1, 3, {"plain", "masks", "walk"}),
        (31, 100, {"plain", "masks", "walk"}),
        (32, 65, {"plain", "masks", "walk"}),
        (64, 33, {"plain", "masks", "walk"}),
        (65, 9, {"plain", "walk"}),
        (300, 20, {"plain", "walk"}),
    ],
)
def test_the_size_decides_on_the_evaluator(leaf_count, tree_count, kinds):
    shape = Shape(ProblemType.BINARY, (leaf_count,) * tree_count)
    scorers = check_model(shape, 1, row_count=200)
    assert {name.split()[0] for name in scorers} == kinds
    assert {name.split()[1] for name in scorers} >= {"portable"}
    chosen = _scoring.open(compile_model(draw_model(np.random.default_rng(1), shape)).data, "m")
    assert chosen.evaluators == ("masks" if "masks" in kinds else "walk",)


@pytest.mark.parametrize("leaf_count", [31, 63, 300])
def test_thousands_of_categories(leaf_count):
    shape = Shape(ProblemType.BINARY, (leaf_count,) * 40, many_levels=HAS_MANY_LEVELS)
    scorers = check_model(shape, 2, row_count=500)
    assert {name.split()[0] for name in scorers} >= (
        {"masks", "walk"} if leaf_count < 65 else {"walk"}
    )


def test_more_thresholds_than_three_steps_of_a_search_tell_apart():
    shape = Shape(ProblemType.REGRESSION, (64,) * 340, has_only_numbers=True)
    model = draw_model(np.random.default_rng(3), shape)
    # Each number stands there with its two neighbours, and two features share them.
    assert len(find_thresholds(model, get_part(model).booster)) > 3 * 2 * 16**3
    scorers = check_model(shape, 3, row_count=1000)
    assert {name.split()[0] for name in scorers} == {"plain", "masks", "walk"}
