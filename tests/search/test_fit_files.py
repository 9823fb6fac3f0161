"""
Fits that are written and read back: the same scores to the last bit, and no pickle.
"""

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from sqlml.enums import EstimatorName
from sqlml.search.estimators import ESTIMATORS
from sqlml.search.estimators.files import read_fit, write_fit
from sqlml.search.folder import Folder
from sqlml.search.leaderboard import Hyperparameters
from tests.search.samples import order, sample_of
from tests.search.tables import read_table

SETTINGS: dict[str, tuple[EstimatorName, Hyperparameters]] = {
    "baseline": (EstimatorName.BASELINE, {}),
    "linear": (EstimatorName.LINEAR, {"l2": 1.0, "segments": 2}),
    "booster": (EstimatorName.LIGHTGBM, {"learning_rate": 0.1}),
    "stacked": (EstimatorName.LIGHTGBM, {"learning_rate": 0.1, "encoding": "stacked"}),
    "forest": (EstimatorName.EXTRA_TREES, {"num_trees": 5}),
}


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("name", ["titanic", "hotel_rates"])
def test_fit_is_read_back_whole(tmp_path: Path, name: str, setting: str) -> None:
    sample = sample_of(read_table(name))
    estimator, hyperparameters = SETTINGS[setting]
    rows = np.arange(min(len(sample.target), 1500))
    fitter = ESTIMATORS[estimator].fitter(sample)
    fit = fitter.fit(hyperparameters, order(train=rows, rounds=5))
    write_fit(fit, tmp_path / "fit")
    read = read_fit(tmp_path / "fit")
    assert np.array_equal(read.raw(sample.rows), fit.raw(sample.rows))
    assert (read.features, read.link, read.rounds, read.is_cut, read.facts) == (
        fit.features,
        fit.link,
        fit.rounds,
        fit.is_cut,
        fit.facts,
    )
    files = {path.suffix for path in (tmp_path / "fit").iterdir()}
    assert files <= {".json", ".npz", ".txt"}


@pytest.mark.parametrize("name", ["california_housing", "hotel_rates", "wine_quality"])
def test_sample_is_read_back_whole(tmp_path: Path, name: str) -> None:
    sample = sample_of(read_table(name))
    folder = Folder(tmp_path)
    folder.write_sample(sample, (), np.arange(0))
    read = folder.read_sample()
    # What was decided is for people to read, not for those who fit.
    for each in fields(read.features):
        if each.name != "decisions":
            # As text, where NaN is NaN.
            assert repr(getattr(read.features, each.name)) == repr(
                getattr(sample.features, each.name)
            )
    assert read.task == sample.task
    assert np.array_equal(read.matrix, sample.matrix, equal_nan=True)
    assert np.array_equal(read.target, sample.target)


def test_damaged_fit_is_refused(tmp_path: Path) -> None:
    (tmp_path / "fit.json").write_text("{")
    with pytest.raises(ValueError, match="Expecting"):
        read_fit(tmp_path)
    with pytest.raises(FileNotFoundError):
        read_fit(tmp_path / "none")
