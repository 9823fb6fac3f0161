"""
Why the proxy ends a session: the words that the event loop and the relay both say, to the client
and to the log.
"""

import logging
from dataclasses import dataclass

from sqlml.errors import (
    NotAuthorized,
    ProxyStopping,
    SqlmlError,
    TooManySessions,
    UpstreamUnavailable,
)
from sqlml.proxy.events import log_event, name_session
from sqlml.wire.messages import error_response


@dataclass(frozen=True, slots=True)
class Refused:
    """A session that was refused."""

    session_id: int
    client: str | None
    """Its address, where it is known."""
    untold: int = 0
    """How many refusals before it, in a storm of them, were counted only."""


def too_many_sessions() -> TooManySessions:
    """No session more, for now."""
    return TooManySessions(
        "the proxy has too many sessions already",
        hint="Raise --max-connections, or the limit of open files (ulimit -n).",
    )


def unchallenged() -> NotAuthorized:
    """The server let somebody in who proved nothing."""
    return NotAuthorized(
        "the server lets this role in without a password because the proxy asks",
        detail="Anybody who reaches the proxy would be this role.",
        hint="Use scram-sha-256 in the line of pg_hba.conf for the proxy's connections;"
        " if it is trust on purpose, start the proxy with --trust-socket.",
    )


def stopping() -> ProxyStopping:
    """The proxy was told to stop."""
    return ProxyStopping("terminating connection because the proxy was told to stop")


def say_fatal(error: SqlmlError) -> bytes:
    """Return the message that ends a session."""
    return error_response("FATAL", error.sqlstate, error.message, error.detail, error.hint)


def log_refusal(refused: Refused, error: SqlmlError, *, has_begun: bool) -> None:
    """Write why a session ended, before or after its client was connected to the server."""
    log_event(
        logging.WARNING if isinstance(error, UpstreamUnavailable) else logging.INFO,
        "session ended" if has_begun else "session refused",
        session=name_session(refused.session_id),
        client=refused.client,
        sqlstate=error.sqlstate,
        message=error.message,
        detail=error.detail,
        untold=refused.untold or None,
    )


def log_slowness(refused: Refused) -> None:
    """Write that no start-up packet came in time."""
    log_event(
        logging.INFO,
        "client said too little",
        session=name_session(refused.session_id),
        client=refused.client,
        untold=refused.untold or None,
    )
