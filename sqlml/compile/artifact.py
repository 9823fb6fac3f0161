"""
A fitted model becomes an artifact.

Owns the order of the sections and what a model must be like to be compiled. Raises
`NotCompilable`, which names what the artifact cannot express.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlml.compile.booster import Surroundings, read_booster
from sqlml.compile.features import write_features
from sqlml.compile.forest import read_forest
from sqlml.compile.linear import write_linear
from sqlml.compile.trees import CompiledTrees, write_trees
from sqlml.compile.vocabulary import write_vocabularies
from sqlml.compile.writer import Writer, make_file
from sqlml.enums import ColumnKind, ProblemType
from sqlml.errors import NotCompilable
from sqlml.extract.dataset import Column
from sqlml.search.fitted import LINKS, Blend, FittedModel, ForestPart, LinearPart, Link

SECTION_MODEL = 1
SECTION_COLUMNS = 2
SECTION_FEATURES = 3
SECTION_TREES = 4
SECTION_LINEAR = 5
SECTION_VOCABULARIES = 6
MAX_PARTS = 256

PROBLEM_CODES = {
    ProblemType.BINARY: 0,
    ProblemType.MULTICLASS: 1,
    ProblemType.REGRESSION: 2,
}
KIND_CODES = {
    ColumnKind.NUMERIC: 0,
    ColumnKind.BOOLEAN: 1,
    ColumnKind.CATEGORY: 2,
    ColumnKind.DATETIME: 3,
    ColumnKind.ARRAY: 4,
}
LINK_CODES = {link: code for code, link in enumerate(Link)}
BLEND_CODES = {blend: code for code, blend in enumerate(Blend)}
UNBLENDED_LINKS = (Link.EXPM1, Link.SQUARE)
"""Links that are not applied to a blend of responses: their inverse is not that of every sum."""
MIXED_LINKS = (Link.IDENTITY, Link.EXP, Link.EXPM1, Link.SQUARE)
"""Links that the parts of a regression may have each for itself, where responses are blended."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """The bytes of a version, with header and checksum, and the trees they were made from."""

    data: bytes
    crc32: int
    trees: Mapping[int, CompiledTrees]
    """By the places of their parts."""

    @property
    def size_bytes(self) -> int:
        """Size of the whole artifact."""
        return len(self.data)


def compile_model(model: FittedModel) -> Artifact:
    """Compile a fitted model, or raise `NotCompilable`."""
    output_count = get_output_count(model)
    trees = read_trees(model)
    vocabularies = write_vocabularies(model.vocabularies, model.columns)
    sections = [
        (SECTION_MODEL, _write_model(model, output_count, get_weights(model, trees))),
        (SECTION_COLUMNS, _write_columns(model.columns)),
        (SECTION_VOCABULARIES, vocabularies),
        (SECTION_FEATURES, write_features(model, output_count)),
    ]
    for place, part in enumerate(model.parts):
        if isinstance(part, LinearPart):
            sections.append((SECTION_LINEAR, write_linear(part, model, output_count)))
        else:
            sections.append((SECTION_TREES, write_trees(trees[place])))
    data, crc32 = make_file(sections)
    return Artifact(data, crc32, trees)


def read_trees(model: FittedModel) -> dict[int, CompiledTrees]:
    """Read the parts that are trees, by their places, or raise `NotCompilable`."""
    output_count = get_output_count(model)
    _check_parts(model)
    trees: dict[int, CompiledTrees] = {}
    for place, part in enumerate(model.parts):
        if isinstance(part, LinearPart):
            continue
        if isinstance(part, ForestPart):
            trees[place] = read_forest(part, output_count, len(model.features))
            continue
        around = Surroundings(
            problem_type=model.problem_type,
            link=model.part_links[place],
            output_count=output_count,
            feature_count=len(model.features),
        )
        trees[place] = read_booster(part, around)
        if trees[place].sigmoid != 1 and model.blend is Blend.RESPONSE:
            raise NotCompilable(
                f'objective "{trees[place].objective}" cannot be blended by its response'
            )
    return trees


def get_weights(model: FittedModel, trees: Mapping[int, CompiledTrees]) -> list[float]:
    """The weights of the parts; a booster's own sigmoid multiplies its raw scores."""
    sigmoids = [
        trees[place].sigmoid if place in trees else 1.0 for place in range(len(model.parts))
    ]
    return [weight * sigmoid for weight, sigmoid in zip(model.weights, sigmoids, strict=True)]


def get_output_count(model: FittedModel) -> int:
    """Count the raw scores of a row; check the classes."""
    count = len(model.classes)
    is_sound = {
        ProblemType.BINARY: count == 2,
        ProblemType.MULTICLASS: count >= 2,
        ProblemType.REGRESSION: count == 0,
    }[model.problem_type]
    if not is_sound or len(set(model.classes)) != count:
        raise NotCompilable(f"a {model.problem_type} model cannot have {count} classes")
    return count if model.problem_type is ProblemType.MULTICLASS else 1


def _check_parts(model: FittedModel) -> None:
    """Check what the parts become together."""
    if model.link not in LINKS[model.problem_type]:
        raise NotCompilable(f"a {model.problem_type} model cannot have the link {model.link}")
    if model.blend is Blend.RESPONSE and model.link in UNBLENDED_LINKS:
        raise NotCompilable(f"responses of the link {model.link} cannot be blended")
    if not 1 <= len(model.parts) <= MAX_PARTS:
        raise NotCompilable(f"a model cannot have {len(model.parts)} parts")
    if len(model.weights) != len(model.parts):
        raise NotCompilable(f"{len(model.parts)} parts cannot have {len(model.weights)} weights")
    if not any(model.weights):
        raise NotCompilable("a model cannot have the weight 0 for every part")
    _check_links(model)
    if model.threshold != 0 and model.problem_type is not ProblemType.BINARY:
        raise NotCompilable(f"a {model.problem_type} model cannot have a threshold")


def _check_links(model: FittedModel) -> None:
    if len(model.part_links) != len(model.parts):
        raise NotCompilable(f"{len(model.parts)} parts cannot have {len(model.links)} links")
    is_mixed = model.problem_type is ProblemType.REGRESSION and model.blend is Blend.RESPONSE
    for link in model.part_links:
        if link is not model.link and not (is_mixed and link in MIXED_LINKS):
            raise NotCompilable(
                f"a part of a {model.problem_type} model with the link {model.link}"
                f" cannot have the link {link}"
            )


def _write_model(model: FittedModel, output_count: int, weights: Sequence[float]) -> bytes:
    if len(model.offsets) not in (0, output_count):
        raise NotCompilable(f"{output_count} outputs cannot have {len(model.offsets)} offsets")
    writer = Writer()
    writer.u32(PROBLEM_CODES[model.problem_type])
    writer.u32(output_count)
    writer.texts(model.classes)
    writer.u32(LINK_CODES[model.link])
    writer.u32(BLEND_CODES[model.blend])
    writer.finite(model.scale)
    writer.u32(len(model.offsets))
    for offset in model.offsets:
        writer.finite(offset)
    writer.finite(model.threshold)
    writer.u32(len(weights))
    for weight in weights:
        writer.finite(weight)
    for link in model.part_links:
        writer.u32(LINK_CODES[link])
    return writer.take()


def _write_columns(columns: Sequence[Column]) -> bytes:
    if len({column.name for column in columns}) != len(columns):
        raise NotCompilable("two columns of the model have the same name")
    writer = Writer()
    writer.u32(len(columns))
    for column in columns:
        writer.u32(KIND_CODES[column.kind])
        writer.text(column.name)
        writer.text(column.type_name)
    return writer.take()
