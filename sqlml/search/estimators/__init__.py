"""
The estimators: each one file with its hyperparameter space, its portfolio, its cost and its fit.
"""

from collections.abc import Mapping

from sqlml.enums import EstimatorName
from sqlml.search.estimators.baseline import Baseline
from sqlml.search.estimators.estimator import Estimator
from sqlml.search.estimators.extra_trees import ExtraTrees
from sqlml.search.estimators.lightgbm import LightGBM
from sqlml.search.estimators.linear import Linear

ESTIMATORS: Mapping[EstimatorName, Estimator] = {
    each.name: each for each in (Baseline(), Linear(), LightGBM(), ExtraTrees())
}
