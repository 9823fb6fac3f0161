"""
One client's session: its socket, the server's, and what goes between them.

One client session is one server session. The start-up packet, passwords and everything else go
through. A session begins with an accepted socket or is handed over by the relay, to which it goes
back when nothing of ours is left in it.
"""

import logging
import socket
import ssl
from enum import Enum, auto
from typing import Protocol

from sqlml.errors import NotAuthorized, ProtocolViolation, SqlmlError
from sqlml.proxy.counters import Counter
from sqlml.proxy.events import log_event, name_session
from sqlml.proxy.handover import Handover
from sqlml.proxy.interceptor import Interceptor
from sqlml.proxy.login import Login
from sqlml.proxy.refusals import Refused, log_refusal, say_fatal, stopping
from sqlml.proxy.rewriting import Rewriter
from sqlml.proxy.side import Side
from sqlml.proxy.start import INTERCEPTED_MAJOR_VERSION, Entrance, Opening, Start
from sqlml.wire.messages import Frontend, frame
from sqlml.wire.startup import StartupPacket, is_replication

_TERMINATE = frame(Frontend.TERMINATE, b"")


class Phase(Enum):
    """Where a session is."""

    STARTING = auto()
    FORWARDING = auto()
    CLOSED = auto()


class House(Entrance, Protocol):
    """The worker that a session lives in."""

    rewriter: Rewriter

    def takes_back(self) -> bool: ...
    def take_back(self, handover: Handover) -> None: ...
    def left(self, session: "Session") -> None: ...


class Session:
    """The two sides of one session and what goes between them."""

    __slots__ = (
        "_has_client_ended",
        "_house",
        "_interceptor",
        "_is_counted",
        "_is_draining",
        "_is_resuming",
        "_login",
        "_phase",
        "_start",
        "_upstream",
        "_upstream_passing",
        "client",
        "id",
    )

    def __init__(self, house: House, session_id: int, client: socket.socket):
        self.id = session_id
        self.client = Side(self, client, drains=True)
        self._house = house
        self._upstream: Side | None = None
        self._upstream_passing = 0
        self._phase = Phase.STARTING
        self._start: Start | None = None
        self._login: Login | None = None
        self._interceptor: Interceptor | None = None
        self._is_resuming = False
        self._is_counted = False
        self._is_draining = False
        self._has_client_ended = False

    def start(self, data: bytes = b"", declined: tuple[int, ...] = ()) -> None:
        """Begin with an accepted socket, and with what was read from it and answered already."""
        self._start = Start(self, self._house, declined)
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
        # While the client's bytes wait the session must not go back to the relay.
        self._is_resuming = bool(handover.from_client)
        self.client.write(handover.to_client)
        self._upstream.write(handover.to_upstream)
        self._upstream.set_reading(True)
        self.client.set_reading(not self._has_client_ended)
        if handover.from_upstream:
            self._upstream.feed(handover.from_upstream)
        self._is_resuming = False
        if handover.from_client:
            self.client.feed(handover.from_client)
        if self._has_client_ended and not self._is_asking:
            self._upstream.write_eof()

    def drain(self) -> None:
        """End as soon as no statement and no transaction is under way."""
        self._is_draining = True
        if self._is_at_door:
            self.close()
        else:
            self._end_if_idle()

    def stop(self) -> None:
        """End now, with a word to the client if one fits between the server's messages."""
        self._end_if_idle()
        if self._phase is Phase.CLOSED:
            return
        if self._may_speak:
            self.refuse(stopping())
        else:
            self.close()

    def close(self) -> None:
        """End both sides, sending what is already underway."""
        self._phase = Phase.CLOSED
        if self._start is not None:
            self._start.cancel()
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

    def on_packet(self, packet: StartupPacket) -> None:
        """Count as a session: the client is about to be connected."""
        self._is_counted = True
        self._house.counters.add(Counter.SESSIONS)
        self._house.counters.add(Counter.SESSIONS_TOTAL)
        if packet.major_version == INTERCEPTED_MAJOR_VERSION and not is_replication(packet):
            self._interceptor = Interceptor(self._house.rewriter)

    def on_opened(self, opening: Opening) -> None:
        """Send the server what the client has said so far, and go on from there."""
        self._upstream = Side(self, opening.connection.socket)
        self._upstream.tls = opening.connection.tls
        self._login = opening.login
        self._upstream.write(opening.packet.raw)
        self._phase = Phase.FORWARDING
        self._upstream.set_reading(True)
        if opening.pending:
            self._send(opening.pending)
        if self._has_client_ended:
            self._end_upstream()
        self.client.set_reading(not self._upstream.is_full)

    def on_start_over(self) -> None:
        """The server was found, or it will not be."""
        self._leave_if_ended()

    def refuse(self, error: SqlmlError) -> None:
        """End both sides, and tell the client why."""
        has_begun = self._phase is Phase.FORWARDING
        log_refusal(Refused(self.id, self.client.peer), error, has_begun=has_begun)
        self.client.write(say_fatal(error))
        self.close()

    def on_data(self, side: Side, data: bytes) -> None:
        if side is not self.client:
            self._on_upstream_data(data)
        elif self._phase is Phase.FORWARDING:
            self._send(data)
        elif self._phase is Phase.STARTING and self._start is not None:
            self._start.feed(data)

    def on_end_of_data(self, side: Side) -> None:
        if side is not self.client:
            self._say_last_words()
        if side is not self.client or self._is_at_door or self._phase is Phase.CLOSED:
            self.close()
            return
        # The server may still owe answers, so only this direction ends.
        self._has_client_ended = True
        if self._upstream is not None and not self._is_asking:
            self._end_upstream()

    def on_tls_failed(self, side: Side, error: ssl.SSLError) -> None:
        if self._is_at_door:
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
        if side is not self.client or self._start is None or not self._start.is_cancel_request:
            self.close()
        self._leave_if_ended()

    def on_writable(self, side: Side, is_writable: bool) -> None:
        other = self._upstream if side is self.client else self.client
        if other is not None and (other is not self.client or self._phase is Phase.FORWARDING):
            other.set_reading(is_writable)

    @property
    def _is_at_door(self) -> bool:
        """Whether the client has not yet said whom to connect it to."""
        is_starting = self._phase is Phase.STARTING
        return is_starting and (self._start is None or not self._start.has_packet)

    def _send(self, data: bytes) -> None:
        assert self._upstream is not None
        self._house.counters.add(Counter.BYTES_FROM_CLIENTS, len(data))
        if self._login is not None:
            try:
                data = self._login.from_client(data)
            except (NotAuthorized, ProtocolViolation) as error:
                self.refuse(error)
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
                self.refuse(error)
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
        if self._is_resuming:
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

    def _end_if_idle(self) -> None:
        if self._interceptor is None or not self._interceptor.is_idle or not self._may_speak:
            return
        if self._upstream is not None:
            self._upstream.write(_TERMINATE)
        self.refuse(stopping())

    def _leave_if_ended(self) -> None:
        is_upstream_lost = self._upstream is None or self._upstream.is_lost
        is_connecting = self._start is not None and self._start.is_connecting
        if self.client.is_lost and is_upstream_lost and not is_connecting:
            if self._is_counted:
                self._is_counted = False
                self._house.counters.add(Counter.SESSIONS, -1)
            self._house.left(self)
