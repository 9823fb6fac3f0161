"""
The linear baseline: ridge or logistic regression on standardised numbers and one-hot columns.
"""

import numpy as np
import pandas as pd
from columns import learn_columns
from peer import Fitted, Order, name_classes, run
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler


def fit(order: Order, train: pd.DataFrame) -> Fitted:
    """No choice but the ridge's strength, and the time limit means nothing."""
    features, target = train.drop(columns=order.target), train[order.target]
    encode = learn_columns(features)
    encoder = make_column_transformer(
        (
            make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler()),
            make_column_selector(dtype_include=np.number),
        ),
        (
            OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=2),
            make_column_selector(dtype_include="category"),
        ),
    )
    if order.problem == "regression":
        ridge = make_pipeline(encoder, RidgeCV(np.logspace(-3, 3, 13)))
        ridge.fit(encode(features), target)
        return Fitted(lambda rows: ridge.predict(encode(rows)))
    logistic = make_pipeline(encoder, LogisticRegression(max_iter=1000))
    logistic.fit(encode(features), target)
    return Fitted(
        lambda rows: logistic.predict_proba(encode(rows)), name_classes(logistic.classes_)
    )


if __name__ == "__main__":
    run(fit)
