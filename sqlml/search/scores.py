"""
Raw scores become what metrics score.
"""

import numpy as np
from scipy.special import expit, softmax

from sqlml.enums import ProblemType
from sqlml.search.arrays import F64


def predicted(problem_type: ProblemType, raw: F64) -> F64:
    """Turn raw scores into probabilities, a column for each class, or into numbers."""
    match problem_type:
        case ProblemType.REGRESSION:
            return raw[:, 0]
        case ProblemType.BINARY:
            second = expit(raw[:, 0])
            return np.column_stack([1 - second, second])
        case ProblemType.MULTICLASS:
            return np.asarray(softmax(raw, axis=1), dtype=np.float64)
