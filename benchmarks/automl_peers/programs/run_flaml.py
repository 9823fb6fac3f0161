"""
FLAML's AutoML.
"""

import numpy as np
import pandas as pd
from flaml import AutoML
from peer import Fitted, Order, name_classes, run

TASKS = {"binary": "classification", "multiclass": "classification", "regression": "regression"}


def fit(order: Order, train: pd.DataFrame) -> Fitted:
    """One call, as a user would write it."""
    automl = AutoML()
    automl.fit(
        train.drop(columns=order.target),
        train[order.target],
        task=TASKS[order.problem],
        metric=order.metric,
        time_budget=order.seconds,
        n_jobs=order.cores,
        seed=order.seed,
        verbose=0,
    )
    if automl.best_estimator is None or automl.model is None:
        raise RuntimeError("FLAML ended without a model")
    facts = (("best", automl.best_estimator), ("improvements", len(automl.config_history)))
    if order.problem == "regression":
        return Fitted(lambda rows: np.asarray(automl.predict(rows)), facts=facts)
    return Fitted(
        lambda rows: np.asarray(automl.predict_proba(rows)), name_classes(automl.classes_), facts
    )


if __name__ == "__main__":
    run(fit)
