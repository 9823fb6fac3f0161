"""
Models drawn at random: boosters written as LightGBM's own text, and linear models.

A trained booster has the splits that its rows suggest. A drawn one has any: every decision
type on every feature, thresholds that are hostile numbers, sets of any categories, trees of
one leaf and of hundreds.
"""

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import lightgbm as lgb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sqlml.enums import ColumnKind, EstimatorName, ProblemType
from sqlml.extract.dataset import Column
from sqlml.extract.reader import ARROW_TYPES
from sqlml.search.fitted import Feature, FeatureOp, FittedModel, Link, TreePart
from tests.predict.models import (
    HOSTILE_NUMBERS,
    INT64,
    TIMESTAMPS,
    booster_of,
    make_model,
    score_with_lightgbm,
)

COLUMNS = (
    Column("x", "double precision", ColumnKind.NUMERIC),
    Column("große Zahl", "bigint", ColumnKind.NUMERIC),
    Column("r", "real", ColumnKind.NUMERIC),
    Column("i", "integer", ColumnKind.NUMERIC),
    Column("is_new", "boolean", ColumnKind.BOOLEAN),
    Column("stadt", "text", ColumnKind.CATEGORY),
    Column("wort", "text", ColumnKind.CATEGORY),
    Column("seen at", "timestamp without time zone", ColumnKind.DATETIME),
)
WORDS: tuple[str, ...] = (
    "",
    " ",
    "a",
    "A",
    "ä",
    "a\u0308",
    "Köln",
    "東京",
    "🐘",
    "NULL",
    "x" * 15,
    "x" * 16,
)
WORDS += ("x" * 17, "x" * 300, *(f"level {number}" for number in range(60)))
NUMBERS = (
    *(number for number in HOSTILE_NUMBERS if math.isfinite(number)),
    *(2.0**24, 2.0**24 + 1, 2.0**24 + 2, 2.0**31 - 1, 2.0**31, -(2.0**31), 2.0**63, -(2.0**63)),
    *(2.0**53 - 1, -(2.0**53) - 2, 1e300, -1e300, -1.0, -0.9, -0.1, 1.0, 1.9, 31.0, 32.0, 63.5),
    *(16777217.0, 3.4028234663852886e38, 1.401298464324817e-45),
)
LEAF_COUNTS = (1, 2, 2, 3, 5, 8, 16, 31, 32, 33, 63, 64, 65, 130)
DATE_OPS = (
    *(FeatureOp.EPOCH, FeatureOp.YEAR, FeatureOp.MONTH, FeatureOp.DAY, FeatureOp.WEEKDAY),
    *(FeatureOp.YEARDAY, FeatureOp.HOUR),
)
CATEGORICAL, DEFAULT_LEFT = 1, 2
MISSING_TYPES = (0, 4, 8)
HEADER = """tree
version=v4
num_class={outputs}
num_tree_per_iteration={outputs}
label_index=0
max_feature_idx={last}
objective={objective}
feature_names={names}
feature_infos={infos}
{switch}
"""
OBJECTIVES = {
    Link.LOGISTIC: ("binary sigmoid:1", "binary sigmoid:0.7", "cross_entropy"),
    Link.SOFTMAX: ("multiclass num_class:3",),
    Link.IDENTITY: ("regression", "regression_l1", "quantile", "huber", "mape"),
    Link.EXP: ("poisson", "gamma", "tweedie"),
    Link.SQUARE: ("regression sqrt",),
}
"""LightGBM's objectives by what they make of the raw scores."""
DRAWN_LINKS = {
    ProblemType.BINARY: (Link.LOGISTIC,),
    ProblemType.MULTICLASS: (Link.SOFTMAX,),
    ProblemType.REGRESSION: (Link.IDENTITY, Link.IDENTITY, Link.EXP, Link.SQUARE),
}


