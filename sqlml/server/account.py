"""
The operating system's account under which PostgreSQL runs.

PostgreSQL refuses to run as root, so root starts it as another account. Owns that choice and
the questions that follow from it. Does not start PostgreSQL.
"""

import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path

from sqlml.errors import StackError

CANDIDATES = ("postgres", "nobody")


@dataclass(frozen=True, slots=True)
class Account:
    """An account other than our own; only root has use for one."""

    name: str
    uid: int
    gid: int


def find_server_account() -> Account | None:
    """The account to switch to, or None where our own will do."""
    if os.geteuid() != 0:
        return None
    for name in CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
    raise StackError(
        "PostgreSQL does not run as root, and no other account was found",
        hint=f"Create one of these accounts: {', '.join(CANDIDATES)}.",
    )


def can_reach(account: Account | None, path: Path) -> bool:
    """Whether the account may enter every folder of the path and use its end."""
    if account is None:
        return os.access(path, os.X_OK)
    done = subprocess.run(
        ["test", "-x", str(path)],
        user=account.uid,
        group=account.gid,
        extra_groups=[],
        check=False,
    )
    return done.returncode == 0


def give_to(account: Account | None, path: Path) -> None:
    """Make a file or folder the account's own."""
    if account is not None:
        os.chown(path, account.uid, account.gid)
