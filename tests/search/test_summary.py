"""
What a search says before its first trial: the problem, and what its score will not tell.
"""

import time

import pytest

from sqlml.search.bench import make_bench
from sqlml.search.plan import Plan
from sqlml.search.study import describe_bench
from tests.search.tables import dataset_of


def summary(labels, **options):
    dataset = dataset_of("y", x=[float(row) for row in range(len(labels))], y=labels)
    return describe_bench(make_bench(dataset, Plan(deadline=time.monotonic() + 60, **options)))


@pytest.mark.parametrize(
    ("labels", "options", "expected"),
    [
        (
            ["a", "b"] * 30,
            {},
            "binary problem, metric roc_auc, rows to search on: 60, held out: 0,"
            " features: 1 of 1 columns",
        ),
        (
            [*["a", "b", "c"] * 20, "rare", "once"],
            {"metric": "accuracy"},
            "multiclass problem, metric accuracy, rows to search on: 62, held out: 0,"
            ' features: 1 of 1 columns; not judged, as too rare: "once", "rare"',
        ),
        (
            ["a"] * 40 + ["rare"],
            {},
            "binary problem, metric log_loss (for roc_auc there are too few rows of one class),"
            " rows to search on: 41, held out: 0, features: 1 of 1 columns;"
            ' not judged, as too rare: "rare"',
        ),
    ],
)
def test_summary(labels, options, expected):
    assert summary(labels, **options) == expected
