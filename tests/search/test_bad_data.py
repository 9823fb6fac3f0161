"""
The search on bad data: every case gives a sound model or a plain refusal, never anything else.

A sound model has a finite score, an artifact that verifies, and finite answers for rows that
are worse than those it has learnt from.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from sqlml.compile.artifact import compile_model
from sqlml.enums import ColumnKind, EstimatorName, ProblemType, TrialState
from sqlml.errors import SqlmlError
from sqlml.extract.dataset import Dataset
from sqlml.job.publication import verify
from sqlml.predict.reference import ReferencePredictor
from sqlml.predict.scorer import Scorer
from sqlml.search.leaderboard import Leaderboard
from sqlml.search.plan import Given, Plan
from sqlml.search.study import search
from tests.search.tables import dataset_of, with_roles

REGRESSION = ProblemType.REGRESSION
TREES = {"num_trees": 10}
EARLIEST, LATEST = -211_813_488_000_000_000, 9_223_371_331_199_999_999
"""4714-11-24 BC and 294276-12-31, in microseconds since 2000."""
DAY = 86_400_000_000
HOSTILE: dict[ColumnKind, list[Any]] = {
    ColumnKind.NUMERIC: [None, float("nan"), float("inf"), float("-inf"), 1e300, -5e-324],
    ColumnKind.BOOLEAN: [None, True, False, None, True, False],
    ColumnKind.CATEGORY: [None, "", "never seen " * 99, "\u6771\u4eac \U0001f600", "a", "\x01"],
    ColumnKind.DATETIME: [None, EARLIEST, LATEST, 0, -1, 1],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Rows, options of the plan, and the refusal that they get, if they get one."""

    name: str
    rows: Callable[[np.random.Generator], Dataset]
    options: dict[str, Any] = field(default_factory=dict)
    refusal: str | None = None


def noise(rng: np.random.Generator, row_count: int = 100, **columns: Any) -> dict[str, Any]:
    """Make two columns of chance, and others."""
    return {"x": rng.normal(size=row_count), "z": rng.integers(0, 4, row_count), **columns}


def two(row_count: int, positive_count: int = 0) -> list[str]:
    """Make a target of two classes, half and half unless told otherwise."""
    positives = positive_count or row_count // 2
    return ["b"] * positives + ["a"] * (row_count - positives)


def numbers(rng: np.random.Generator, row_count: int = 100) -> np.ndarray:
    """Make a target that is a number."""
    return rng.normal(size=row_count)


def case(name: str, refusal: str | None = None, **options: Any) -> Callable[..., Any]:
    """Add what a function makes of chance to the table."""

    def add(rows: Callable[[np.random.Generator], Dataset]) -> Callable[..., Dataset]:
        CASES.append(Case(name=name, rows=rows, options=options, refusal=refusal))
        return rows

    return add


def several(cases: dict[str, dict[str, Any]]) -> Callable[..., Any]:
    """Add one case for each set of options; `refusal` may be among them."""

    def add(rows: Callable[[np.random.Generator], Dataset]) -> Callable[..., Dataset]:
        for name, options in cases.items():
            case(name, **options)(rows)
        return rows

    return add


CASES: list[Case] = []

# --- few rows ---

TOO_FEW = "training needs at least 10 rows"
for count in (1, 5, 9):
    case(f"{count} rows", TOO_FEW)(
        lambda rng, count=count: dataset_of("y", y=numbers(rng, count), **noise(rng, count))
    )
for count in (10, 11, 20, 100):
    case(f"{count} rows, regression", trials=3)(
        lambda rng, count=count: dataset_of("y", y=numbers(rng, count), **noise(rng, count))
    )
    case(f"{count} rows, two classes", trials=3)(
        lambda rng, count=count: dataset_of("y", y=two(count), **noise(rng, count))
    )
    case(f"{count} rows, three classes", trials=3)(
        lambda rng, count=count: dataset_of(
            "y", y=[f"class {index % 3}" for index in range(count)], **noise(rng, count)
        )
    )


@several(
    {
        "10 rows, 2 folds": {"folds": 2},
        "10 rows, 20 folds": {"folds": 20},
        "10 rows, half held out": {"holdout": 0.5},
        "10 rows, one of a hundred held out": {"holdout": 0.01},
    }
)
def ten_rows(rng):
    return dataset_of("y", y=two(10), **noise(rng, 10))


# --- targets of classes ---


@several({"one positive of 1000": {}, "one positive, half held out": {"holdout": 0.5}})
def one_positive(rng):
    return dataset_of("y", y=two(1000, 1), **noise(rng, 1000))


