"""
Trees that add to all outputs at once: the raw scores and contributions of a tree an output, of
scikit-learn's own leaves and of every evaluator; an artifact that lies about them is refused.
"""

import struct

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesClassifier

from sqlml import _scoring
from sqlml.compile import forest as compiled_forest
from sqlml.compile.artifact import compile_model
from sqlml.enums import ColumnKind, EstimatorName, ProblemType
from sqlml.errors import ArtifactDamaged
from sqlml.extract.dataset import Column
from sqlml.predict.reference import ReferencePredictor
from sqlml.predict.scorer import Scorer
from sqlml.search.cost import MASK_LEAVES
from sqlml.search.estimators.forest import make_tree
from sqlml.search.fitted import Feature, FeatureOp, FittedModel, ForestPart
from tests.compile.test_example import MODEL as EXAMPLE_MODEL
from tests.predict.constructs import same_bits
from tests.predict.models import find_payload, seal

COLUMNS = tuple(Column(name, "double precision", ColumnKind.NUMERIC) for name in "abcd")
FEATURES = tuple(Feature(column=column.name, op=FeatureOp.VALUE) for column in COLUMNS)
HOSTILE = (np.nan, np.inf, -np.inf, -0.0, 0.0, 5e-324, -1e-36, 1e300, -1e300, 0.5)
PLAIN, MASKS, WALK = 1, 2, 3
NODE_BYTES = 24


def fit(classes: int, leaves: int, trees: int = 11) -> ExtraTreesClassifier:
    """A forest of numbers of which some are missing."""
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(1500, len(COLUMNS)))
    target = rng.integers(classes, size=len(inputs))
    inputs[:, 0] += target
    inputs[::9, 1] = np.nan
    found = ExtraTreesClassifier(trees, max_leaf_nodes=leaves, random_state=0)
    return found.fit(inputs, target)


def make_model(forest: ExtraTreesClassifier) -> FittedModel:
    """Its raw scores are its average shares."""
    part = ForestPart(
        estimator=EstimatorName.EXTRA_TREES,
        trees=tuple(make_tree(each, each.tree_.value[:, 0, :]) for each in forest.estimators_),
        features=tuple(range(len(COLUMNS))),
        is_average=True,
    )
    return FittedModel(
        problem_type=ProblemType.MULTICLASS,
        target=COLUMNS[0],
        classes=tuple(f"class {place}" for place in range(forest.n_classes_)),
        columns=COLUMNS,
        features=FEATURES,
        parts=(part,),
    )


def draw_rows(forest: ExtraTreesClassifier) -> NDArray[np.float64]:
    """Ordinary numbers, thresholds, and what is at the ends of numbers."""
    rng = np.random.default_rng(1)
    cuts = np.concatenate([each.tree_.threshold for each in forest.estimators_])
    rows = np.concatenate([rng.normal(size=(40, 4)), rng.choice(cuts, (40, 4))])
    return np.concatenate([rows, rng.choice(HOSTILE, (80, 4))])


def make_table(rows: NDArray[np.float64]) -> pa.Table:
    return pa.table({column.name: rows[:, place] for place, column in enumerate(COLUMNS)})


def copy_trees(monkeypatch: pytest.MonkeyPatch, model: FittedModel) -> bytes:
    """Compile a tree an output, however large."""
    with monkeypatch.context() as patch:
        patch.setattr(compiled_forest, "adds_to_all", lambda largest, outputs: False)
        return compile_model(model).data


def read_flags(data: bytes) -> int:
    """The flags of the TREES section."""
    return int(struct.unpack_from("<I", data, find_payload(data, 4))[0])


@pytest.mark.parametrize("trees", [1, 7, 8, 20])
@pytest.mark.parametrize("classes", [2, 3, 7, 9])
def test_raw_scores_are_those_of_scikit_learns_leaves_in_every_evaluator(classes, trees):
    forest = fit(classes, 100, trees)
    rows = draw_rows(forest)
    data = compile_model(make_model(forest)).data
    assert read_flags(data) == 3
    # Numbers this near zero are zero to us.
    inputs = np.where(np.abs(rows) <= np.float32(1e-35), 0.0, rows)
    inputs = np.clip(inputs, -1e38, 1e38)
    expected = np.zeros((len(rows), classes))
    for tree, leaf in zip(forest.estimators_, forest.apply(inputs).T, strict=True):
        expected += tree.tree_.value[leaf, 0, :]
    expected /= trees
    table = make_table(rows)
    reference = ReferencePredictor(data)
    assert same_bits(np.array([reference.raw_scores(row) for row in table.to_pylist()]), expected)
    scorer = Scorer(data, "m")
    for evaluator, found in ((0, "walk"), (PLAIN, "plain"), (MASKS, "plain"), (WALK, "walk")):
        scorer._model = _scoring.open(data, "m", evaluator)
        assert scorer._model.evaluators == (found,)
        assert same_bits(scorer.raw_scores(table), expected)


