"""
Predicted costs: in the order of magnitude that was measured, and monotone.
"""

from dataclasses import replace

import pytest

from sqlml.search.cost import PartFacts, predict_cost_ns

MASKS = PartFacts(tree_count=500, leaf_count=500 * 31, largest_tree=31, feature_count=28)


@pytest.mark.parametrize(
    ("part", "measured_ns"),
    [
        # CPU time of the core's module on a Zen 4 with AVX-512, 28 columns.
        pytest.param(PartFacts(tree_count=1, leaf_count=2), 400, id="stump"),
        pytest.param(MASKS, 1_600, id="masks"),
        pytest.param(PartFacts(tree_count=2000, leaf_count=126_000), 32_000, id="many masks"),
        pytest.param(PartFacts(tree_count=500, leaf_count=64_000), 15_500, id="walk"),
        pytest.param(PartFacts(tree_count=500, leaf_count=250_000), 36_000, id="long walk"),
        pytest.param(PartFacts(term_count=28), 450, id="linear"),
    ],
)
def test_estimates_are_in_the_order_of_what_was_measured(part, measured_ns):
    assert measured_ns / 2 < predict_cost_ns([part], 28) < measured_ns * 2


@pytest.mark.parametrize(
    "more",
    [
        {"tree_count": 1000, "leaf_count": 31_000},
        {"leaf_count": 500 * 40, "largest_tree": 40},
        {"largest_tree": 65},
        {"feature_count": 40},
        {"term_count": 10},
        {"text_term_count": 1},
    ],
)
def test_more_of_a_part_costs_more(more):
    bigger = predict_cost_ns([replace(MASKS, **more)], 28, word_count=20)
    assert bigger > predict_cost_ns([MASKS], 28, word_count=20)


def test_more_inputs_cost_more():
    costs = [
        predict_cost_ns([MASKS], 28),
        predict_cost_ns([MASKS], 40),
        predict_cost_ns([MASKS], 40, word_count=10),
        predict_cost_ns([MASKS], 40, word_count=10, topic_count=40),
    ]
    assert costs == sorted(set(costs))


def test_parts_add_up_but_features_are_made_once():
    one, nothing = predict_cost_ns([MASKS], 28), predict_cost_ns([], 28)
    assert predict_cost_ns([MASKS, MASKS], 28) == pytest.approx(2 * one - nothing)
