"""
The parts of a model: the linear score as `fitted.py` defines it, computed in the most
obvious way, and what trees are made of.
"""

import lightgbm as lgb
import numpy as np

from sqlml.search.encoder import Encoded
from sqlml.search.fitted import (
    CodeTerm,
    LinearPart,
    NumericTerm,
    Part,
    StepTerm,
    TextTerm,
    TreePart,
)


def replay_linear(part: LinearPart, rows: Encoded) -> np.ndarray:
    """Compute the raw scores of encoded rows, term by term."""
    scores = np.tile(part.intercepts, (len(rows), 1))
    for term in part.terms:
        for row in range(len(rows)):
            if isinstance(term, TextTerm):
                text = rows.texts[term.vocabulary][row]
                for place, value in zip(text.indices, text.data, strict=True):
                    scores[row] += value * term.weights[place]
            else:
                scores[row] += replay_term(term, rows.matrix[row, term.feature])
    return scores


def replay_term(term: NumericTerm | CodeTerm | StepTerm, value: float) -> np.ndarray:
    """Compute what a term adds for one value."""
    if isinstance(term, CodeTerm):
        return np.asarray(term.weights[int(value)])
    if np.isnan(value):
        return term.missing_weights
    if isinstance(term, StepTerm):
        return np.asarray(term.weights[min(int(value), len(term.weights) - 1)])
    clipped = min(max(value, term.low), term.high)
    return term.weights * ((clipped - term.mean) * term.inverse_scale)


def linear_of(part: Part) -> LinearPart:
    """Get a part that must be linear."""
    assert isinstance(part, LinearPart)
    return part


def booster_of(part: Part) -> lgb.Booster:
    """Get the booster of a part that must be trees."""
    assert isinstance(part, TreePart)
    return part.booster