@case("class of one row", metric="f1_macro")
def single(rng):
    return dataset_of("y", y=["c", *two(99)], **noise(rng))


@case("every class has one row", "too many distinct values")
def all_single(rng):
    return dataset_of("y", y=[f"class {index}" for index in range(100)], **noise(rng))


@case("300 classes", "too many distinct values")
def too_many_classes(rng):
    classes = [f"class {index % 300}" for index in range(1500)]
    return dataset_of("y", y=classes, **noise(rng, 1500))


@case("200 classes", hyperparameters={"num_trees": 2})
def many_classes(rng):
    classes = [f"class {index % 200:03}" for index in range(800)]
    return dataset_of("y", y=classes, **noise(rng, 800))


@several(
    {
        "one class": {"refusal": "one value only"},
        "one class of two wanted": {
            "problem_type": ProblemType.BINARY,
            "refusal": "one value only",
        },
    }
)
def one_class(rng):
    return dataset_of("y", y=["a"] * 100, **noise(rng))


@case("names of classes")
def class_names(rng):
    names = ["", " ", "\U0001f600", "a'b\"c\\", "x" * 100_000]
    return dataset_of("y", y=[names[index % 5] for index in range(100)], **noise(rng))


# --- targets of numbers ---


def with_outliers(rng):
    target = numbers(rng, 200)
    target[[3, 50, 120]] = [1e300, -1e300, 1.7e308]
    return dataset_of("y", y=target, **noise(rng, 200))


several({"outliers": {}, "outliers, mae": {"metric": "mae"}, "outliers, r2": {"metric": "r2"}})(
    with_outliers
)


@several({"huge outliers": {}, "huge outliers, one sign": {"metric": "median_ae"}})
def positive_outliers(rng):
    target = np.abs(numbers(rng, 200))
    target[[3, 50]] = 1e300
    return dataset_of("y", y=target, **noise(rng, 200))


@case("largest numbers")
def largest(rng):
    return dataset_of("y", y=np.where(numbers(rng) > 0, 1.7e308, -1.7e308), **noise(rng))


@case("tiny numbers")
def tiny(rng):
    return dataset_of("y", y=1e-300 * numbers(rng), **noise(rng))


@case("tiny positive numbers", metric="poisson_deviance")
def tiny_counts(rng):
    return dataset_of("y", y=1e-300 * np.abs(numbers(rng)), **noise(rng))


@case("integers beyond 2^53")
def large_integers(rng):
    return dataset_of("y", y=rng.integers(2**53, 2**60, 100).astype(float), **noise(rng))


@case("few integers beyond 2^53")
def few_large_integers(rng):
    return dataset_of("y", y=[2.0**60 + 4096 * (index % 3) for index in range(100)], **noise(rng))


@several({"constant number": {}, "constant regression": {"problem_type": REGRESSION}})
def constant_number(rng):
    return dataset_of("y", y=[2.5] * 100, **noise(rng))


@case("constant but one", problem_type=REGRESSION)
def constant_but_one(rng):
    return dataset_of("y", y=[2.5] * 99 + [3.0], **noise(rng))


@several(
    {
        f"negative numbers, {metric}": {"metric": metric, "refusal": "cannot be computed"}
        for metric in ("rmsle", "poisson_deviance", "tweedie_deviance")
    }
)
def negative(rng):
    return dataset_of("y", y=numbers(rng), **noise(rng))


@several(
    {
        f"some zeros, {metric}": {"metric": metric}
        for metric in ("mape", "rmsle", "poisson_deviance", "tweedie_deviance")
    }
)
def some_zeros(rng):
    return dataset_of("y", y=np.maximum(numbers(rng), 0.0), **noise(rng))


@case("zeros, gamma", "cannot be computed", metric="tweedie_deviance", metric_parameter=2.0)
def zeros_of_gamma(rng):
    return dataset_of("y", y=np.maximum(numbers(rng), 0.0), **noise(rng))


@several(
    {
        "zeros only, mape": {"metric": "mape", "refusal": "cannot be computed"},
        "zeros only, r2": {"metric": "r2", "refusal": "cannot be computed"},
        "zeros only, poisson": {"metric": "poisson_deviance"},
        "zeros only, rmsle": {"metric": "rmsle"},
        "zeros only, tweedie": {"metric": "tweedie_deviance"},
    }
)
def zeros_only(rng):
    return dataset_of("y", y=[0.0] * 100, **noise(rng))


for case_ in CASES[-5:]:
    case_.options["problem_type"] = REGRESSION

# --- columns ---


