"""
Many fits become one model: features, vocabularies and parts are put together and renumbered.
"""

from collections.abc import Callable, Hashable, Sequence
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
    NumericTerm,
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
    union = _Union(list(own.features))
    for share in shares:
        union.add(share)
    features, parts = union.features, union.parts
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
        weights=tuple(union.weights),
        blend=blend,
        link=link,
        scale=finish.scale,
        offsets=finish.offsets,
        threshold=finish.threshold,
        vocabularies=tuple(own.vocabularies[index] for index in texts),
        links=tuple(union.links) if blend is Blend.RESPONSE else (),
    )


class _Union:
    """The features and parts of several fits; what all fits compute alike is there once."""

    def __init__(self, features: list[Feature]):
        """Take the features of the sample, which keep their numbers."""
        self.features = features
        self.parts: list[Part] = []
        self.weights: list[float] = []
        self.links: list[Link] = []
        self._own_count = len(features)
        self._helpers: dict[Hashable, int] = {}
        self._scores: dict[tuple[int, int], int] = {}

    def add(self, share: Share) -> None:
        """Add the features and parts of a fit."""
        own: dict[int, int] = {}

        def renumber(index: int) -> int:
            return index if index < self._own_count else own[index]

        fit = share.fit
        numbered = tuple(enumerate(fit.features, start=self._own_count))
        for number, feature in numbered:
            if feature.op is not FeatureOp.SCORE:
                own[number] = len(self.features)
                self.features.append(replace(feature, source=renumber(feature.source)))
        # Helpers read no scores.
        helpers = [self._add_helper(part, renumber, fit.link) for part in fit.parts[:-1]]
        for number, feature in numbered:
            if feature.op is FeatureOp.SCORE:
                own[number] = self._add_score(replace(feature, source=helpers[feature.source]))
        self._add_part(_with_features(fit.parts[-1], renumber), share.weight, fit.link)

    def _add_helper(self, part: Part, renumber: Renumber, link: Link) -> int:
        """Add a part that scores are from, unless it is there; give its number."""
        part = _with_features(part, renumber)
        key = _content(part)
        if key not in self._helpers:
            self._helpers[key] = self._add_part(part, 0.0, link)
        return self._helpers[key]

    def _add_score(self, feature: Feature) -> int:
        """Add a score, unless it is there; give its number."""
        key = (feature.source, feature.place)
        if key not in self._scores:
            self._scores[key] = len(self.features)
            self.features.append(feature)
        return self._scores[key]

    def _add_part(self, part: Part, weight: float, link: Link) -> int:
        """Add a part; give its number."""
        self.parts.append(part)
        self.weights.append(weight)
        self.links.append(link)
        return len(self.parts) - 1


def _content(part: Part) -> Hashable:
    """Get what two parts have in common where they are alike; only short ones are compared."""
    if not isinstance(part, LinearPart):
        return id(part)
    terms = [term for term in part.terms if isinstance(term, NumericTerm)]
    if len(terms) < len(part.terms):
        return id(part)
    return (
        part.intercepts.tobytes(),
        *(
            (
                *(each.feature, each.low, each.high, each.mean, each.inverse_scale),
                *(each.weights.tobytes(), each.missing_weights.tobytes()),
            )
            for each in terms
        ),
    )


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
