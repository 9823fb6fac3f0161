"""
TCP ports of this machine: which are free.
"""

import random
import socket

from sqlml.config import LOOPBACK
from sqlml.errors import StackError

# Below the ports that the kernel hands out to outgoing connections.
FREE_RANGE = range(20000, 32768)
ATTEMPTS = 200


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """Whether a server could listen on the port now."""
    return find_obstacle(port, host) is None


def find_obstacle(port: int, host: str = LOOPBACK) -> OSError | None:
    """What would keep a server from listening on the port now."""
    with socket.socket() as probe:
        # As PostgreSQL does: closed connections that linger do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error
    return None


def choose_port(wanted: int | None, preferred: list[int], taken: set[int]) -> int:
    """The port asked for, which must be free; else the first free preferred one; else any."""
    if wanted is not None:
        if wanted in taken:
            raise StackError(f"port {wanted} was asked for twice", hint="Choose two ports.")
        obstacle = find_obstacle(wanted)
        if isinstance(obstacle, PermissionError):
            raise StackError(
                f"port {wanted} is for privileged users only",
                hint="Choose another port, or none to let sqlml find a free one.",
            )
        if obstacle is not None:
            raise StackError(
                f"port {wanted} is already in use",
                hint="Choose another port, or none to let sqlml find a free one.",
            )
        return wanted
    for port in preferred:
        if port not in taken and is_free(port):
            return port
    for port in random.sample(FREE_RANGE, ATTEMPTS):
        if port not in taken and is_free(port):
            return port
    raise StackError(f"no free port between {FREE_RANGE.start} and {FREE_RANGE.stop - 1}")
