"""
Every construct of an artifact: core and reference predictor agree to the last bit, with
LightGBM and scikit-learn where these are what was compiled.
"""

# ruff: noqa: RUF001
import json
import math
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from sqlml import _scoring
from sqlml.catalogue.golden import make_golden
from sqlml.compile.artifact import compile_model
from sqlml.enums import ColumnKind, EstimatorName, ProblemType
from sqlml.extract.dataset import Column
from sqlml.predict.reference import ReferencePredictor
from sqlml.predict.reference_features import cut_tokens, hash_pair, hash_terms, hash_token
from sqlml.predict.scorer import Scorer
from sqlml.search.fitted import (
    Blend,
    Feature,
    FeatureOp,
    FittedModel,
    ForestPart,
    LinearPart,
    Link,
    NumericTerm,
    TextTerm,
    Tree,
    TreePart,
    Vocabulary,
)
from tests.predict.constructs import draw_model, draw_table, make_vocabulary, same_bits
from tests.predict.forests import Shape, draw_booster
from tests.predict.models import draw_linear, make_classes

SEEDS = st.integers(0, 2**32 - 1)
EVALUATORS = (1, 2, 3)
BODY = Column("body", "text", ColumnKind.CATEGORY)
NUMBERS = tuple(Column(name, "double precision", ColumnKind.NUMERIC) for name in "abcd")
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30)
HOSTILE_TEXTS = (
    *("", " ", "\n\t\u00a0\u3000", "a", "A", "_", "1", "é", "e\u0301", "\u0301\u0301", "🐘", "東"),
    *(
        "東京タワーは333メートル",
        "ﾀﾜｰ",
        "Ｆｕｌｌ　ｗｉｄｔｈ１２３！",
        "a×b÷c",
        "ªº¹²³¼",
        "x\u200dy\u2060z",
    ),
    *(
        "\ud7ff\ue000\ufffd\uffff\U00010000\U0010ffff",
        "ĀāŐőŸÿŹźİıĲĳĸŉŊ",
        "ЀѐЏџАаЯяЁё",
        "ΑαΣςσΩω\u03a2",
    ),
    *("word " * 70, "the cat the cat the cat", "a b a b c", "İİİ", "ß" * 300, "x" * 5000),
)


def make_text_model(vocabularies: tuple[Vocabulary, ...]) -> FittedModel:
    """A model that counts the words of a text and uses each vocabulary in every way."""
    counts = (FeatureOp.CHARACTERS, FeatureOp.WORDS, FeatureOp.DIGITS, FeatureOp.CAPITALS)
    topics = tuple(
        Feature(column="body", op=FeatureOp.TOPIC, source=source, place=place)
        for source, vocabulary in enumerate(vocabularies)
        for place in range(vocabulary.components.shape[1])
    )
    features = (*(Feature(column="body", op=op) for op in counts), *topics)
    rng = np.random.default_rng(0)
    numbers = tuple(
        NumericTerm(
            feature=place,
            low=-1e9,
            high=1e9,
            mean=0.0,
            inverse_scale=1.0,
            weights=rng.normal(size=1),
            missing_weights=rng.normal(size=1),
        )
        for place in range(len(features))
    )
    texts = tuple(
        TextTerm(
            vocabulary=place,
            weights=rng.normal(size=(len(vocabulary.hashes), 1)).astype(np.float32),
        )
        for place, vocabulary in enumerate(vocabularies)
    )
    part = LinearPart(
        estimator=EstimatorName.LINEAR, intercepts=np.zeros(1), terms=(*numbers, *texts)
    )
    return FittedModel(
        problem_type=ProblemType.REGRESSION,
        target=NUMBERS[0],
        classes=(),
        columns=(BODY,),
        features=features,
        parts=(part,),
        vocabularies=vocabularies,
    )


def know(*texts: str) -> Vocabulary:
    """A vocabulary with pairs of all terms of some texts."""
    terms = [term for text in texts for term in hash_terms(text, True)]
    vocabulary = make_vocabulary("body", terms, np.random.default_rng(1))
    return replace(vocabulary, bigrams=True, normalise=True)