@dataclass(frozen=True, slots=True)
class Size:
    """How large a drawn booster may be."""

    iterations: int = 6
    leaf_counts: tuple[int, ...] = LEAF_COUNTS


def draw_features(rng: np.random.Generator) -> tuple[Feature, ...]:
    """Some features of some columns, in any order, with any fill."""
    features = []
    for column in COLUMNS:
        if rng.random() < 0.3:
            continue
        match column.kind:
            case ColumnKind.CATEGORY:
                count = int(rng.integers(0, len(WORDS)))
                levels = tuple(map(str, rng.permutation(WORDS)[:count]))
                features.append(Feature(column=column.name, op=FeatureOp.CODE, levels=levels))
            case ColumnKind.DATETIME:
                for op in rng.permutation(DATE_OPS)[: rng.integers(1, 4)]:
                    features.append(_with_fill(rng, column.name, FeatureOp(op)))
            case _:
                features.append(_with_fill(rng, column.name, FeatureOp.VALUE))
    if not features:
        features.append(_with_fill(rng, "x", FeatureOp.VALUE))
    return tuple(features[place] for place in rng.permutation(len(features)))


def _with_fill(rng: np.random.Generator, name: str, op: FeatureOp) -> Feature:
    fill = math.nan if rng.random() < 0.7 else float(rng.choice([0.0, -0.0, 1.5, *NUMBERS[:6]]))
    return Feature(column=name, op=op, fill=fill if math.isfinite(fill) else math.nan)


def draw_booster(
    rng: np.random.Generator,
    link: Link,
    features: Sequence[Feature],
    size: Size,
) -> lgb.Booster:
    """A booster that no training would give."""
    outputs = 3 if link is Link.SOFTMAX else 1
    objectives = OBJECTIVES[link]
    head = HEADER.format(
        outputs=outputs,
        last=len(features) - 1,
        objective=objectives[rng.integers(len(objectives))],
        names=" ".join(f"f{index}" for index in range(len(features))),
        infos=" ".join(["[-1:1]"] * len(features)),
        # Random forests divide by the number of their iterations.
        switch="average_output\n" if rng.random() < 0.2 else "",
    )
    tree_count = outputs * int(rng.integers(1, size.iterations + 1))
    trees = [_draw_tree(rng, features, size) for _ in range(tree_count)]
    blocks = [f"Tree={number}\n{tree}\n\n" for number, tree in enumerate(trees)]
    return lgb.Booster(model_str=head + "".join(blocks) + "end of trees\n")


def _draw_tree(rng: np.random.Generator, features: Sequence[Feature], size: Size) -> str:
    leaf_count = int(rng.choice(size.leaf_counts))
    lines = {"num_leaves": str(leaf_count), "num_cat": "0"}
    if leaf_count > 1:
        lines |= _draw_splits(rng, features, leaf_count)
    lines["leaf_value"] = _join(_draw_leaves(rng, leaf_count))
    lines |= {"is_linear": "0", "shrinkage": "1"}
    return "\n".join(f"{key}={value}" for key, value in lines.items())


def _draw_leaves(rng: np.random.Generator, count: int) -> list[float]:
    scale = float(rng.choice([1.0, 1e-9, 1e6]))
    leaves = rng.normal(size=count) * scale
    odd = rng.random(count) < 0.05
    leaves[odd] = rng.choice([0.0, -0.0, 5e-324, 1e-35, 1e300, -1e300], odd.sum())
    return list(map(float, leaves))


