"""
Say what is missing on this machine, and how to mend it.

Owns the list of checks. Changes nothing.
"""

import importlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlml.errors import SqlmlError
from sqlml.server.account import can_reach, find_server_account
from sqlml.server.binaries import ServerBinaries, choose_binaries, find_binaries

OLDEST_PYTHON = (3, 11)
LIBRARIES = (
    "adbc_driver_postgresql",
    "lightgbm",
    "numpy",
    "optuna",
    "pandas",
    "psycopg",
    "pyarrow",
    "sklearn",
    "sqlalchemy",
    "sqlglot",
    "uvloop",
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. A remedy means that something is wrong with it."""

    subject: str
    state: str
    remedy: str | None = None
    is_essential: bool = True


def examine(data_dir: Path) -> list[Finding]:
    """Look at everything that an embedded stack needs."""
    return [
        _examine_python(),
        *_examine_libraries(),
        *_examine_servers(),
        _examine_scoring_module(),
        _examine_relay(),
        _examine_data_dir(data_dir),
    ]


def _examine_python() -> Finding:
    version = ".".join(str(part) for part in sys.version_info[:3])
    remedy = None if sys.version_info >= OLDEST_PYTHON else "Use Python 3.11 or newer."
    return Finding("Python", version, remedy)


def _examine_libraries() -> Iterator[Finding]:
    broken = []
    for name in LIBRARIES:
        try:
            importlib.import_module(name)
        except (ImportError, OSError) as error:
            # LightGBM raises OSError where the OpenMP library is missing.
            broken.append(Finding(f"library {name}", str(error), _find_remedy(error)))
    if broken:
        yield from broken
    else:
        yield Finding("libraries", f"all {len(LIBRARIES)} can be imported")


def _find_remedy(error: Exception) -> str:
    if "libgomp" in str(error):
        return "Install the OpenMP library: apt-get install libgomp1."
    return "Install sqlml again: pip install sqlml, or make in a clone."


def _examine_servers() -> Iterator[Finding]:
    try:
        chosen = choose_binaries()
        find_server_account()
    except SqlmlError as error:
        yield Finding("PostgreSQL", error.message, error.hint or "")
        return
    for binaries in find_binaries():
        default = " (default)" if binaries.bin_dir == chosen.bin_dir else ""
        yield Finding(f"PostgreSQL {binaries.major}{default}", str(binaries.bin_dir))
        yield _examine_extension(binaries, is_essential=binaries.bin_dir == chosen.bin_dir)


def _examine_extension(binaries: ServerBinaries, *, is_essential: bool) -> Finding:
    subject = f"extension on {binaries.major}"
    if binaries.has_extension("sqlml"):
        plpython = "with" if binaries.has_extension("plpython3u") else "without"
        return Finding(subject, f"installed, {plpython} PL/Python")
    return Finding(
        subject,
        "not installed",
        "In a clone of sqlml: make -C pg_extension install"
        f" PG_CONFIG={binaries.program('pg_config')}",
        is_essential,
    )


def _examine_scoring_module() -> Finding:
    try:
        importlib.import_module("sqlml._scoring")
    except ImportError as error:
        return Finding(
            "scoring module",
            str(error),
            "Install sqlml with a C compiler at hand (apt-get install gcc python3-dev).",
        )
    return Finding("scoring module", "can be imported")


def _examine_relay() -> Finding:
    try:
        importlib.import_module("sqlml.proxy._relay")
    except ImportError as error:
        return Finding(
            "relay of the proxy",
            str(error),
            "The proxy works without it, at a fraction of its speed. Install sqlml with a C"
            " compiler at hand (apt-get install gcc python3-dev).",
            is_essential=False,
        )
    return Finding("relay of the proxy", "can be imported")


def _examine_data_dir(data_dir: Path) -> Finding:
    path = data_dir.absolute()
    existing = next(parent for parent in (path, *path.parents) if parent.exists())
    try:
        account = find_server_account()
    except SqlmlError as error:
        return Finding("data folder", error.message, error.hint)
    if not can_reach(account, existing):
        name = account.name if account else "this user"
        return Finding(
            "data folder", f"{name} cannot enter {existing}", "Choose another with --data-dir."
        )
    if not os.access(existing, os.W_OK, effective_ids=True):
        return Finding(
            "data folder",
            f"nothing can be written in {existing}",
            "Choose another with --data-dir.",
        )
    return Finding("data folder", str(path))