def check(model: FittedModel, table: pa.Table) -> NDArray[np.float64]:
    """Core, in each of its ways, and reference predictor give the same raw scores."""
    data = compile_model(model).data
    reference = ReferencePredictor(data)
    expected = np.array([reference.raw_scores(row) for row in table.to_pylist()])
    scorer = Scorer(data, "m")
    assert same_bits(scorer.raw_scores(table), expected)
    for evaluator in EVALUATORS:
        scorer._model = _scoring.open(data, "m", evaluator)
        assert same_bits(scorer.raw_scores(table), expected)
    return expected


@pytest.mark.parametrize("problem_type", ProblemType)
@given(seed=SEEDS)
@settings(max_examples=40, deadline=None)
def test_models_of_every_construct_are_bit_equal(problem_type, seed):
    model = draw_model(seed, problem_type)
    check(model, draw_table(seed, model, 12))


@given(texts=st.lists(TEXT, min_size=1, max_size=4))
@settings(max_examples=150, deadline=None)
def test_any_text_is_bit_equal(texts):
    check(make_text_model((know(*texts[::2]),)), pa.table({"body": [*texts, None]}))


@pytest.mark.parametrize("bigrams", [False, True])
@pytest.mark.parametrize("normalise", [False, True])
def test_hostile_texts_are_bit_equal(bigrams, normalise):
    known = replace(know(*HOSTILE_TEXTS), bigrams=bigrams, normalise=normalise)
    model = make_text_model((known, know()))
    scores = check(model, pa.table({"body": [*HOSTILE_TEXTS, None]}))
    assert len(np.unique(scores)) > 20
    opened = _scoring.open(compile_model(model).data, "m")
    for text, expected in zip((*HOSTILE_TEXTS, None), scores.tolist(), strict=True):
        assert list(opened.raw_scores_json(json.dumps({"body": text}))) == expected


