# ruff: noqa: RUF001
"""
Models drawn at random of every construct of an artifact: features made of others, texts,
steps, boosters that see some of the features, forests, parts of weight 0, mixed links.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sqlml.enums import ColumnKind, EstimatorName, ProblemType
from sqlml.extract.dataset import Column
from sqlml.predict.reference_features import hash_terms
from sqlml.search.fitted import (
    LINKS,
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
from tests.predict import forests
from tests.predict.models import get_output_count, make_classes
from tests.predict.random_models import (
    COLUMNS,
    NUMBERS,
    Size,
    draw_booster,
    draw_children,
    draw_features,
    draw_rows,
    draw_threshold,
)

TEXT_COLUMNS = ("stadt", "wort")
COUNTS = (FeatureOp.CHARACTERS, FeatureOp.DIGITS)
WORDS = (FeatureOp.WORDS, FeatureOp.CAPITALS)
STEPS = {FeatureOp.MONTH: 13, FeatureOp.DAY: 32, FeatureOp.WEEKDAY: 7, FeatureOp.HOUR: 24}
PIECES = (
    *("the", "The", "THE", "a", "Köln", "KÖLN", "ko\u0308ln", "straße", "STRASSE", "Ärger", "it's"),
    *("don't", "state-of-the-art", "x_y", "_", "42", "3.14", "１２", "Ａ", "ａ", "東京", "タワー"),
    *("ひらがな", "서울", "Москва", "МОСКВА", "Ёлка", "ΣΊΣΥΦΟΣ", "σίσυφος", "İstanbul", "ŁÓDŹ"),
    *("ÿ", "Ÿ", "ĸ", "ŉ", "ſ", "×", "÷", "ªº", "µ", "¼", "€", "🐘", "🐘🐘", "、", "。", "：", "／"),
    *("\u0301", "\ufeff", "-", "—", "…", "¡", "¿"),
    *("\u200b", "\u3000", "\uffff", "\U0010ffff", "\n", "\t", "", " "),
)
"""What texts are made of: words of many scripts, and what is no word."""
SEPARATORS = (" ", " ", " ", "", "\n", ", ", "-", "\u00a0", "\u2003")
MIXED_LINKS = (Link.IDENTITY, Link.EXP, Link.EXPM1, Link.SQUARE)
VECTOR = Column("v", "real[]", ColumnKind.ARRAY)
ARRAY_OPS = (FeatureOp.LENGTH, FeatureOp.MEAN, FeatureOp.MINIMUM, FeatureOp.MAXIMUM)
Generator = np.random.Generator


def draw_text(rng: Generator) -> str:
    """A text of any length, whose words come again."""
    count = int(rng.choice([0, 1, 2, 5, 20, 200], p=[0.05, 0.2, 0.2, 0.3, 0.2, 0.05]))
    pool = rng.choice(PIECES, max(1, count // 3))
    pieces = rng.choice(pool, count)
    return "".join(f"{piece}{rng.choice(SEPARATORS)}" for piece in pieces)


def make_vocabulary(
    column: str, hashes: Sequence[int], rng: Generator, width: int = 2
) -> Vocabulary:
    """A vocabulary of some terms, with any weights and components."""
    ascending = np.unique(np.array(hashes, dtype=np.uint64))
    frequency_count = int(rng.choice([1, 2, 3, 64]))
    return Vocabulary(
        column=column,
        bigrams=bool(rng.integers(2)),
        normalise=bool(rng.integers(2)),
        frequency_weights=tuple(map(float, 1 + np.log(np.arange(1, frequency_count + 1)))),
        hashes=ascending,
        idf=rng.choice([0.0, 1.0, 2.5, 1e-200], len(ascending)) * rng.normal(size=len(ascending)),
        components=rng.normal(size=(len(ascending), width)).astype(np.float32),
    )


def draw_vocabularies(rng: Generator) -> tuple[Vocabulary, ...]:
    """Up to three vocabularies, of which some know nothing."""
    vocabularies = []
    for _ in range(rng.integers(4)):
        texts = [draw_text(rng) for _ in range(rng.choice([0, 3, 30]))]
        terms = [term for text in (*texts, *PIECES) for term in hash_terms(text, True)]
        known = rng.choice(
            np.array(terms, dtype=np.uint64), int(rng.choice([0, 1, 20, len(terms)]))
        )
        width = int(rng.choice([0, 1, 3]))
        column = str(rng.choice(TEXT_COLUMNS))
        vocabularies.append(make_vocabulary(column, list(map(int, known)), rng, width))
    return tuple(vocabularies)


def _draw_fill(rng: Generator) -> float:
    return math.nan if rng.random() < 0.6 else float(rng.choice([0.0, -1.0, 7.5]))


def draw_all_features(
    rng: Generator, vocabularies: Sequence[Vocabulary], sources: Sequence[int], outputs: int
) -> tuple[Feature, ...]:
    """
    Features of every operation in any order, but lookups after their codes.

    `sources` are the parts that scores may be of. Without vocabularies neither words nor
    arrays are read.
    """
    found: list[tuple[float, Feature]] = [
        (float(rng.random()), feature) for feature in draw_features(rng)
    ]
    for column in TEXT_COLUMNS:
        for op in (*COUNTS, *WORDS) if vocabularies else COUNTS:
            if rng.random() < 0.3:
                feature = Feature(column=column, op=op, fill=_draw_fill(rng))
                found.append((float(rng.random()), feature))
    if vocabularies:
        for op in rng.choice([*ARRAY_OPS, FeatureOp.ELEMENT], 3):
            place = int(rng.integers(4)) if op == FeatureOp.ELEMENT else 0
            feature = Feature(
                column=VECTOR.name, op=FeatureOp(op), place=place, fill=_draw_fill(rng)
            )
            found.append((float(rng.random()), feature))
    for source, vocabulary in enumerate(vocabularies):
        for place in range(vocabulary.components.shape[1]):
            feature = Feature(
                column=vocabulary.column, op=FeatureOp.TOPIC, source=source, place=place
            )
            found.append((float(rng.random()), feature))
    for source in sources:
        place = int(rng.integers(outputs))
        feature = Feature(column="", op=FeatureOp.SCORE, source=source, place=place)
        found.append((float(rng.random()), feature))
    return _add_lookups(rng, [feature for _, feature in sorted(found, key=lambda item: item[0])])


def _add_lookups(rng: Generator, features: list[Feature]) -> tuple[Feature, ...]:
    """Put lookups anywhere behind their codes."""
    for _ in range(rng.integers(4)):
        codes = [place for place, feature in enumerate(features) if feature.op is FeatureOp.CODE]
        if not codes:
            break
        source = int(rng.choice(codes))
        place = int(rng.integers(source + 1, len(features) + 1))
        lookup = Feature(
            column=features[source].column,
            op=FeatureOp.LOOKUP,
            source=source,
            values=tuple(map(float, rng.normal(size=len(features[source].levels) + 2))),
        )
        features = [
            replace(feature, source=feature.source + 1)
            if feature.op is FeatureOp.LOOKUP and feature.source >= place
            else feature
            for feature in features
        ]
        features.insert(place, lookup)
    return tuple(features)


@dataclass(frozen=True, slots=True)
class Around:
    """What a part is drawn for."""

    features: tuple[Feature, ...]
    vocabularies: tuple[Vocabulary, ...]
    link: Link
    outputs: int
    blend: Blend


def draw_line(rng: Generator, around: Around, *, may_use_scores: bool) -> LinearPart:
    """A linear part with terms of every kind, in any order."""
    places = [
        place
        for place, feature in enumerate(around.features)
        if may_use_scores or feature.op is not FeatureOp.SCORE
    ]
    terms: list[LinearTerm] = [
        _draw_term(rng, place, around.features[place], around.outputs)
        for place in rng.choice(places, int(rng.integers(0, len(places) + 1)))
    ]
    for place, vocabulary in enumerate(around.vocabularies):
        weights = rng.normal(size=(len(vocabulary.hashes), around.outputs)).astype(np.float32)
        terms.insert(int(rng.integers(len(terms) + 1)), TextTerm(vocabulary=place, weights=weights))
    intercepts = rng.normal(size=around.outputs)
    return LinearPart(estimator=EstimatorName.LINEAR, intercepts=intercepts, terms=tuple(terms))


def _draw_term(rng: Generator, place: int, feature: Feature, outputs: int) -> LinearTerm:
    missing_weights = rng.normal(size=outputs)
    if feature.op is FeatureOp.CODE:
        weights = rng.normal(size=(len(feature.levels) + 2, outputs))
        return CodeTerm(feature=place, weights=weights)
    is_whole = math.isnan(feature.fill) or (feature.fill >= 0 and feature.fill % 1 == 0)
    if feature.op in STEPS and is_whole and rng.random() < 0.7:
        count = int(rng.choice([1, 3, STEPS[feature.op]]))
        weights = rng.normal(size=(count, outputs))
        return StepTerm(feature=place, weights=weights, missing_weights=missing_weights)
    return NumericTerm(
        feature=place,
        low=float(rng.choice([-1.5, -1e6])),
        high=float(rng.choice([-1.5, 3.0, 1e6])),
        mean=float(rng.normal()),
        inverse_scale=float(rng.random()),
        weights=rng.normal(size=outputs),
        missing_weights=missing_weights,
    )


def draw_trees_of_some(rng: Generator, around: Around) -> TreePart:
    """A booster on some of the features, in any order, one also twice."""
    count = int(rng.integers(1, len(around.features) + 2))
    places = tuple(map(int, rng.choice(len(around.features), count)))
    if around.blend is Blend.RAW:
        features = [around.features[place] for place in places]
        booster = draw_booster(rng, around.link, features, Size(iterations=3))
    else:
        # Their leaves are of ordinary size: exp() of others is infinite.
        objective = {Link.LOGISTIC: "binary sigmoid:1", Link.SOFTMAX: "multiclass num_class:3"}
        shape = forests.Shape(
            feature_count=count,
            output_count=around.outputs,
            objective=objective.get(around.link, "regression"),
            is_average=bool(rng.integers(2)),
            is_tame=True,
        )
        booster = forests.draw_booster(shape, int(rng.integers(2**31)))
    return TreePart(estimator=EstimatorName.LIGHTGBM, booster=booster, features=places)


def draw_forest(rng: Generator, around: Around) -> ForestPart:
    """A forest of plain arrays, some of its trees a single leaf."""
    count = int(rng.integers(1, len(around.features) + 1))
    places = tuple(map(int, rng.choice(len(around.features), count)))
    features = [around.features[place] for place in places]
    trees = [_draw_plain_tree(rng, features, around.outputs) for _ in range(rng.integers(1, 6))]
    return ForestPart(
        estimator=EstimatorName.LIGHTGBM,
        trees=tuple(trees),
        features=places,
        is_average=bool(rng.integers(2)),
    )


def _draw_plain_tree(rng: Generator, features: Sequence[Feature], outputs: int) -> Tree:
    leaf_count = int(rng.choice([1, 2, 9, 70]))
    left, right = draw_children(rng, leaf_count)
    chosen = rng.integers(len(features), size=leaf_count - 1)
    return Tree(
        feature=chosen.astype(np.int32),
        threshold=np.array([draw_threshold(rng, features[place]) for place in chosen], dtype=float),
        left=np.array(left, dtype=np.int32),
        right=np.array(right[: leaf_count - 1], dtype=np.int32),
        missing_left=rng.random(leaf_count - 1) < 0.5,
        values=rng.normal(size=(leaf_count, outputs)),
        counts=rng.integers(0, 100, leaf_count).astype(np.int32),
    )


def draw_model(seed: int, problem_type: ProblemType, *, has_words: bool = True) -> FittedModel:
    """A model of every construct; of those that SQL can follow if it has no words."""
    rng = np.random.default_rng(seed)
    outputs = get_output_count(problem_type)
    vocabularies = draw_vocabularies(rng) if has_words else ()
    kinds = list(rng.permutation(["source", "line", "booster", "forest", "source"]))
    kinds = kinds[: int(rng.integers(1, 6))]
    sources = [place for place, kind in enumerate(kinds) if kind == "source"]
    used = [place for place in sources for _ in range(int(rng.integers(3)))]
    features = draw_all_features(rng, vocabularies, used, outputs)
    blend, link = _draw_blend(rng, problem_type)
    is_mixed = blend is Blend.RESPONSE and link is not Link.LOGISTIC
    is_mixed = is_mixed and problem_type is ProblemType.REGRESSION
    links = [MIXED_LINKS[rng.integers(4)] if is_mixed else link for _ in kinds]
    parts = tuple(
        _draw_part(rng, kind, Around(features, vocabularies, part_link, outputs, blend))
        for kind, part_link in zip(kinds, links, strict=True)
    )
    weights = rng.normal(size=len(parts))
    if blend is Blend.RESPONSE:
        weights = np.abs(weights)
    weights[rng.random(len(parts)) < 0.3] = 0.0
    weights[rng.integers(len(parts))] = float(rng.choice([1.0, 0.25]))
    return FittedModel(
        problem_type=problem_type,
        target=COLUMNS[0],
        classes=make_classes(problem_type),
        columns=(*COLUMNS, VECTOR) if vocabularies else COLUMNS,
        features=features,
        parts=parts,
        weights=tuple(map(float, weights)),
        blend=blend,
        link=link,
        scale=float(rng.choice([1.0, 0.7])),
        offsets=tuple(map(float, rng.normal(size=outputs))) if rng.random() < 0.5 else (),
        vocabularies=vocabularies,
        links=tuple(links) if rng.random() < 0.5 or is_mixed else (),
    )


def _draw_blend(rng: Generator, problem_type: ProblemType) -> tuple[Blend, Link]:
    if rng.random() < 0.5:
        links = LINKS[problem_type]
        # Boosters have no objective for these.
        if problem_type is ProblemType.REGRESSION:
            links = (Link.IDENTITY, Link.EXP, Link.SQUARE)
        return Blend.RAW, links[rng.integers(len(links))]
    links = LINKS[problem_type]
    if problem_type is ProblemType.REGRESSION:
        links = (Link.IDENTITY, Link.EXP)
    return Blend.RESPONSE, links[rng.integers(len(links))]


def _draw_part(rng: Generator, kind: str, around: Around) -> Part:
    match kind:
        case "booster":
            return draw_trees_of_some(rng, around)
        case "forest":
            return draw_forest(rng, around)
    return draw_line(rng, around, may_use_scores=kind == "line")


def draw_table(seed: int, model: FittedModel, count: int) -> pa.Table:
    """Rows that aim at a model, with texts of many scripts."""
    rng = np.random.default_rng(seed)
    table = draw_rows(seed, replace(model, columns=COLUMNS), count)
    if VECTOR in model.columns:
        table = table.append_column(VECTOR.name, pa.array(_draw_arrays(rng, count)))
    for place, column in enumerate(model.columns):
        if column.kind is ColumnKind.CATEGORY:
            texts = [
                draw_text(rng) if rng.random() < 0.7 else value
                for value in table.column(place).to_pylist()
            ]
            table = table.set_column(place, column.name, pa.array(texts, pa.large_string()))
    return table


def _draw_arrays(rng: Generator, count: int) -> list[list[float | None] | None]:
    """Arrays of any length, one of them without numbers; elements may be missing."""
    pool = np.array([*NUMBERS, None, None, math.nan, math.inf], dtype=object)
    arrays = [list(rng.choice(pool, rng.integers(6))) for _ in range(count - 2)]
    return [*arrays, None, [None, 1.0, -0.0, 0.0, math.nan]]


def same_bits(found: NDArray[np.float64], expected: NDArray[np.float64]) -> bool:
    """Whether two arrays are equal, -0 not being 0, and NaN being NaN whatever its bits."""
    found, expected = np.asarray(found, dtype=float), np.asarray(expected, dtype=float)
    is_number = ~np.isnan(expected)
    return bool(
        (np.isnan(found) == ~is_number).all()
        and found[is_number].tobytes() == expected[is_number].tobytes()
    )
