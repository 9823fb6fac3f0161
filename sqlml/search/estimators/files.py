"""
Fits as files, so that one process can make them and another read them.

Boosters are LightGBM's text, arrays .npz, all else JSON; nothing is pickled.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np

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

TERMS: dict[str, type[LinearTerm]] = {
    each.__name__: each for each in (NumericTerm, CodeTerm, TextTerm, StepTerm)
}
Arrays = dict[str, np.ndarray]


def write_fit(fit: Fit, folder: Path) -> None:
    """Write a fit into an empty folder."""
    arrays: Arrays = {}
    parts = [_write_part(part, index, folder, arrays) for index, part in enumerate(fit.parts)]
    facts = {
        "parts": parts,
        "features": [asdict(feature) for feature in fit.features],
        "link": fit.link,
        "rounds": fit.rounds,
        "is_cut": fit.is_cut,
    }
    np.savez(folder / "arrays.npz", **arrays)  # type: ignore[arg-type]
    (folder / "fit.json").write_text(json.dumps(facts))


def read_fit(folder: Path) -> Fit:
    """Read what `write_fit` has written."""
    facts = json.loads((folder / "fit.json").read_text())
    with np.load(folder / "arrays.npz", allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    return Fit(
        parts=tuple(
            _read_part(part, index, folder, arrays) for index, part in enumerate(facts["parts"])
        ),
        features=tuple(_read_feature(each) for each in facts["features"]),
        link=Link(facts["link"]),
        rounds=facts["rounds"],
        is_cut=facts["is_cut"],
    )


def _write_part(part: Part, index: int, folder: Path, arrays: Arrays) -> dict[str, Any]:
    facts: dict[str, Any] = {"estimator": part.estimator}
    if isinstance(part, TreePart):
        part.booster.save_model(folder / f"{index}.txt")
        return {**facts, "kind": "booster", "features": part.features}
    if isinstance(part, ForestPart):
        for place, tree in enumerate(part.trees):
            _put(arrays, f"{index}.{place}", asdict(tree))
        features = {"features": part.features, "is_average": part.is_average}
        return {**facts, **features, "kind": "forest", "tree_count": len(part.trees)}
    arrays[f"{index}.intercepts"] = part.intercepts
    terms = [
        {"kind": type(term).__name__, **_put(arrays, f"{index}.{place}", _fields(term))}
        for place, term in enumerate(part.terms)
    ]
    return {**facts, "kind": "linear", "terms": terms}


def _read_part(facts: dict[str, Any], index: int, folder: Path, arrays: Arrays) -> Part:
    estimator = EstimatorName(facts["estimator"])
    if facts["kind"] == "booster":
        features = facts["features"]
        return TreePart(
            estimator=estimator,
            booster=lgb.Booster(model_file=folder / f"{index}.txt"),
            features=None if features is None else tuple(features),
        )
    if facts["kind"] == "forest":
        trees = (_get(arrays, f"{index}.{place}") for place in range(facts["tree_count"]))
        return ForestPart(
            estimator=estimator,
            trees=tuple(Tree(**tree) for tree in trees),
            features=tuple(facts["features"]),
            is_average=facts["is_average"],
        )
    terms = []
    for place, term in enumerate(facts["terms"]):
        kind = TERMS[term.pop("kind")]
        terms.append(kind(**term, **_get(arrays, f"{index}.{place}")))
    return LinearPart(
        estimator=estimator, intercepts=arrays[f"{index}.intercepts"], terms=tuple(terms)
    )


def _read_feature(facts: dict[str, Any]) -> Feature:
    op, levels, values = FeatureOp(facts["op"]), tuple(facts["levels"]), tuple(facts["values"])
    return Feature(**{**facts, "op": op, "levels": levels, "values": values})


def _fields(term: LinearTerm) -> dict[str, Any]:
    return {name: getattr(term, name) for name in type(term).__dataclass_fields__}


def _put(arrays: Arrays, prefix: str, fields: dict[str, Any]) -> dict[str, Any]:
    """Put the fields that are arrays under names with a prefix; the others are given back."""
    found = {name: value for name, value in fields.items() if isinstance(value, np.ndarray)}
    arrays.update({f"{prefix}.{name}": value for name, value in found.items()})
    return {name: value for name, value in fields.items() if name not in found}


def _get(arrays: Arrays, prefix: str) -> Arrays:
    """Get the arrays under a prefix."""
    start = f"{prefix}."
    return {name.removeprefix(start): arrays[name] for name in arrays if name.startswith(start)}
