"""
The start of one session: from the client's first byte until the server's socket is open.

Answers requests for encryption, refuses what must not come in, connects, and says how the log-in
is to be watched. What goes between the two sides afterwards is the session's matter.
"""

import asyncio
import logging
from dataclasses import dataclass
from typing import Protocol

from sqlml.errors import (
    EncryptionRequired,
    ProtocolNotSupported,
    ProtocolViolation,
    SqlmlError,
    TooManySessions,
    UpstreamUnavailable,
)
from sqlml.proxy.counters import Block, Counter
from sqlml.proxy.events import log_event
from sqlml.proxy.greeting import Greeting, Step
from sqlml.proxy.login import Login, LoginRules
from sqlml.proxy.refusals import Refused, log_slowness, too_many_sessions
from sqlml.proxy.settings import Service
from sqlml.proxy.side import Side
from sqlml.proxy.tls import TlsStream
from sqlml.proxy.upstream import Connection, open_upstream
from sqlml.wire.startup import RequestCode, StartupPacket

log = logging.getLogger(__name__)

CANCEL_S = 60.0
"""How long the server may take to close a cancel request's connection."""
INTERCEPTED_MAJOR_VERSION = 3
_NOT_ENCRYPTED = b"N"
_ENCRYPTED = b"S"
_NAME_BYTES = 64
"""PostgreSQL cuts longer names."""


@dataclass(frozen=True, slots=True)
class Opening:
    """What a start ends with, if it ends well."""

    connection: Connection
    login: Login | None
    packet: StartupPacket
    pending: bytes
    """What the client sent behind its packet."""


class Entrance(Protocol):
    """The worker, as a start needs it."""

    service: Service
    counters: Block

    def has_room(self) -> bool: ...


class Starter(Protocol):
    """The session that starts."""

    id: int
    client: Side

    @property
    def name(self) -> str: ...

    def on_packet(self, packet: StartupPacket) -> None: ...
    def on_opened(self, opening: Opening) -> None: ...
    def on_start_over(self) -> None: ...
    def refuse(self, error: SqlmlError) -> None: ...
    def close(self) -> None: ...


