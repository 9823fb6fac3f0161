"""
Bytes that nobody vouches for: an error or a sane model, never a crash.
"""

import math
import random
import struct
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from sqlml.compile import features, forest, linear, vocabulary
from sqlml.compile.artifact import compile_model
from sqlml.compile.writer import Writer
from sqlml.enums import ColumnKind, ProblemType
from sqlml.errors import ArtifactDamaged, ArtifactNotSupported
from sqlml.extract.dataset import Column
from sqlml.predict.scorer import Scorer
from sqlml.search.fitted import Blend, Feature, FeatureOp, FittedModel
from tests.compile.test_example import MODEL as EXAMPLE_MODEL
from tests.compile.test_refusals import FULL, REFUSED
from tests.predict.models import (
    draw_linear,
    find_payload,
    fit_trees,
    seal,
)

VALUES = {
    ColumnKind.NUMERIC: pa.array([1.5, math.nan, None]),
    ColumnKind.BOOLEAN: pa.array([True, False, None]),
    ColumnKind.CATEGORY: pa.array(["Köln", "the cat, the a b", None]),
    ColumnKind.DATETIME: pa.array([0, -(2**63), None], pa.int64()),
    ColumnKind.ARRAY: pa.array([[1.0, None, math.inf], [], None], pa.list_(pa.float64())),
}
"""Three values of every kind."""
SMALL: dict[str, Any] = {"rounds": 2, "num_leaves": 5}
CITY = pa.table({"city": ["a", "b", "c", "d"] * 50})
ARTIFACTS = {
    "trees": compile_model(fit_trees(ProblemType.MULTICLASS, **SMALL)).data,
    "linear": compile_model(draw_linear(ProblemType.BINARY)).data,
    "one set": compile_model(
        fit_trees(
            ProblemType.REGRESSION,
            table=CITY,
            features=(Feature(column="city", op=FeatureOp.CODE, levels=("a", "b", "c")),),
            columns=(Column("city", "text", ColumnKind.CATEGORY),),
            rounds=1,
            num_leaves=2,
        )
    ).data,
}


ARTIFACTS["parts"] = compile_model(
    replace(
        draw_linear(ProblemType.MULTICLASS),
        parts=(
            *draw_linear(ProblemType.MULTICLASS).parts,
            *fit_trees(ProblemType.MULTICLASS, rounds=1, num_leaves=4).parts,
        ),
        weights=(0.5, 2.0),
        blend=Blend.RESPONSE,
        scale=0.5,
        offsets=(1.0, 2.0, 3.0),
    )
).data
ARTIFACTS["every construct"] = compile_model(FULL).data
EXAMPLE = compile_model(EXAMPLE_MODEL).data
"""The example of docs/artifact.md, which gives its offsets."""


def use(data: bytes) -> bool:
    """Open and score; tell whether the bytes were taken for an artifact."""
    try:
        scorer = Scorer(data, "m")
    except ArtifactDamaged:
        return False
    if len(dict(scorer.columns)) == len(scorer.columns):
        scores = scorer.raw_scores(pa.table({name: VALUES[kind] for name, kind in scorer.columns}))
        assert scores.shape[0] == 3
    return True


@pytest.mark.parametrize("name", ARTIFACTS)
def test_every_truncation_is_refused(name):
    data = ARTIFACTS[name]
    assert use(data)
    for size in range(len(data)):
        assert not use(data[:size])
        if size >= 32:
            assert not use(seal(data[:size]))


@pytest.mark.parametrize("name", ARTIFACTS)
def test_every_changed_byte_is_noticed_by_the_checksum(name):
    data = ARTIFACTS[name]
    for offset in range(len(data)):
        changed = bytearray(data)
        changed[offset] ^= 1
        with pytest.raises((ArtifactDamaged, ArtifactNotSupported)):
            Scorer(bytes(changed), "m")


@pytest.mark.parametrize("name", ARTIFACTS)
def test_changed_bytes_under_a_right_checksum_do_not_crash(name):
    data = ARTIFACTS[name]
    accepted = 0
    for offset in range(32, len(data)):
        for value in (0, 1, 0x7F, 0x80, 0xFF, data[offset] ^ 0x10):
            changed = bytearray(data)
            changed[offset] = value
            accepted += use(seal(bytes(changed)))
    assert 0 < accepted < 6 * len(data)