def _draw_splits(
    rng: np.random.Generator, features: Sequence[Feature], leaf_count: int
) -> dict[str, str]:
    """Split leaf after leaf, numbered as LightGBM does."""
    node_count = leaf_count - 1
    left, right = draw_children(rng, leaf_count)
    chosen = rng.integers(0, len(features), node_count)
    types, thresholds, bounds, words = [], [], [0], []
    for place in chosen:
        feature = features[place]
        if rng.random() < (0.7 if feature.op is FeatureOp.CODE else 0.1):
            types.append(CATEGORICAL | int(rng.choice(MISSING_TYPES)))
            thresholds.append(float(len(bounds) - 1))
            words += _draw_set(rng)
            bounds.append(len(words))
        else:
            left_bit = DEFAULT_LEFT if rng.random() < 0.5 else 0
            types.append(left_bit | int(rng.choice(MISSING_TYPES)))
            thresholds.append(draw_threshold(rng, feature))
    lines = {
        "split_feature": _join(chosen),
        "split_gain": _join([1] * node_count),
        "threshold": _join(thresholds),
        "decision_type": _join(types),
        "left_child": _join(left),
        "right_child": _join(right),
    }
    if words:
        lines |= {
            "num_cat": str(len(bounds) - 1),
            "cat_boundaries": _join(bounds),
            "cat_threshold": _join(words),
        }
    return lines


def draw_children(rng: np.random.Generator, leaf_count: int) -> tuple[list[int], list[int]]:
    """Left and right children of a tree, a child below 0 being leaf -1 - child."""
    left, right = [-1] * (leaf_count - 1), [0] * (leaf_count - 1)
    holders: list[tuple[list[int], int] | None] = [None]
    for node in range(leaf_count - 1):
        leaf = int(rng.integers(0, node + 1))
        holder = holders[leaf]
        if holder is not None:
            children, place = holder
            children[place] = node
        left[node], right[node] = -1 - leaf, -2 - node
        holders[leaf] = (left, node)
        holders.append((right, node))
    return left, right


def _draw_set(rng: np.random.Generator) -> list[int]:
    return [int(word) for word in rng.integers(0, 2**32, int(rng.integers(1, 4)))]


def draw_threshold(rng: np.random.Generator, feature: Feature) -> float:
    """A threshold near the values of a feature, or a hostile one."""
    if feature.op is FeatureOp.CODE:
        return float(rng.integers(-1, len(feature.levels) + 3)) + float(rng.choice([0.0, 0.5]))
    if rng.random() < 0.3:
        return float(rng.choice((*NUMBERS, math.inf)))
    spread = {FeatureOp.VALUE: 3.0, FeatureOp.EPOCH: 1e9, FeatureOp.YEAR: 2000.0}
    return float(rng.normal()) * spread.get(feature.op, 20.0)


def _join(values: Iterable[object]) -> str:
    return " ".join(repr(value) if isinstance(value, float) else str(value) for value in values)


def draw_trees(seed: int, problem_type: ProblemType, size: Size) -> FittedModel:
    """A model of drawn trees."""
    rng = np.random.default_rng(seed)
    features = draw_features(rng)
    links = DRAWN_LINKS[problem_type]
    link = links[rng.integers(len(links))]
    booster = draw_booster(rng, link, features, size)
    part = TreePart(estimator=EstimatorName.LIGHTGBM, booster=booster)
    return replace(make_model(problem_type, features, part, COLUMNS), link=link)


def score_drawn(model: FittedModel, table: pa.Table) -> NDArray[np.float64]:
    """
    The raw scores of a model, from LightGBM's own: those are neither divided by the
    iterations of a random forest nor multiplied by the objective's sigmoid.
    """
    text = booster_of(model).model_to_string()
    scores = score_with_lightgbm(model, table)
    if "\naverage_output\n" in text:
        scores = scores / booster_of(model).current_iteration()
    sigmoid = re.search(r"^objective=.* sigmoid:(\S+)", text, re.MULTILINE)
    return scores * float(sigmoid[1]) if sigmoid else scores


def find_thresholds(model: FittedModel) -> dict[str, list[float]]:
    """The thresholds that the boosters of a model have, by the column they are compared with."""
    found: dict[str, list[float]] = {column.name: [] for column in model.columns}
    for part in model.parts:
        if isinstance(part, TreePart):
            places = range(len(model.features)) if part.features is None else part.features
            for place, threshold in find_splits(part.booster):
                feature = model.features[places[place]]
                scale = 1e6 if feature.op is FeatureOp.EPOCH else 1.0
                if feature.column in found:
                    found[feature.column].append(threshold * scale)
    return found


