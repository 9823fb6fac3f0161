"""
LightGBM tuned by Optuna's TPE for the whole time, then fitted on all rows.
"""

import time
from dataclasses import dataclass

import lightgbm as lgb
import numpy as np
import optuna
import pandas as pd
from columns import learn_columns
from peer import Fitted, Order, name_classes, run
from sklearn.model_selection import KFold, StratifiedKFold

METRICS = {"roc_auc": "auc", "log_loss": "multi_logloss", "rmse": "rmse"}
MAX_TREES, PATIENCE, FOLDS = 2000, 50, 5
HOLDOUT_ROWS = 30_000
"""From so many training rows on, one fold in five is the judge instead of all five."""


DEFAULTS = {
    "num_leaves": 31,
    "learning_rate": 0.1,
    "min_child_samples": 20,
    "feature_fraction": 1.0,
    "bagging_fraction": 1.0,
    "lambda_l1": 1e-8,
    "lambda_l2": 1e-8,
}
"""The first trial: LightGBM as it comes."""


class TimeOverError(Exception):
    """The time for trials is over in the middle of one."""


@dataclass(frozen=True)
class Trial:
    """What a finished trial knows: its parameters, trees for all rows, its dearest fold."""

    parameters: dict[str, object]
    trees: int
    fold_s: float


class Search:
    """The objective, its folds and its clock."""

    def __init__(self, order: Order, data: lgb.Dataset, target: np.ndarray, fixed: dict):
        kind = KFold if order.problem == "regression" else StratifiedKFold
        folds = kind(FOLDS, shuffle=True, random_state=order.seed)
        parts = list(folds.split(np.zeros(len(target)), target))
        self._folds = parts[:1] if len(target) >= HOLDOUT_ROWS else parts
        self._metric = METRICS[order.metric]
        self._data, self._fixed = data, fixed
        self.trials: dict[int, Trial] = {}
        self.deadline = time.monotonic() + order.seconds
        self._trials_end = self.deadline

    def score(self, trial: optuna.Trial) -> float:
        """Mean score over the folds."""
        parameters = self._fixed | draw(trial)
        scores, trees, costs_s = [], [], []
        for train, valid in self._folds:
            started = time.monotonic()
            booster = lgb.train(
                parameters,
                self._data.subset(train),
                MAX_TREES,
                valid_sets=[self._data.subset(valid)],
                callbacks=[lgb.early_stopping(PATIENCE, verbose=False), self._watch],
            )
            costs_s.append(time.monotonic() - started)
            scores.append(booster.best_score["valid_0"][self._metric])
            trees.append(booster.best_iteration)
        count = max(1, round(float(np.mean(trees))))
        self.trials[trial.number] = Trial(parameters, count, max(costs_s))
        return float(np.mean(scores))

    def keep_time(self, study: optuna.Study, _: optuna.trial.FrozenTrial) -> None:
        """Leave time for the fit on all rows, a quarter more than a fold's."""
        if self.trials:
            best = self.trials[study.best_trial.number]
            self._trials_end = self.deadline - 1.3 * best.fold_s
        if time.monotonic() > self._trials_end:
            study.stop()

    def _watch(self, _: lgb.callback.CallbackEnv) -> None:
        if time.monotonic() > self._trials_end:
            raise TimeOverError


def draw(trial: optuna.Trial) -> dict[str, float | int]:
    """The usual space."""
    return {
        "num_leaves": trial.suggest_int("num_leaves", 4, 256, log=True),
        "learning_rate": trial.suggest_float("learning_rate", 0.01, 0.3, log=True),
        "min_child_samples": trial.suggest_int("min_child_samples", 2, 100, log=True),
        "feature_fraction": trial.suggest_float("feature_fraction", 0.3, 1.0),
        "bagging_fraction": trial.suggest_float("bagging_fraction", 0.4, 1.0),
        "bagging_freq": 1,
        "lambda_l1": trial.suggest_float("lambda_l1", 1e-8, 10.0, log=True),
        "lambda_l2": trial.suggest_float("lambda_l2", 1e-8, 10.0, log=True),
    }


def fix(order: Order, class_count: int) -> dict[str, object]:
    """The parameters that no trial chooses."""
    return {
        "objective": order.problem,
        "metric": METRICS[order.metric],
        "num_class": class_count if order.problem == "multiclass" else 1,
        "num_threads": order.cores,
        "seed": order.seed,
        "verbosity": -1,
        # Trials of other leaf sizes share the binned data.
        "feature_pre_filter": False,
    }


def fit(order: Order, train: pd.DataFrame) -> Fitted:
    """Search while there is time for the last fit."""
    features, target = train.drop(columns=order.target), train[order.target].to_numpy()
    classes: tuple[str, ...] = ()
    if order.problem != "regression":
        labels, target = np.unique(target, return_inverse=True)
        classes = name_classes(labels)
    encode = learn_columns(features)
    fixed = fix(order, len(classes))
    data = lgb.Dataset(encode(features), target, params=fixed, free_raw_data=False).construct()
    search = Search(order, data, target, fixed)
    study = optuna.create_study(
        direction="maximize" if order.metric == "roc_auc" else "minimize",
        sampler=optuna.samplers.TPESampler(seed=order.seed),
    )
    study.enqueue_trial(DEFAULTS)
    study.optimize(search.score, callbacks=[search.keep_time], catch=(TimeOverError,))
    if not search.trials:
        raise TimeOverError("not even one trial was finished")
    best = search.trials[study.best_trial.number]
    booster = lgb.train(best.parameters, data, best.trees)
    facts = (("trials", len(search.trials)), ("trees", best.trees))
    return Fitted(predict_with(booster, encode, order.problem), classes, facts)


def predict_with(booster: lgb.Booster, encode, problem: str):
    """Predictions in the shape that an answer has."""

    def predict(rows: pd.DataFrame) -> np.ndarray:
        found = booster.predict(encode(rows))
        return np.column_stack([1 - found, found]) if problem == "binary" else found

    return predict


if __name__ == "__main__":
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    run(fit)
