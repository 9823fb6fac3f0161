"""
How much the proxy takes on, and how long it waits.
"""

import resource
from dataclasses import dataclass

_FILES_PER_SESSION = 2
_OWN_FILES = 64
"""For the log, the event loop, libraries, and connections that are not sessions yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The bounds of one proxy."""

    max_connections: int | None = None
    """Sessions of all workers together; None: as many as there are files for."""
    start_s: float = 60.0
    """How long a client may take to send its start-up packet, encryption included."""
    connect_s: float = 10.0
    """How long the server may take to accept a connection, encryption included."""
    drain_s: float = 30.0
    """How long a session that is busy may go on after SIGTERM."""


def allow_files() -> int:
    """Let this process open as many files as it may; return for how many sessions they do."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return max(1, (hard - _OWN_FILES) // _FILES_PER_SESSION)
