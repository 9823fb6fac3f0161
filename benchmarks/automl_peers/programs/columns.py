"""
Columns as LightGBM takes them from a plain user: categories, numbers, dates as seconds.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd


def learn_columns(train: pd.DataFrame) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """How to encode rows like the training rows; an unknown category is missing."""
    levels = {
        name: pd.CategoricalDtype(sorted(train[name].dropna().unique()))
        for name in train
        if train[name].dtype == object
    }

    def encode(rows: pd.DataFrame) -> pd.DataFrame:
        encoded = {}
        for name in rows:
            column = rows[name]
            if name in levels:
                encoded[name] = column.astype(levels[name])
            elif pd.api.types.is_datetime64_any_dtype(column.dtype):
                encoded[name] = (column - pd.Timestamp(0)) / pd.Timedelta(seconds=1)
            else:
                encoded[name] = column.astype(np.float64)
        return pd.DataFrame(encoded)

    return encode
