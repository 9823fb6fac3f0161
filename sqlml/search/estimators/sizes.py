"""
What a prediction of a fitted part has to do, in counts.
"""

import re

import numpy as np

from sqlml.search.cost import PartFacts, adds_to_all
from sqlml.search.fitted import LinearPart, Part, TreePart


def measure(part: Part) -> PartFacts:
    """Count trees, leaves and terms."""
    if isinstance(part, LinearPart):
        return PartFacts(term_count=len(part.terms), output_count=part.intercepts.size)
    leaf_size, most_splits = 1, 0
    if isinstance(part, TreePart):
        text = part.booster.model_to_string()
        found = re.findall(r"^num_leaves=(\d+)$", text, flags=re.MULTILINE)
        leaves, output_count = [int(each) for each in found], part.booster.num_model_per_iteration()
        splits = re.findall(r"^split_feature=([\d ]+)$", text, flags=re.MULTILINE)
        feature_count = len({each for line in splits for each in line.split()})
    else:
        output_count = part.trees[0].values.shape[1]
        leaves = [len(tree.values) for tree in part.trees]
        if adds_to_all(max(leaves), output_count):
            leaf_size = output_count
        else:
            leaves *= output_count
        splits_of = np.bincount(np.concatenate([tree.feature for tree in part.trees]))
        feature_count = int(np.count_nonzero(splits_of))
        most_splits = int(splits_of.max(initial=0))
    return PartFacts(
        tree_count=len(leaves),
        leaf_count=sum(leaves),
        largest_tree=max(leaves),
        feature_count=feature_count,
        most_splits=most_splits,
        output_count=output_count,
        leaf_size=leaf_size,
    )