@case("constant, empty, unique and duplicated columns", hyperparameters=TREES)
def useless_columns(rng):
    return dataset_of(
        "y",
        y=two(100),
        one=[1.0] * 100,
        none=pa.nulls(100, pa.float64()),
        nothing=pa.nulls(100, pa.string()),
        never=pa.nulls(100, pa.bool_()),
        nan=[float("nan")] * 100,
        key=[f"key {index}" for index in range(100)],
        same=list(range(100)),
        again=list(range(100)),
        **noise(rng),
    )


@case("only a key")
def only_key(rng):
    return dataset_of("y", y=rng.permutation(two(100)), key=list(range(100)))


@case("only an unreadable key", "no column is left")
def only_text_key(rng):
    return dataset_of("y", y=two(20), key=[f"{index:032x}" for index in range(20)])


@case("all rows equal", "no column is left")
def equal_rows(rng):
    return dataset_of("y", y=two(100), x=[1.0] * 100, t=["same"] * 100)


@case("rows of one content but the target")
def contradicting(rng):
    return dataset_of("y", y=rng.permutation(two(200)), x=[0.0, 1.0] * 100)


@case("12000 rows of two contents")
def few_contents(rng):
    return dataset_of("y", y=rng.integers(0, 2, 12_000), x=np.arange(12_000) % 2)


@case("2000 columns", hyperparameters={"num_trees": 2}, folds=2)
def wide(rng):
    columns = {f"column {index}": rng.normal(size=60) for index in range(2000)}
    return dataset_of("y", y=two(60), **columns)


@case("huge, tiny and infinite inputs")
def extreme_inputs(rng):
    huge = numbers(rng, 200) * 1e300
    huge[:4] = [1.7e308, -1.7e308, float("inf"), float("-inf")]
    return dataset_of(
        "y",
        y=numbers(rng, 200),
        huge=huge,
        tiny=numbers(rng, 200) * 1e-310,
        endless=np.where(numbers(rng, 200) > 0, np.inf, -np.inf),
        zero=np.where(numbers(rng, 200) > 0, 0.0, -0.0),
        wide=np.where(numbers(rng, 200) > 0, 1.7e308, -1.7e308),
        **noise(rng, 200),
    )


@case("integer inputs beyond 2^53")
def large_inputs(rng):
    return dataset_of("y", y=two(100), x=rng.integers(2**53, 2**63 - 1, 100).astype(float))


@case("booleans with NULLs")
def flags(rng):
    return dataset_of(
        "y",
        y=rng.permutation(two(100)),
        half=[None, True] * 50,
        rare=[None] * 99 + [False],
        all=[None, True, False, True] * 25,
    )


@case("names of columns")
def column_names(rng):
    names = ("a b", "score", "f0", "f1", "\u03c0\u6771", "Column_0", "'\"", "x" * 63, "row", "")
    return dataset_of("target y", **{"target y": two(100)}, **{n: numbers(rng) for n in names})


@case("column is NULL in whole folds")
def null_in_folds(rng):
    group = np.arange(100) // 25
    late = np.where(group == 3, numbers(rng), np.nan)
    word = [None if each < 3 else "ab"[index % 2] for index, each in enumerate(group)]
    rows = dataset_of("y", y=rng.permutation(two(100)), late=late, word=word, group=group)
    return with_roles(rows, group_by="group")


# --- texts ---


@case("texts of 1 MB")
def long_texts(rng):
    words = [[f"w{word}" for word in range(index % 7, index % 7 + 9)] for index in range(12)]
    return dataset_of("y", y=two(12), text=[" ".join(each * 30_000) for each in words])


@case("texts of 1 MB without time", "no column is left", seconds=1.0, trials=None)
def many_long_texts(rng):
    return dataset_of("y", y=two(40), text=[f"word{index % 7} " * 150_000 for index in range(40)])


@several({"empty texts only": {"refusal": "no column is left"}})
def empty_texts(rng):
    return dataset_of("y", y=two(100), text=[""] * 100)


@case("empty texts and NULLs")
def empty_or_null(rng):
    return dataset_of("y", y=rng.permutation(two(100)), text=["", None] * 50)


@case("texts of one word")
def words(rng):
    return dataset_of("y", y=rng.permutation(two(300)), text=[f"w{i % 149}" for i in range(300)])


@case("texts without a word")
def marks(rng):
    texts = ["!? " * (1 + index % 120) for index in range(300)]
    return dataset_of("y", y=rng.permutation(two(300)), text=texts)


