"""
node's pg, with pg-cursor: its program is node/client.js, these are its findings.
"""

import sys
from pathlib import Path

import pytest

from tests.clients import training

NODE = Path(sys.prefix, "bin", "node")
PACKAGES = Path(sys.prefix, "share", "node", "node_modules")
PROGRAM = Path(__file__).parent / "node" / "client.js"


@pytest.fixture(scope="module")
def facts(proxy_dsn, flower):
    if not PACKAGES.exists():
        pytest.skip("scripts/install.sh --test installs node and its packages")
    return training.read_facts(
        str(NODE),
        str(PROGRAM),
        training.create("node_made"),
        training.create("node_endless", training.ENDLESS),
        training.MISSPELT,
        training.count_right("node_made"),
        ADDRESS=proxy_dsn,
        NODE_PATH=str(PACKAGES),
    )


def test_create_predict_drop(facts):
    found = facts["create"]
    assert found["tags"] == ["CREATE", "DROP"]
    assert found["columns"] == 0
    assert training.PROGRESS in found["notices"]
    assert found["right"] == [{"count": "145"}]


def test_roll_back(facts, oracle):
    found = facts["rollBack"]
    assert found["notices"] == [training.STARTS_LATER.format("node_rolled_back")]
    assert "node_rolled_back" in found["models"]
    oracle.check_rolled_back("node_rolled_back")


def test_roll_back_in_one_query(facts, oracle):
    assert facts["rollBackAtOnce"] == ["BEGIN", "CREATE", "ROLLBACK"]
    oracle.check_rolled_back("node_at_once")


def test_cancel_after_the_first_notice(facts, oracle):
    assert facts["cancel"] == {
        "code": "57014",
        "message": "canceling statement due to user request",
        "detail": training.ABORTED.format("node_endless"),
        "after": [{"one": 1}],
    }
    oracle.check_cancelled("node_endless")


def test_errors(facts):
    expected = {"code": "42601", "position": str(training.POSITION), "hint": training.HINT}
    assert facts["error"] == {"facts": [expected] * 2, "after": [{"one": 1}]}


def test_prepared_reads(facts):
    assert facts["prepared"] == [["145", "width", "petals", "kind"]] * 7


def test_cursor(facts):
    assert facts["cursor"] == [["width", "petals"], ["kind"]]


def test_pool(facts):
    assert facts["pool"] == ["ready"] * 9
