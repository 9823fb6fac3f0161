"""
One client's session: its socket, the server's, and what happens from the first byte to the last.

One client session is one server session. The start-up packet, passwords and everything else go
through; only requests for encryption are answered here. A session begins with an accepted socket
or is handed over by the relay, to which it goes back when nothing of ours is left in it.
"""

import asyncio
import logging
import socket
import ssl
from enum import Enum, auto
from typing import Protocol

from sqlml.errors import (
    EncryptionRequired,
    NotAuthorized,
    ProtocolNotSupported,
    ProtocolViolation,
    SqlmlError,
    TooManySessions,
    UpstreamUnavailable,
)
from sqlml.proxy.counters import Block, Counter
from sqlml.proxy.events import log_event, name_session
from sqlml.proxy.greeting import Greeting, Step
from sqlml.proxy.handover import Handover
from sqlml.proxy.interceptor import Interceptor
from sqlml.proxy.login import Login, LoginRules
from sqlml.proxy.refusals import (
    Refused,
    log_refusal,
    log_slowness,
    say_fatal,
    stopping,
    too_many_sessions,
)
from sqlml.proxy.rewriting import Rewriter
from sqlml.proxy.settings import Service
from sqlml.proxy.side import Side
from sqlml.proxy.tls import TlsStream
from sqlml.proxy.upstream import Connection, open_upstream
from sqlml.wire.messages import Frontend, frame
from sqlml.wire.startup import RequestCode, StartupPacket, is_replication

log = logging.getLogger(__name__)

_NOT_ENCRYPTED = b"N"
_ENCRYPTED = b"S"
_INTERCEPTED_MAJOR_VERSION = 3
_TERMINATE = frame(Frontend.TERMINATE, b"")
CANCEL_S = 60.0
"""How long the server may take to close a cancel request's connection."""
_NAME_BYTES = 64
"""PostgreSQL cuts longer names."""


class Phase(Enum):
    """Where a session is."""

    STARTUP = auto()
    CONNECTING = auto()
    FORWARDING = auto()
    CLOSED = auto()


class House(Protocol):
    """The worker that a session lives in."""

    service: Service
    rewriter: Rewriter
    counters: Block

    def has_room(self) -> bool: ...
    def takes_back(self) -> bool: ...
    def take_back(self, handover: Handover) -> None: ...
    def left(self, session: "Session") -> None: ...