@pytest.mark.parametrize("name", ARTIFACTS)
def test_changed_words_under_a_right_checksum_do_not_crash(name):
    data = ARTIFACTS[name]
    rng = random.Random(0)
    for _ in range(3000):
        changed = bytearray(data)
        for _ in range(rng.randint(1, 3)):
            offset = rng.randrange(32, len(data) - 8)
            word = rng.choice((0, 1, 2**31 - 1, 2**31, 2**32 - 1, rng.getrandbits(32)))
            struct.pack_into("<I", changed, offset, word)
        use(seal(bytes(changed)))


@pytest.mark.parametrize("data", [b"", b"SQLMLART", b"x" * 32, bytes(1000)])
def test_other_bytes_are_refused(data):
    with pytest.raises(ArtifactDamaged):
        Scorer(data, "m")


def test_a_newer_format_is_refused_as_such():
    data = bytearray(ARTIFACTS["trees"])
    data[8] = 4
    with pytest.raises(ArtifactNotSupported) as caught:
        Scorer(bytes(data), "churn")
    assert caught.value.message == 'artifact of model "churn" cannot be read'
    assert caught.value.detail == "artifact format version 4 is not supported."
    assert caught.value.hint == "Update sqlml on this server, or train the model again."


def test_bytes_behind_the_last_section_are_refused():
    with pytest.raises(ArtifactDamaged):
        Scorer(seal(ARTIFACTS["linear"] + b"\0"), "m")


def get_message(data: bytes) -> str:
    """What is said of bytes that are refused."""
    with pytest.raises(ArtifactDamaged) as caught:
        Scorer(data, "m")
    return str(caught.value.detail)


@pytest.mark.parametrize("side", [8, 12])
@pytest.mark.parametrize("child", [0, 1, 4, 2**31 - 1, -1, -6, -(2**31)])
def test_a_child_that_is_no_later_node_and_no_leaf_of_its_own_is_refused(child, side):
    data = bytearray(ARTIFACTS["trees"])
    tree = find_payload(bytes(data), 4) + 8
    assert struct.unpack_from("<I", data, tree)[0] == 4
    second_node = tree + 8 + 24
    assert struct.unpack_from("<i", data, second_node + side)[0] != child
    struct.pack_into("<i", data, second_node + side, child)
    assert get_message(seal(bytes(data))) == "artifact has a tree that is none."


