"""
Why the proxy ends a session: the words that the event loop and the relay both say.
"""

from sqlml.errors import NotAuthorized, ProxyStopping, SqlmlError, TooManySessions
from sqlml.wire.messages import error_response


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
