"""
Fits as files: a folder with text of boosters, arrays and a description; nothing that runs.

Owns the names of the files and that what is read back predicts the same to the last bit.
"""

import json
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from sqlml.enums import EstimatorName
from sqlml.search.estimators.estimator import Fit
from sqlml.search.fitted import (
    CodeTerm,
    Feature,
    FeatureOp,
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
)

DESCRIPTION = "fit.json"
ARRAYS = "arrays.npz"
TERMS: dict[str, type[LinearTerm]] = {
    "numeric": NumericTerm,
    "code": CodeTerm,
    "text": TextTerm,
    "step": StepTerm,
}
TERM_KINDS = {kind: name for name, kind in TERMS.items()}

Arrays = dict[str, NDArray[Any]]


def write_fit(fit: Fit, folder: Path) -> None:
    """Write a fit into a folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays: Arrays = {}
    parts = []
    for number, part in enumerate(fit.parts):
        if isinstance(part, TreePart):
            _booster_path(folder, number).write_text(part.booster.model_to_string())
        parts.append(_describe_part(part, number, arrays))
    features = []
    for number, feature in enumerate(fit.features):
        arrays[f"feature{number}"] = np.array(feature.values, dtype=np.float64)
        features.append(
            {
                "column": feature.column,
                "op": feature.op.value,
                "source": feature.source,
                "place": feature.place,
            }
        )
    description = {
        "parts": parts,
        "features": features,
        "link": fit.link.value,
        "rounds": fit.rounds,
        "is_cut": fit.is_cut,
    }
    np.savez(folder / ARRAYS, allow_pickle=False, **arrays)
    (folder / DESCRIPTION).write_text(json.dumps(description))


def read_fit(folder: Path) -> Fit:
    """Read a fit that `write_fit` wrote. Raises `OSError` or `ValueError` where it cannot."""
    described = json.loads((folder / DESCRIPTION).read_text())
    with np.load(folder / ARRAYS, allow_pickle=False) as stored:
        arrays: Arrays = dict(stored)
    return Fit(
        parts=tuple(
            _read_part(part, number, arrays, folder)
            for number, part in enumerate(described["parts"])
        ),
        features=tuple(
            Feature(
                column=feature["column"],
                op=FeatureOp(feature["op"]),
                source=feature["source"],
                place=feature["place"],
                values=tuple(arrays[f"feature{number}"].tolist()),
            )
            for number, feature in enumerate(described["features"])
        ),
        link=Link(described["link"]),
        rounds=described["rounds"],
        is_cut=described["is_cut"],
    )


def _describe_part(part: Part, number: int, arrays: Arrays) -> dict[str, Any]:
    """Describe a part; its arrays are added to the others."""
    described: dict[str, Any] = {"estimator": part.estimator.value}
    match part:
        case TreePart():
            return described | {"kind": "booster", "features": part.features}
        case ForestPart():
            for name, values in _stack_trees(part.trees):
                arrays[f"part{number}.{name}"] = values
            return described | {
                "kind": "forest",
                "features": part.features,
                "is_average": part.is_average,
            }
        case LinearPart():
            arrays[f"part{number}.intercepts"] = part.intercepts
            terms = [
                _describe_fields(term, f"part{number}.term{place}", arrays)
                for place, term in enumerate(part.terms)
            ]
            return described | {"kind": "linear", "terms": terms}


def _describe_fields(term: LinearTerm, prefix: str, arrays: Arrays) -> dict[str, Any]:
    """Describe a linear term: numbers as they are, arrays apart."""
    described: dict[str, Any] = {"kind": TERM_KINDS[type(term)]}
    for each in fields(term):
        value = getattr(term, each.name)
        if isinstance(value, np.ndarray):
            arrays[f"{prefix}.{each.name}"] = value
        else:
            described[each.name] = value
    return described


def _read_part(described: dict[str, Any], number: int, arrays: Arrays, folder: Path) -> Part:
    """Read one part."""
    estimator = EstimatorName(described["estimator"])
    prefix = f"part{number}."
    if described["kind"] == "booster":
        booster = lgb.Booster(model_str=_booster_path(folder, number).read_text())
        places = described["features"]
        return TreePart(
            estimator=estimator,
            booster=booster,
            features=None if places is None else tuple(places),
        )
    if described["kind"] == "forest":
        return ForestPart(
            estimator=estimator,
            trees=tuple(_cut_trees(arrays, prefix)),
            features=tuple(described["features"]),
            is_average=described["is_average"],
        )
    terms = tuple(
        _read_term(term, f"{prefix}term{place}.", arrays)
        for place, term in enumerate(described["terms"])
    )
    return LinearPart(estimator=estimator, intercepts=arrays[f"{prefix}intercepts"], terms=terms)


def _read_term(described: dict[str, Any], prefix: str, arrays: Arrays) -> LinearTerm:
    """Read one linear term."""
    kind = TERMS[described.pop("kind")]
    stored: dict[str, Any] = {
        each.name: arrays[prefix + each.name]
        for each in fields(kind)
        if prefix + each.name in arrays
    }
    return kind(**described, **stored)


def _stack_trees(trees: tuple[Tree, ...]) -> Iterator[tuple[str, NDArray[Any]]]:
    """Put the arrays of all trees one after the other, with their sizes."""
    yield "nodes", np.array([tree.feature.size for tree in trees], dtype=np.int64)
    for each in fields(Tree):
        yield each.name, np.concatenate([getattr(tree, each.name) for tree in trees])


def _cut_trees(arrays: Arrays, prefix: str) -> Iterator[Tree]:
    """Cut the arrays of all trees; a tree has one leaf more than nodes."""
    node = leaf = 0
    for size in arrays[f"{prefix}nodes"].tolist():
        of_nodes, of_leaves = slice(node, node + size), slice(leaf, leaf + size + 1)
        yield Tree(
            **{
                each.name: arrays[prefix + each.name][
                    of_leaves if each.name in ("values", "counts") else of_nodes
                ]
                for each in fields(Tree)
            }
        )
        node, leaf = of_nodes.stop, of_leaves.stop


def _booster_path(folder: Path, number: int) -> Path:
    """Name the file of a booster."""
    return folder / f"part{number}.txt"
