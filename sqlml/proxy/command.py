"""
The options of `sqlml proxy`: from the command line, from a file, else their defaults.

What the file says can be changed while the proxy runs; the command line goes before it.
"""

import argparse
import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlml.config import DEFAULT_PROXY_PORT, LOOPBACK
from sqlml.errors import SettingNotUsable
from sqlml.proxy.address import ListenAddress, UpstreamAddress
from sqlml.proxy.limits import Limits
from sqlml.proxy.settings import ProxySettings
from sqlml.proxy.tls import (
    VERIFYING,
    ClientEncryption,
    ClientTls,
    Identity,
    UpstreamEncryption,
    UpstreamTls,
)

_UPSTREAM_PORT = 5432


@dataclass(frozen=True, slots=True)
class Option:
    """One option; without `read` it is a flag."""

    name: str
    metavar: str
    help: str
    read: Callable[[str], Any] | None
    default: Any = None


def read_address(text: str) -> tuple[str, int]:
    """Read HOST:PORT, [IPv6]:PORT or /FOLDER:PORT."""
    host, colon, port = text.rpartition(":")
    if not colon or not host:
        raise argparse.ArgumentTypeError(f"not HOST:PORT: {text!r}")
    return host.strip("[]"), read_port(port)


def read_port(text: str) -> int:
    """Read a port's number."""
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise argparse.ArgumentTypeError(f"not a port: {text!r}")
    return int(text)


def _read_count(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 1 << 31:
        raise argparse.ArgumentTypeError(f"not a number from 1 on: {text!r}")
    return int(text)


def _read_seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1
    if not 0 <= seconds < 1e9:
        raise argparse.ArgumentTypeError(f"not a number of seconds: {text!r}")
    return seconds


def _read_patience(text: str) -> float:
    seconds = _read_seconds(text)
    if not seconds:
        raise argparse.ArgumentTypeError("nobody can do it in no time")
    return seconds


def _read_client_encryption(text: str) -> ClientEncryption:
    return ClientEncryption(_one_of(text, tuple(ClientEncryption)))


def _read_upstream_encryption(text: str) -> UpstreamEncryption:
    return UpstreamEncryption(_one_of(text, tuple(UpstreamEncryption)))


def _one_of(text: str, words: tuple[str, ...]) -> str:
    if text not in words:
        raise argparse.ArgumentTypeError(f"not one of {', '.join(words)}: {text!r}")
    return text


OPTIONS = (
    Option(
        "listen",
        "HOST:PORT",
        f"where clients connect (default: $SQLML_PROXY_HOST, else {LOOPBACK},"
        f" with port {DEFAULT_PROXY_PORT})",
        read_address,
    ),
    Option(
        "upstream",
        "HOST:PORT",
        "where PostgreSQL listens; /FOLDER:PORT for its Unix socket",
        read_address,
        (LOOPBACK, _UPSTREAM_PORT),
    ),
    Option("workers", "N", "processes (default: one for each core)", _read_count),
    Option("max-connections", "N", "sessions (default: as files can be opened for)", _read_count),
    Option("start-time", "S", "seconds a client may take to ask", _read_patience, 60.0),
    Option("connect-time", "S", "seconds the server may take to answer", _read_patience, 10.0),
    Option("drain-time", "S", "seconds for busy sessions after SIGTERM", _read_seconds, 30.0),
    Option(
        "client-tls",
        "MODE",
        "disable, allow or require (default: allow, with --tls-cert)",
        _read_client_encryption,
    ),
    Option("tls-cert", "FILE", "the proxy's certificate and its chain, PEM", Path),
    Option("tls-key", "FILE", "its key, PEM", Path),
    Option("tls-ca", "FILE", "whose certificates clients may show, PEM", Path),
    Option(
        "upstream-tls",
        "MODE",
        "disable, prefer, require, verify-ca or verify-full",
        _read_upstream_encryption,
        UpstreamEncryption.DISABLE,
    ),
    Option(
        "upstream-ca", "FILE", "who signs the server's certificate (default: the system's)", Path
    ),
    Option("upstream-cert", "FILE", "the certificate to show the server, PEM", Path),
    Option("upstream-key", "FILE", "its key, PEM", Path),
    Option("no-relay", "", "relay in Python, as where there is no C compiler", None, False),
    Option(
        "trust-socket",
        "",
        "the server lets the proxy's account in without a password, on purpose",
        None,
        False,
    ),
)


@dataclass(frozen=True, slots=True)
class ProxyCommand:
    """What `sqlml proxy` was asked to do."""

    listen: ListenAddress
    upstream: UpstreamAddress
    settings: ProxySettings


def add_options(parser: argparse.ArgumentParser) -> None:
    """Give a parser the options; it only notes those that were given."""
    for option in OPTIONS:
        words = option.help
        if option.read is None:
            parser.add_argument(
                f"--{option.name}", action="store_true", default=argparse.SUPPRESS, help=words
            )
            continue
        if option.default is not None:
            words += f" (default: {_show(option.default)})"
        parser.add_argument(
            f"--{option.name}",
            type=option.read,
            metavar=option.metavar,
            default=argparse.SUPPRESS,
            help=words,
        )
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="TOML with these options by their names; SIGHUP reads it and the certificates again",
    )


