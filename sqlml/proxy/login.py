"""
The authentication of one session, where its bytes cannot just pass.

Two things go wrong when somebody stands between client and server. The server may let in the
proxy's own account or certificate and with it anybody (`peer`, `cert`); and SCRAM's channel
binding compares the certificate that the client sees with the one that the server has. Watched
only where one of them can happen; pure.
"""

from dataclasses import dataclass

from sqlml.errors import NotAuthorized
from sqlml.proxy.refusals import unchallenged
from sqlml.wire.frames import HEADER_SIZE, Frame, FrameReader
from sqlml.wire.messages import Backend, Frontend, frame

_OK = 0
_SASL = 10
_MAX_AUTHENTICATION_SIZE = 4096
_MAX_MECHANISM_SIZE = 64
_PLUS = b"SCRAM-SHA-256-PLUS"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginRules:
    """What holds for the authentication of one session."""

    needs_challenge: bool = False
    """Whether the server must ask the client for a proof before it lets it in."""
    is_client_encrypted: bool = False
    is_upstream_encrypted: bool = False
    is_same_certificate: bool = False
    """Whether the client sees the certificate that the server has."""


class Login:
    """The messages of both directions from the start-up packet to AuthenticationOk."""

    def __init__(self, rules: LoginRules):
        self._rules = rules
        self._client = FrameReader({Frontend.PASSWORD: _MAX_MECHANISM_SIZE})
        self._upstream = FrameReader({Backend.AUTHENTICATION: _MAX_AUTHENTICATION_SIZE})
        self._was_challenged = False
        self.is_done = False
        """Whether AuthenticationOk came, so that everything else may just pass."""

    def from_client(self, data: bytes) -> bytes:
        """Return the bytes for the server; NotAuthorized if it would refuse them blindly."""
        if self.is_done:
            return self._client.release() + data
        pieces = []
        for item in self._client.feed(data):
            if isinstance(item, Frame):
                self._check_mechanism(item.raw)
                item = item.raw
            pieces.append(item)
        return b"".join(pieces)

    def from_upstream(self, data: bytes) -> bytes:
        """Return the bytes for the client; NotAuthorized if nobody proved who he is."""
        pieces = []
        for item in self._upstream.feed(data):
            pieces.append(self._on_authentication(item) if isinstance(item, Frame) else item)
        if self.is_done:
            pieces.append(self._upstream.release())
        return b"".join(pieces)

    def _on_authentication(self, message: Frame) -> bytes:
        kind = int.from_bytes(message.raw[HEADER_SIZE : HEADER_SIZE + 4], "big")
        if kind == _OK:
            self._check_challenge()
            self.is_done = True
        else:
            self._was_challenged = True
            if kind == _SASL and message.is_whole:
                return self._without_binding(message.raw)
        return message.raw

    def _check_challenge(self) -> None:
        if self._rules.needs_challenge and not self._was_challenged:
            raise unchallenged()

    def _without_binding(self, raw: bytes) -> bytes:
        """
        Leave channel binding out of what a client without TLS is offered.

        The server offers it as its side has TLS; a client without would take that for an attack.
        With TLS the client must see the offer: it tells the server what it saw.
        """
        if self._rules.is_client_encrypted or not self._rules.is_upstream_encrypted:
            return raw
        head, names = raw[HEADER_SIZE : HEADER_SIZE + 4], raw[HEADER_SIZE + 4 :].split(b"\0")
        kept = [name for name in names if name != _PLUS]
        return frame(Backend.AUTHENTICATION, head + b"\0".join(kept)) if any(kept) else raw

    def _check_mechanism(self, raw: bytes) -> None:
        if not raw.startswith(_PLUS + b"\0", HEADER_SIZE) or self._rules.is_same_certificate:
            return
        raise NotAuthorized(
            "SCRAM channel binding does not reach through this proxy",
            detail="The proxy shows another certificate than the server has.",
            hint="Connect with channel_binding=disable; or give the proxy the server's own"
            " certificate and key, or --upstream-tls disable.",
        )
