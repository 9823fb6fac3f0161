"""
Small artifacts of every sort, for the fuzzer to tamper with: `python -m … FOLDER`.
"""

import itertools
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from sqlml.compile.artifact import compile_model
from sqlml.enums import ProblemType
from sqlml.search.cost import MASK_LEAVES
from sqlml.search.fitted import Blend, FittedModel
from tests.compile.test_refusals import FULL
from tests.extension.regress_models import MODELS
from tests.predict.constructs import draw_model
from tests.predict.models import draw_linear, fit_trees, get_output_count
from tests.predict.test_all_outputs import fit, make_model

SIZE_MAX = 16_384


def blend(problem_type: ProblemType, how: Blend) -> FittedModel:
    """Trees and a linear part of the same features, with a calibration."""
    trees = fit_trees(problem_type, rounds=2, num_leaves=4)
    line = draw_linear(problem_type, features=trees.features)
    outputs = get_output_count(problem_type)
    return replace(
        trees,
        parts=(*trees.parts, *line.parts),
        weights=(0.75, 0.25),
        blend=how,
        scale=1.5,
        offsets=tuple(0.5 for _ in range(outputs)),
    )


def make_models() -> Iterator[FittedModel]:
    """Models of both kinds for every problem type, from one leaf to more than a word of them."""
    for model, _, _ in MODELS.values():
        yield model
    for seed, problem_type in enumerate(ProblemType):
        yield draw_linear(problem_type, seed)
        for rounds, leaves in ((1, 2), (2, 5), (3, 8)):
            yield fit_trees(problem_type, seed, rounds=rounds, num_leaves=leaves)
        yield blend(problem_type, Blend.RAW)
        yield blend(problem_type, Blend.RESPONSE)
    yield fit_trees(ProblemType.BINARY, 3, rounds=1, num_leaves=70)
    yield fit_trees(ProblemType.REGRESSION, 4, rounds=2, num_leaves=6, zero_as_missing=True)
    yield fit_trees(ProblemType.REGRESSION, 5, rounds=2, num_leaves=6, use_missing=False)
    yield fit_trees(ProblemType.REGRESSION, 6, rounds=3, num_leaves=6, min_data_in_leaf=1000)
    yield make_model(fit(3, MASK_LEAVES + 1, trees=2))
    yield FULL
    yield from draw_small_models(12)


def draw_small_models(count: int) -> Iterator[FittedModel]:
    """Models of every construct that are small enough to be tampered with often."""
    for seed in itertools.count():
        for problem_type in ProblemType:
            model = draw_model(seed, problem_type)
            if len(compile_model(model).data) <= SIZE_MAX // 2:
                yield model
                count -= 1
                if count == 0:
                    return


def write_seeds(folder: Path) -> None:
    """Write one file a model."""
    folder.mkdir(parents=True)
    for number, model in enumerate(make_models()):
        data = compile_model(model).data
        assert len(data) <= SIZE_MAX
        folder.joinpath(f"{number:02}.bin").write_bytes(data)


if __name__ == "__main__":
    write_seeds(Path(sys.argv[1]))
