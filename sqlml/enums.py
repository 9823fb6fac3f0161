"""
The words that more than one stage uses.

Every value is the text that stands in the catalogue, in options and in artifacts.
"""

from enum import StrEnum


class ColumnKind(StrEnum):
    """What a column is to a model, decided from its SQL type."""

    NUMERIC = "numeric"
    BOOLEAN = "boolean"
    CATEGORY = "category"
    DATETIME = "datetime"


class ProblemType(StrEnum):
    """What is learnt; decided from the target unless the option says so."""

    BINARY = "binary"
    MULTICLASS = "multiclass"
    REGRESSION = "regression"


class EstimatorName(StrEnum):
    """The estimators a search may use."""

    BASELINE = "baseline"
    LINEAR = "linear"
    LIGHTGBM = "lightgbm"
    EXTRA_TREES = "extra_trees"


class TrialState(StrEnum):
    """How a trial ended; Optuna's words."""

    COMPLETE = "complete"
    PRUNED = "pruned"
    FAIL = "fail"


class JobStatus(StrEnum):
    """Where a job is."""

    WAITING = "waiting"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    ABORTED = "aborted"


class Direction(StrEnum):
    """Whether a metric is better when it is larger or smaller."""

    MAXIMIZE = "maximize"
    MINIMIZE = "minimize"