def read_command(given: Mapping[str, Any], listen_host: str) -> ProxyCommand:
    """Put together what was given; SettingNotUsable says what does not fit."""
    config: Path | None = given.get("config")
    values = {_key(option.name): option.default for option in OPTIONS}
    values |= _read_file(config) if config is not None else {}
    values |= {key: value for key, value in given.items() if key in values}
    identity = _pair(values, "tls")
    _check_use(values)
    mode = values["client_tls"] or (ClientEncryption.ALLOW if identity else None)
    settings = ProxySettings(
        workers=values["workers"] or len(os.sched_getaffinity(0)),
        limits=Limits(
            max_connections=values["max_connections"],
            start_s=values["start_time"],
            connect_s=values["connect_time"],
            drain_s=values["drain_time"],
        ),
        client_tls=ClientTls(
            mode=mode or ClientEncryption.DISABLE, identity=identity, authorities=values["tls_ca"]
        ),
        upstream_tls=UpstreamTls(
            mode=values["upstream_tls"],
            identity=_pair(values, "upstream"),
            authorities=values["upstream_ca"],
        ),
        uses_relay=not values["no_relay"],
        trusts_socket=values["trust_socket"],
    )
    return ProxyCommand(
        ListenAddress(*(values["listen"] or (listen_host, DEFAULT_PROXY_PORT))),
        UpstreamAddress(*values["upstream"]),
        settings,
    )


def _check_use(values: Mapping[str, Any]) -> None:
    """Refuse files that would not be looked at: somebody relies on them."""
    if values["tls_ca"] is not None and values["tls_cert"] is None:
        raise SettingNotUsable(
            "--tls-ca needs TLS towards clients", hint="Give --tls-cert and --tls-key too."
        )
    mode = values["upstream_tls"]
    if values["upstream_cert"] is not None and mode is UpstreamEncryption.DISABLE:
        raise SettingNotUsable(
            "--upstream-cert needs TLS towards the server",
            hint="Use --upstream-tls require or stronger.",
        )
    if values["upstream_ca"] is not None and mode not in VERIFYING:
        raise SettingNotUsable(
            f"--upstream-ca is not looked at with --upstream-tls {mode}",
            hint="Use --upstream-tls verify-ca or verify-full.",
        )


def _read_file(path: Path) -> dict[str, Any]:
    try:
        items = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingNotUsable(
            f'cannot read the settings in "{path}"', detail=str(error)
        ) from error
    options = {option.name: option for option in OPTIONS}
    values = {}
    for name, value in items.items():
        if name not in options:
            raise SettingNotUsable(
                f'unknown setting "{name}" in "{path}"', hint=f"There are {', '.join(options)}."
            )
        values[_key(name)] = _read_value(options[name], value, path)
    return values


def _read_value(option: Option, value: Any, path: Path) -> Any:
    try:
        if option.read is None:
            if not isinstance(value, bool):
                raise argparse.ArgumentTypeError("neither true nor false")
            return value
        return option.read(str(value))
    except argparse.ArgumentTypeError as error:
        raise SettingNotUsable(
            f'cannot use the setting "{option.name}" in "{path}"', detail=str(error)
        ) from error


def _pair(values: Mapping[str, Any], prefix: str) -> Identity | None:
    certificate, key = values[f"{prefix}_cert"], values[f"{prefix}_key"]
    if (certificate is None) != (key is None):
        raise SettingNotUsable(
            f"--{prefix}-cert and --{prefix}-key go together", hint="Give both or neither."
        )
    return None if certificate is None else Identity(certificate, key)


def _key(name: str) -> str:
    return name.replace("-", "_")


def _show(value: Any) -> str:
    if isinstance(value, tuple):
        return ":".join(str(part) for part in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