@case("texts of emoji and Chinese")
def scripts(rng):
    signs = "\u6771\u4eac\u90fd\u5927\u962a\U0001f600\U0001f468\u200d\U0001f469\u00df\u0130 "
    texts = ["".join(rng.choice(list(signs), 30)) for _ in range(200)]
    return dataset_of("y", y=rng.permutation(two(200)), text=texts)


@case("texts that differ in the end only")
def long_prefix(rng):
    texts = ["the same words again and again " * 30 + str(index % 90) for index in range(200)]
    return dataset_of("y", y=rng.permutation(two(200)), text=texts)


# --- dates ---


@case("dates at both ends")
def ends_of_time(rng):
    micros = rng.permutation([EARLIEST, LATEST, EARLIEST + DAY, LATEST - DAY, 0] * 20)
    rows = dataset_of("y", y=numbers(rng), day=numbers(rng), x=numbers(rng))
    day = replace(rows.columns[0], kind=ColumnKind.DATETIME)
    table = rows.table.set_column(1, "day", pa.chunked_array([pa.array(micros, pa.int64())]))
    return replace(rows, table=table, columns=(day, rows.columns[1]))


@case("dates and NULLs, all the same day")
def one_day(rng):
    hours = [None if index % 3 == 0 else index * 3600 for index in range(100)]
    return dataset_of("y", y=numbers(rng), day=pa.array(hours, pa.timestamp("s")))


# --- groups, order, weights ---

CANNOT_PART = "the rows cannot be parted into folds"


@case("one group", CANNOT_PART)
def one_group(rng):
    return with_roles(dataset_of("y", y=two(100), g=[1.0] * 100, **noise(rng)), group_by="g")


@case("one group and NULLs")
def group_or_null(rng):
    groups = [None, "g"] * 50
    return with_roles(dataset_of("y", y=two(100), g=groups, **noise(rng)), group_by="g")


@case("NULL groups only", CANNOT_PART)
def null_groups(rng):
    groups = pa.nulls(100, pa.string())
    return with_roles(dataset_of("y", y=two(100), g=groups, **noise(rng)), group_by="g")


@case("as many groups as rows")
def single_groups(rng):
    groups = [f"g{index}" for index in range(100)]
    return with_roles(dataset_of("y", y=two(100), g=groups, **noise(rng)), group_by="g")


@several(
    {
        f"groups are classes, {metric}": {"metric": metric}
        for metric in (None, "log_loss", "f1", "accuracy")
    }
)
def groups_are_classes(rng):
    groups = [0.0] * 50 + [1.0] * 50
    return with_roles(dataset_of("y", y=two(100), g=groups, **noise(rng)), group_by="g")


@case("groups are three classes")
def groups_are_three_classes(rng):
    classes = ["abc"[index % 3] for index in range(99)]
    return with_roles(dataset_of("y", y=classes, g=classes, **noise(rng, 99)), group_by="g")


@case("constant order", CANNOT_PART)
def constant_order(rng):
    return with_roles(dataset_of("y", y=two(100), o=[1.0] * 100, **noise(rng)), order_by="o")


@case("order of two times")
def two_times(rng):
    times = [0.0] * 99 + [1.0]
    return with_roles(dataset_of("y", y=numbers(rng), o=times, **noise(rng)), order_by="o")


@several(
    {
        "class comes late": {},
        "class comes late, log_loss": {"metric": "log_loss"},
        "class comes late, held out": {"holdout": 0.2},
    }
)
def late_class(rng):
    times = np.arange(100.0)
    return with_roles(dataset_of("y", y=two(100)[::-1], o=times, **noise(rng)), order_by="o")


@case("class comes late, of three")
def late_third_class(rng):
    classes = ["a", "b"] * 45 + ["c"] * 10
    return with_roles(dataset_of("y", y=classes, o=np.arange(100.0), **noise(rng)), order_by="o")


@case("groups at all times", CANNOT_PART)
def groups_at_all_times(rng):
    groups, times = np.arange(100) % 3, np.arange(100.0)
    rows = dataset_of("y", y=two(100), g=groups, o=times, **noise(rng))
    return with_roles(rows, group_by="g", order_by="o")


@case("groups one after the other")
def groups_in_order(rng):
    groups, times = np.arange(100) // 30, np.arange(100.0)
    rows = dataset_of("y", y=numbers(rng), g=groups, o=times, **noise(rng))
    return with_roles(rows, group_by="g", order_by="o")


def weighted(weights, target=None):
    return lambda rng: with_roles(
        dataset_of("y", y=numbers(rng) if target is None else target, w=weights, **noise(rng)),
        weight="w",
    )


