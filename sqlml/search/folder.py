"""
The files of a job, which its processes share: the sample is mapped into memory, not copied.

Owns their names and forms: arrays are .npy, sparse ones .npz, all else JSON; nothing is
pickled. The folder belongs to the job and goes with it.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix, load_npz, save_npz

from sqlml.enums import ProblemType
from sqlml.search.arrays import F64, I64
from sqlml.search.estimators.estimator import Sample, make_task
from sqlml.search.features import FeatureSet
from sqlml.search.fitted import Feature, FeatureOp, Vocabulary
from sqlml.search.metrics import find_metric
from sqlml.search.split import Fold
from sqlml.search.target import Target

SAMPLE = "sample.json"
INDEXES = ("categories", "numbers", "linear", "encodings")


@dataclass(frozen=True, slots=True)
class Folder:
    """The folder of a job."""

    path: Path

    def fit_path(self, name: str) -> Path:
        """Where a fit is kept."""
        return self.path / "fits" / name

    def raw_path(self, name: str, part: str) -> Path:
        """Where the raw scores are that a fit gives for a part of the rows, `valid` or `held`."""
        return self.path / f"{name}.{part}.npy"

    def write_raw(self, name: str, part: str, raw: F64) -> None:
        """Keep raw scores."""
        np.save(self.raw_path(name, part), raw)

    def read_raw(self, name: str, part: str) -> F64:
        """Get kept raw scores, shape (rows, outputs)."""
        return np.asarray(np.load(self.raw_path(name, part)))

    def write_sample(self, sample: Sample, folds: tuple[Fold, ...], held: I64) -> None:
        """Write all that processes need to know."""
        self.fit_path("").mkdir(parents=True)
        np.save(self.path / "matrix.npy", np.asfortranarray(sample.matrix))
        np.save(self.path / "target.npy", sample.target)
        np.save(self.path / "held.npy", held)
        if sample.weight is not None:
            np.save(self.path / "weight.npy", sample.weight)
        for index, text in enumerate(sample.texts):
            save_npz(self.path / f"text_{index}.npz", text, compressed=False)
        for index, fold in enumerate(folds):
            np.save(self.path / f"train_{index}.npy", fold.train)
            np.save(self.path / f"valid_{index}.npy", fold.valid)
        for index, vocabulary in enumerate(sample.features.vocabularies):
            self._write_vocabulary(index, vocabulary)
        (self.path / SAMPLE).write_text(json.dumps(_describe(sample, len(folds))))

    def read_sample(self) -> Sample:
        """Read the sample; its matrix is mapped."""
        facts = json.loads((self.path / SAMPLE).read_text())
        features = self._read_features(facts["features"])
        problem_type = ProblemType(facts["problem_type"])
        metric = find_metric(facts["metric"], problem_type, facts["metric_parameter"])
        values = np.load(self.path / "target.npy")
        target = Target(problem_type=problem_type, classes=tuple(facts["classes"]), values=values)
        weight = np.load(self.path / "weight.npy") if facts["has_weight"] else None
        texts = tuple(self._read_text(index) for index in range(facts["text_count"]))
        return Sample(
            task=make_task(target, features, metric),
            features=features,
            matrix=np.load(self.path / "matrix.npy", mmap_mode="r"),
            texts=texts,
            target=values,
            weight=weight,
            seed=facts["seed"],
            threads=facts["threads"],
        )

    def read_folds(self) -> tuple[Fold, ...]:
        """Read the folds."""
        count = json.loads((self.path / SAMPLE).read_text())["fold_count"]
        return tuple(
            Fold(
                np.load(self.path / f"train_{index}.npy"), np.load(self.path / f"valid_{index}.npy")
            )
            for index in range(count)
        )

    def read_held(self) -> I64:
        """Read which rows of the sample are held out."""
        return np.asarray(np.load(self.path / "held.npy"))

    def _read_text(self, index: int) -> csr_matrix:
        return csr_matrix(load_npz(self.path / f"text_{index}.npz"))

    def _write_vocabulary(self, index: int, vocabulary: Vocabulary) -> None:
        np.savez(
            self.path / f"vocabulary_{index}.npz",
            hashes=vocabulary.hashes,
            idf=vocabulary.idf,
            components=vocabulary.components,
        )

    def _read_features(self, facts: dict[str, Any]) -> FeatureSet:
        return FeatureSet(
            features=tuple(_read_feature(each) for each in facts["features"]),
            vocabularies=tuple(
                self._read_vocabulary(index, each)
                for index, each in enumerate(facts["vocabularies"])
            ),
            coordinates=tuple((one, other) for one, other in facts["coordinates"]),
            **{name: tuple(facts[name]) for name in INDEXES},
        )

    def _read_vocabulary(self, index: int, facts: dict[str, Any]) -> Vocabulary:
        arrays = np.load(self.path / f"vocabulary_{index}.npz")
        return Vocabulary(
            **{**facts, "frequency_weights": tuple(facts["frequency_weights"])},
            hashes=arrays["hashes"],
            idf=arrays["idf"],
            components=arrays["components"],
        )


def _describe(sample: Sample, fold_count: int) -> dict[str, Any]:
    """Put what is not an array into JSON."""
    task = sample.task
    return {
        "problem_type": task.problem_type,
        # Estimators count the classes; their names are the model's.
        "classes": [str(index) for index in range(task.class_count)],
        "metric": task.metric.name,
        "metric_parameter": task.metric.parameter,
        "has_weight": sample.weight is not None,
        "text_count": len(sample.texts),
        "fold_count": fold_count,
        "seed": sample.seed,
        "threads": sample.threads,
        "features": {
            "features": [asdict(each) for each in sample.features.features],
            "vocabularies": [_describe_vocabulary(each) for each in sample.features.vocabularies],
            "coordinates": sample.features.coordinates,
            **{name: getattr(sample.features, name) for name in INDEXES},
        },
    }


def _describe_vocabulary(vocabulary: Vocabulary) -> dict[str, Any]:
    return {
        "column": vocabulary.column,
        "bigrams": vocabulary.bigrams,
        "normalise": vocabulary.normalise,
        "frequency_weights": vocabulary.frequency_weights,
    }


def _read_feature(facts: dict[str, Any]) -> Feature:
    return Feature(
        **{
            **facts,
            "op": FeatureOp(facts["op"]),
            "levels": tuple(facts["levels"]),
            "values": tuple(facts["values"]),
        }
    )
