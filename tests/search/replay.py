"""
The parts of a model: the linear score as `fitted.py` defines it, computed in the most
obvious way, and what trees are made of.
"""

import lightgbm as lgb
import numpy as np

from sqlml.search.fitted import LinearPart, NumericTerm, Part, TreePart


def replay_linear(part: LinearPart, matrix: np.ndarray) -> np.ndarray:
    """Compute the raw scores of encoded rows, term by term."""
    scores = np.tile(part.intercepts, (len(matrix), 1))
    for term in part.terms:
        for row, value in enumerate(matrix[:, term.feature]):
            if not isinstance(term, NumericTerm):
                scores[row] += term.weights[int(value)]
            elif np.isnan(value):
                scores[row] += term.missing_weights
            else:
                clipped = min(max(value, term.low), term.high)
                scores[row] += term.weights * ((clipped - term.mean) * term.inverse_scale)
    return scores


def linear_of(part: Part) -> LinearPart:
    """Get a part that must be linear."""
    assert isinstance(part, LinearPart)
    return part


def booster_of(part: Part) -> lgb.Booster:
    """Get the booster of a part that must be trees."""
    assert isinstance(part, TreePart)
    return part.booster
