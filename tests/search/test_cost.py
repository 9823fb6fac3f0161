"""
Predicted costs: in the order of magnitude that was measured, and monotone.
"""

from dataclasses import replace

import numpy as np
import pytest

from sqlml.enums import EstimatorName
from sqlml.search.cost import CALL_NS, PartFacts, predict_cost_ns
from sqlml.search.estimators.sizes import measure
from sqlml.search.fitted import ForestPart, Tree

MASKS = PartFacts(tree_count=500, leaf_count=500 * 31, largest_tree=31, feature_count=28)


def forest(leaves: int, outputs: int) -> PartFacts:
    """A hundred trees that each add to all outputs."""
    return PartFacts(
        tree_count=100,
        leaf_count=100 * leaves,
        largest_tree=leaves,
        output_count=outputs,
        leaf_size=outputs,
    )


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
        # Extra trees of 100 trees, 8 columns.
        pytest.param(forest(256, 3), 3_200, id="rows of 3"),
        pytest.param(forest(256, 7), 3_600, id="rows of 7"),
        pytest.param(forest(1000, 3), 4_900, id="more rows of 3"),
        pytest.param(forest(1000, 7), 5_600, id="more rows of 7"),
        pytest.param(forest(4000, 3), 9_200, id="many rows of 3"),
        pytest.param(forest(4000, 7), 10_600, id="many rows of 7"),
    ],
)
def test_estimates_are_in_the_order_of_what_was_measured(part, measured_ns):
    estimate_ns = predict_cost_ns([part], 28) - CALL_NS
    assert measured_ns / 2 < estimate_ns < measured_ns * 2


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


def test_a_walk_for_all_outputs_costs_less_than_one_for_each_and_more_than_one():
    one, seven = forest(1000, 1), forest(1000, 7)
    copies = replace(one, tree_count=700, leaf_count=700_000)
    costs = [predict_cost_ns([part], 8) for part in (one, seven, copies)]
    assert costs[0] < costs[1] < costs[2] / 5


@pytest.mark.parametrize(
    ("leaves", "facts"),
    [
        # (trees, leaves of all, of the largest, leaf size)
        pytest.param((64, 3), (6, 201, 64, 1), id="masks"),
        pytest.param((65, 3), (2, 68, 65, 3), id="walk"),
    ],
)
def test_a_large_tree_of_several_outputs_counts_once(leaves, facts):
    part = ForestPart(
        estimator=EstimatorName.EXTRA_TREES,
        trees=tuple(map(make_chain, leaves)),
        features=(0,),
        is_average=True,
    )
    found = measure(part)
    assert (found.tree_count, found.leaf_count, found.largest_tree, found.leaf_size) == facts
    assert found.output_count == 3


def make_chain(leaf_count: int) -> Tree:
    """A tree of three outputs of which every split has a leaf on its left."""
    nodes = np.arange(leaf_count - 1, dtype=np.int32)
    right = nodes + 1
    right[-1] = ~nodes[-1] - 1
    return Tree(
        feature=np.zeros(len(nodes), dtype=np.int32),
        threshold=nodes.astype(np.float64),
        left=~nodes,
        right=right,
        missing_left=np.zeros(len(nodes), dtype=np.bool_),
        values=np.zeros((leaf_count, 3)),
        counts=np.ones(leaf_count, dtype=np.int32),
    )
