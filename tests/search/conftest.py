"""
Processes that all searches of the tests share, as starting them takes longer than most.
"""

from contextlib import closing

import pytest

from sqlml.search.pool import Pool


@pytest.fixture(scope="session")
def pool():
    """A pool whose processes are ready."""
    with closing(Pool()) as pool:
        yield pool
