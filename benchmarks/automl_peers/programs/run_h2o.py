"""
H2O AutoML, on a cluster of one process.
"""

import atexit
import socket
import warnings

import h2o
import pandas as pd
from h2o.automl import H2OAutoML
from peer import Fitted, Order, name_classes, run

METRICS = {"roc_auc": "AUC", "log_loss": "logloss", "rmse": "RMSE"}
MEMORY = "4g"


def find_port() -> int:
    """A free port whose successor is free too; H2O listens on both."""
    for port in range(21_000, 22_000, 2):
        with socket.socket() as first, socket.socket() as second:
            try:
                first.bind(("127.0.0.1", port))
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port
    raise RuntimeError("no free port for H2O")


def upload(rows: pd.DataFrame, target: str | None) -> h2o.H2OFrame:
    """Texts and classes become enumerations, dates times, the rest numbers."""
    if target is not None:
        # Among columns that are all numbers H2O would name the class 1 "1.0".
        rows = rows.assign(**{target: rows[target].astype(str)})
    types = {
        name: "time"
        if pd.api.types.is_datetime64_any_dtype(rows[name].dtype)
        else "enum"
        if rows[name].dtype == object or name == target
        else "numeric"
        for name in rows
    }
    return h2o.H2OFrame(rows, column_types=types)


def fit(order: Order, train: pd.DataFrame) -> Fitted:
    """One call, as a user would write it; the stop-watch is with the upload, too."""
    is_regression = order.problem == "regression"
    frame = upload(train, None if is_regression else order.target)
    metric = METRICS[order.metric]
    automl = H2OAutoML(
        max_runtime_secs=round(order.seconds),
        seed=order.seed,
        sort_metric=metric,
        stopping_metric=metric,
    )
    automl.train(y=order.target, training_frame=frame)
    if automl.leader is None:
        raise RuntimeError("H2O ended without a model")
    facts = (("best", automl.leader.algo), ("models", automl.leaderboard.nrows))

    def predict(rows: pd.DataFrame) -> pd.DataFrame:
        return automl.leader.predict(upload(rows, None)).as_data_frame()

    if is_regression:
        return Fitted(lambda rows: predict(rows)["predict"].to_numpy(), facts=facts)
    return Fitted(
        lambda rows: predict(rows).drop(columns="predict").to_numpy(),
        name_classes(frame[order.target].levels()[0]),
        facts,
    )


def start(order: Order) -> None:
    """Start the cluster; it ends with this process."""
    h2o.init(port=find_port(), nthreads=order.cores, max_mem_size=MEMORY, bind_to_localhost=True)
    h2o.no_progress()
    atexit.register(h2o.cluster().shutdown)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    run(fit, prepare=start)
