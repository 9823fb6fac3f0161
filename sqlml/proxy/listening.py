"""
The sockets that clients connect to.

With several workers each has sockets of its own for the same address, among which the kernel
shares the clients out (SO_REUSEPORT). They are opened by the parent, so that those who wait in a
worker's queue are not lost with it.
"""

import socket

from sqlml.errors import SettingNotUsable
from sqlml.proxy.address import ListenAddress

_BACKLOG = 1024

Listeners = list[socket.socket]


def open_listeners(address: ListenAddress, workers: int = 1) -> list[Listeners]:
    """Return each worker's sockets; SettingNotUsable if the address cannot be had."""
    try:
        targets = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        families = dict.fromkeys((family, target[0]) for family, _, _, _, target in targets)
        opened = [_open_port(family, str(host), address.port, workers) for family, host in families]
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise SettingNotUsable(
            f"the proxy cannot listen on {address.host}:{address.port}: {reason}",
            hint="Is another program there, or another proxy? Choose another one with --listen.",
        ) from error
    return [list(sockets) for sockets in zip(*opened, strict=True)]


def _open_port(family: int, host: str, port: int, workers: int) -> Listeners:
    # Without SO_REUSEPORT, so that this fails where another proxy listens.
    first = _bind(family, host, port, is_shared=False)
    if workers == 1:
        first.listen(_BACKLOG)
        return [first]
    port = first.getsockname()[1]
    first.close()
    sockets = [_bind(family, host, port, is_shared=True) for _ in range(workers)]
    for sock in sockets:
        sock.listen(_BACKLOG)
    return sockets


def _bind(family: int, host: str, port: int, *, is_shared: bool) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if is_shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((host, port))
    except BaseException:
        sock.close()
        raise
    return sock
