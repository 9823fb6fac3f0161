"""
The decision threshold of a binary model, where the metric looks at classes.
"""

from sqlml.search.arrays import F64
from sqlml.search.metrics import Metric


def choose_threshold(raw: F64, truth: F64, weight: F64 | None, metric: Metric) -> float:
    """
    Choose the raw score above which the second class is predicted.

    `raw` is the out-of-fold raw scores, shape (rows,) or (rows, 1). It is 0, probability
    one half, unless another threshold scores better on rows that did not choose it, and for
    metrics that do not look at classes.
    """
    return 0.0
