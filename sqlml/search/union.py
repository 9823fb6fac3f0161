"""
Many fits become one model: features, vocabularies and parts are put together and renumbered.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from sqlml.enums import ProblemType
from sqlml.search.bench import Bench
from sqlml.search.estimators.estimator import Fit
from sqlml.search.fitted import (
    LINKS,
    Blend,
    Feature,
    FeatureOp,
    FittedModel,
    ForestPart,
    LinearPart,
    LinearTerm,
    Link,
    Part,
    TextTerm,
    TreePart,
)

Renumber = Callable[[int], int]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Share:
    """A fit with its weight in a model."""

    weight: float
    fit: Fit


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """What is done to the blend: `calibrate` and `choose_threshold` find it."""

    scale: float = 1.0
    offsets: tuple[float, ...] = ()
    threshold: float = 0.0


def choose_blend(problem_type: ProblemType, links: Sequence[Link]) -> tuple[Blend, Link]:
    """
    Choose what of fits with these links is blended, and the link of the whole.

    Raw scores wherever they can be, as only those have contributions.
    """
    if problem_type is not ProblemType.REGRESSION or set(links) == {Link.IDENTITY}:
        return Blend.RAW, LINKS[problem_type][0]
    if len(links) == 1:
        return Blend.RAW, links[0]
    return Blend.RESPONSE, Link.IDENTITY


def unite(bench: Bench, shares: Sequence[Share], finish: Finish) -> FittedModel:
    """Make one model of fits of the bench's sample. Features that no part reads are left out."""
    own = bench.sample.features
    features = list(own.features)
    parts: list[Part] = []
    weights: list[float] = []
    links: list[Link] = []
    for share in shares:
        first_part, first_feature = len(parts), len(features)
        renumber = _renumber(len(own.features), first_feature)
        features += [_move(each, renumber, first_part) for each in share.fit.features]
        parts += [_with_features(part, renumber) for part in share.fit.parts]
        weights += [0.0] * (len(share.fit.parts) - 1) + [share.weight]
        links += [share.fit.link] * len(share.fit.parts)
    blend, link = choose_blend(bench.task.problem_type, [share.fit.link for share in shares])
    used = _used_features(features, parts)
    places = {index: place for place, index in enumerate(used)}
    texts = _used_vocabularies([features[index] for index in used], parts)
    text_places = {index: place for place, index in enumerate(texts)}
    columns = {features[index].column for index in used}
    columns |= {own.vocabularies[index].column for index in texts}
    return FittedModel(
        problem_type=bench.task.problem_type,
        target=bench.dataset.target,
        classes=bench.classes,
        columns=tuple(column for column in bench.dataset.columns if column.name in columns),
        features=tuple(_place(features[index], places, text_places) for index in used),
        parts=tuple(
            _with_vocabularies(_with_features(part, places.__getitem__), text_places)
            for part in parts
        ),
        weights=tuple(weights),
        blend=blend,
        link=link,
        scale=finish.scale,
        offsets=finish.offsets,
        threshold=finish.threshold,
        vocabularies=tuple(own.vocabularies[index] for index in texts),
        links=tuple(links) if blend is Blend.RESPONSE else (),
    )


def _renumber(own_count: int, first: int) -> Renumber:
    """Features of the sample keep their number; a fit's own ones count from `first`."""
    return lambda index: index if index < own_count else first + index - own_count


def _move(feature: Feature, renumber: Renumber, first_part: int) -> Feature:
    """Renumber what a fit's own feature is made from: a feature or a part."""
    if feature.op is FeatureOp.SCORE:
        return replace(feature, source=first_part + feature.source)
    return replace(feature, source=renumber(feature.source))


def _place(feature: Feature, places: dict[int, int], text_places: dict[int, int]) -> Feature:
    """Renumber what a feature is made from, where features and vocabularies are left out."""
    match feature.op:
        case FeatureOp.LOOKUP:
            return replace(feature, source=places[feature.source])
        case FeatureOp.TOPIC:
            return replace(feature, source=text_places[feature.source])
        case _:
            return feature


def _with_features(part: Part, renumber: Renumber) -> Part:
    """Renumber the features that a part reads."""
    if isinstance(part, LinearPart):
        return replace(part, terms=tuple(_term(term, renumber) for term in part.terms))
    if isinstance(part, ForestPart):
        return replace(part, features=tuple(map(renumber, part.features)))
    inputs = range(part.booster.num_feature()) if part.features is None else part.features
    return replace(part, features=tuple(map(renumber, inputs)))


def _term(term: LinearTerm, renumber: Renumber) -> LinearTerm:
    """Renumber the feature of a term; that of a text has none."""
    if isinstance(term, TextTerm):
        return term
    return replace(term, feature=renumber(term.feature))


def _with_vocabularies(part: Part, places: dict[int, int]) -> Part:
    """Renumber the vocabularies that a part reads."""
    if not isinstance(part, LinearPart):
        return part
    terms = tuple(
        replace(term, vocabulary=places[term.vocabulary]) if isinstance(term, TextTerm) else term
        for term in part.terms
    )
    return replace(part, terms=terms)


def _used_features(features: Sequence[Feature], parts: Sequence[Part]) -> list[int]:
    """Find the features that a part reads, and those that these are made from."""
    used: set[int] = set()
    for part in parts:
        if isinstance(part, TreePart):
            used.update(part.features or ())
        elif isinstance(part, ForestPart):
            used.update(part.features)
        else:
            used.update(term.feature for term in part.terms if not isinstance(term, TextTerm))
    used |= {features[index].source for index in used if features[index].op is FeatureOp.LOOKUP}
    return sorted(used)


def _used_vocabularies(features: Sequence[Feature], parts: Sequence[Part]) -> list[int]:
    """Find the vocabularies that a feature or a term reads."""
    used = {feature.source for feature in features if feature.op is FeatureOp.TOPIC}
    for part in parts:
        if isinstance(part, LinearPart):
            used |= {term.vocabulary for term in part.terms if isinstance(term, TextTerm)}
    return sorted(used)
