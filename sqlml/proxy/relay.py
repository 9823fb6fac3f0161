"""
The relay: the sessions that need no Python, in a thread that runs without the interpreter's lock.

It accepts the clients of a worker and keeps those whose start is plain until a model statement
comes; the others it gives to the event loop, which gives sessions back when nothing of ours is
left in them. `relay_src` has it in C; without it the event loop does everything itself.
"""

import asyncio
import logging
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import ip_address
from typing import Protocol

from sqlml.proxy.address import UpstreamAddress
from sqlml.proxy.counters import Counters
from sqlml.proxy.handover import Handover, SessionState, StartupHandover
from sqlml.proxy.listening import Listeners
from sqlml.proxy.refusals import (
    Refused,
    log_refusal,
    log_slowness,
    say_fatal,
    stopping,
    too_many_sessions,
    unchallenged,
)
from sqlml.proxy.settings import Service
from sqlml.proxy.tls import ClientEncryption
from sqlml.wire.startup import RequestCode

try:
    from sqlml.proxy import _relay
except ImportError:
    # No compiler when the package was installed, or another system than Linux.
    IS_AVAILABLE = False
else:
    IS_AVAILABLE = True

log = logging.getLogger(__name__)

Decide = Callable[[bytes, str, bool], bool]

_NO_LIMIT = 1 << 63
_RESOLVE_S = 15.0
"""How often the server's name is looked up again."""
_PROBE_S = 5.0


class Reason(IntEnum):
    """Why the relay itself refuses a session; the numbers are those of relay_src/relay.h."""

    SLOW = 0
    ANOTHER = 1
    UNCHALLENGED = 2


class Owner(Protocol):
    """Who gets what the relay gives away."""

    def on_startup(self, handover: StartupHandover) -> None: ...
    def on_statement(self, handover: Handover) -> None: ...
    def on_relay_emptied(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the proxy a relay is."""

    worker: int
    first_session_id: int
    max_sessions: int
    """As many as this process has files for."""
    counters: Counters


class Relay:
    """The relay of one worker, inside its running event loop."""

    def __init__(
        self, owner: Owner, place: Place, listeners: Listeners, service: Service, decide: Decide
    ):
        self._owner = owner
        self._max_sessions = place.max_sessions
        self._service = service
        self._address = resolve_numeric(service.upstream.address)
        self._native = _relay.Relay(
            tuple(listener.fileno() for listener in listeners),
            place.first_session_id,
            self._make_rules(),
            (say_fatal(too_many_sessions()), say_fatal(unchallenged()), say_fatal(stopping())),
            place.counters.slots,
            place.counters.relay_block(place.worker),
            decide,
        )
        # It must not keep a process alive whose event loop has failed.
        self._thread = threading.Thread(target=self._native.run, name="relay", daemon=True)
        self._loop = asyncio.get_running_loop()
        self._resolving = asyncio.create_task(self._resolve_again_and_again(), name="resolve")

    @property
    def session_count(self) -> int:
        """The sessions that the relay has, and those it gave away until they are forgotten."""
        return self._native.count()

    def start(self) -> None:
        """Accept clients from here on."""
        self._loop.add_reader(self._native.fileno(), self._on_readable)
        self._thread.start()

    def change(self, service: Service) -> None:
        """Take other settings for the sessions to come."""
        self._service = service
        self._native.change_rules(self._make_rules())

    def adopt(self, handover: Handover) -> None:
        """Go on with a session; its sockets are the relay's from now on."""
        state = handover.state
        self._native.give(
            handover.session_id,
            handover.client_fd,
            handover.upstream_fd,
            (
                state.status,
                state.client_encoding,
                state.standard_conforming_strings,
                state.is_logged_in,
                state.awaited,
                state.is_skipping,
                state.is_copying_in,
                state.statement_index,
                state.is_replication,
            ),
            handover.from_client,
            handover.from_upstream,
            handover.upstream_passing,
            handover.to_client,
            handover.to_upstream,
            handover.has_client_ended,
        )

    def forget(self) -> None:
        """Take note that a session which was given away has ended or was adopted again."""
        self._native.forget()

    def drain(self) -> None:
        """Accept nobody, end idle sessions at once and the others as they become idle."""
        self._native.drain()

    def stop(self) -> None:
        """End all sessions and the thread."""
        self._resolving.cancel()
        self._native.stop()
        self._loop.remove_reader(self._native.fileno())
        self._thread.join()
        self._on_readable()

    def _make_rules(self) -> "_relay.Rules":
        service, limits = self._service, self._service.limits
        upstream = service.upstream
        is_encrypted = upstream.context is not None and upstream.address.socket_path is None
        return (
            self._address,
            _NO_LIMIT if limits.max_connections is None else limits.max_connections,
            self._max_sessions,
            round(limits.start_s * 1000),
            round(limits.connect_s * 1000),
            service.client_encryption is ClientEncryption.DISABLE,
            service.client_encryption is not ClientEncryption.REQUIRE and not is_encrypted,
            upstream.knows_proxy,
        )

    async def _resolve_again_and_again(self) -> None:
        """Until the name is known for the first time, the event loop connects."""
        target = self._service.upstream.address
        while resolve_numeric(target) is None:
            address = await resolve(target)
            if address is not None and address != self._address:
                self._address = address
                self._native.change_rules(self._make_rules())
            await asyncio.sleep(_RESOLVE_S)

    def _on_readable(self) -> None:
        while (taken := self._native.take()) is not None:
            try:
                if len(taken) == 4:
                    self._owner.on_startup(_read_startup(taken))
                else:
                    self._owner.on_statement(_read_handover(taken))
            except Exception:
                # A fault of ours ends this session and no other.
                log.exception("session failed")
        while (refused := self._native.take_refusal()) is not None:
            _log_refused(refused)
        if self.session_count == 0:
            self._owner.on_relay_emptied()


def resolve_numeric(address: UpstreamAddress) -> tuple[str, str] | None:
    """Return the server's address as the relay wants it, if that needs no looking up."""
    if address.socket_path is not None:
        return address.socket_path, ""
    try:
        ip_address(address.host)
    except ValueError:
        return None
    return address.host, str(address.port)


async def resolve(address: UpstreamAddress) -> tuple[str, str] | None:
    """Return the first of the name's addresses at which the server can be reached, if any."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except OSError as error:
        log.warning("the server's name is not known: %s", error)
        return None
    for family, _, _, _, target in found:
        with socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
            try:
                # There is nobody to be told apart from where there is only one.
                if len(found) > 1:
                    await asyncio.wait_for(loop.sock_connect(probe, target), _PROBE_S)
            except (OSError, TimeoutError):
                continue
        return socket.getnameinfo(target, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)
    return None


def _log_refused(taken: "_relay.Refused") -> None:
    session_id, client, reason, untold = taken
    refused = Refused(session_id, client, untold)
    if reason == Reason.SLOW:
        log_slowness(refused)
    elif reason == Reason.ANOTHER:
        log_refusal(refused, too_many_sessions(), has_begun=False)
    else:
        log_refusal(refused, unchallenged(), has_begun=True)


def _read_startup(taken: "_relay.Startup") -> StartupHandover:
    session_id, client_fd, data, (declined_tls, declined_gss) = taken
    codes = ((RequestCode.SSL, declined_tls), (RequestCode.GSSENC, declined_gss))
    declined = tuple(int(code) for code, is_declined in codes if is_declined)
    return StartupHandover(session_id, client_fd, data, declined)


def _read_handover(taken: "_relay.Given") -> Handover:
    return Handover(taken[0], taken[1], taken[2], SessionState(*taken[3]), *taken[4:])
