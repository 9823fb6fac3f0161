"""
What a prediction of a fitted part has to do, in counts.
"""

import re

import numpy as np

from sqlml.search.cost import PartFacts, forest_facts
from sqlml.search.fitted import ForestPart, LinearPart, Part


def measure(part: Part) -> PartFacts:
    """Count trees, leaves and terms."""
    if isinstance(part, LinearPart):
        return PartFacts(term_count=len(part.terms), output_count=part.intercepts.size)
    if isinstance(part, ForestPart):
        splits_of = np.bincount(np.concatenate([tree.feature for tree in part.trees]))
        return forest_facts(
            [len(tree.values) for tree in part.trees],
            part.trees[0].values.shape[1],
            feature_count=int(np.count_nonzero(splits_of)),
            most_splits=int(splits_of.max(initial=0)),
        )
    text = part.booster.model_to_string()
    found = re.findall(r"^num_leaves=(\d+)$", text, flags=re.MULTILINE)
    leaves = [int(each) for each in found]
    splits = re.findall(r"^split_feature=([\d ]+)$", text, flags=re.MULTILINE)
    return PartFacts(
        tree_count=len(leaves),
        leaf_count=sum(leaves),
        largest_tree=max(leaves),
        feature_count=len({each for line in splits for each in line.split()}),
        output_count=part.booster.num_model_per_iteration(),
    )