class Session:
    """The two sides of one session and what goes between them."""

    __slots__ = (
        "_connecting",
        "_greeting",
        "_has_client_ended",
        "_house",
        "_interceptor",
        "_is_cancel_request",
        "_is_counted",
        "_is_draining",
        "_login",
        "_pending",
        "_phase",
        "_service",
        "_start_timer",
        "_upstream",
        "_upstream_passing",
        "client",
        "id",
    )

    def __init__(self, house: House, session_id: int, client: socket.socket):
        self.id = session_id
        self.client = Side(self, client, drains=True)
        self._house = house
        self._service = house.service
        self._upstream: Side | None = None
        self._upstream_passing = 0
        self._phase = Phase.STARTUP
        self._greeting: Greeting | None = None
        self._login: Login | None = None
        self._interceptor: Interceptor | None = None
        self._pending: list[bytes] = []
        self._is_cancel_request = False
        self._is_counted = False
        self._is_draining = False
        self._has_client_ended = False
        self._start_timer: asyncio.TimerHandle | None = None
        self._connecting: asyncio.Task[None] | None = None

    def start(self, data: bytes = b"", declined: tuple[int, ...] = ()) -> None:
        """Begin with an accepted socket, and with what was read from it and answered already."""
        self._greeting = Greeting(self._service.client_encryption, declined)
        loop = asyncio.get_running_loop()
        self._start_timer = loop.call_later(self._service.limits.start_s, self._on_start_timeout)
        self.client.set_reading(True)
        if data:
            self.client.feed(data)

    def resume(self, handover: Handover) -> None:
        """Go on where the relay stopped."""
        self._phase = Phase.FORWARDING
        self._is_counted = True
        self._house.counters.add(Counter.SESSIONS)
        self._interceptor = Interceptor(self._house.rewriter, handover.state)
        self._upstream = Side(self, socket.socket(fileno=handover.upstream_fd))
        self._upstream_passing = handover.upstream_passing
        self._has_client_ended = handover.has_client_ended
        # While these wait the session must not go back to the relay.
        self._pending = [handover.from_client] if handover.from_client else []
        self.client.write(handover.to_client)
        self._upstream.write(handover.to_upstream)
        self._upstream.set_reading(True)
        self.client.set_reading(not self._has_client_ended)
        if handover.from_upstream:
            self._upstream.feed(handover.from_upstream)
        self._pending = []
        if handover.from_client:
            self.client.feed(handover.from_client)
        if self._has_client_ended and not self._is_asking:
            self._upstream.write_eof()

    def drain(self) -> None:
        """End as soon as no statement and no transaction is under way."""
        self._is_draining = True
        if self._phase is Phase.STARTUP:
            self.close()
        else:
            self._end_if_idle()

    def stop(self) -> None:
        """End now, with a word to the client if one fits between the server's messages."""
        self._end_if_idle()
        if self._phase is Phase.CLOSED:
            return
        if self._may_speak:
            self._refuse(stopping())
        else:
            self.close()

    def close(self) -> None:
        """End both sides, sending what is already underway."""
        self._phase = Phase.CLOSED
        self._forget_start()
        if self._connecting is not None:
            self._connecting.cancel()
        self.client.close()
        if self._upstream is not None:
            self._upstream.close()

    def abort(self) -> None:
        """End both sides at once."""
        self.close()
        self.client.abort()

    @property
    def name(self) -> str:
        """The id as the log has it."""
        return name_session(self.id)

    def on_data(self, side: Side, data: bytes) -> None:
        if side is not self.client:
            self._on_upstream_data(data)
        elif self._phase is Phase.FORWARDING:
            self._send(data)
        elif self._phase is Phase.CONNECTING:
            self._pending.append(data)
        elif self._phase is Phase.STARTUP:
            self._start_up(data)

    def on_end_of_data(self, side: Side) -> None:
        if side is not self.client:
            self._say_last_words()
        if side is not self.client or self._phase in (Phase.STARTUP, Phase.CLOSED):
            self.close()
            return
        # The server may still owe answers, so only this direction ends.
        self._has_client_ended = True
        if self._upstream is not None and not self._is_asking:
            self._end_upstream()

    def on_tls_failed(self, side: Side, error: ssl.SSLError) -> None:
        if self._phase is Phase.STARTUP:
            self._house.counters.add(Counter.START_UPS_REFUSED)
        log_event(
            logging.INFO,
            "tls failed",
            session=self.name,
            client=self.client.peer,
            side="client" if side is self.client else "upstream",
            reason=error.reason,
        )

    def on_lost(self, side: Side) -> None:
        if side is not self.client:
            self._say_last_words()
        # Who asked to cancel need not wait for it.
        if side is not self.client or not self._is_cancel_request:
            self.close()
        self._leave_if_ended()

    def on_writable(self, side: Side, is_writable: bool) -> None:
        other = self._upstream if side is self.client else self.client
        if other is not None and (other is not self.client or self._phase is Phase.FORWARDING):
            other.set_reading(is_writable)

    def _send(self, data: bytes) -> None:
        assert self._upstream is not None
        self._house.counters.add(Counter.BYTES_FROM_CLIENTS, len(data))
        if self._login is not None:
            try:
                data = self._login.from_client(data)
            except (NotAuthorized, ProtocolViolation) as error:
                self._refuse(error)
                return
        self._upstream.write(self._interceptor.from_client(data) if self._interceptor else data)
        if self._is_asking:
            self.client.set_reading(False)

    @property
    def _is_asking(self) -> bool:
        """Whether what the client sends waits for an answer to a question of the proxy's own."""
        return self._interceptor is not None and self._interceptor.is_asking

    @property
    def _may_speak(self) -> bool:
        """Whether a message of the proxy's own would stand between two of the server's."""
        interceptor = self._interceptor
        return interceptor is not None and (
            not self._upstream_passing and interceptor.is_between_replies
        )

    def _on_upstream_data(self, data: bytes) -> None:
        self._house.counters.add(Counter.BYTES_FROM_UPSTREAM, len(data))
        if self._login is not None:
            try:
                data = self._login.from_upstream(data)
            except (NotAuthorized, ProtocolViolation) as error:
                self._refuse(error)
                return
            if self._login.is_done:
                login, self._login = self._login, None
                self._send(login.from_client(b""))
        if self._upstream_passing:
            passing = data[: self._upstream_passing]
            self._upstream_passing -= len(passing)
            self.client.write(passing)
            data = data[len(passing) :]
        if self._interceptor is None or not data:
            self.client.write(data)
            return
        was_asking = self._is_asking
        self.client.write(self._interceptor.from_upstream(data))
        if was_asking:
            self._go_on(self._interceptor.take_for_upstream())
        if self._is_draining:
            self._end_if_idle()
        elif self._house.takes_back():
            self._give_back()

    def _go_on(self, data: bytes) -> None:
        """Send what has waited for the answer to a question of ours."""
        assert self._upstream is not None
        self._upstream.write(data)
        if not self._is_asking:
            self.client.set_reading(not self._upstream.is_full)
        if self._has_client_ended and not self._is_asking:
            self._end_upstream()

    def _end_upstream(self) -> None:
        """Send what the client has left unfinished, and that no more comes."""
        assert self._upstream is not None
        if self._interceptor is not None:
            self._upstream.write(self._interceptor.end_of_client())
        self._upstream.write_eof()

    def _say_last_words(self) -> None:
        """Send what the server has left unfinished, such as an error of an older protocol."""
        if self._interceptor is not None:
            self.client.write(self._interceptor.end_of_upstream())

    def _give_back(self) -> None:
        """Hand the session over to the relay, if nothing in it needs us and nothing waits."""
        upstream = self._upstream
        if upstream is None or self._interceptor is None or self._has_client_ended:
            return
        if self._pending:
            return
        if self.client.has_unsent or upstream.has_unsent or self._phase is not Phase.FORWARDING:
            return
        if self.client.tls is not None or upstream.tls is not None or self._login is not None:
            return
        state = self._interceptor.state()
        if state is None:
            return
        handover = Handover(self.id, self.client.release(), upstream.release(), state)
        self._phase = Phase.CLOSED
        self._house.take_back(handover)
        self._leave_if_ended()

    def _start_up(self, data: bytes) -> None:
        """Answer requests for encryption; with any other packet, go and find the server."""
        assert self._greeting is not None
        try:
            progress = self._greeting.read(data)
            if progress.packet is not None:
                self._check_start(progress.packet)
                self._connect(progress.packet)
        except (ProtocolViolation, EncryptionRequired, ProtocolNotSupported) as error:
            self._house.counters.add(Counter.START_UPS_REFUSED)
            self._refuse(error)
            return
        except TooManySessions as error:
            self._house.counters.add(Counter.SESSIONS_REFUSED)
            self._refuse(error)
            return
        if progress.step is Step.DECLINE:
            self.client.write(_NOT_ENCRYPTED)
        elif progress.step is Step.ENCRYPT:
            self.client.write(_ENCRYPTED)
            self._encrypt()
        elif progress.step is Step.ENCRYPT_DIRECTLY:
            self._encrypt()
            self.client.feed(progress.data)
        elif progress.step is Step.CLOSE:
            self.close()

    def _encrypt(self) -> None:
        assert self._service.client_context is not None
        self._house.counters.add(Counter.TLS_HANDSHAKES)
        self.client.tls = TlsStream(self._service.client_context, is_server=True)

    def _check_start(self, packet: StartupPacket) -> None:
        assert self._greeting is not None
        tls = self.client.tls
        if self._greeting.is_direct and tls is not None and not tls.has_protocol:
            raise ProtocolViolation(
                "direct TLS without the ALPN protocol postgresql",
                hint="Connect with a client of PostgreSQL 17 or newer, or ask for TLS first.",
            )
        if packet.code == RequestCode.CANCEL:
            return
        if packet.major_version != _INTERCEPTED_MAJOR_VERSION and self._must_watch_login():
            raise ProtocolNotSupported(
                f"protocol {packet.major_version}.{packet.code & 0xFFFF} does not pass this proxy",
                detail="How the server lets the client in could not be watched.",
            )
        if not self._house.has_room():
            raise too_many_sessions()

    def _must_watch_login(self) -> bool:
        return self._service.upstream.knows_proxy or self._service.upstream.context is not None

    def _connect(self, packet: StartupPacket) -> None:
        self._forget_start()
        self._phase = Phase.CONNECTING
        if packet.rest:
            self._pending.append(packet.rest)
        self.client.set_reading(False)
        if packet.code == RequestCode.CANCEL:
            self._is_cancel_request = True
            self._start_timer = asyncio.get_running_loop().call_later(CANCEL_S, self.close)
            self._house.counters.add(Counter.CANCEL_REQUESTS)
        else:
            self._count()
            if packet.major_version == _INTERCEPTED_MAJOR_VERSION and not is_replication(packet):
                self._interceptor = Interceptor(self._house.rewriter)
        self._connecting = asyncio.create_task(self._open_upstream(packet), name="connect")
        self._connecting.add_done_callback(self._on_connecting_done)

    async def _open_upstream(self, packet: StartupPacket) -> None:
        connection = await open_upstream(self._service.upstream)
        self._upstream = Side(self, connection.socket)
        self._upstream.tls = connection.tls
        if not self._is_cancel_request and self._must_watch_login():
            self._login = Login(self._make_rules(packet, connection))
        self._upstream.write(packet.raw)
        self._phase = Phase.FORWARDING
        self._upstream.set_reading(True)
        pending, self._pending = b"".join(self._pending), []
        if pending:
            self._send(pending)
        if self._has_client_ended:
            self._end_upstream()
        self.client.set_reading(not self._upstream.is_full)
        if log.isEnabledFor(logging.DEBUG):
            self._log_begin(packet)

    def _log_begin(self, packet: StartupPacket) -> None:
        parameters = packet.parameters()
        upstream_tls = self._upstream.tls if self._upstream is not None else None
        log_event(
            logging.DEBUG,
            "cancel request" if self._is_cancel_request else "session began",
            session=self.name,
            client=self.client.peer,
            user=parameters.get(b"user"),
            database=parameters.get(b"database"),
            application_name=parameters.get(b"application_name"),
            tls=self.client.tls.version if self.client.tls is not None else None,
            upstream_tls=upstream_tls.version if upstream_tls is not None else None,
        )

    def _make_rules(self, packet: StartupPacket, connection: Connection) -> LoginRules:
        upstream, client_tls = self._service.upstream, self.client.tls
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

    def _on_connecting_done(self, task: asyncio.Task[None]) -> None:
        self._connecting = None
        error = None if task.cancelled() else task.exception()
        if isinstance(error, UpstreamUnavailable):
            self._house.counters.add(Counter.UPSTREAM_FAILURES)
            self._refuse(error)
        elif error is not None:
            log.error("session %s failed", self.name, exc_info=error)
            self.close()
        self._leave_if_ended()

    def _on_start_timeout(self) -> None:
        self._house.counters.add(Counter.START_UPS_REFUSED)
        log_slowness(Refused(self.id, self.client.peer))
        self.close()

    def _forget_start(self) -> None:
        if self._start_timer is not None:
            self._start_timer.cancel()
            self._start_timer = None

    def _end_if_idle(self) -> None:
        if self._interceptor is None or not self._interceptor.is_idle or not self._may_speak:
            return
        if self._upstream is not None:
            self._upstream.write(_TERMINATE)
        self._refuse(stopping())

    def _refuse(self, error: SqlmlError) -> None:
        has_begun = self._phase is Phase.FORWARDING
        log_refusal(Refused(self.id, self.client.peer), error, has_begun=has_begun)
        self.client.write(say_fatal(error))
        self.close()

    def _count(self) -> None:
        self._is_counted = True
        self._house.counters.add(Counter.SESSIONS)
        self._house.counters.add(Counter.SESSIONS_TOTAL)

    def _leave_if_ended(self) -> None:
        is_upstream_lost = self._upstream is None or self._upstream.is_lost
        if self.client.is_lost and is_upstream_lost and self._connecting is None:
            if self._is_counted:
                self._is_counted = False
                self._house.counters.add(Counter.SESSIONS, -1)
            self._house.left(self)
