"""
Encoded samples of datasets for tests, and orders to fit.
"""

import time
from typing import Any

import numpy as np

from sqlml.extract.dataset import Dataset
from sqlml.search.estimators.estimator import Order, Sample, make_task
from sqlml.search.features import learn_features
from sqlml.search.metrics import DEFAULTS, METRICS
from sqlml.search.target import read_target


def sample_of(dataset: Dataset, metric: str | None = None, weight: Any = None) -> Sample:
    """Encode all rows of a dataset."""
    target = read_target(dataset, None)
    found = learn_features(dataset.table, dataset.columns, target, np.random.default_rng(0))
    encoded = found.encode(dataset.table)
    return Sample(
        task=make_task(target, found, METRICS[metric or DEFAULTS[target.problem_type]]),
        features=found,
        matrix=encoded.matrix,
        texts=encoded.texts,
        target=target.values,
        weight=weight,
    )


def order(**kwargs: Any) -> Order:
    """Make an order with time enough."""
    return Order(until=time.monotonic() + 60, **kwargs)
