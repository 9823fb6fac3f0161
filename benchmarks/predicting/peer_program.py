"""
Runs in the environment of the peers: loads a model and a matrix, predicts when it is told.

Reads one JSON object a line: {"load": name, "kind", "model", "matrix", "cache"} or
{"run": name}. Answers with one line: the CPU seconds that it took.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


def load_lleaves(model: str, matrix: Any, cache: str) -> Callable[[], object]:
    """Compile to machine code, or take what was compiled before."""
    import lleaves

    compiled = lleaves.Model(model_file=model)
    compiled.compile(cache=cache, raw_score=True)
    return lambda: compiled.predict(matrix, n_jobs=1)


def load_onnx(model: str, matrix: Any, cache: str) -> Callable[[], object]:
    """Convert to ONNX, which knows float32 only."""
    import lightgbm
    import onnxmltools
    import onnxruntime
    from onnxmltools.convert.common.data_types import FloatTensorType

    path = Path(cache)
    if not path.exists():
        inputs = [("input", FloatTensorType([None, matrix.shape[1]]))]
        booster = lightgbm.Booster(model_file=model)
        converted = onnxmltools.convert_lightgbm(booster, initial_types=inputs, zipmap=False)
        path.write_bytes(converted.SerializeToString())
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options)
    narrowed = matrix.astype(np.float32)
    return lambda: session.run(None, {"input": narrowed})


LOADERS = {"lleaves": load_lleaves, "onnx": load_onnx}


def main() -> None:
    """Answer until the input ends."""
    runs: dict[str, Callable[[], object]] = {}
    # The libraries talk too.
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        order = json.loads(line)
        before = time.process_time()
        if "load" in order:
            loader = LOADERS[order["kind"]]
            matrix = np.load(order["matrix"])
            runs[order["load"]] = loader(order["model"], matrix, order["cache"])
        else:
            runs[order["run"]]()
        print(time.process_time() - before, file=answers, flush=True)


if __name__ == "__main__":
    main()
