"""
LightGBM as it comes: 100 trees, texts as categories.
"""

import lightgbm as lgb
import pandas as pd
from columns import learn_columns
from peer import Fitted, Order, name_classes, run


def fit(order: Order, train: pd.DataFrame) -> Fitted:
    """No choice is made, and the time limit means nothing."""
    features, target = train.drop(columns=order.target), train[order.target]
    encode = learn_columns(features)
    is_regression = order.problem == "regression"
    kind = lgb.LGBMRegressor if is_regression else lgb.LGBMClassifier
    model = kind(n_jobs=order.cores, random_state=order.seed, verbose=-1)
    model.fit(encode(features), target)
    if is_regression:
        return Fitted(lambda rows: model.predict(encode(rows)))
    return Fitted(lambda rows: model.predict_proba(encode(rows)), name_classes(model.classes_))


if __name__ == "__main__":
    run(fit)
