"""
The connection to the server, up to the point where the start-up packet can be sent.
"""

import asyncio
import socket
import ssl
import struct
from dataclasses import dataclass

from sqlml.errors import UpstreamUnavailable
from sqlml.proxy.address import UpstreamAddress
from sqlml.proxy.tls import TlsStream, UpstreamEncryption
from sqlml.wire.startup import RequestCode

_SSL_REQUEST = struct.pack("!ii", 8, RequestCode.SSL)
_READ_BYTES = 16 * 1024
_BACKLOG_PAUSE_S = 0.01


@dataclass(frozen=True, slots=True)
class Upstream:
    """The server as the proxy reaches it."""

    address: UpstreamAddress
    connect_s: float = 10.0
    encryption: UpstreamEncryption = UpstreamEncryption.DISABLE
    context: ssl.SSLContext | None = None
    knows_proxy: bool = False
    """Whether the server may let somebody in because it is the proxy who asks."""
    own_certificate: bytes | None = None
    """The certificate that clients of the proxy see, as DER."""


@dataclass(frozen=True, slots=True)
class Connection:
    """A connected socket, and its encryption if it has any."""

    socket: socket.socket
    tls: TlsStream | None = None


async def open_upstream(upstream: Upstream) -> Connection:
    """Connect, with TLS as the settings say; raise UpstreamUnavailable."""
    try:
        async with asyncio.timeout(upstream.connect_s):
            sock = await _connect(upstream.address)
            try:
                return Connection(sock, await _encrypt(sock, upstream))
            except BaseException:
                sock.close()
                raise
    except ssl.SSLCertVerificationError as error:
        raise UpstreamUnavailable(
            f"the proxy does not trust the PostgreSQL server at {upstream.address}",
            detail=error.verify_message,
            hint="Check --upstream-ca, and for verify-full the name in the certificate.",
        ) from error
    except ssl.SSLError as error:
        raise UpstreamUnavailable(
            f"the proxy cannot speak TLS with the PostgreSQL server at {upstream.address}",
            detail=str(error),
            hint="Check the certificates of both, or use --upstream-tls disable.",
        ) from error
    except (OSError, TimeoutError) as error:
        raise UpstreamUnavailable(
            f"the proxy cannot reach the PostgreSQL server at {upstream.address}",
            detail=str(error) or "The connection attempt timed out.",
            hint="Is the server running, and is this the address it listens on?",
        ) from error


async def _connect(address: UpstreamAddress) -> socket.socket:
    path = address.socket_path
    if path is not None:
        return await _connect_locally(path)
    loop = asyncio.get_running_loop()
    failure = OSError(f'no address for the host "{address.host}"')
    for family, kind, protocol, _, target in await loop.getaddrinfo(
        address.host, address.port, type=socket.SOCK_STREAM
    ):
        sock = socket.socket(family, kind | socket.SOCK_NONBLOCK, protocol)
        try:
            await loop.sock_connect(sock, target)
        except OSError as error:
            sock.close()
            failure = error
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise failure


async def _connect_locally(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        while True:
            try:
                sock.connect(path)
            except BlockingIOError:
                # Unlike TCP's this is a full backlog and no attempt under way: ask again.
                await asyncio.sleep(_BACKLOG_PAUSE_S)
            else:
                return sock
    except BaseException:
        sock.close()
        raise


async def _encrypt(sock: socket.socket, upstream: Upstream) -> TlsStream | None:
    if upstream.context is None or sock.family == socket.AF_UNIX:
        return None
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(sock, _SSL_REQUEST)
    # One byte only: what somebody put behind it then stands in the handshake's way
    # and is never taken for the server's (CVE-2021-23222).
    answer = await loop.sock_recv(sock, 1)
    if answer == b"S":
        return await _shake_hands(sock, upstream)
    if answer == b"N" and upstream.encryption is UpstreamEncryption.PREFER:
        return None
    if answer == b"N":
        raise UpstreamUnavailable(
            f"the PostgreSQL server at {upstream.address} does not speak TLS",
            hint="Set ssl = on there, or use --upstream-tls prefer or disable.",
        )
    raise ConnectionError("The server did not answer the request for TLS.")


async def _shake_hands(sock: socket.socket, upstream: Upstream) -> TlsStream:
    assert upstream.context is not None
    loop = asyncio.get_running_loop()
    tls = TlsStream(upstream.context, is_server=False, server_name=upstream.address.host)
    await loop.sock_sendall(sock, tls.start())
    while not tls.is_ready:
        data = await loop.sock_recv(sock, _READ_BYTES)
        if not data:
            raise ConnectionError("The server closed the connection during the TLS handshake.")
        early = tls.receive(data)
        await loop.sock_sendall(sock, tls.take())
        if early:
            raise ConnectionError("The server spoke before it was asked.")
    return tls
