"""
Ask the parts of a stack whether they answer.

Owns what "up" means. Does not start or stop anything.
"""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import psycopg

from sqlml.server.record import Phase, StackFolder, StackRecord

CONNECT_TIMEOUT_S = 5


class Health(StrEnum):
    """How a stack, or a part of it, is."""

    UP = "up"
    DEGRADED = "degraded"
    DOWN = "down"


@dataclass(frozen=True, slots=True, kw_only=True)
class StackStatus:
    """A stack as it is now."""

    record: StackRecord | None
    postgres: Health
    proxy: Health
    worker: Health
    is_supervised: bool

    @property
    def health(self) -> Health:
        """Up when all of it answers."""
        parts = {self.postgres, self.proxy, self.worker}
        if not self.is_supervised and parts == {Health.DOWN}:
            return Health.DOWN
        return Health.UP if parts == {Health.UP} and self.is_supervised else Health.DEGRADED


def read_status(data_dir: Path) -> StackStatus:
    """Look at the stack of a data folder; a folder without one is a stack that is down."""
    folder = StackFolder(data_dir.absolute())
    record = folder.read_record()
    if record is None:
        return StackStatus(
            record=None,
            postgres=Health.DOWN,
            proxy=Health.DOWN,
            worker=Health.DOWN,
            is_supervised=folder.is_supervised(),
        )
    return StackStatus(
        record=record,
        postgres=_health(is_answering(record.dsn())),
        proxy=_health(is_answering(record.proxy_dsn())),
        worker=_health(has_worker(record.dsn())),
        is_supervised=folder.is_supervised(),
    )


def is_up(folder: StackFolder) -> bool:
    """Whether the folder's supervisor says that everything answered once."""
    if not folder.is_supervised():
        return False
    note = folder.read_note()
    return note is not None and note.phase is Phase.RUNNING


def is_answering(dsn: str) -> bool:
    """Whether a query is answered there."""
    try:
        with psycopg.connect(dsn, connect_timeout=CONNECT_TIMEOUT_S) as connection:
            return connection.execute("SELECT 1").fetchone() == (1,)
    except psycopg.OperationalError:
        return False


def has_worker(dsn: str) -> bool:
    """Whether a worker has announced itself in the database."""
    try:
        with psycopg.connect(dsn, connect_timeout=CONNECT_TIMEOUT_S) as connection:
            return connection.execute("SELECT sqlml.is_held(0)").fetchone() == (True,)
    except (psycopg.OperationalError, psycopg.errors.UndefinedFunction):
        return False


def _health(is_well: bool) -> Health:
    return Health.UP if is_well else Health.DOWN
