"""
What a prediction of a fitted part has to do, in counts.
"""

import re

from sqlml.search.cost import PartFacts, adds_to_all
from sqlml.search.fitted import LinearPart, Part, TreePart


def measure(part: Part) -> PartFacts:
    """Count trees, leaves and terms."""
    if isinstance(part, LinearPart):
        return PartFacts(term_count=len(part.terms), output_count=part.intercepts.size)
    leaf_size = 1
    if isinstance(part, TreePart):
        text = part.booster.model_to_string()
        found = re.findall(r"^num_leaves=(\d+)$", text, flags=re.MULTILINE)
        leaves, output_count = [int(each) for each in found], part.booster.num_model_per_iteration()
        splits = re.findall(r"^split_feature=([\d ]+)$", text, flags=re.MULTILINE)
        used = {each for line in splits for each in line.split()}
    else:
        output_count = part.trees[0].values.shape[1]
        leaves = [len(tree.values) for tree in part.trees]
        if adds_to_all(max(leaves), output_count):
            leaf_size = output_count
        else:
            leaves *= output_count
        used = {str(each) for tree in part.trees for each in tree.feature}
    return PartFacts(
        tree_count=len(leaves),
        leaf_count=sum(leaves),
        largest_tree=max(leaves),
        feature_count=len(used),
        output_count=output_count,
        leaf_size=leaf_size,
    )
