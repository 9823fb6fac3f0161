"""
The benchmark of AutoML at equal time: its metrics, its watch over peers, its comparison.
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from sklearn import metrics

from benchmarks.automl_peers.comparison import Cell, compare
from benchmarks.automl_peers.diagram import draw_diagram, find_cliques
from benchmarks.automl_peers.environments import PEERS
from benchmarks.automl_peers.peers import run_peer
from benchmarks.automl_peers.report import write_report
from benchmarks.automl_peers.runs import Key, Outcome, Run, append_run, read_runs, take_latest
from benchmarks.automl_peers.scoring import score, score_constant
from benchmarks.automl_peers.tables import BenchmarkTable, find_table
from sqlml.server.process import find_process
from tests.data import TABLES, find_data_folder

PYTHON = Path(sys.executable)
SLEEPER = """
import pathlib, subprocess, sys, time
folder = next(word for word in sys.argv if word.startswith("--folder="))[9:]
child = subprocess.Popen(["sleep", "60"], start_new_session=True)
pathlib.Path("{note}").write_text(str(child.pid))
(pathlib.Path(folder) / "fitting").touch()
time.sleep(60)
"""
KEY = Key(system="linear", version="1", table="titanic", seconds=60, seed=0, cores=1)


def make_run(system, table, value, seed=0, **outcome):
    """A run whose constant prediction scores 10 (an RMSE)."""
    return Run(
        key=replace(KEY, system=system, table=table, seed=seed),
        outcome=Outcome(score=value, **outcome),
        constant_score=10.0,
        versions={"it": "1"},
    )


def compare_rmse(*runs):
    """The comparison of runs of one time limit."""
    return next(iter(compare(runs, {"first": "rmse", "second": "rmse", "third": "rmse"})))


@pytest.fixture
def titanic():
    """A table of the test data."""
    try:
        folder = find_data_folder()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    return BenchmarkTable("titanic", *TABLES["titanic"], folder)


def test_metrics_are_scikit_learns():
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 2, 50).tolist()
    shares = rng.dirichlet(np.ones(2), 50)
    assert score("roc_auc", truth, shares, ["0", "1"]) == pytest.approx(
        metrics.roc_auc_score(truth, shares[:, 1])
    )
    assert score("roc_auc", truth, shares[:, ::-1], ["1", "0"]) == pytest.approx(
        metrics.roc_auc_score(truth, shares[:, 1])
    )
    names = [str(value) for value in rng.integers(3, 7, 50)]
    shares = rng.dirichlet(np.ones(4), 50)
    assert score("log_loss", names, shares, ["3", "4", "5", "6"]) == pytest.approx(
        metrics.log_loss(names, shares, labels=["3", "4", "5", "6"])
    )
    values, numbers = rng.normal(size=50), rng.normal(size=50)
    assert score("rmse", values.tolist(), numbers, ()) == pytest.approx(
        metrics.root_mean_squared_error(values, numbers)
    )


def test_a_class_that_a_system_does_not_know_has_no_probability():
    known = score("log_loss", ["a"], np.array([[0.5, 0.5]]), ["a", "b"])
    unknown = score("log_loss", ["a", "c"], np.array([[0.5, 0.5]] * 2), ["a", "b"])
    assert unknown == pytest.approx((known - np.log(1e-15)) / 2)


def test_predictions_must_be_finite_and_whole():
    with pytest.raises(ValueError, match="not finite"):
        score("rmse", [1.0, 2.0], np.array([1.0, np.nan]), ())
    with pytest.raises(ValueError, match="shape"):
        score("rmse", [1.0, 2.0], np.array([1.0]), ())


def test_a_constant_prediction():
    assert score_constant("rmse", [1.0, 3.0], [2.0, 4.0]) == pytest.approx(np.sqrt(2))
    assert score_constant("roc_auc", [0, 1, 1], [1, 0]) == 0.5
    assert score_constant("log_loss", ["a", "b"], ["a"]) == pytest.approx(np.log(2))


def test_a_peer_answers(titanic):
    outcome = run_peer(PEERS["linear"], PYTHON, KEY, titanic)
    assert outcome.failure is None
    assert outcome.score > 0.8
    assert outcome.fit_s > 0
    assert outcome.predict_us > 0


def test_a_peer_that_fails_tells_why(titanic):
    outcome = run_peer(PEERS["linear"], PYTHON, KEY, replace(titanic, target="nothing"))
    assert outcome.score is None
    assert "nothing" in outcome.failure


def test_a_peer_that_overruns_is_ended_with_all_that_it_started(titanic, tmp_path):
    program = tmp_path / "sleeper.py"
    program.write_text(SLEEPER.format(note=tmp_path / "pid"))
    peer = replace(PEERS["h2o"], program=str(program))
    outcome = run_peer(peer, PYTHON, replace(KEY, seconds=0.5), titanic)
    assert outcome == Outcome(failure="ended after 1.5 s of fitting", fit_s=1.5)
    assert find_process(int((tmp_path / "pid").read_text())) is None


def test_runs_are_read_as_written(tmp_path):
    runs = [make_run("linear", "first", 1.5, facts={"trials": 3}), make_run("flaml", "first", None)]
    for run in runs:
        append_run(tmp_path / "deep" / "runs.jsonl", run)
    assert read_runs(tmp_path / "deep" / "runs.jsonl") == runs
    assert read_runs(tmp_path / "none") == []


def test_only_the_latest_version_counts():
    old = make_run("linear", "first", 1.0)
    new = replace(old, key=replace(old.key, version="2"), finished_at="9999")
    assert take_latest([new, old]) == [new]


def test_ranks_and_normalised_scores():
    runs = []
    for system, values in {"sqlml": (1, 3), "flaml": (2, 4), "linear": (4, 2)}.items():
        runs += [
            make_run(system, name, v) for name, v in zip(("first", "second"), values, strict=True)
        ]
    # A table that one of them did not run counts for nobody.
    comparison = compare_rmse(*runs, make_run("flaml", "third", 1))
    assert comparison.common_tables == ["first", "second"]
    assert comparison.ranks() == {"sqlml": 1.5, "flaml": 2.5, "linear": 2}
    assert comparison.normalise("first", "linear") == 0
    assert comparison.normalise("first", "flaml") == 1
    assert comparison.normalise("first", "sqlml") == 1.5
    # No peer is better than the linear baseline: it is 1, and the constant prediction is 0.
    assert comparison.normalise("second", "linear") == 1
    assert comparison.normalise("second", "sqlml") == (10 - 3) / (10 - 2)


def test_a_failed_run_counts_as_a_constant_prediction():
    cell = Cell((make_run("h2o", "first", 2.0), make_run("h2o", "first", None, 1, failure="no")))
    assert cell.mean == 6
    assert cell.failures == ["no"]


def test_overruns():
    late = make_run("flaml", "first", 1.0, fit_s=64.1)
    in_time = make_run("flaml", "first", 1.0, 1, fit_s=63.9)
    comparison = compare_rmse(late, in_time)
    assert comparison.overrun_count("flaml") == 1
    assert comparison.worst_time("flaml") == pytest.approx(64.1 / 60)


def test_the_critical_difference_is_demsars():
    # Demšar 2006, section 3.2.2: four systems, fourteen data sets; q is 2.569 of table 5.
    runs = [
        make_run(system, f"t{number}", float(place))
        for number in range(14)
        for place, system in enumerate(("sqlml", "flaml", "h2o", "linear"))
    ]
    comparison = next(iter(compare(runs, {f"t{number}": "rmse" for number in range(14)})))
    assert comparison.critical_difference() == pytest.approx(1.25, abs=0.005)


def test_cliques_are_the_longest_ones():
    assert find_cliques([1.0, 1.5, 2.2, 4.0], 1.0) == [(0, 1), (1, 2)]
    assert find_cliques([1.0, 3.0, 5.0], 1.0) == []
    assert "a &lt; b (1.00)" in draw_diagram({"a < b": 1.0, "c": 2.0}, 1.0)


def test_the_report_marks_the_best_and_the_failed(tmp_path):
    runs = [
        make_run(system, table, value, failure=None if value else "out of memory")
        for system, value in {"sqlml": 1.0, "h2o": None, "linear": 4.0}.items()
        for table in ("seoul_bike", "hotel_rates", "tate_text")
    ]
    text = write_report(runs, tmp_path)
    assert "| seoul_bike, RMSE | **1.000** | 10.00† | 4.000 |" in text
    assert "† seoul_bike, H2O: out of memory" in text
    assert (tmp_path / "automl-60s-1.svg").read_text().startswith("<svg")


def test_a_split_is_of_the_training_part_and_another_with_each_seed(tmp_path):
    whole = find_table("credit_g", 0, tmp_path).read("train")
    tests = []
    for seed in (1, 2):
        split = find_table("credit_g.split", seed, tmp_path)
        train, test = split.read("train"), split.read("test")
        assert test.num_rows == round(whole.num_rows / 4)
        together = pa.concat_tables([train, test]).to_pylist()
        assert sorted(map(str, together)) == sorted(map(str, whole.to_pylist()))
        assert find_table("credit_g.split", seed, tmp_path).read("test") == test
        tests.append(test)
    assert tests[0] != tests[1]