def test_a_megabyte_of_text_is_bit_equal():
    pieces = "Das Straßenfest in 東京, again and again: 42 times 🐘 e\u0301! "
    text = pieces * (1_000_000 // len(pieces.encode()))
    tail = "x" * 999_000
    check(make_text_model((know(pieces),)), pa.table({"body": [text, tail, "word"]}))


@pytest.mark.parametrize("frequency_count", [1, 2, 64])
def test_frequencies_beyond_the_last_weigh_as_it(frequency_count):
    weights = tuple(float(1 + place) for place in range(frequency_count))
    vocabulary = replace(
        know("again"),
        frequency_weights=weights,
        normalise=False,
        bigrams=False,
        idf=np.ones(1),
        components=np.ones((1, 1), dtype=np.float32),
    )
    assert len(vocabulary.hashes) == 1
    counts = [0, 1, 2, 3, 63, 64, 65, 1000]
    model = make_text_model((vocabulary,))
    (part,) = model.parts
    assert isinstance(part, LinearPart)
    topic = part.terms[4]
    assert isinstance(topic, NumericTerm)
    topic = replace(topic, weights=np.ones(1))
    model = replace(model, parts=(replace(part, terms=(topic,)),))
    scores = check(model, pa.table({"body": ["Again " * count for count in counts]}))
    assert scores[:, 0].tolist() == [float(min(count, frequency_count)) for count in counts]


def test_a_vocabulary_without_terms_or_components_knows_nothing():
    nothing = replace(know(), components=np.zeros((0, 0), dtype=np.float32))
    flat = replace(know("a b"), components=np.zeros((3, 0), dtype=np.float32))
    scores = check(make_text_model((nothing, flat)), pa.table({"body": ["a b", "", None]}))
    assert len(np.unique(scores)) == 3


def analyse(text: str, bigrams: bool) -> list[str]:
    """The terms of a text as scikit-learn asks for them."""
    tokens = cut_tokens(text)
    pairs = [" ".join(pair) for pair in pairwise(tokens)]
    return tokens + pairs if bigrams else tokens


def hash_term(term: str) -> int:
    """The hash of what `analyse` gives."""
    left, _, right = term.partition(" ")
    return hash_pair(hash_token(left), hash_token(right)) if right else hash_token(left)


@pytest.mark.parametrize("bigrams", [False, True])
@pytest.mark.parametrize("sublinear", [False, True])
@pytest.mark.parametrize("norm", ["l2", None])
def test_text_terms_are_tf_idf_of_scikit_learn(bigrams, sublinear, norm):
    rng = np.random.default_rng(0)
    words = ["the", "The", "cat", "Köln", "köln", "東京", "runs", "42", "it's", "far-off"]
    texts = [" ".join(rng.choice(words, rng.integers(0, 30))) for _ in range(200)]
    label = np.array(["cat" in text and "far" in text for text in texts])
    vectorizer = TfidfVectorizer(
        analyzer=lambda text: analyse(text, bigrams), sublinear_tf=sublinear, norm=norm
    )
    matrix = vectorizer.fit_transform(texts)
    estimator = LogisticRegression(max_iter=1000).fit(matrix, label)
    estimator.coef_ = estimator.coef_.astype(np.float32).astype(np.float64)
    hashes = np.array(
        [hash_term(term) for term in vectorizer.get_feature_names_out()], dtype=np.uint64
    )
    order = np.argsort(hashes)
    frequencies = np.arange(1, 65)
    vocabulary = Vocabulary(
        column="body",
        bigrams=bigrams,
        normalise=norm == "l2",
        frequency_weights=tuple(map(float, 1 + np.log(frequencies) if sublinear else frequencies)),
        hashes=hashes[order],
        idf=vectorizer.idf_[order],
        components=np.zeros((len(order), 0), dtype=np.float32),
    )
    term = TextTerm(vocabulary=0, weights=estimator.coef_.T[order].astype(np.float32))
    part = LinearPart(
        estimator=EstimatorName.LINEAR, intercepts=estimator.intercept_, terms=(term,)
    )
    model = FittedModel(
        problem_type=ProblemType.BINARY,
        target=BODY,
        classes=make_classes(ProblemType.BINARY),
        columns=(BODY,),
        features=(),
        parts=(part,),
        vocabularies=(vocabulary,),
    )
    asked = [*texts, "THE DOG", "", "cat " * 60]
    scores = check(model, pa.table({"body": asked}))
    expected = estimator.decision_function(vectorizer.transform(asked))
    np.testing.assert_allclose(scores[:, 0], expected, rtol=1e-12, atol=1e-12)
    assert np.ptp(expected) > 1


def make_number_table(count: int, missing: float, seed: int = 0) -> pa.Table:
    """Numbers of which some are NULL."""
    rng = np.random.default_rng(seed)
    return pa.table(
        {
            column.name: pa.array(rng.normal(size=count), mask=rng.random(count) < missing)
            for column in NUMBERS
        }
    )


def make_number_model(part: TreePart | ForestPart) -> FittedModel:
    """A model of the numbers, where a part may choose its features among five."""
    return FittedModel(
        problem_type=ProblemType.REGRESSION,
        target=NUMBERS[0],
        classes=(),
        columns=NUMBERS,
        features=(
            *(Feature(column=column.name, op=FeatureOp.VALUE) for column in NUMBERS),
            Feature(column="a", op=FeatureOp.VALUE, fill=0.25),
        ),
        parts=(part,),
    )


def get_matrix(table: pa.Table) -> NDArray[np.float64]:
    """The numbers with NaN for NULL."""
    return np.column_stack([table.column(name).to_numpy() for name in "abcd"])


@given(seed=st.integers(0, 10_000))
@settings(max_examples=100, deadline=None)
def test_boosters_on_some_of_the_features_are_bit_equal_to_lightgbm(seed):
    rng = np.random.default_rng(seed)
    places = tuple(map(int, rng.choice(5, rng.integers(1, 8))))
    booster = draw_booster(Shape(feature_count=len(places), max_leaves=40), seed)
    part = TreePart(estimator=EstimatorName.LIGHTGBM, booster=booster, features=places)
    table = make_number_table(30, 0.3, seed)
    matrix = get_matrix(table)
    filled = np.where(np.isnan(matrix[:, 0]), 0.25, matrix[:, 0])
    inputs = np.column_stack([matrix, filled])[:, places]
    expected = np.asarray(booster.predict(inputs, raw_score=True, num_threads=1))
    assert same_bits(check(make_number_model(part), table), expected.reshape(-1, 1))


def floor_to_double(threshold: float) -> float:
    """The largest double whose float32 is at most a threshold."""
    single = np.float32(threshold)
    if float(single) > threshold:
        single = np.nextafter(single, np.float32(-np.inf))
    middle = (float(single) + float(np.nextafter(single, np.float32(np.inf)))) / 2
    is_even = single.view(np.uint32) % 2 == 0
    return middle if is_even else math.nextafter(middle, -math.inf)


def convert_tree(tree: Any) -> Tree:
    """A tree of scikit-learn as plain arrays."""
    is_leaf = tree.children_left < 0
    places = np.where(is_leaf, ~(np.cumsum(is_leaf) - 1), np.cumsum(~is_leaf) - 1)
    inner = ~is_leaf
    return Tree(
        feature=tree.feature[inner].astype(np.int32),
        threshold=np.array([floor_to_double(value) for value in tree.threshold[inner]]),
        left=places[tree.children_left[inner]].astype(np.int32),
        right=places[tree.children_right[inner]].astype(np.int32),
        missing_left=tree.missing_go_to_left[inner].astype(bool),
        values=tree.value[is_leaf][:, :, 0],
        counts=tree.n_node_samples[is_leaf].astype(np.int32),
    )


@pytest.mark.parametrize("missing", [0.0, 0.2])
@pytest.mark.parametrize("outputs", [1, 3])
def test_forests_are_bit_equal_to_extra_trees(missing, outputs):
    table = make_number_table(300, missing)
    matrix = get_matrix(table)
    target = np.nan_to_num(matrix) @ np.arange(4 * outputs).reshape(4, outputs)
    forest = ExtraTreesRegressor(n_estimators=20, min_samples_leaf=3, random_state=0)
    # Trained on its columns in another order.
    places = (3, 0, 2, 1)
    forest.fit(matrix[:, places], target if outputs > 1 else target[:, 0])
    part = ForestPart(
        estimator=EstimatorName.LIGHTGBM,
        trees=tuple(convert_tree(each.tree_) for each in forest.estimators_),
        features=places,
        is_average=True,
    )
    model = make_number_model(part)
    if outputs > 1:
        multiclass = ProblemType.MULTICLASS
        model = replace(
            model, problem_type=multiclass, classes=make_classes(multiclass), link=Link.SOFTMAX
        )
    # Values at the thresholds and beside them, as doubles.
    thresholds = np.concatenate([tree.threshold[tree.feature == 1] for tree in part.trees])[:200]
    sides = np.random.default_rng(0).choice([-np.inf, np.inf], len(thresholds))
    asked = make_number_table(len(thresholds), missing, seed=1)
    values = np.nextafter(thresholds, np.where(sides > 0, thresholds, np.inf))
    asked = asked.set_column(0, "a", pa.array(values))
    scores = check(model, asked)
    expected = forest.predict(get_matrix(asked)[:, places]).reshape(-1, outputs)
    assert same_bits(scores, expected)


def test_parts_of_weight_0_are_left_out_of_the_blend():
    booster = draw_booster(Shape(feature_count=5), 0)
    infinite = LinearPart(estimator=EstimatorName.LINEAR, intercepts=np.array([1e308]))
    part = TreePart(estimator=EstimatorName.LIGHTGBM, booster=booster)
    alone = make_number_model(part)
    table = make_number_table(20, 0.2)
    for blend in Blend:
        model = replace(
            alone,
            parts=(infinite, part, infinite),
            weights=(0.0, 1.0, -0.0),
            blend=blend,
            link=Link.IDENTITY,
        )
        assert same_bits(check(model, table), check(alone, table))


def test_each_part_of_a_regression_may_respond_by_a_link_of_its_own():
    intercepts = (0.5, 0.25, -0.75, -3.0)
    links = (Link.IDENTITY, Link.EXP, Link.EXPM1, Link.SQUARE)
    parts = tuple(
        LinearPart(estimator=EstimatorName.LINEAR, intercepts=np.array([value]))
        for value in intercepts
    )
    model = FittedModel(
        problem_type=ProblemType.REGRESSION,
        target=NUMBERS[0],
        classes=(),
        columns=NUMBERS,
        features=(),
        parts=parts,
        weights=(1.0, 2.0, 3.0, -0.5),
        blend=Blend.RESPONSE,
        links=links,
    )
    table = make_number_table(1, 0.0)
    total = 0.5 + 2 * math.exp(0.25) + 3 * math.expm1(-0.75) + 0.5 * 9
    assert check(model, table)[0, 0] == pytest.approx(total, rel=1e-15)
    scores = check(replace(model, link=Link.EXP), table)
    assert scores[0, 0] == pytest.approx(math.log(total), rel=1e-15)


def test_a_score_may_come_before_and_after_what_it_is_made_of():
    def line(place: int, weight: float) -> LinearPart:
        term = NumericTerm(
            feature=place,
            low=-10.0,
            high=10.0,
            mean=0.0,
            inverse_scale=1.0,
            weights=np.array([weight]),
            missing_weights=np.array([7.0]),
        )
        return LinearPart(estimator=EstimatorName.LINEAR, intercepts=np.zeros(1), terms=(term,))

    score = Feature(column="", op=FeatureOp.SCORE, source=2)
    value = Feature(column="a", op=FeatureOp.VALUE)
    model = FittedModel(
        problem_type=ProblemType.REGRESSION,
        target=NUMBERS[0],
        classes=(),
        columns=NUMBERS[:1],
        features=(score, value, replace(score, source=1)),
        parts=(line(0, 1.0), line(1, 0.5), line(1, 2.0), line(2, 100.0)),
        weights=(1.0, 0.0, 10.0, 1.0),
    )
    scores = check(model, pa.table({"a": [1.0, None]}))
    assert scores[:, 0].tolist() == [2.0 + 20.0 + 50.0, 7.0 + 70.0 + 700.0]
    third = pa.table({"a": [1 / 3]})
    rounded = float(np.float32(2 / 3)) + 10 * (2 / 3) + 100 * float(np.float32(0.5 / 3))
    assert check(model, third)[0, 0] == pytest.approx(rounded, rel=1e-15)


def test_arrays_of_sliced_and_chunked_columns():
    column = Column("v", "real[]", ColumnKind.ARRAY)
    ops = (FeatureOp.LENGTH, FeatureOp.MEAN)
    features = tuple(Feature(column="v", op=op, fill=-9.0) for op in ops)
    model = draw_linear(ProblemType.REGRESSION, features=features, columns=(column,))
    table = pa.table({"v": pa.array([[1.0, None], None, [], [4.0, 5.0, 6.0], [7.0]])})
    scores = check(model, table)
    assert len(np.unique(scores)) == 5
    assert same_bits(check(model, table.slice(1, 3)), scores[1:4])
    batches = [*table.slice(3).to_batches(), *table.slice(0, 3).to_batches()]
    assert same_bits(check(model, pa.Table.from_batches(batches)), scores[[3, 4, 0, 1, 2]])


def test_golden_rows_hold_arrays_as_json():
    column = Column("v", "real[]", ColumnKind.ARRAY)
    rows: list[dict[str, Any]] = [{"v": [1.5, None, math.nan, math.inf]}, {"v": None}, {"v": []}]
    golden = make_golden((column,), rows, [[0.0]] * 3)
    assert [item["row"]["v"] for item in golden] == [[1.5, None, "NaN", "Infinity"], None, []]
