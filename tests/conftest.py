"""
What every test may ask for: a real embedded stack, made by the command that users run.

    stack          the session's stack with the sample tables, on the default PostgreSQL
    dsn            its database as superuser, straight to PostgreSQL (also `stack.dsn`)
    proxy_dsn      the same through the proxy (also `stack.proxy_dsn`)
    matrix_stack   one stack each on PostgreSQL 15, 16 and 18, with the sample tables

A test that breaks its stack makes one of its own with `tests.stack.temporary_stack`.
"""

import os
from collections.abc import Iterator

import pytest

from sqlml.server.binaries import find_binaries
from tests.stack import Stack, temporary_stack


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    # scripts/check_memory.sh asks for a version of its own.
    chosen = [f"--postgres={major}" for major in os.environ.get("SQLML_TEST_POSTGRES", "").split()]
    with temporary_stack("--load-samples", *chosen) as stack:
        yield stack


@pytest.fixture(scope="session")
def dsn(stack: Stack) -> str:
    return stack.dsn


@pytest.fixture(scope="session")
def proxy_dsn(stack: Stack) -> str:
    return stack.proxy_dsn


@pytest.fixture(
    scope="session",
    params=[pytest.param(major, marks=pytest.mark.matrix) for major in (15, 16, 18)],
)
def matrix_stack(request: pytest.FixtureRequest) -> Iterator[Stack]:
    found = [binaries for binaries in find_binaries() if binaries.major == request.param]
    if request.param == 15 and not any(binaries.has_extension("sqlml") for binaries in found):
        pytest.skip("Debian's PostgreSQL has no sqlml, and this user may not install it there")
    with temporary_stack("--load-samples", f"--postgres={request.param}") as stack:
        yield stack