BAD_WEIGHTS = {
    "zero": ([0.0] * 100, "is 0 in every row"),
    "negative": ([-1.0, *[1.0] * 99], "negative"),
    "NULL": ([None, *[1.0] * 99], "NULL, NaN or infinite"),
    "all but one zero": ([1.0, *[0.0] * 99], "at least 10 rows with a weight above 0"),
    "infinite": ([float("inf"), *[1.0] * 99], "NULL, NaN or infinite"),
}
for name, (weights, refusal) in BAD_WEIGHTS.items():
    case(f"{name} weights", refusal)(weighted(weights))
ODD_WEIGHTS = {
    "all but ten zero": [1.0 if index % 10 == 0 else 0.0 for index in range(100)],
    "huge": [1e300] * 100,
    "tiny": [5e-324] * 100,
    "one weight of": [1e300, *[1.0] * 99],
    "half zero": [0.0, 1.0, 1.0, 0.0] * 25,
    "from tiny to huge": np.logspace(-300, 300, 100),
}
for name, values in ODD_WEIGHTS.items():
    case(f"{name} weights, regression")(weighted(values))
    case(f"{name} weights, two classes")(weighted(values, two(100)))
    case(f"{name} weights, three classes")(weighted(values, ["a", "b", "c", "b"] * 25))
case("weight of one class only", "one value only")(weighted([1.0] * 50 + [0.0] * 50, two(100)))

# --- options ---


@several(
    {
        "class_weight of a regression": {
            "hyperparameters": {"class_weight": "balanced"},
            "refusal": 'has a hyperparameter "class_weight"',
        },
        "RANGE of one integer": {"hyperparameters": {"num_leaves": Given(8, 8), **TREES}},
        "RANGE of one number": {"hyperparameters": {"learning_rate": Given(0.1, 0.1), **TREES}},
        "RANGE from zero": {"hyperparameters": {"lambda_l2": Given(0, 1), **TREES}},
        "CHOICE of one": {"hyperparameters": {"num_leaves": (8,), **TREES}},
        "one trial": {"trials": 1},
        "no estimator but the baseline": {"estimators": (EstimatorName.BASELINE,)},
        "no time": {"seconds": 0.0},
    }
)
def usual(rng):
    return dataset_of("y", y=numbers(rng), **noise(rng))


def hostile_rows(leaderboard: Leaderboard) -> pa.Table:
    """Make rows that are worse than any that were learnt from."""
    columns = leaderboard.model.columns
    arrow = leaderboard.checked_rows.schema
    return pa.table(
        {each.name: pa.array(HOSTILE[each.kind], arrow.field(each.name).type) for each in columns}
    )


def check_sound(leaderboard: Leaderboard) -> None:
    """Check all that a model promises."""
    low, high = leaderboard.interval
    assert np.isfinite([leaderboard.score, leaderboard.baseline_score]).all()
    assert low <= leaderboard.score <= high
    assert leaderboard.split
    if leaderboard.winner.number == 0 and len(leaderboard.members) == 1:
        assert leaderboard.score == leaderboard.baseline_score
    assert leaderboard.train_row_count > 0
    assert np.isfinite(leaderboard.checked_scores).all()
    artifact = compile_model(leaderboard.model).data
    scorer = Scorer(artifact, "m")
    verify(scorer, leaderboard)
    if not leaderboard.model.columns:
        return
    rows = hostile_rows(leaderboard)
    raw = scorer.raw_scores(rows)
    assert np.isfinite(raw).all()
    reference = ReferencePredictor(artifact)
    for row, scores in zip(rows.to_pylist(), raw, strict=True):
        assert reference.raw_scores(row) == scores.tolist()
        answer = reference.predict(row)
        is_number = leaderboard.problem_type is REGRESSION
        assert np.isfinite(answer) if is_number else answer in leaderboard.model.classes


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_data_gives_a_sound_model_or_a_refusal(pool, case):
    options = {"trials": 2, "processes": 1, **case.options}
    plan = Plan(deadline=time.monotonic() + options.pop("seconds", 600.0), **options)
    dataset = case.rows(np.random.default_rng(1))
    if case.refusal is not None:
        with pytest.raises(SqlmlError, match=case.refusal) as refused:
            search(dataset, plan, lambda progress: None, pool=pool)
        assert "\n" not in refused.value.message
        assert refused.value.hint
        return
    leaderboard = search(dataset, plan, lambda progress: None, pool=pool)
    assert {trial.error for trial in leaderboard.trials if trial.state is TrialState.FAIL} == set()
    check_sound(leaderboard)
