from collections.abc import Sequence

class ScoringError(Exception):
    args: tuple[str, str, str | None, str | None]

class Model:
    problem_type: str
    output_count: int
    is_exact: bool
    size_bytes: int
    evaluators: tuple[str, ...]
    instructions: str | None
    classes: tuple[str, ...]
    columns: tuple[tuple[str, str], ...]
    type_names: tuple[str, ...]
    def raw_scores(self, columns: tuple[Sequence[object], ...], row_count: int, /) -> bytes: ...
    def contributions(self, columns: tuple[Sequence[object], ...], row_count: int, /) -> bytes: ...
    def predict_json(self, json: str, is_row: bool, /) -> str | float: ...
    def probability_json(self, json: str, is_row: bool, label: str, /) -> float: ...
    def raw_scores_json(self, json: str, /) -> tuple[float, ...]: ...
    def bind(
        self, numbers: Sequence[str], texts: Sequence[str], packed: Sequence[str], /
    ) -> Binding: ...

class Binding:
    def predict(
        self,
        numbers: list[float | None] | None,
        texts: list[str | None] | None,
        packed: list[bytes | None] | None,
        /,
    ) -> str | float: ...
    def probability(
        self,
        numbers: list[float | None] | None,
        texts: list[str | None] | None,
        packed: list[bytes | None] | None,
        label: str,
        /,
    ) -> float: ...

def open(data: bytes, name: str, evaluator: int = 0, instructions: int = 0, /) -> Model: ...
def read_number(text: str, /) -> float: ...
def tokenize(
    content: object, offsets: object, missing: object, bigrams: bool, /
) -> tuple[bytes, bytes]:
    """
    The terms of texts: where each text's begin (int64), and their hashes (uint64).

    Texts come as Arrow has them: `content` all bytes of UTF-8, `offsets` int64, one more than
    rows, `missing` a byte a row. In order and with repeats; a bigram follows its second token.
    """

def text_counts(content: object, offsets: object, missing: object, /) -> bytes:
    """Characters, words, digits, capitals: float64 (rows, 4); NaN where a text is missing."""
