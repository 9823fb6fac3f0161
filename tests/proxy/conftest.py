"""
Two ways to the same server: direct and through the proxy.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from tests.proxy.talk import Talker, talk


@pytest.fixture
def talker(proxy_dsn: str) -> Iterator[Talker]:
    """A raw session through the proxy."""
    with talk(proxy_dsn) as talker:
        yield talker


@pytest.fixture
def connection(proxy_dsn: str) -> Iterator[psycopg.Connection]:
    """A psycopg session through the proxy, in autocommit."""
    with psycopg.connect(proxy_dsn, autocommit=True) as connection:
        yield connection


@pytest.fixture
def proxy_usage(stack) -> Callable[[], tuple[int, int]]:
    """The open files and the resident memory, in KB, of the proxy's process."""
    pid = stack.note().children["proxy"].pid

    def measure() -> tuple[int, int]:
        status = Path(f"/proc/{pid}/status").read_text().split()
        return len(list(Path(f"/proc/{pid}/fd").iterdir())), int(status[status.index("VmRSS:") + 1])

    return measure