@pytest.mark.parametrize(
    ("offset", "form", "value", "message"),
    [
        (0x00, "<I", 0, "the bytes are not an artifact"),
        (0x0C, "<I", 1, "artifact does not match its checksum"),
        (0x10, "<Q", 280, "artifact does not have the size that it states"),
        (0x18, "<Q", 1, "artifact has an unknown header"),
        (0x20, "<I", 2, "artifact has its sections in the wrong order"),
        (0x24, "<I", 1, "artifact has its sections in the wrong order"),
        (0x28, "<Q", 74, "artifact has bytes that belong to nothing"),
        (0x28, "<Q", 2**63, "artifact has a section beyond its end"),
        (0x30, "<I", 1, "artifact has outputs that suit no problem type"),
        (0x30, "<I", 2, "artifact has outputs that suit no problem type"),
        (0x30, "<I", 3, "artifact has outputs that suit no problem type"),
        (0x34, "<I", 2, "artifact has outputs that suit no problem type"),
        (0x38, "<I", 2**31, "artifact has a count beyond its end"),
        (0x3C, "<I", 2**31, "artifact has a count beyond its end"),
        (0x40, "B", 0, "artifact holds text that is not UTF-8"),
        (0x40, "B", 0xFF, "artifact holds text that is not UTF-8"),
        (0x4D, "<I", 0, "artifact has a link that suits no problem type"),
        (0x4D, "<I", 5, "artifact has a link that suits no problem type"),
        (0x4D, "<I", 6, "artifact has a link that suits no problem type"),
        (0x51, "<I", 2, "artifact has a link that suits no problem type"),
        (0x55, "<d", math.nan, "artifact holds a number that is not finite"),
        (0x55, "<d", math.inf, "artifact holds a number that is not finite"),
        (0x5D, "<I", 2, "artifact has offsets that suit no output"),
        (0x5D, "<I", 2**31, "artifact has a count beyond its end"),
        (0x61, "<d", math.nan, "artifact holds a number that is not finite"),
        (0x69, "<I", 0, "artifact has a number of parts that suits no model"),
        (0x69, "<I", 2, "artifact has a count beyond its end"),
        (0x6D, "<d", -math.inf, "artifact holds a number that is not finite"),
        (0x89, "<I", 2**31, "artifact has a count beyond its end"),
        (0x8D, "<I", 5, "artifact has a column of no kind"),
        (0x8D, "<I", 2, "artifact has a feature that suits no column"),
        (0xC7, "<I", 2, "artifact has a count beyond its end"),
        (0xCB, "<I", 1, "artifact has a feature that suits no column"),
        (0xCF, "<I", 1, "artifact has a feature that suits no column"),
        (0xCF, "<I", 9, "artifact has a feature that suits no column"),
        (0xD3, "<d", math.inf, "artifact has a feature with impossible settings"),
        (0xEB, "<I", 5, "artifact has bytes that belong to nothing"),
        (0xEB, "<I", 6, "artifact has its sections in the wrong order"),
        (0xFB, "<I", 4, "artifact has trees with unknown flags"),
        (0xFF, "<I", 0, "artifact has a number of trees that suits no model"),
        (0xFF, "<I", 2, "artifact ends too early"),
        (0xFF, "<I", 2**31, "artifact has a count beyond its end"),
        (0x103, "<I", 2**31, "artifact has a count beyond its end"),
        (0x103, "<I", 0, "artifact has bytes that belong to nothing"),
        (0x107, "<I", 1, "artifact ends too early"),
        (0x10B, "<I", 1, "artifact has a split on nothing"),
        (0x10F, "<I", 12, "artifact has a split on nothing"),
        (0x113, "<i", 0, "artifact has a tree that is none"),
        (0x117, "<i", -1, "artifact has a tree that is none"),
        (0x11B, "<d", math.nan, "artifact has a threshold that is no number"),
        (0x123, "<d", math.nan, "artifact holds a number that is not finite"),
        (0x12B, "<d", math.inf, "artifact holds a number that is not finite"),
    ],
)
def test_what_is_wrong_is_said(offset, form, value, message):
    data = bytearray(EXAMPLE)
    struct.pack_into(form, data, offset, value)
    # The header's own fields are what they were changed to.
    assert get_message(bytes(data) if offset < 32 else seal(bytes(data))) == f"{message}."


def test_a_part_too_many_and_a_part_too_few_are_refused():
    data = bytearray(ARTIFACTS["parts"])
    trees = find_payload(bytes(data), 4) - 16
    assert get_message(seal(bytes(data[:trees]))) == "artifact ends too early."
    assert get_message(seal(bytes(data + data[trees:]))) == (
        "artifact has bytes that belong to nothing."
    )


def test_leaf_counts_may_be_any_numbers():
    data = bytearray(EXAMPLE)
    struct.pack_into("<II", data, 0x133, 0, 2**32 - 1)
    Scorer(seal(bytes(data)), "m")


@pytest.mark.parametrize(("first", "count"), [(0, 2), (1, 1), (2, 0), (2**32 - 1, 2), (0, 2**31)])
def test_a_category_set_beyond_the_words_of_its_tree_is_refused(first, count):
    data = bytearray(ARTIFACTS["one set"])
    tree = find_payload(bytes(data), 4) + 8
    assert struct.unpack_from("<II", data, tree) == (1, 1)
    flags, *_, first_word, words = struct.unpack_from("<IiiII", data, tree + 12)
    assert (flags & 1, first_word, words) == (1, 0, 1)
    struct.pack_into("<II", data, tree + 24, first, count)
    assert not use(seal(bytes(data)))


def write_unchecked(monkeypatch: pytest.MonkeyPatch, model: FittedModel) -> bytes:
    """Write a model as it is, whatever compile has against it."""
    for module, name in (
        (features, "_check_settings"),
        (features, "_check_source"),
        (vocabulary, "_check"),
        (linear, "_check_shape"),
        (linear, "_check_kind"),
    ):
        monkeypatch.setattr(module, name, lambda *_: None)
    monkeypatch.setattr(forest, "_is_sound", lambda *_: True)
    monkeypatch.setattr(np, "isfinite", lambda values: np.ones(1))
    monkeypatch.setattr(Writer, "finite", Writer.f64)
    return compile_model(model).data


@pytest.mark.parametrize(("model", "named"), REFUSED)
def test_what_compile_refuses_the_core_refuses_too(monkeypatch, model, named):
    with pytest.raises(ArtifactDamaged):
        Scorer(write_unchecked(monkeypatch, model), "m")
