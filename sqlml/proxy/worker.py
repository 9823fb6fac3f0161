"""
One worker: an event loop with its sessions, from the first client to the last.
"""

import asyncio
import itertools
import logging
import socket
from dataclasses import dataclass
from functools import partial

from sqlml.proxy.counters import Counter, Counters
from sqlml.proxy.events import log_event
from sqlml.proxy.handover import Handover, StartupHandover
from sqlml.proxy.limits import allow_files
from sqlml.proxy.listening import Listeners
from sqlml.proxy.relay import IS_AVAILABLE, Place, Relay
from sqlml.proxy.rewriting import Rewriter
from sqlml.proxy.session import Session
from sqlml.proxy.settings import Service

_ACCEPTS_PER_EVENT = 64
_ACCEPT_PAUSE_S = 0.1
_LAST_WORDS_S = 2.0
_WORKER_SHIFT = 48
_LIFE_SHIFT = 36


@dataclass(frozen=True, slots=True)
class WorkerId:
    """Which of the workers, and its how manieth life."""

    number: int = 0
    life: int = 0

    @property
    def first_session_id(self) -> int:
        """Ids of one proxy never meet: number, life, and a count from here on."""
        return (self.number << _WORKER_SHIFT) + (self.life << _LIFE_SHIFT) + 1


class Worker:
    """The sessions of one process."""

    def __init__(self, service: Service, rewriter: Rewriter, counters: Counters, me: WorkerId):
        self.service = service
        self.rewriter = rewriter
        self.counters = counters.event_loop(me.number)
        self._all_counters = counters
        self._me = me
        self._relay: Relay | None = None
        self._is_draining = False
        self._ids = itertools.count(me.first_session_id)
        self._max_sessions = allow_files()
        self._sessions: set[Session] = set()
        self._listeners: Listeners = []
        self._is_empty = asyncio.Event()
        self._is_empty.set()

    def listen(self, listeners: Listeners) -> None:
        """Accept clients from these sockets, by the relay if there is one."""
        self._listeners = listeners
        if IS_AVAILABLE and self.service.uses_relay:
            place = Place(
                self._me.number, self._me.first_session_id, self._max_sessions, self._all_counters
            )
            self._relay = Relay(self, place, listeners, self.service, self.rewriter.decide)
            self._relay.start()
            return
        for listener in listeners:
            self._watch(listener)

    def change(self, service: Service) -> None:
        """Take other settings for the sessions to come."""
        self.service = service
        if self._relay is not None:
            self._relay.change(service)

    def begin(self, client: socket.socket) -> None:
        """Take a client that was just accepted."""
        self.counters.add(Counter.CONNECTIONS_TOTAL)
        self._enter(next(self._ids), client).start()

    def on_startup(self, handover: StartupHandover) -> None:
        """Take a client whose start the relay leaves to us."""
        client = socket.socket(fileno=handover.client_fd)
        session = self._enter(handover.session_id, client)
        session.start(handover.data, handover.declined)
        if self._is_draining:
            session.drain()

    def on_statement(self, handover: Handover) -> None:
        """Take a session in which a model statement may have come."""
        self.counters.add(Counter.MIGRATIONS)
        client = socket.socket(fileno=handover.client_fd)
        session = self._enter(handover.session_id, client)
        session.resume(handover)
        if self._is_draining:
            session.drain()

    def on_relay_emptied(self) -> None:
        """Take note that the relay has no session."""
        self._note_if_empty()

    def has_room(self) -> bool:
        """Whether one more session may begin, here and in all workers together."""
        limit = self.service.limits.max_connections
        if len(self._sessions) > self._max_sessions:
            return False
        return limit is None or self._all_counters.get(Counter.SESSIONS) < limit

    def takes_back(self) -> bool:
        """Whether there is a relay that a session can go back to."""
        return self._relay is not None and not self._is_draining

    def take_back(self, handover: Handover) -> None:
        """Give a session back to the relay."""
        assert self._relay is not None
        self._relay.adopt(handover)

    def left(self, session: Session) -> None:
        """Forget a session that has ended, however many of its ends say so."""
        if session not in self._sessions:
            return
        self._sessions.discard(session)
        if self._relay is not None:
            self._relay.forget()
        self._note_if_empty()

    def close_listeners(self) -> None:
        """Accept nobody from here on."""
        for listener in self._listeners:
            asyncio.get_running_loop().remove_reader(listener.fileno())
            listener.close()
        self._listeners = []

    async def drain(self) -> None:
        """Accept nobody, end the idle sessions, and give the busy ones time."""
        self._end_accepting()
        log_event(logging.INFO, "draining", sessions=self._count())
        for session in tuple(self._sessions):
            session.drain()
        await self._wait_until_empty(self.service.limits.drain_s)

    async def stop(self) -> None:
        """Accept nobody and end all sessions."""
        self._end_accepting()
        if self._relay is not None:
            self._relay.stop()
        for session in tuple(self._sessions):
            session.stop()
        await self._wait_until_empty(_LAST_WORDS_S)
        for session in tuple(self._sessions):
            session.abort()

    def _end_accepting(self) -> None:
        self._is_draining = True
        self.close_listeners()
        if self._relay is not None:
            self._relay.drain()

    def _count(self) -> int:
        return len(self._sessions) if self._relay is None else self._relay.session_count

    def _note_if_empty(self) -> None:
        if self._count() == 0:
            self._is_empty.set()

    async def _wait_until_empty(self, timeout_s: float) -> None:
        if self._count() > 0:
            self._is_empty.clear()
        # Not asyncio.timeout, which in a cancelled task of Python 3.11.2 raises CancelledError.
        waiting = asyncio.ensure_future(self._is_empty.wait())
        await asyncio.wait((waiting,), timeout=timeout_s)
        if not waiting.done():
            waiting.cancel()
            log_event(logging.INFO, "sessions remain", sessions=self._count())

    def _enter(self, session_id: int, client: socket.socket) -> Session:
        session = Session(self, session_id, client)
        self._sessions.add(session)
        self._is_empty.clear()
        return session

    def _watch(self, listener: socket.socket) -> None:
        if listener.fileno() >= 0:
            accept = partial(self._on_acceptable, listener)
            asyncio.get_running_loop().add_reader(listener.fileno(), accept)

    def _on_acceptable(self, listener: socket.socket) -> None:
        for _ in range(_ACCEPTS_PER_EVENT):
            try:
                client, _ = listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionError:
                # This client is gone again; the next one may be there.
                continue
            except OSError as error:
                # No file is left. The socket stays readable, so that we would be told for ever.
                log_event(logging.WARNING, "cannot accept", error=error.strerror)
                loop = asyncio.get_running_loop()
                loop.remove_reader(listener.fileno())
                loop.call_later(_ACCEPT_PAUSE_S, self._watch, listener)
                return
            self.begin(client)
