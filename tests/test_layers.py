"""
Who may import whom.

A stage imports shared modules and earlier stages, so that it can be read, tested and replaced
without the later ones. A third-party library belongs to the stages named here.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "sqlml"
STAGES = (
    "proxy",
    "statement",
    "job",
    "extract",
    "search",
    "compile",
    "catalogue",
    "predict",
)
SHARED = {"config", "errors", "enums", "db", "lines", "log", "wire", "server", "samples"}
# The compiled core: texts become tokens in it, and rows become predictions.
CORE = "_scoring"
CORE_USERS = {"search", "predict"}
COMPOSERS = {"cli.py"} | {
    f"job/{name}.py"
    for name in ("importance", "notices", "options", "process", "publication", "runner")
}
# Of the shared modules these know what a stack is made of.
PURE = {"wire", "config", "errors", "enums", "lines", "log"}
LIBRARIES = {
    "adbc_driver_manager": {"extract"},
    "adbc_driver_postgresql": {"extract"},
    "lightgbm": {"search", "compile", "predict"},
    "optuna": {"search"},
    "pandas": set(),
    "psycopg": {"db", "job", "extract", "catalogue", "predict", "server", "samples", "cli"},
    "pyarrow": {"extract", "search", "compile", "predict", "job"},
    "sklearn": {"search", "compile", "samples"},
    "sqlalchemy": set(),
    "sqlglot": set(),
    "uvloop": {"proxy"},
}


def find_modules() -> list[str]:
    return sorted(
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if "sql" not in path.relative_to(PACKAGE).parts
    )


def find_imports(module: str) -> Iterator[str]:
    """The dotted names that a module imports, also inside functions."""
    for node in ast.walk(ast.parse((PACKAGE / module).read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module is not None:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def find_part(module: str) -> str:
    """The stage or shared part that a module belongs to."""
    return module.partition("/")[0].removesuffix(".py")


def find_own_imports(module: str) -> set[str]:
    """The parts of sqlml that a module imports."""
    names = [name.split(".") for name in find_imports(module)]
    return {name[1] for name in names if name[0] == "sqlml" and len(name) > 1}


def check_import(module: str, imported: str) -> str | None:
    """Why the import is not allowed, or None."""
    part = find_part(module)
    if module in COMPOSERS or imported in {part, "__version__"}:
        return None
    if imported == CORE:
        return None if part in CORE_USERS else f"{part} may not import {imported}"
    if part in STAGES:
        if imported in SHARED:
            return None
        if imported not in STAGES:
            return f"{imported} is neither a stage nor shared"
        if STAGES.index(imported) > STAGES.index(part):
            return f"{part} comes before {imported}"
        return None
    if imported in STAGES:
        return f"{part} is shared and may not import the stage {imported}"
    if part in PURE and imported not in PURE:
        return f"{part} may not import {imported}"
    return None


@pytest.mark.parametrize("module", find_modules())
def test_module_imports_shared_modules_and_earlier_stages_only(module):
    problems = [check_import(module, imported) for imported in find_own_imports(module)]
    assert [problem for problem in problems if problem] == []


@pytest.mark.parametrize("module", find_modules())
def test_library_is_imported_by_its_stages_only(module):
    used = {name.partition(".")[0] for name in find_imports(module)}
    part = find_part(module)
    strangers = {name for name in used & LIBRARIES.keys() if part not in LIBRARIES[name]}
    if module in COMPOSERS:
        strangers = set()
    assert strangers == set()


@pytest.mark.parametrize("module", find_modules())
def test_no_relative_import(module):
    tree = ast.parse((PACKAGE / module).read_text())
    relative = [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.level > 0]
    assert relative == []


@pytest.mark.parametrize(
    ("module", "imported"),
    [
        ("proxy/server.py", "search"),
        ("extract/dataset.py", "compile"),
        ("wire/messages.py", "server"),
        ("db.py", "job"),
        ("server/stack.py", "job"),
        ("search/study.py", "elsewhere"),
        ("compile/artifact.py", "_scoring"),
    ],
)
def test_a_forbidden_import_is_found(module, imported):
    assert check_import(module, imported) is not None


def test_every_stage_has_modules():
    parts = {find_part(module) for module in find_modules()}
    assert set(STAGES) <= parts
