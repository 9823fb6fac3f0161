from collections.abc import Sequence

class ScoringError(Exception):
    args: tuple[str, str, str | None, str | None]

class Model:
    problem_type: str
    output_count: int
    size_bytes: int
    evaluators: tuple[str, ...]
    instructions: str | None
    classes: tuple[str, ...]
    columns: tuple[tuple[str, str], ...]
    def raw_scores(self, columns: tuple[Sequence[object], ...], row_count: int, /) -> bytes: ...
    def contributions(self, columns: tuple[Sequence[object], ...], row_count: int, /) -> bytes: ...
    def predict_json(self, json: str, is_row: bool, /) -> str | float: ...
    def probability_json(self, json: str, is_row: bool, label: str, /) -> float: ...

def open(data: bytes, name: str, evaluator: int = 0, instructions: int = 0, /) -> Model: ...
def read_number(text: str, /) -> float: ...
