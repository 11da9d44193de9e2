"""This host: what `pulumi up` pushed, where things are, the lock between changes of role, and programs that are run."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

CONFIG = Path("/etc/fortress/database/servers.json")
CA = Path("/etc/fortress/database/ca.pem")
PASSWORD = Path("/etc/fortress/database/replication-password")
CERTIFICATE = Path("/etc/mysql/fortress/server.pem")
SOCKET = "/run/mysqld/mysqld.sock"
DATA = Path("/var/lib/mysql")
SEEDING = DATA / ".fortress-seeding"
"""While it is there, the data are worthless: they are about to be, or half, replaced by a copy."""
JOINED = Path("/etc/mysql/mariadb.conf.d/93-fortress-joined.cnf")
"""While it is there, MariaDB starts as a member of the cluster."""
LOCK = Path("/run/fortress-database/lock")
JOIN_S = 240.0
SETTLE_S = 120.0


class RoleError(Exception):
    """What was asked for cannot be, or did not come about; the text says why."""


class NotNowError(RoleError):
    """The same, and it may be tried again."""


@dataclass(frozen=True)
class ServerList:
    """What `pulumi up` pushed."""

    me: str
    port: int
    """Of the service, on each server."""
    database_port: int
    servers: dict[str, str]
    """Every server to its address in the tunnel."""
    clients: str
    """Where servers come from: the mesh's network, as the host part of an account has it."""
    cluster: bool = False
    """Whether they are a Galera cluster."""
    witness: bool = False
    """Whether that has a witness too."""

    @property
    def votes(self) -> int:
        """Of a Galera cluster, 0 where there is none."""
        return len(self.servers) + self.witness if self.cluster else 0

    @property
    def others(self) -> dict[str, str]:
        return {name: address for name, address in self.servers.items() if name != self.me}


def read_config() -> ServerList:
    """The pushed list of servers.

    Raises:
        RoleError: there is none.
    """
    try:
        return ServerList(**json.loads(CONFIG.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise RoleError(f"{CONFIG} cannot be read ({error}): run `pulumi up`") from None


@contextlib.contextmanager
def one_at_a_time(seconds: float = 30.0) -> Iterator[None]:
    """Between the service and whoever changes a role by hand; ends with the process that holds it.

    Raises:
        RoleError: another one holds it for too long.
    """
    try:
        lock = os.fdopen(os.open(LOCK, os.O_RDWR | os.O_CREAT, 0o660), "r+")
        if os.geteuid() == 0:
            os.fchown(lock.fileno(), LOCK.parent.stat().st_uid, -1)
    except FileNotFoundError:
        raise RoleError("fortress-database-role has never run here: systemctl status fortress-database-role") from None
    with lock:
        end = time.monotonic() + seconds
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if time.monotonic() >= end:
                    raise RoleError("another change of role on this host has not ended") from None
                time.sleep(0.05)
        yield


def until(seconds: float, done: Callable[[], str], what: str) -> None:
    """Wait until `done` gives no reason to wait any more.

    Raises:
        RoleError: it still did when the time was over.
    """
    end, why = time.monotonic() + seconds, done()
    while why:
        if time.monotonic() >= end:
            raise RoleError(f"{what} within {seconds:g} s: {why}")
        time.sleep(0.3)
        why = done()


def run(*words: str, fails: bool = False) -> None:
    """A program, whose failure is said by its last lines.

    Raises:
        RoleError: it failed.
    """
    done = subprocess.run(words, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode != 0 and not fails:
        raise RoleError(f"{' '.join(words)}: {(done.stderr or done.stdout).strip()[-800:]}")


def running() -> str:
    """In which state MariaDB's unit is; no word where it runs no more."""
    words = ["systemctl", "show", "--property=ActiveState,SubState", "--value", "mariadb"]
    active, sub = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()
    return "" if active in ("inactive", "failed") else f"{active}, {sub}"


def sync(folder: Path) -> None:
    """What changed in a folder is on the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def pipe(end: IO[bytes] | None) -> IO[bytes]:
    """An end of a pipe that was asked for, so that there is one.

    Raises:
        RoleError: there is none.
    """
    if end is None:
        raise RoleError("a pipe is missing")
    return end