def find_splits(booster: lgb.Booster) -> Iterator[tuple[int, float]]:
    """The inputs and thresholds of the numerical splits of a booster."""
    fields = dict.fromkeys(("split_feature", "threshold", "decision_type"), "")
    for line in booster.model_to_string().split("\n"):
        key, _, value = line.partition("=")
        if key in fields:
            fields[key] = value
        if key == "decision_type":
            splits = zip(*(fields[name].split() for name in fields), strict=True)
            for place, threshold, kind in splits:
                if not int(kind) & CATEGORICAL:
                    yield int(place), float(threshold)


def draw_rows(seed: int, model: FittedModel, count: int) -> pa.Table:
    """Rows that aim at a model: at its thresholds, beside them, and at what is hostile."""
    rng = np.random.default_rng(seed + 1)
    thresholds = find_thresholds(model)
    return pa.table(
        {
            column.name: pa.array(
                _draw_column(rng, column, thresholds[column.name], count), ARROW_TYPES[column.kind]
            )
            for column in model.columns
        }
    )


def _draw_column(
    rng: np.random.Generator, column: Column, thresholds: Sequence[float], count: int
) -> list[object]:
    values: list[object]
    match column.kind:
        case ColumnKind.BOOLEAN:
            values = list(map(bool, rng.integers(0, 2, count)))
        case ColumnKind.CATEGORY:
            values = [str(word) for word in rng.choice((*WORDS, "unseen", "LEVEL 1"), count)]
        case ColumnKind.DATETIME:
            values = _draw_micros(rng, thresholds, count)
        case ColumnKind.NUMERIC:
            values = [
                fit_number(number, column.type_name)
                for number in _draw_numbers(rng, thresholds, count)
            ]
    is_null = rng.random(count) < rng.choice([0.0, 0.1, 1.0], p=[0.3, 0.65, 0.05])
    return [None if null else value for null, value in zip(is_null, values, strict=True)]


def _draw_numbers(rng: np.random.Generator, thresholds: Sequence[float], count: int) -> list[float]:
    pool = np.array([*thresholds, *NUMBERS, math.nan, math.inf, -math.inf])
    numbers = rng.choice(
        pool[: len(thresholds)] if thresholds and rng.random() < 0.5 else pool, count
    )
    numbers = np.where(rng.random(count) < 0.2, rng.normal(size=count) * 3, numbers)
    numbers = np.where(rng.random(count) < 0.1, rng.integers(-3, 100, count), numbers)
    # Towards itself a number stays where it is.
    ways = rng.choice([np.inf, -np.inf, 0.0], count, p=[0.25, 0.25, 0.5])
    with np.errstate(over="ignore"):
        aside = np.nextafter(numbers, np.where(ways == 0.0, numbers, ways))
    return list(map(float, aside))


def fit_number(number: float, type_name: str) -> float | None:
    """The number as a column of this type would hold it; None where it cannot."""
    if type_name == "real":
        with np.errstate(over="ignore"):
            return float(np.float32(number))
    if type_name in ("integer", "bigint"):
        limit = 2.0**31 if type_name == "integer" else 2.0**63
        rounded = float(np.rint(number))
        return rounded if -limit <= rounded < limit else None
    return number


def _draw_micros(rng: np.random.Generator, thresholds: Sequence[float], count: int) -> list[object]:
    near = [int(value) for value in thresholds if abs(value) < 2.0**62]
    pool = [*near, *(value + 1 for value in near), *TIMESTAMPS, *INT64, 0, -1]
    return [
        pool[rng.integers(len(pool))] if rng.random() < 0.5 else int(rng.integers(*TIMESTAMPS))
        for _ in range(count)
    ]