def test_a_tree_an_output_gives_the_same_bits_in_more_bytes(monkeypatch):
    forest = fit(5, 200)
    model, table = make_model(forest), make_table(draw_rows(forest)[::8])
    whole, copied = compile_model(model).data, copy_trees(monkeypatch, model)
    assert (read_flags(whole), read_flags(copied)) == (3, 1)
    assert len(whole) < len(copied) / 2
    scores = [Scorer(data, "m").raw_scores(table) for data in (whole, copied)]
    assert same_bits(*scores)
    contributions = [Scorer(data, "m").contributions(table) for data in (whole, copied)]
    assert same_bits(*contributions)
    np.testing.assert_allclose(contributions[0].sum(axis=2), scores[0], rtol=0, atol=1e-12)
    assert np.abs(contributions[0][:, :, :-1]).max() > 0.1


@pytest.mark.parametrize(
    ("leaves", "flags"), [(MASK_LEAVES, 1), (MASK_LEAVES + 1, 3)], ids=["masks", "walk"]
)
def test_only_trees_that_masks_cannot_take_add_to_all_outputs(leaves, flags):
    data = compile_model(make_model(fit(3, leaves))).data
    assert read_flags(data) == flags
    assert Scorer(data, "m")._model.evaluators == ("walk" if flags & 2 else "masks",)


def test_of_one_output_all_are_one():
    data = bytearray(compile_model(EXAMPLE_MODEL).data)
    table = pa.table({"age": [5.0, 8.5, 30.0, None]})
    alone = Scorer(bytes(data), "m")
    struct.pack_into("<I", data, find_payload(bytes(data), 4), 2)
    both = Scorer(seal(bytes(data)), "m")
    assert same_bits(both.raw_scores(table), alone.raw_scores(table))
    assert both._model.evaluators == ("masks",)


def refuse(data: bytes) -> str:
    with pytest.raises(ArtifactDamaged) as caught:
        Scorer(seal(data), "m")
    return str(caught.value.detail)


def test_what_lies_about_its_leaves_is_refused():
    data = compile_model(make_model(fit(3, 70, trees=2))).data
    trees = find_payload(data, 4)
    leaves = trees + 16 + NODE_BYTES * 69

    def changed(form: str, offset: int, value: float) -> bytes:
        copy = bytearray(data)
        struct.pack_into(form, copy, offset, value)
        return bytes(copy)

    assert "unknown flags" in refuse(changed("<I", trees, 4))
    assert "unknown flags" in refuse(changed("<I", trees, 7))
    # Leaves of one output: two trees do not make iterations of three.
    assert "number of trees" in refuse(changed("<I", trees, 1))
    for place in (0, 1, 2, 3 * 70 - 1):
        assert "not finite" in refuse(changed("<d", leaves + 8 * place, np.nan))
    # Each tree has 69 splits, so that 2000 are more than all the bytes.
    assert "beyond its end" in refuse(changed("<I", trees + 8, 2000))
    assert "beyond its end" in refuse(changed("<I", trees + 8, 2**31 - 2))


def test_leaves_that_the_bytes_cannot_hold_are_refused_before_memory_is_taken():
    classes = 3000
    model = make_model(fit(2, 70, trees=1))
    data = bytearray(compile_model(model).data)
    # A model section of many classes that are empty texts but for their numbers.
    start = find_payload(bytes(data), 1)
    (size,) = struct.unpack_from("<Q", data, start - 8)
    labels = b"".join(struct.pack("<I", 4) + f"{place:04}".encode() for place in range(classes))
    settings = bytes(data[start : start + size])[-(4 + 4 + 8 + 4 + 8 + 4 + 8 + 4) :]
    section = struct.pack("<III", 1, classes, classes) + labels + settings
    data[start - 8 : start + size] = struct.pack("<Q", len(section)) + section
    assert refuse(bytes(data)) == "artifact has a count beyond its end."
