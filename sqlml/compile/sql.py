"""
A fitted model becomes SQL that gives the same scores, predictions and probabilities.

The SQL is a chain of common table expressions. The first reads the model's columns from
`input`, the last, `answer`, holds each row of it beside what the model says. Every stage
ends with OFFSET 0, which keeps PostgreSQL from merging it with the next one and computing
its expressions anew wherever they are used.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

from sqlml.compile.artifact import get_output_count, get_weights
from sqlml.compile.double import Number, add, constant, literal, multiply, round_to_real
from sqlml.compile.sql_features import encode, look_up, quote_literal, quote_name
from sqlml.compile.sql_links import ROW, Stages, invert_responses, write_responses
from sqlml.compile.sql_parts import write_linear_score, write_terms, write_tree_score
from sqlml.compile.trees import CompiledTrees
from sqlml.enums import ProblemType
from sqlml.errors import NotCompilable
from sqlml.search.fitted import Blend, FeatureOp, FittedModel, LinearPart

MAX_LEAVES = 32_000
"""A query of that size has 3 MB, and PostgreSQL takes 0.2 s to plan it."""
MAX_TREES = 2_000
"""Trees that one score adds up; PostgreSQL's parser has 2 MB of stack."""
MAX_FEATURES = 800
"""A feature with a linear term takes two of the 1664 columns that PostgreSQL allows."""

Scores = list[Number]
Parts = dict[int, Scores]


@dataclass(frozen=True, slots=True)
class ModelSql:
    """The common table expressions that follow `input`, and the columns it must have."""

    text: str | None
    problem: str | None
    """Why there is no text."""
    inputs: list[dict[str, str]]


def make_sql(model: FittedModel, trees: Mapping[int, CompiledTrees]) -> ModelSql:
    """
    Write a model as SQL, unless it is too large or SQL could not follow it.

    `trees` are its trees by the places of their parts, as its artifact has them.
    """
    inputs = [
        {"name": column.name, "type": column.type_name, "kind": column.kind.value}
        for column in model.columns
    ]
    try:
        return ModelSql(_write(model, trees), None, inputs)
    except NotCompilable as error:
        return ModelSql(None, error.message, inputs)


@dataclass(frozen=True, slots=True)
class _Draft:
    """A model, its trees by the places of their parts, and the stages that are written."""

    model: FittedModel
    trees: Mapping[int, CompiledTrees]
    output_count: int
    stages: Stages


def _write(model: FittedModel, trees: Mapping[int, CompiledTrees]) -> str:
    weights = get_weights(model, trees)
    used = [place for place, weight in enumerate(weights) if weight != 0]
    draft = _Draft(model, trees, get_output_count(model), Stages())
    _check_size(draft, used)
    names = _write_features(draft)
    parts = _write_sources(draft, names)
    others = [place for place in used if place not in parts]
    parts |= _write_parts(draft, "", others, _Columns(names, _name_all(parts)))
    blended = _blend(draft, {place: weights[place] for place in used}, parts)
    _write_answer(draft.stages, model, _calibrate(draft.stages, model, blended))
    return draft.stages.text


def _check_size(draft: _Draft, used: Sequence[int]) -> None:
    groups = [draft.trees[place] for place in used if place in draft.trees]
    leaf_count = sum(tree.leaves.size for group in groups for tree in group.trees)
    tree_count = max((group.iteration_count(draft.output_count) for group in groups), default=0)
    for count, limit, thing in (
        (leaf_count, MAX_LEAVES, "leaves"),
        (tree_count, MAX_TREES, "trees"),
        (len(draft.model.features), MAX_FEATURES, "features"),
    ):
        if count > limit:
            raise NotCompilable(f"it has {count} {thing}, and SQL can hold {limit}")


def _write_features(draft: _Draft) -> list[str]:
    """Write all features but scores; lookups are made of codes, so they come after these."""
    columns = {column.name: column for column in draft.model.columns}
    features, lookups = {}, {}
    for index, feature in enumerate(draft.model.features):
        if feature.op is FeatureOp.LOOKUP:
            lookups[f"f{index}"] = look_up(feature)
        elif feature.op is not FeatureOp.SCORE:
            value = f"{ROW}.{quote_name(feature.column)}"
            features[f"f{index}"] = encode(feature, columns[feature.column], value)
    draft.stages.add("feature", features)
    if lookups:
        draft.stages.add("lookup", lookups, features)
    return [*features, *lookups]


