"""
The one definition of every metric: from the test part's target and a system's predictions.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

PROBLEMS = {"roc_auc": "binary", "log_loss": "multiclass", "rmse": "regression"}
SIGNS = {"roc_auc": 1, "log_loss": -1, "rmse": -1}
"""1 where more is better."""

LEAST_PROBABILITY = 1e-15
POSITIVE_CLASS = "1"

F64 = NDArray[np.float64]


def score(metric: str, truth: Sequence[object], predictions: F64, classes: Sequence[str]) -> float:
    """
    Score predictions; `ValueError` for predictions of another shape, or that are no numbers.

    Regression: one value a row; otherwise a probability for each of `classes` (the texts of
    the target's values). A class that the system does not know has the probability 0.
    """
    shape = (len(truth),) if metric == "rmse" else (len(truth), len(classes))
    if predictions.shape != shape or not np.isfinite(predictions).all():
        raise ValueError(f"predictions of shape {predictions.shape} are not finite ones of {shape}")
    if metric == "rmse":
        return float(np.sqrt(np.mean((np.array(truth, dtype=np.float64) - predictions) ** 2)))
    labels = [str(label) for label in truth]
    if metric == "roc_auc":
        positive = [label == POSITIVE_CLASS for label in labels]
        return float(roc_auc_score(positive, predictions[:, classes.index(POSITIVE_CLASS)]))
    return log_loss(labels, predictions, classes)


def log_loss(labels: Sequence[str], predictions: F64, classes: Sequence[str]) -> float:
    """Mean negative logarithm of the probability of the true class, each row's sum being 1."""
    place = {name: index for index, name in enumerate(classes)}
    shares = predictions / predictions.sum(axis=1, keepdims=True)
    true = [
        shares[row, place[label]] if label in place else 0.0 for row, label in enumerate(labels)
    ]
    return float(-np.mean(np.log(np.clip(true, LEAST_PROBABILITY, 1.0))))


def score_constant(metric: str, train: Sequence[object], test: Sequence[object]) -> float:
    """Score the training part's mean, or its classes' shares, as a constant prediction."""
    if metric == "rmse":
        mean = np.mean(np.array(train, dtype=np.float64))
        return score(metric, test, np.full(len(test), mean), ())
    classes, counts = np.unique([str(label) for label in train], return_counts=True)
    shares = np.tile(counts / len(train), (len(test), 1))
    return score(metric, test, shares, list(classes))