class Start:
    """What a client says before its session, and the search for its server."""

    __slots__ = (
        "_connecting",
        "_entrance",
        "_greeting",
        "_packet",
        "_pending",
        "_service",
        "_session",
        "_timer",
    )

    def __init__(self, session: Starter, entrance: Entrance, declined: tuple[int, ...]):
        """Requests for encryption that were declined already are not answered again."""
        self._session = session
        self._entrance = entrance
        self._service = entrance.service
        self._greeting = Greeting(self._service.client_encryption, declined)
        self._packet: StartupPacket | None = None
        self._pending: list[bytes] = []
        self._connecting: asyncio.Task[None] | None = None
        self._timer = asyncio.get_running_loop().call_later(
            self._service.limits.start_s, self._on_timeout
        )

    @property
    def has_packet(self) -> bool:
        """Whether the client has said all that is needed to connect it."""
        return self._packet is not None

    @property
    def is_cancel_request(self) -> bool:
        return self._packet is not None and self._packet.code == RequestCode.CANCEL

    @property
    def is_connecting(self) -> bool:
        return self._connecting is not None

    def feed(self, data: bytes) -> None:
        """Take what the client sent."""
        if self.has_packet:
            self._pending.append(data)
        else:
            self._greet(data)

    def cancel(self) -> None:
        """Give up, if it is not over."""
        self._timer.cancel()
        if self._connecting is not None:
            self._connecting.cancel()

    def _greet(self, data: bytes) -> None:
        """Answer requests for encryption; with any other packet, go and find the server."""
        try:
            progress = self._greeting.read(data)
            if progress.packet is not None:
                self._check(progress.packet)
                self._connect(progress.packet)
        except (ProtocolViolation, EncryptionRequired, ProtocolNotSupported) as error:
            self._entrance.counters.add(Counter.START_UPS_REFUSED)
            self._session.refuse(error)
            return
        except TooManySessions as error:
            self._entrance.counters.add(Counter.SESSIONS_REFUSED)
            self._session.refuse(error)
            return
        if progress.step is Step.DECLINE:
            self._session.client.write(_NOT_ENCRYPTED)
        elif progress.step is Step.ENCRYPT:
            self._session.client.write(_ENCRYPTED)
            self._encrypt()
        elif progress.step is Step.ENCRYPT_DIRECTLY:
            self._encrypt()
            self._session.client.feed(progress.data)
        elif progress.step is Step.CLOSE:
            self._session.close()

    def _encrypt(self) -> None:
        assert self._service.client_context is not None
        self._entrance.counters.add(Counter.TLS_HANDSHAKES)
        self._session.client.tls = TlsStream(self._service.client_context, is_server=True)

    def _check(self, packet: StartupPacket) -> None:
        tls = self._session.client.tls
        if self._greeting.is_direct and tls is not None and not tls.has_protocol:
            raise ProtocolViolation(
                "direct TLS without the ALPN protocol postgresql",
                hint="Connect with a client of PostgreSQL 17 or newer, or ask for TLS first.",
            )
        if packet.code == RequestCode.CANCEL:
            return
        if packet.major_version != INTERCEPTED_MAJOR_VERSION and self._must_watch_login():
            raise ProtocolNotSupported(
                f"protocol {packet.major_version}.{packet.code & 0xFFFF} does not pass this proxy",
                detail="How the server lets the client in could not be watched.",
            )
        if not self._entrance.has_room():
            raise too_many_sessions()

    def _must_watch_login(self) -> bool:
        return self._service.upstream.knows_proxy or self._service.upstream.context is not None

    def _connect(self, packet: StartupPacket) -> None:
        self._timer.cancel()
        self._packet = packet
        if packet.rest:
            self._pending.append(packet.rest)
        self._session.client.set_reading(False)
        if self.is_cancel_request:
            self._timer = asyncio.get_running_loop().call_later(CANCEL_S, self._session.close)
            self._entrance.counters.add(Counter.CANCEL_REQUESTS)
        else:
            self._session.on_packet(packet)
        self._connecting = asyncio.create_task(self._open(packet), name="connect")
        self._connecting.add_done_callback(self._on_done)

    async def _open(self, packet: StartupPacket) -> None:
        connection = await open_upstream(self._service.upstream)
        login = None
        if not self.is_cancel_request and self._must_watch_login():
            login = Login(self._make_rules(packet, connection))
        pending, self._pending = b"".join(self._pending), []
        self._session.on_opened(Opening(connection, login, packet, pending))
        if log.isEnabledFor(logging.DEBUG):
            self._log_begin(packet, connection)

    def _make_rules(self, packet: StartupPacket, connection: Connection) -> LoginRules:
        upstream, client_tls = self._service.upstream, self._session.client.tls
        user = packet.parameters().get(b"user", b"")
        name = client_tls.common_name if client_tls is not None else None
        is_proven = name is not None and name.encode() == user and len(user) < _NAME_BYTES
        return LoginRules(
            needs_challenge=upstream.knows_proxy and not is_proven,
            is_client_encrypted=client_tls is not None,
            is_upstream_encrypted=connection.tls is not None,
            is_same_certificate=connection.tls is not None
            and connection.tls.certificate == upstream.own_certificate,
        )

    def _log_begin(self, packet: StartupPacket, connection: Connection) -> None:
        parameters = packet.parameters()
        client = self._session.client
        log_event(
            logging.DEBUG,
            "cancel request" if self.is_cancel_request else "session began",
            session=self._session.name,
            client=client.peer,
            user=parameters.get(b"user"),
            database=parameters.get(b"database"),
            application_name=parameters.get(b"application_name"),
            tls=client.tls.version if client.tls is not None else None,
            upstream_tls=connection.tls.version if connection.tls is not None else None,
        )

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._connecting = None
        error = None if task.cancelled() else task.exception()
        if isinstance(error, UpstreamUnavailable):
            self._entrance.counters.add(Counter.UPSTREAM_FAILURES)
            self._session.refuse(error)
        elif error is not None:
            log.error("session %s failed", self._session.name, exc_info=error)
            self._session.close()
        self._session.on_start_over()

    def _on_timeout(self) -> None:
        self._entrance.counters.add(Counter.START_UPS_REFUSED)
        log_slowness(Refused(self._session.id, self._session.client.peer))
        self._session.close()
