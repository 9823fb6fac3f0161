"""
Raw scores become what metrics score.
"""

import numpy as np
from scipy.special import expit, softmax

from sqlml.enums import ProblemType
from sqlml.search.arrays import F64
from sqlml.search.fitted import Link


def predicted(problem_type: ProblemType, raw: F64, link: Link = Link.IDENTITY) -> F64:
    """Turn raw scores into probabilities, a column for each class, or into numbers."""
    match problem_type:
        case ProblemType.REGRESSION:
            return respond(raw[:, 0], link)
        case ProblemType.BINARY:
            second = expit(raw[:, 0])
            return np.column_stack([1 - second, second])
        case ProblemType.MULTICLASS:
            return np.asarray(softmax(raw, axis=1), dtype=np.float64)


def respond(raw: F64, link: Link) -> F64:
    """Turn a regression's raw scores into numbers; too large ones become infinite."""
    with np.errstate(over="ignore"):
        match link:
            case Link.EXP:
                return np.exp(raw)
            case Link.EXPM1:
                return np.expm1(raw)
            case Link.SQUARE:
                return raw * np.abs(raw)
            case Link.LOGISTIC:
                return np.asarray(expit(raw), dtype=np.float64)
            case _:
                return raw
