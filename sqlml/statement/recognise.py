"""
Decide from the first tokens whether a statement may be ours.

Does not read further than the fourth word, however long the text is, and checks no grammar.
"""

from enum import StrEnum

from sqlml.statement.lexer import find_word, skip_blanks


class StatementKind(StrEnum):
    """The model statements, by their first words."""

    CREATE_MODEL = "CREATE MODEL"
    DROP_MODEL = "DROP MODEL"
    SHOW_MODELS = "SHOW MODELS"
    SHOW_MODEL = "SHOW MODEL"
    SHOW_PROXY = "SHOW sqlml.proxy"
    DESCRIBE_MODEL = "DESCRIBE MODEL"


_KINDS = {
    ("create", "model"): StatementKind.CREATE_MODEL,
    ("create", "or", "replace", "model"): StatementKind.CREATE_MODEL,
    ("drop", "model"): StatementKind.DROP_MODEL,
    ("show", "models"): StatementKind.SHOW_MODELS,
    ("show", "model"): StatementKind.SHOW_MODEL,
    ("show", "sqlml"): StatementKind.SHOW_PROXY,
    ("describe", "model"): StatementKind.DESCRIBE_MODEL,
    ("desc", "model"): StatementKind.DESCRIBE_MODEL,
}
_BEGINNINGS = {words[:count] for words in _KINDS for count in range(1, len(words) + 1)}
_SHOW = {StatementKind.SHOW_MODEL, StatementKind.SHOW_MODELS}


def recognise(text: str, position: int = 0) -> StatementKind | None:
    """Return the kind of model statement that may begin here, or None."""
    words: tuple[str, ...] = ()
    while words not in _KINDS:
        position = skip_blanks(text, position)
        word = find_word(text, position)
        if word is None or (words := (*words, word)) not in _BEGINNINGS:
            return None
        position += len(word)
    kind = _KINDS[words]
    position = skip_blanks(text, position)
    if kind is StatementKind.SHOW_PROXY:
        return kind if _is_dot_proxy(text, position) else None
    # SHOW model.x asks for PostgreSQL's setting of that name.
    if kind in _SHOW and text.startswith(".", position):
        return None
    return kind


def _is_dot_proxy(text: str, position: int) -> bool:
    if not text.startswith(".", position):
        return False
    return find_word(text, skip_blanks(text, position + 1)) == "proxy"