def _write_sources(draft: _Draft, names: list[str]) -> Parts:
    """Write the parts whose scores are features, and these, whose names are added."""
    features = {
        f"f{index}": feature
        for index, feature in enumerate(draft.model.features)
        if feature.op is FeatureOp.SCORE
    }
    if not features:
        return {}
    places = sorted({feature.source for feature in features.values()})
    parts = _write_parts(draft, "source_", places, _Columns(names, names))
    scores = {
        name: round_to_real(parts[feature.source][feature.place])
        for name, feature in features.items()
    }
    draft.stages.add_numbers("scored", scores, [*names, *_name_all(parts)])
    names += features
    return parts


def _name_all(parts: Parts) -> list[str]:
    return [number.text for scores in parts.values() for number in scores]


@dataclass(frozen=True, slots=True)
class _Columns:
    """Of the last stage: the names of the features, and of what later stages need."""

    features: Sequence[str]
    kept: Sequence[str]


def _write_parts(draft: _Draft, prefix: str, places: Sequence[int], columns: _Columns) -> Parts:
    """Write the raw scores of some parts: those of part 1 are p1_0, p1_1, …"""
    if not places:
        return {}
    parts = {place: draft.model.parts[place] for place in places}
    terms: dict[str, Number] = {}
    for place, part in parts.items():
        if isinstance(part, LinearPart):
            terms |= write_terms(part, place)
    if terms:
        kept = dict.fromkeys([*columns.features, *columns.kept])
        draft.stages.add_numbers(f"{prefix}term", terms, kept)
    count = draft.output_count
    scores = {
        f"p{place}_{k}": write_linear_score(part, place, k, terms)
        if isinstance(part, LinearPart)
        else write_tree_score(draft.trees[place], draft.model.features, k, count)
        for place, part in parts.items()
        for k in range(count)
    }
    numbers = draft.stages.add_numbers(f"{prefix}part", scores, columns.kept)
    return {place: numbers[count * i : count * (i + 1)] for i, place in enumerate(places)}


def _blend(draft: _Draft, weights: Mapping[int, float], parts: Parts) -> Scores:
    """Write the weighted sums of the parts as raw scores, b0, b1, …"""
    stages, model = draft.stages, draft.model
    if model.blend is Blend.RESPONSE:
        waiting = [number for scores in parts.values() for number in scores]
        for place in weights:
            # Beside it stand what later parts need and what earlier ones have become.
            link = model.part_links[place]
            parts[place] = write_responses(stages, link, parts[place], f"{place}_", waiting)
            waiting += parts[place]
    if model.blend is Blend.RAW and list(weights.values()) == [1.0]:
        return parts[next(iter(weights))]
    sums = {
        f"b{k}": reduce(
            add, [multiply(parts[place][k], weight) for place, weight in weights.items()]
        )
        for k in range(draft.output_count)
    }
    numbers = stages.add_numbers("blend", sums)
    if model.blend is Blend.RESPONSE:
        return invert_responses(stages, model.link, numbers)
    return numbers


def _calibrate(stages: Stages, model: FittedModel, scores: Scores) -> Scores:
    """Write the raw scores of the model, s0, s1, …"""
    if model.scale != 1:
        scores = [multiply(score, model.scale) for score in scores]
    if model.offsets:
        scores = [
            add(score, constant(offset))
            for score, offset in zip(scores, model.offsets, strict=True)
        ]
    return stages.add_numbers("score", {f"s{k}": score for k, score in enumerate(scores)})


def _write_answer(stages: Stages, model: FittedModel, scores: Scores) -> None:
    """Write prediction, probabilities (not of a regression) and raw scores."""
    responses = write_responses(stages, model.link, scores, "", scores)
    score_list = f"ARRAY[{', '.join(score.text for score in scores)}]"
    classes = [f"{quote_literal(label)}::text" for label in model.classes]
    (response, *_) = responses
    if model.problem_type is ProblemType.REGRESSION:
        answer = {"prediction": response.text, "scores": score_list}
    elif model.problem_type is ProblemType.BINARY:
        answer = {
            "prediction": f"CASE WHEN {scores[0].text} > {literal(model.threshold)}"
            f" THEN {classes[1]} ELSE {classes[0]} END",
            "probabilities": f"ARRAY[{literal(1.0)} - {response.text}, {response.text}]",
            "scores": score_list,
        }
    else:
        # The first of the largest.
        largest = f"greatest({', '.join(score.text for score in scores)})"
        answer = {
            "prediction": f"(ARRAY[{', '.join(classes)}])[array_position({score_list}, {largest})]",
            "probabilities": f"ARRAY[{', '.join(number.text for number in responses)}]",
            "scores": score_list,
        }
    stages.add("answer", answer)
