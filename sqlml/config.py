"""
Settings: what the environment and the user's account decide.

Owns the names of the `SQLML_*` variables and the default places. Does not read files and
does not create folders.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

DEFAULT_PORT = 15432
DEFAULT_PROXY_PORT = 16432
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a command uses where no option says otherwise."""

    data_dir: Path
    """`SQLML_DATA_DIR`: the folder of the embedded stack."""
    dsn: str | None
    """`SQLML_DSN`: the database that `install` and `worker` connect to."""
    worker_password: str | None
    """`SQLML_WORKER_PASSWORD`: what `install` makes the password of `sqlml_worker`."""
    proxy_host: str
    """`SQLML_PROXY_HOST`: the address on which the stack's proxy listens."""
    log_level: str
    """`SQLML_LOG_LEVEL`: `debug`, `info`, `warning` or `error`."""


def read_settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings from the environment; an empty variable counts as none."""
    data_dir = environ.get("SQLML_DATA_DIR")
    return Settings(
        data_dir=Path(data_dir) if data_dir else find_default_data_dir(environ),
        dsn=environ.get("SQLML_DSN") or None,
        worker_password=environ.get("SQLML_WORKER_PASSWORD") or None,
        proxy_host=environ.get("SQLML_PROXY_HOST") or LOOPBACK,
        log_level=environ.get("SQLML_LOG_LEVEL", "info").lower(),
    )


def find_default_data_dir(environ: Mapping[str, str]) -> Path:
    """The folder for an embedded stack: of the machine for root, else of the user."""
    if os.geteuid() == 0:
        return Path("/var/lib/sqlml/default")
    data_home = environ.get("XDG_DATA_HOME")
    base = Path(data_home) if data_home else Path.home() / ".local" / "share"
    return base / "sqlml" / "default"
