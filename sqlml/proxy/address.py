"""
Where the proxy listens and where its server is.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """A TCP address to listen on; port 0 takes a free one."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class UpstreamAddress:
    """The server's address; a host that begins with a slash is a folder of Unix sockets."""

    host: str
    port: int

    @property
    def socket_path(self) -> str | None:
        return f"{self.host}/.s.PGSQL.{self.port}" if self.host.startswith("/") else None

    def __str__(self) -> str:
        return self.socket_path or f"{self.host}:{self.port}"
