"""
How a proxy is run: what its command line says beside the two addresses.
"""

import ssl
from dataclasses import dataclass, field

from sqlml.errors import SettingNotUsable
from sqlml.proxy.address import UpstreamAddress
from sqlml.proxy.limits import Limits
from sqlml.proxy.tls import (
    VERIFYING,
    ClientEncryption,
    ClientTls,
    UpstreamEncryption,
    UpstreamTls,
    make_client_context,
    make_upstream_context,
    read_certificate,
)
from sqlml.proxy.upstream import Upstream

_MUST_ENCRYPT = (UpstreamEncryption.REQUIRE, *VERIFYING)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxySettings:
    """What the operator decides."""

    workers: int = 1
    limits: Limits = field(default_factory=Limits)
    client_tls: ClientTls = field(default_factory=ClientTls)
    upstream_tls: UpstreamTls = field(default_factory=UpstreamTls)
    uses_relay: bool = True
    trusts_socket: bool = False
    """The operator knows that the server lets the proxy's account in without a password."""


@dataclass(frozen=True, slots=True)
class Service:
    """The settings made ready; a session keeps those that it began with."""

    upstream: Upstream
    limits: Limits
    client_encryption: ClientEncryption
    client_context: ssl.SSLContext | None
    uses_relay: bool


def make_service(address: UpstreamAddress, settings: ProxySettings) -> Service:
    """Read the certificates; SettingNotUsable names what cannot be used."""
    client_tls, upstream_tls = settings.client_tls, settings.upstream_tls
    if address.socket_path is not None and upstream_tls.mode in _MUST_ENCRYPT:
        raise SettingNotUsable(
            "TLS is not spoken over a Unix socket",
            hint="Leave --upstream-tls out: nobody else can read what goes through the socket.",
        )
    client_context = make_client_context(client_tls)
    identity = client_tls.identity if client_context is not None else None
    shows_certificate = upstream_tls.identity is not None
    upstream = Upstream(
        address=address,
        connect_s=settings.limits.connect_s,
        encryption=upstream_tls.mode,
        context=make_upstream_context(upstream_tls),
        knows_proxy=not settings.trusts_socket
        and (address.socket_path is not None or shows_certificate),
        own_certificate=read_certificate(identity) if identity is not None else None,
    )
    return Service(upstream, settings.limits, client_tls.mode, client_context, settings.uses_relay)
