"""
AutoGluon's medium preset.
"""

# They are imported before the stop-watch starts; AutoGluon imports them when it fits.
import catboost  # noqa: F401
import fastai.tabular.all  # noqa: F401
import lightgbm  # noqa: F401
import pandas as pd
import torch
import xgboost  # noqa: F401
from autogluon.tabular import TabularPredictor
from peer import Fitted, Order, name_classes, run

METRICS = {"roc_auc": "roc_auc", "log_loss": "log_loss", "rmse": "root_mean_squared_error"}


def fit(order: Order, train: pd.DataFrame) -> Fitted:
    """One call, as a user would write it."""
    torch.set_num_threads(order.cores)
    predictor = TabularPredictor(
        label=order.target,
        problem_type=order.problem,
        eval_metric=METRICS[order.metric],
        path=str(order.folder / "model"),
        verbosity=1,
        learner_kwargs={"random_state": order.seed},
    )
    predictor.fit(
        train,
        presets="medium_quality",
        time_limit=order.seconds,
        num_cpus=order.cores,
        num_gpus=0,
    )
    facts = (("best", predictor.model_best), ("models", len(predictor.model_names())))
    if order.problem == "regression":
        return Fitted(lambda rows: predictor.predict(rows).to_numpy(), facts=facts)
    return Fitted(
        lambda rows: predictor.predict_proba(rows).to_numpy(),
        name_classes(predictor.class_labels),
        facts,
    )


if __name__ == "__main__":
    run(fit)
