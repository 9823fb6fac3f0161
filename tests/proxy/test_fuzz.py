"""
A few of the fuzzer's sessions, and dialogues with the real server compared with direct ones.
"""

import pytest

from tests.proxy.fuzz import fuzz
from tests.proxy.fuzz_dialogues import draw_dialogue
from tests.proxy.fuzz_sessions import Ending, draw_plan, whole_frames
from tests.proxy.hostile_talk import directly, go_on_with
from tests.proxy.talk import SYNC, query


@pytest.mark.parametrize("options", [(), ("--no-relay",)], ids=["relay", "python"])
def test_sessions_between_two_ends_of_our_own(options):
    assert list(fuzz(400, 0, *options)) == []


@pytest.mark.parametrize("seed", range(40))
def test_dialogues_with_the_server(dsn, own_dsn, seed):
    dialogue = draw_dialogue(seed)
    direct = directly(dsn, dialogue.data)
    assert go_on_with(own_dsn, dialogue.data, dialogue.piece_size) == direct


def test_plans_repeat_and_differ():
    plans = [draw_plan(number) for number in range(200)]
    assert plans == [draw_plan(number) for number in range(200)]
    assert {plan.ending for plan in plans} == set(Ending)
    assert any(plan.is_refused for plan in plans)
    assert any(
        exchange.sent_by_client != exchange.got_by_server
        for plan in plans
        for exchange in plan.exchanges
    )


@pytest.mark.parametrize(
    ("data", "size"),
    [
        (b"", 0),
        (b"Q\0\0", 0),
        (SYNC, 5),
        (SYNC + query("SELECT 1")[:-1], 5),
        (SYNC + b"Q\0\0\0\3x", 11),
    ],
)
def test_where_a_cut_frame_begins(data, size):
    assert whole_frames(data) == size
