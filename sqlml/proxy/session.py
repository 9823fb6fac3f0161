"""
One client's session: its socket, the server's, and what happens from the first byte to the last.

One client session is one server session. The start-up packet, passwords and everything else go
through; only requests for encryption are answered here.
"""

import asyncio
import logging
from enum import Enum, auto

from sqlml.errors import ProtocolViolation, SqlmlError, UpstreamUnavailable
from sqlml.proxy.address import UpstreamAddress
from sqlml.proxy.interceptor import Interceptor
from sqlml.proxy.rewriting import Rewriter
from sqlml.proxy.side import Side
from sqlml.wire.messages import error_response
from sqlml.wire.startup import (
    TLS_HANDSHAKE,
    RequestCode,
    StartupPacket,
    is_replication,
    read_startup,
)

log = logging.getLogger(__name__)

LOGIN_TIMEOUT_S = 60.0
"""How long a client may take to send its start-up packet."""
CONNECT_TIMEOUT_S = 10.0
_NOT_ENCRYPTED = b"N"
_INTERCEPTED_MAJOR_VERSION = 3


class Phase(Enum):
    """Where a session is."""

    STARTUP = auto()
    CONNECTING = auto()
    FORWARDING = auto()
    CLOSED = auto()


class Session:
    """The two sides of one session and what goes between them."""

    def __init__(self, address: UpstreamAddress, rewriter: Rewriter, members: set["Session"]):
        self.client = Side(self)
        self._upstream = Side(self)
        self._address = address
        self._rewriter = rewriter
        self._members = members
        self._phase = Phase.STARTUP
        self._pending = b""
        self._declined: set[int] = set()
        self._interceptor: Interceptor | None = None
        self._is_cancel_request = False
        self._login_timer: asyncio.TimerHandle | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._has_client_ended = False
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def close(self) -> None:
        """End both sides, sending what is already underway."""
        self._phase = Phase.CLOSED
        if self._login_timer is not None:
            self._login_timer.cancel()
        if self._connecting is not None and not self._is_cancel_request:
            self._connecting.cancel()
        self.client.close()
        self._upstream.close()

    def on_connected(self, side: Side) -> None:
        if side is self.client:
            self._members.add(self)
            loop = asyncio.get_running_loop()
            self._login_timer = loop.call_later(LOGIN_TIMEOUT_S, self.close)

    def on_data(self, side: Side, data: bytes) -> None:
        if side is self._upstream:
            interceptor = self._interceptor
            self.client.write(interceptor.from_upstream(data) if interceptor else data)
        elif self._phase is Phase.FORWARDING:
            self._send(data)
        elif self._phase is not Phase.CLOSED:
            self._pending += data
            if self._phase is Phase.STARTUP:
                self._start_up()

    def on_end_of_data(self, side: Side) -> None:
        if side is self._upstream or self._phase in (Phase.STARTUP, Phase.CLOSED):
            self.close()
            return
        # The server may still owe answers, so only this direction ends.
        self._has_client_ended = True
        if self._phase is Phase.FORWARDING:
            self._upstream.write_eof()

    def on_lost(self, side: Side) -> None:
        if side is self._upstream or not self._is_cancel_request:
            self.close()
        self._leave_if_ended()

    def on_writable(self, side: Side, is_writable: bool) -> None:
        other = self.client if side is self._upstream else self._upstream
        other.set_reading(is_writable)

    def _send(self, data: bytes) -> None:
        self._upstream.write(self._interceptor.from_client(data) if self._interceptor else data)

    def _start_up(self) -> None:
        """Answer requests for encryption; with any other packet, go and find the server."""
        if self._pending[0] == TLS_HANDSHAKE:
            self.close()
            return
        try:
            packet = read_startup(self._pending)
            if packet is not None and packet.code in (RequestCode.SSL, RequestCode.GSSENC):
                self._decline(packet)
            elif packet is not None:
                self._connect(packet)
        except ProtocolViolation as violation:
            self._refuse(violation)

    def _decline(self, packet: StartupPacket) -> None:
        if packet.rest:
            # Someone in between may have put them there: CVE-2021-23214.
            raise ProtocolViolation("received unencrypted data after an encryption request")
        if packet.code in self._declined:
            raise ProtocolViolation("encryption was already declined")
        self._declined.add(packet.code)
        self._pending = b""
        self.client.write(_NOT_ENCRYPTED)

    def _connect(self, packet: StartupPacket) -> None:
        if self._login_timer is not None:
            self._login_timer.cancel()
        self._phase = Phase.CONNECTING
        self._pending = packet.rest
        self.client.set_reading(False)
        if packet.code == RequestCode.CANCEL:
            self._is_cancel_request = True
        elif packet.major_version == _INTERCEPTED_MAJOR_VERSION and not is_replication(packet):
            self._interceptor = Interceptor(self._rewriter)
        self._connecting = asyncio.create_task(self._open_upstream(packet.raw), name="connect")
        self._connecting.add_done_callback(self._on_connecting_done)

    async def _open_upstream(self, startup: bytes) -> None:
        loop, path = asyncio.get_running_loop(), self._address.socket_path
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                if path is not None:
                    await loop.create_unix_connection(lambda: self._upstream, path)
                else:
                    host, port = self._address.host, self._address.port
                    await loop.create_connection(lambda: self._upstream, host, port)
        except (OSError, TimeoutError) as error:
            raise UpstreamUnavailable(
                f"the proxy cannot reach the PostgreSQL server at {self._address}",
                detail=str(error) or "The connection attempt timed out.",
                hint="Is the server running, and is this the address it listens on?",
            ) from error
        self._upstream.write(startup)
        if self._phase is Phase.CLOSED:
            self._upstream.close()
            return
        self._phase = Phase.FORWARDING
        pending, self._pending = self._pending, b""
        if pending:
            self._send(pending)
        if self._has_client_ended:
            self._upstream.write_eof()
        self.client.set_reading(True)

    def _on_connecting_done(self, task: asyncio.Task[None]) -> None:
        self._connecting = None
        error = None if task.cancelled() else task.exception()
        if isinstance(error, UpstreamUnavailable):
            log.warning("%s: %s", error.message, error.detail)
            self._refuse(error)
        elif error is not None:
            log.error("session failed", exc_info=error)
            self.close()
        self._leave_if_ended()

    def _leave_if_ended(self) -> None:
        if self.client.is_lost and self._upstream.is_lost and self._connecting is None:
            self._members.discard(self)
            if not self.ended.done():
                self.ended.set_result(None)

    def _refuse(self, error: SqlmlError) -> None:
        self.client.write(
            error_response("FATAL", error.sqlstate, error.message, error.detail, error.hint)
        )
        self.close()
