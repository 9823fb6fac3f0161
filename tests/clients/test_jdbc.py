"""
JDBC in its query modes: its program is jdbc/Client.java, these are its findings.
"""

import shutil
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest

from tests.clients import training

DRIVER = Path("/usr/share/java/postgresql.jar")
PROGRAM = Path(__file__).parent / "jdbc" / "Client.java"
MODES = pytest.mark.parametrize("mode", ["extended", "simple", "extendedForPrepared"])


@pytest.fixture(scope="module")
def facts(login, flower):
    training.skip_without(shutil.which("javac"), "a JDK (openjdk-17-jdk-headless)")
    training.skip_without(DRIVER.exists(), "the JDBC driver (libpostgresql-jdbc-java)")
    account = urlencode({"user": login["user"], "password": login["password"]}, quote_via=quote)
    return training.read_facts(
        "java",
        # Most of the time goes into starting: the simplest compiler and collector do.
        "-XX:TieredStopAtLevel=1",
        "-XX:+UseSerialGC",
        "-cp",
        str(DRIVER),
        str(PROGRAM),
        f"jdbc:postgresql://{login['host']}:{login['port']}/{login['dbname']}?{account}",
        training.create("jdbc"),
        training.create("jdbc_endless", training.ENDLESS),
        training.MISSPELT,
    )


def test_create_predict_drop(facts):
    assert facts["create"].pop(1) in training.FIRST
    assert facts["create"] == ["0", "200", "0"]


def test_commit(facts):
    assert facts["commit"] == ["0", training.STARTS_LATER.format("jdbc"), "true", "0"]


@MODES
def test_roll_back(facts, oracle, mode):
    later = training.STARTS_LATER.format("jdbc_rolled_back")
    assert facts[f"rollBack {mode}"] == [later, "true", "false"]
    oracle.check_rolled_back("jdbc_rolled_back")


@MODES
def test_autosave_goes_on_after_an_error(facts, oracle, mode):
    assert facts[f"autosave {mode}"] == ["42710", "42601", "true", "false"]
    oracle.check_rolled_back("jdbc_autosave")


def test_prepared_reads(facts):
    assert facts["prepared"] == ["145 width 40"] * 10


def test_describing_runs_nothing(facts):
    assert facts["described"] == ["model", "null", "false"]


def test_portions(facts):
    assert facts["portions"] == ["200", "3"]


def test_cancel_after_the_first_notice(facts, oracle):
    assert facts["cancel"].pop(0) in training.FIRST
    assert facts["cancel"] == ["57014", "1"]
    oracle.check_cancelled("jdbc_endless")


def test_query_timeout(facts, oracle):
    """The driver keeps the time itself and sends a cancel request."""
    assert facts["timeout"] == ["57014", "1"]
    oracle.check_cancelled("jdbc_late")


def test_errors(facts):
    assert facts["error"] == ["42601", str(training.POSITION), training.HINT, "42710", "1"]


def test_a_batch_fails_as_a_whole(facts, oracle):
    assert facts["batch"] == ["22012", "false"]
    oracle.check_rolled_back("jdbc_batch")
