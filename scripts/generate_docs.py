"""
Write the pages of docs/ that repeat what the code says: errors and options.

`make docs` runs it; `tests/test_docs.py` fails when a page is out of date. The options are
read from a database, since the table `sqlml.option` is where they are defined.
"""

import inspect
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import namedtuple_row

from sqlml import errors
from sqlml.server.record import StackFolder

REPOSITORY = Path(__file__).parents[1]
DOCS = REPOSITORY / "docs"
SQL_ERROR = re.compile(
    r"(?:sqlml\.raise\(|sqlstate := )'(\w{5})'[,;]\s+(?:message := )?(?:format\()?'((?:[^']|'')+)'"
)
# Conditions that psycopg knows by another name than the server's sources do.
OTHER_NAMES = {"DATETIME_VALUE_OUT_OF_RANGE": "DATETIME_FIELD_OVERFLOW"}
C_ERROR = re.compile(r'errcode\(ERRCODE_(\w+)\),\s*errmsg\("((?:[^"\\]|\\.)+)"')
MARK = "<!-- Made by `make docs`. Do not edit. -->"


def make_errors_page() -> str:
    """The page of errors, from the classes in `sqlml.errors`."""
    rows = [
        f"| `{error.sqlstate}` | `{error.__name__}` | {_first_line(error)} |"
        for error in _find_errors()
    ]
    return "\n".join(
        [
            "# Errors",
            MARK,
            "",
            "Every error has a SQLSTATE, a message of one line, and where it helps a detail and"
            " a hint.",
            "Where PostgreSQL has a condition for it, that one's SQLSTATE is used (see its manual,"
            ' appendix "PostgreSQL Error Codes"); class `ML` is our own.',
            "",
            "| SQLSTATE | Name | When |",
            "|---|---|---|",
            *rows,
            "",
            "## Raised by the SQL API and by predict()",
            "",
            "`%s` stands for a name or a value.",
            "",
            "| SQLSTATE | Message |",
            "|---|---|",
            *[f"| `{sqlstate}` | {message} |" for sqlstate, message in find_messages()],
            "",
        ]
    )


def find_messages() -> list[tuple[str, str]]:
    """The errors that SQL and C raise: SQLSTATE and message, where both are literal."""
    found: set[tuple[str, str]] = set()
    extension = REPOSITORY / "pg_extension"
    for path in (*(REPOSITORY / "sql").glob("*.sql"), *extension.glob("*.sql.in")):
        for sqlstate, message in SQL_ERROR.findall(path.read_text(encoding="utf-8")):
            found.add((sqlstate, message.replace("''", "'")))
    for path in (*(extension / "src").glob("*.c"), *(extension / "python/server").glob("*.c")):
        for condition, message in C_ERROR.findall(path.read_text(encoding="utf-8")):
            name = OTHER_NAMES.get(condition, condition).title().replace("_", "")
            found.add((getattr(psycopg.errors, name).sqlstate, message.replace('\\"', '"')))
    # A C string that goes on after a macro is not the whole message.
    return sorted(error for error in found if not error[1].endswith(" "))


def make_options_page(dsn: str) -> str:
    """The page of options, from the table `sqlml.option` of a database."""
    with psycopg.connect(dsn, row_factory=namedtuple_row) as connection:
        options: list[Any] = connection.execute("TABLE sqlml.option").fetchall()
    rows = [
        f"| `{option.name}` | {option.type} | {_describe_range(option)} "
        f"| {_code(option.default_value)} | {option.description} |"
        for option in sorted(options)
        if option.estimators is None
    ]
    hyperparameters = [
        f"| `{option.name}` | {', '.join(option.estimators)} | {option.type} "
        f"| {_describe_range(option)} | {option.description} |"
        for option in sorted(options)
        if option.estimators is not None
    ]
    return "\n".join(
        [
            "# Options",
            MARK,
            "",
            "Written in `WITH (name = value, …)` of CREATE MODEL, or in the JSON of"
            " `sqlml.create_model(options => …)`.",
            "A duration is text such as `'30 s'` or `'10 us'`, or a number of seconds; `words` is"
            " one word or a list of words; a column stands under its exact name.",
            "",
            "| Option | Type | Values | Default | Meaning |",
            "|---|---|---|---|---|",
            *rows,
            "",
            "## Hyperparameters",
            "",
            "What the search chooses for each trial. One that is given has that value in every"
            " trial of its estimators; `RANGE(low, high)` or `CHOICE(a, b, …)`, in JSON"
            ' `{"range": [low, high]}` or `{"choice": [a, b, …]}`, says what the search may choose'
            " from.",
            "",
            "| Hyperparameter | Estimators | Type | Values | Meaning |",
            "|---|---|---|---|---|",
            *hyperparameters,
            "",
        ]
    )


def main() -> None:
    """Write both pages."""
    (DOCS / "errors.md").write_text(make_errors_page())
    with _temporary_database() as dsn:
        (DOCS / "options.md").write_text(make_options_page(dsn))


def _find_errors() -> list[type[errors.SqlmlError]]:
    found = [
        value
        for value in vars(errors).values()
        if inspect.isclass(value) and issubclass(value, errors.SqlmlError)
    ]
    return sorted(found, key=lambda error: (error.sqlstate, error.__name__))


def _first_line(error: type[errors.SqlmlError]) -> str:
    return " ".join((inspect.getdoc(error) or "").split("\n\n")[0].split())


def _describe_range(option: Any) -> str:
    words = ", ".join(f"`{choice}`" for choice in option.choices or ())
    if option.type == "column":
        return f"of kind {words.replace('`', '')}"
    if option.minimum is not None:
        bounds = f"{option.minimum:.15g} to {option.maximum:.15g}"
        return f"{bounds}, or {words}" if words else bounds
    return words


def _code(text: str | None) -> str:
    return f"`{text}`" if text is not None else ""


@contextmanager
def _temporary_database() -> Iterator[str]:
    command = [sys.executable, "-m", "sqlml.cli"]
    with tempfile.TemporaryDirectory() as path:
        Path(path).chmod(0o755)
        subprocess.run([*command, "up", "--detach", "--data-dir", path], check=True)
        try:
            record = StackFolder(Path(path)).read_record()
            assert record is not None
            yield record.dsn()
        finally:
            subprocess.run([*command, "down", "--data-dir", path], check=True)


if __name__ == "__main__":
    main()
