"""
A fitted model becomes SQL that gives the same scores, predictions and probabilities.

The SQL is a chain of common table expressions. The first reads the model's columns from
`input`, the last, `answer`, holds each row of it beside what the model says. Every stage
ends with OFFSET 0, which keeps PostgreSQL from merging it with the next one and computing
its expressions anew wherever they are used.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce

from sqlml.compile.artifact import get_output_count
from sqlml.compile.double import Number, add, constant, literal, multiply
from sqlml.compile.sql_features import encode, quote_literal, quote_name
from sqlml.compile.sql_links import ROW, Stages, invert_responses, write_responses
from sqlml.compile.sql_parts import write_linear_score, write_terms, write_tree_score
from sqlml.compile.trees import BoosterText, read_booster
from sqlml.enums import ProblemType
from sqlml.errors import NotCompilable
from sqlml.search.fitted import Blend, FittedModel, LinearPart, TreePart

MAX_LEAVES = 32_000
"""A query of that size has 3 MB, and PostgreSQL takes 0.2 s to plan it."""
MAX_TREES = 2_000
"""Trees that one score adds up; PostgreSQL's parser has 2 MB of stack."""
MAX_FEATURES = 800
"""A feature with a linear term takes two of the 1664 columns that PostgreSQL allows."""

Scores = list[Number]
Boosters = Mapping[int, BoosterText]


@dataclass(frozen=True, slots=True)
class ModelSql:
    """The common table expressions that follow `input`, and the columns it must have."""

    text: str | None
    problem: str | None
    """Why there is no text."""
    inputs: list[dict[str, str]]


def make_sql(model: FittedModel) -> ModelSql:
    """Write a model as SQL, unless it is too large or SQL could not follow it."""
    inputs = [
        {"name": column.name, "type": column.type_name, "kind": column.kind.value}
        for column in model.columns
    ]
    try:
        return ModelSql(_write(model), None, inputs)
    except NotCompilable as error:
        return ModelSql(None, error.message, inputs)


def _write(model: FittedModel) -> str:
    output_count = get_output_count(model)
    boosters = {
        place: read_booster(part.booster, model, output_count)
        for place, part in enumerate(model.parts)
        if isinstance(part, TreePart)
    }
    _check_size(boosters, output_count, len(model.features))
    stages = Stages()
    _write_features(stages, model)
    parts = _write_parts(stages, model, boosters, output_count)
    scores = _calibrate(stages, model, _blend(stages, model, boosters, parts))
    _write_answer(stages, model, scores)
    return stages.text


def _check_size(boosters: Boosters, output_count: int, feature_count: int) -> None:
    trees = [booster.trees for booster in boosters.values()]
    leaf_count = sum(int(tree["num_leaves"]) for group in trees for tree in group)
    tree_count = max((len(group) // output_count for group in trees), default=0)
    for count, limit, thing in (
        (leaf_count, MAX_LEAVES, "leaves"),
        (tree_count, MAX_TREES, "trees"),
        (feature_count, MAX_FEATURES, "features"),
    ):
        if count > limit:
            raise NotCompilable(f"it has {count} {thing}, and SQL can hold {limit}")


def _write_features(stages: Stages, model: FittedModel) -> None:
    columns = {column.name: column for column in model.columns}
    features = {
        f"f{index}": encode(feature, columns[feature.column], f"{ROW}.{quote_name(feature.column)}")
        for index, feature in enumerate(model.features)
    }
    stages.add("feature", features)


def _write_parts(
    stages: Stages, model: FittedModel, boosters: Boosters, output_count: int
) -> list[Scores]:
    """Write the raw scores of each part: those of part 1 are p1_0, p1_1, …"""
    terms: dict[str, Number] = {}
    for place, part in enumerate(model.parts):
        if isinstance(part, LinearPart):
            terms |= write_terms(part, place)
    if terms:
        stages.add_numbers("term", terms, [f"f{index}" for index in range(len(model.features))])
    scores = {
        f"p{place}_{k}": write_linear_score(part, place, k, terms)
        if isinstance(part, LinearPart)
        else write_tree_score(boosters[place], model.features, k, output_count)
        for place, part in enumerate(model.parts)
        for k in range(output_count)
    }
    numbers = stages.add_numbers("part", scores)
    return [numbers[first : first + output_count] for first in range(0, len(numbers), output_count)]


def _blend(stages: Stages, model: FittedModel, boosters: Boosters, parts: list[Scores]) -> Scores:
    """Write the weighted sums of the parts as raw scores, b0, b1, …"""
    if model.blend is Blend.RESPONSE:
        waiting = [number for scores in parts for number in scores]
        for place, scores in enumerate(parts):
            # Beside it stand what later parts need and what earlier ones have become.
            parts[place] = write_responses(stages, model.link, scores, f"{place}_", waiting)
            waiting += parts[place]
    # A booster's own sigmoid multiplies its raw scores.
    sigmoids = [
        boosters[place].sigmoid if place in boosters else 1.0 for place in range(len(parts))
    ]
    weights = [weight * sigmoid for weight, sigmoid in zip(model.weights, sigmoids, strict=True)]
    if model.blend is Blend.RAW and weights == [1.0]:
        return parts[0]
    sums = {
        f"b{k}": reduce(
            add,
            [multiply(scores[k], weight) for weight, scores in zip(weights, parts, strict=True)],
        )
        for k in range(len(parts[0]))
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
