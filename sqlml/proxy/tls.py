"""
TLS on both sides of the proxy: the operator's files → contexts, and TLS without a socket.

Asyncio's own TLS cannot begin with bytes that were read already (direct TLS), so the handshake
and the records go through memory.
"""

import logging
import ssl
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import cast

from sqlml.errors import SettingNotUsable

log = logging.getLogger(__name__)

ALPN_PROTOCOL = "postgresql"
_READ_BYTES = 256 * 1024
_OTHERS_MAY_READ = 0o077
_Subject = tuple[tuple[tuple[str, str], ...], ...]


class ClientEncryption(StrEnum):
    """What the proxy does with a client that asks for TLS, or does not."""

    DISABLE = "disable"
    ALLOW = "allow"
    REQUIRE = "require"


class UpstreamEncryption(StrEnum):
    """What the proxy asks of its server, as libpq's sslmode; prefer takes no for an answer."""

    DISABLE = "disable"
    PREFER = "prefer"
    REQUIRE = "require"
    VERIFY_CA = "verify-ca"
    VERIFY_FULL = "verify-full"


VERIFYING = (UpstreamEncryption.VERIFY_CA, UpstreamEncryption.VERIFY_FULL)
"""The modes in which the server's certificate must be signed by somebody known."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate and its key, in files."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientTls:
    """TLS towards clients; without an identity there is none."""

    mode: ClientEncryption = ClientEncryption.DISABLE
    identity: Identity | None = None
    authorities: Path | None = None
    """Whose certificates clients may show; they need not show one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamTls:
    """TLS towards the server."""

    mode: UpstreamEncryption = UpstreamEncryption.DISABLE
    identity: Identity | None = None
    authorities: Path | None = None
    """Who may sign the server's certificate; None: whom the operating system trusts."""


def make_client_context(tls: ClientTls) -> ssl.SSLContext | None:
    """Return what the proxy speaks TLS to its clients with; SettingNotUsable if it cannot."""
    if tls.mode is ClientEncryption.DISABLE:
        return None
    if tls.identity is None:
        raise SettingNotUsable(
            f"TLS for clients is {tls.mode}, but the proxy has no certificate",
            hint="Give --tls-cert and --tls-key.",
        )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _harden(context)
    # One connection is one session: tickets would only cost bytes.
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    _load_identity(context, tls.identity)
    if tls.authorities is not None:
        _load_authorities(context, tls.authorities)
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


def make_upstream_context(tls: UpstreamTls) -> ssl.SSLContext | None:
    """Return what the proxy speaks TLS to its server with; SettingNotUsable if it cannot."""
    if tls.mode is UpstreamEncryption.DISABLE:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _harden(context)
    is_verified = tls.mode in VERIFYING
    context.check_hostname = tls.mode is UpstreamEncryption.VERIFY_FULL
    context.verify_mode = ssl.CERT_REQUIRED if is_verified else ssl.CERT_NONE
    if tls.authorities is not None:
        _load_authorities(context, tls.authorities)
    elif is_verified:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    if tls.identity is not None:
        _load_identity(context, tls.identity)
    return context


def read_certificate(identity: Identity) -> bytes:
    """Return the certificate that the other end sees, as DER."""
    # What stands around the certificates is anybody's.
    text = identity.certificate.read_text("latin-1")
    end = "-----END CERTIFICATE-----"
    begin = text.index("-----BEGIN CERTIFICATE-----")
    return ssl.PEM_cert_to_DER_cert(text[begin : text.index(end) + len(end)])


class TlsStream:
    """TLS over a stream of bytes: what comes in encrypted comes out plain, and back."""

    def __init__(self, context: ssl.SSLContext, *, is_server: bool, server_name: str | None = None):
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._incoming, self._outgoing, server_side=is_server, server_hostname=server_name
        )
        self.is_ready = False
        """Whether the handshake is done."""
        self.has_ended = False
        """Whether the other end said that nothing more comes."""

    @property
    def has_protocol(self) -> bool:
        """Whether both ends agreed by ALPN on what is spoken inside."""
        return self._tls.selected_alpn_protocol() == ALPN_PROTOCOL

    @property
    def version(self) -> str | None:
        """Such as TLSv1.3, for the log."""
        return self._tls.version()

    @property
    def certificate(self) -> bytes | None:
        """The other end's certificate as DER, if it showed one."""
        return self._tls.getpeercert(binary_form=True)

    @property
    def common_name(self) -> str | None:
        """The name in the other end's certificate, if it showed one that was verified."""
        subject = cast(_Subject, (self._tls.getpeercert() or {}).get("subject", ()))
        names = [value for part in subject for key, value in part if key == "commonName"]
        # Two names could be two people.
        return names[0] if len(names) == 1 else None

    def start(self) -> bytes:
        """Return the first bytes of a client's handshake."""
        self.receive(b"")
        return self.take()

    def receive(self, data: bytes) -> bytes:
        """Return what these bytes say; `take` may have an answer. Raises ssl.SSLError."""
        self._incoming.write(data)
        if not self.is_ready:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                return b""
            self.is_ready = True
        return b"".join(self._read())

    def send(self, data: bytes) -> bytes:
        """Return these bytes encrypted."""
        self._tls.write(data)
        return self.take()

    def end(self) -> bytes:
        """Return the last bytes to send; there is nothing to say before the handshake's end."""
        # It waits for the other end's farewell, or has none to give.
        with suppress(ssl.SSLError):
            self._tls.unwrap()
        return self.take()

    def take(self) -> bytes:
        """Return what is to be sent: of the handshake, or an alert."""
        return self._outgoing.read()

    def _read(self) -> list[bytes]:
        pieces: list[bytes] = []
        while not self.has_ended:
            try:
                piece = self._tls.read(_READ_BYTES)
            except ssl.SSLWantReadError:
                break
            except ssl.SSLZeroReturnError:
                piece = b""
            self.has_ended = not piece
            pieces.append(piece)
        return pieces


def _harden(context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.set_alpn_protocols([ALPN_PROTOCOL])


def _load_identity(context: ssl.SSLContext, identity: Identity) -> None:
    def refuse_passphrase() -> str:
        raise SettingNotUsable(
            f'the key "{identity.key}" is locked by a passphrase',
            hint="Nobody is there to type it: store the key without one.",
        )

    try:
        context.load_cert_chain(identity.certificate, identity.key, password=refuse_passphrase)
        if identity.key.stat().st_mode & _OTHERS_MAY_READ:
            log.warning('the key "%s" can be read by others; use chmod 0600', identity.key)
    except (OSError, ValueError) as error:
        raise SettingNotUsable(
            f'cannot use the certificate "{identity.certificate}" with the key "{identity.key}"',
            detail=_describe(error),
            hint="Both are PEM files; the certificate's chain follows it in the same file.",
        ) from error


def _load_authorities(context: ssl.SSLContext, path: Path) -> None:
    try:
        context.load_verify_locations(path)
    except (OSError, ValueError) as error:
        raise SettingNotUsable(
            f'cannot use the authorities in "{path}"',
            detail=_describe(error),
            hint="It is a PEM file of one or more certificates.",
        ) from error


def _describe(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
