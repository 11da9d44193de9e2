#!/usr/bin/python3 -I
"""Backups of MariaDB, made on its own host and encrypted there before anything leaves it.

The program that stands on a database's host as /usr/local/lib/fortress/database-backup; nothing but Python's own
library. `Config` and `TargetSecrets` are the two files that it reads, written by the same classes (fortress/backup.py).

    database-backup daily          a full backup; what is too old is forgotten, and a part of the rest is read back
    database-backup full           a full backup
    database-backup anew           the same, unless the binary logs that are sent now have one already
    database-backup ship           keeps sending the binary logs; ends only when it is stopped
    database-backup drill          restores aside, counts and sums up every table, and leaves the result
    database-backup restore ...    puts a backup in place of the data that are there
    database-backup follow VERB    starts one of these as a unit unless it runs, and tells how far
    database-backup list | state   what is stored; how the last runs went: one JSON object
    database-backup init           sees whether the target can be used, and makes it ready where it is empty
    database-backup prune          forgets what is too old, with --config and --secrets also from another machine

A full backup is mariadb-backup's stream, taken up by restic, which stores each piece of it only once: so every backup
is a whole one, and costs what has changed. It counts once a second snapshot, tagged `full`, says that it is complete.
Binary logs are a repository of their own, since restic locks a whole repository while it forgets.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import math
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Self

PROGRAM = Path("/usr/local/lib/fortress/database-backup")
CONFIG = Path("/etc/fortress/backup.json")
SECRETS = Path("/etc/fortress/backup.secrets")
STATE = Path("/var/lib/fortress-backup")
RUN = Path("/run/fortress-backup")
CACHE = Path("/var/cache/fortress-backup")
DATA = Path("/var/lib/mysql")
SOCKET = "/run/mysqld/mysqld.sock"
UNIT = "fortress-backup@{}.service"
RESTORE_UNIT = "fortress-restore.service"

LATE_S = 60.0
"""The longest that a commit may be on this host alone (the project's promise of a recovery point)."""
QUIET_S = 600.0
"""Seconds after which a server that commits nothing is stored once more, as a word that nothing is missing."""
ANSWERS_S = 10.0
"""Seconds within which a target must take a connection."""
OPENS_S = 90.0
"""Seconds within which a repository must open: restic itself would try for a quarter of an hour."""
BLOCK = 1 << 20
KEPT_RUNS = 60
"""Runs whose size and duration are remembered."""
DAY_S = 86_400.0
JOINED = Path("/etc/mysql/mariadb.conf.d/93-fortress-joined.cnf")
"""While it is there, the server is a member of a Galera cluster."""
SERVERS = Path("/etc/fortress/database/servers.json")
"""All servers of the database, where it has several."""
ROLE = Path("/usr/local/lib/fortress/database_role.py")
"""Where it has several: what decides who takes the writes."""
WAITING = "waiting until the other servers are stopped"
"""What a restore to several servers says while whoever asked for it is to stop them."""
ALONE_S = 900.0
"""How long that may take."""
COUNTING_S = 15.0
"""How long a member may be in no majority while the others of it are being counted."""
_VOTES = "SHOW GLOBAL STATUS WHERE Variable_name IN ('wsrep_cluster_status', 'wsrep_cluster_size');"
PRIMARIES = """
CREATE DATABASE IF NOT EXISTS _fortress CHARACTER SET utf8mb4;
CREATE TABLE IF NOT EXISTS _fortress.primaries (number BIGINT UNSIGNED PRIMARY KEY, server VARCHAR(255) NOT NULL,
    since TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP) ENGINE InnoDB CHARACTER SET ascii COLLATE ascii_bin;
INSERT INTO _fortress.primaries (number, server)
    SELECT GREATEST(COALESCE(MAX(number), 0), {}) + 1, '{}' FROM _fortress.primaries;
"""
"""Names who takes the writes of restored data first, by a number above another one; the table is database_role.py's."""
SYSTEM = ("information_schema", "mysql", "performance_schema", "sys", "_fortress")
"""Schemas without data of an application."""
STAYS = re.compile(r"lost\+found|debian-.*\.flag|\.fortress-.*")
"""What is no data of the server in its folder."""
NEW = ".fortress-restore."
LEAVING, BEFORE, GONE = (DATA / f".fortress-{name}" for name in ("leaving", "before", "gone"))
"""Where the old data are while they leave, once they have all left, and once the server runs on the new ones."""
PARTS = ("data", "binlog")
"""The two repositories of a target."""


class Trouble(Exception):
    """What went wrong, in one line that names the cure."""


# --- the two files ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _File:
    def text(self) -> str:
        """As the file has it."""
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def read(cls, text: str) -> Self:
        """The opposite of `text`.

        Raises:
            ValueError: it is no such file.
        """
        try:
            return cls(**json.loads(text))
        except (TypeError, ValueError) as wrong:
            raise ValueError(f"not a file of this program: {wrong}") from None


@dataclass(frozen=True)
class Config(_File):
    """What /etc/fortress/backup.json holds; nothing in it is secret."""

    host: str
    """Name of the database's host, under which snapshots are filed."""
    target: Mapping[str, Any]
    """Its only key is the kind: `directory` (a path), `sftp` or `s3` (each a mapping)."""
    daily: int
    weekly: int
    monthly: int
    """How many days, weeks and months keep a full backup."""
    points_days: int
    """Days back to which any second can be restored."""
    every_s: int
    """Seconds between two looks at the binary logs."""
    drill_days: int | None
    """Days between two restore drills by the timer; None for none."""
    prune: bool
    """Whether this host forgets what is too old; not where the target lets it add only."""

    @property
    def kind(self) -> str:
        """`directory`, `sftp` or `s3`."""
        return next(iter(self.target))

    @property
    def place(self) -> str:
        """Where the target is, for people: `sftp 192.0.2.40:/srv/backup`."""
        what = self.target[self.kind]
        if self.kind == "directory":
            return f"directory {what}"
        if self.kind == "sftp":
            return f"sftp {what['address']}:{what['path']}"
        return "s3 " + "/".join(part for part in (what["endpoint"], what["bucket"], what["prefix"]) if part)

    def repository(self, part: str) -> str:
        """One of the two, as restic names it."""
        what = self.target[self.kind]
        if self.kind == "directory":
            return f"{what}/{part}"
        if self.kind == "sftp":
            return f"sftp:{what['user']}@{what['address']}:{what['path']}/{part}"
        return "s3:" + "/".join(each for each in (what["endpoint"], what["bucket"], what["prefix"], part) if each)

    def endpoint(self) -> tuple[str, int] | None:
        """Where the target takes connections."""
        what = self.target[self.kind]
        if self.kind == "sftp":
            return what["address"], what["port"]
        if self.kind == "s3":
            scheme, _, rest = what["endpoint"].partition("://")
            host, colon, port = rest.partition("/")[0].rpartition(":")
            return (host, int(port)) if colon and port.isdigit() else (port, 443 if scheme == "https" else 80)
        return None


@dataclass(frozen=True)
class TargetSecrets(_File):
    """What /etc/fortress/backup.secrets holds."""

    password: str
    """The key that everything is encrypted with; without it nothing can be read."""
    s3_secret_access_key: str | None = None
    sftp_key: str | None = None


# --- what is stored ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Full:
    """A complete backup of the server; all that was committed before `at`, and the first that was not, is told apart by
    its position in the binary log."""

    at: float
    """Seconds since 1970 when it was complete."""
    stream: str
    """Id of the snapshot with the data."""
    line: str
    """Of binary logs, which begins anew when the data are replaced."""
    file: str
    position: int
    gtid: str
    server: str
    """Version of MariaDB."""
    bytes: int
    """Size of the stream."""
    added: int
    """Of what the target did not have yet, before compression."""
    tables: int
    """Tables of applications in it: none on a host that is new."""
    seconds: float
    id: str = ""
    """Of the snapshot that says all this."""

    def tags(self) -> list[str]:
        """As the snapshot has it. A tag ends at a comma, which only a GTID has."""
        return [
            "full",
            *(f"{key}={str(value).replace(',', '+')}" for key, value in asdict(self).items() if key != "id"),
        ]


@dataclass(frozen=True)
class Logs:
    """A snapshot of all binary logs that the server had."""

    at: float
    """Nothing that was committed before it is missing."""
    line: str
    first: str
    """The first file."""
    file: str
    position: int
    """Where the last one ended then."""
    id: str = ""

    def tags(self) -> list[str]:
        """As the snapshot has it."""
        return ["logs", *(f"{key}={value}" for key, value in asdict(self).items() if key != "id")]


def read_snapshots(text: str) -> tuple[list[Full], list[Logs], dict[str, float]]:
    """Fulls and logs, oldest first, and the ids and times of streams, from `restic snapshots --json`.

    A full whose stream is gone is none.
    """
    fulls, logs, streams = [], [], {}
    for each in json.loads(text) or []:
        tags = each.get("tags") or []
        facts = dict(tag.split("=", 1) for tag in tags if "=" in tag)
        facts["id"] = each["id"]
        if "full" in tags:
            fulls.append(_typed(Full, facts))
        elif "logs" in tags:
            logs.append(_typed(Logs, facts))
        elif "stream" in tags:
            streams[each["id"]] = datetime.fromisoformat(_micro(each["time"])).timestamp()
    whole = [full for full in fulls if any(stream.startswith(full.stream) for stream in streams)]
    return sorted(whole, key=lambda f: f.at), sorted(logs, key=lambda s: s.at), streams


def _typed(cls: Any, facts: Mapping[str, str]) -> Any:
    kinds = {"at": float, "seconds": float, "position": int, "bytes": int, "added": int, "tables": int}
    return cls(**{name: kinds.get(name, str)(facts[name]) for name in cls.__dataclass_fields__})


def _micro(time_: str) -> str:
    """A time of Go's as Python 3.11 reads it: at most six digits of a second."""
    return re.sub(r"(\.\d{6})\d+", r"\1", time_)


def plan(fulls: Sequence[Full], logs: Sequence[Logs], at: float | None) -> tuple[Full, Logs | None]:
    """What to restore for a moment: a full, and the logs to play on top of it.

    With None it is the newest that has tables: a new host takes a backup of nothing before anybody can restore to it.

    Raises:
        Trouble: it is outside what is kept.
    """
    if not fulls:
        raise Trouble("there is no complete backup at the target yet; `fortress backup now` makes one")
    with_tables = [full for full in fulls if full.tables]
    for full in reversed(fulls if at is not None else with_tables or fulls):
        if at is not None and full.at > at:
            continue
        usable = [each for each in logs if _follows(full, each)]
        if at is None:
            return full, usable[-1] if usable else None
        later = next((each for each in usable if each.at >= at), None)
        if later is not None:
            return full, later
    kept = "; ".join(f"{told(begin)} to {told(end)}" for begin, end in points(fulls, logs))
    raise Trouble(f"{told(at or 0)} is outside what is kept; any second can be restored of {kept}")


def _follows(full: Full, logs: Logs) -> bool:
    """Whether these logs have all that came after a full."""
    return (
        logs.line == full.line
        and logs.at >= full.at
        and logs.first <= full.file
        and (full.file, full.position) <= (logs.file, logs.position)
    )


def points(fulls: Sequence[Full], logs: Sequence[Logs]) -> list[tuple[float, float]]:
    """The stretches of time of which any second can be restored, oldest first."""
    found: list[tuple[float, float]] = []
    for full in fulls:
        end = max((each.at for each in logs if _follows(full, each)), default=full.at)
        if found and full.at <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((full.at, end))
    return found


def still_whole(logs: Sequence[Logs]) -> list[Logs]:
    """The same; the last has nothing missing up to when this host last saw that nothing was new."""
    seen = recorded("ship")["ok"]
    if (
        logs
        and seen
        and [seen["line"], seen["file"], seen["position"]] == [logs[-1].line, logs[-1].file, logs[-1].position]
    ):
        return [*logs[:-1], replace(logs[-1], at=max(logs[-1].at, seen["at"]))]
    return list(logs)


def told(at: float) -> str:
    """A moment, for people, and as --at takes it."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def kept_fulls(fulls: Sequence[Full], daily: int, weekly: int, monthly: int) -> list[Full]:
    """Those that stay: the newest, and the last one of so many days, weeks and months that have any.

    Each line of a period has its own last one: the first backup of a new host takes no place of a lost one's.
    """
    kept = set(fulls[-1:])
    for count, length in ((daily, "%Y-%m-%d"), (weekly, "%G-%V"), (monthly, "%Y-%m")):
        periods: dict[str, dict[str, Full]] = {}
        for full in reversed(fulls):
            period = periods.setdefault(datetime.fromtimestamp(full.at, UTC).strftime(length), {})
            period.setdefault(full.line, full)
        kept |= {full for period in list(periods.values())[:count] for full in period.values()}
    return [full for full in fulls if full in kept]


def kept_logs(logs: Sequence[Logs], points_days: int, now: float) -> list[Logs]:
    """Those that stay: the last one of each line and day, as each has what the server then had, and the newest."""
    last: dict[tuple[str, int], Logs] = {}
    for each in logs:
        last[each.line, int(each.at // DAY_S)] = each
    oldest = now - points_days * DAY_S
    return [each for each in logs if (each in last.values() and each.at >= oldest) or each is logs[-1]]


# --- restic -----------------------------------------------------------------------------------------------------------

_REASONS = {
    "wrong password or no key found": "backup_password is not the key of this repository; set the one that it has",
    "no space left on device|QuotaExceeded|StorageFull|disk quota": "the target is full; make room there",
    "Host key verification failed|HOST IDENTIFICATION HAS CHANGED": "the target shows another host key than the pinned "
    "one, so nothing was sent; find out who answers there",
    r"Permission denied \(": "the target refuses backup_sftp_key for this user; add its public key there",
    "InvalidAccessKeyId|SignatureDoesNotMatch|signature we calculated": "the target refuses the access key; set "
    "access_key_id and backup_s3_secret_access_key to those that it knows",
    "Access ?Denied|403 Forbidden": "the target denies access; see that backup_s3_secret_access_key is the secret of "
    "access_key_id, and what that may do with the bucket",
    "bucket does not exist|NoSuchBucket": "the bucket does not exist; create it",
    "permission denied|read-only file system": "the target's folder cannot be written",
    "already locked|unable to create lock": "the repository is locked by another run; if that one died, it is released "
    "within 30 min",
    "Is there a repository at|repository does not exist|unable to open config file": "there is no repository; "
    "`pulumi up` makes one where none is yet, but if there was one, find out what became of it first",
    "connection refused|no route to host|i/o timeout|timed out|connection reset|broken pipe|EOF": "the target does not "
    "answer",
}
"""What programs say, and the reason that people are told: the first that is found."""
_NONE_YET = re.compile(r"Is there a repository at|repository does not exist|unable to open config file")
_LOCKED = re.compile(r"already locked")


def why(said: str) -> str:
    """What a program said, as a reason with its cure where it is known."""
    for pattern, reason in _REASONS.items():
        if re.search(pattern, said, re.IGNORECASE):
            return reason
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return "; ".join(lines[-3:]) or "it ended without a word"


class ResticError(Trouble):
    """restic ended badly; `said` is all that it said."""

    def __init__(self, place: str, said: str) -> None:
        super().__init__(f"{place}: {why(said)}")
        self.said = said


@dataclass(frozen=True)
class Restic:
    """One repository of a target."""

    config: Config
    secrets: TargetSecrets
    part: str

    def words(self, *words: str) -> list[str]:
        """A command line; nothing secret is on it."""
        options = []
        if self.config.kind == "sftp":
            options = ["-o", f"sftp.command={shlex.join(self._ssh())}"]
        if self.config.kind == "s3":
            options = ["-o", f"s3.region={self.config.target['s3']['region']}", "-o", "s3.bucket-lookup=path"]
        return ["restic", "--repo", self.config.repository(self.part), *options, *words]

    def _ssh(self) -> list[str]:
        what = self.config.target["sftp"]
        folder = _private_folder()
        key, known = folder / "sftp.key", folder / "sftp.known"
        _write(key, (self.secrets.sftp_key or "").rstrip("\n") + "\n")
        address, port = what["address"], what["port"]
        _write(known, f"{address if port == 22 else f'[{address}]:{port}'} {what['host_key']}\n")
        given = {
            **{"BatchMode": "yes", "StrictHostKeyChecking": "yes", "IdentitiesOnly": "yes", "IdentityAgent": "none"},
            **{"UserKnownHostsFile": str(known), "GlobalKnownHostsFile": "/dev/null", "IdentityFile": str(key)},
            **{"ConnectTimeout": f"{ANSWERS_S:.0f}", "ServerAliveInterval": "10", "ServerAliveCountMax": "3"},
            **{"Port": str(port), "HostKeyAlgorithms": what["host_key"].split()[0]},
        }
        options = [word for name, value in given.items() for word in ("-o", f"{name}={value}")]
        return ["ssh", "-F", "none", "-T", *options, f"{what['user']}@{address}", "-s", "sftp"]

    def environment(self) -> dict[str, str]:
        """Where the secrets are given."""
        found = {**os.environ, "RESTIC_PASSWORD": self.secrets.password, "RESTIC_PROGRESS_FPS": "0.2"}
        if CACHE.is_dir():
            found["RESTIC_CACHE_DIR"] = str(CACHE)
        if self.config.kind == "s3":
            found["AWS_ACCESS_KEY_ID"] = self.config.target["s3"]["access_key_id"]
            found["AWS_SECRET_ACCESS_KEY"] = self.secrets.s3_secret_access_key or ""
        return found

    def run(self, *words: str, stdin: str = "", seconds: float | None = None) -> str:
        """Run it to its end; gives what it printed.

        Raises:
            Trouble: it ended badly, or not in time.
        """
        return self.raw(*words, stdin=stdin, seconds=seconds).decode(errors="replace")

    def raw(self, *words: str, stdin: str = "", seconds: float | None = None) -> bytes:
        """The same where it prints what is no text."""
        try:
            done = subprocess.run(
                self.words(*words),
                input=stdin.encode(),
                capture_output=True,
                timeout=seconds,
                env=self.environment(),
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise Trouble(f"{self.config.place}: the target does not answer within {seconds:.0f} s") from None
        except FileNotFoundError:
            raise Trouble("restic is not installed; run `pulumi up`") from None
        if done.returncode:
            said = b"\n".join((done.stdout, done.stderr)).decode(errors="replace")
            raise ResticError(self.config.place, f"{said}{self._refusal()}")
        return done.stdout

    def _refusal(self) -> str:
        """What ssh says where it lets nobody in: restic may end before it has passed that on."""
        if self.config.kind != "sftp":
            return ""
        with contextlib.suppress(subprocess.TimeoutExpired):
            words = self._ssh()
            tried = subprocess.run(
                words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=ANSWERS_S, check=False
            )
            return f"\n{tried.stderr}" if tried.returncode else ""
        return ""

    def exists(self) -> bool:
        """Whether the repository is there and opens by this key.

        Raises:
            Trouble: the target is away, or the key is another one.
        """
        reach(self.config)
        try:
            self.run("cat", "config", "--no-lock", seconds=OPENS_S)
        except ResticError as error:
            if _NONE_YET.search(error.said) and not re.search("wrong password", error.said):
                return False
            raise
        return True

    def snapshots(self) -> tuple[list[Full], list[Logs], dict[str, float]]:
        """What it holds."""
        reach(self.config)
        return read_snapshots(self.run("snapshots", "--json", "--no-lock", seconds=OPENS_S))


def reach(config: Config) -> None:
    """See that the target is there at all, in less time than restic takes to give up.

    Raises:
        Trouble: it is not.
    """
    where = config.endpoint()
    if where is None:
        folder = Path(config.target["directory"])
        if not folder.is_dir():
            raise Trouble(f"{config.place}: the folder is not there; mount or create it")
        return
    try:
        socket.create_connection(where, ANSWERS_S).close()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise Trouble(f"{config.place}: the target does not answer on {where[0]}:{where[1]} ({reason})") from None


def _private_folder() -> Path:
    folder = RUN if os.geteuid() == 0 else Path(tempfile.gettempdir()) / f"fortress-backup-{os.getuid()}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _write(path: Path, text: str) -> None:
    """Put a file in place as a whole, for its owner's eyes only."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


# --- the server -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LocalServer:
    """A server on this host, reached by root at its socket."""

    socket: str = SOCKET

    def client(self, *more: str) -> list[str]:
        """mariadb's own client."""
        return [
            *("mariadb", "--no-defaults", "--protocol=socket", f"--socket={self.socket}", "--user=root"),
            *("--connect-timeout=5", "--default-character-set=utf8mb4", *more),
        ]

    def rows(self, statements: str) -> list[list[str]]:
        """What it answers.

        Raises:
            Trouble: it does not.
        """
        words = self.client("--batch", "--raw", "--skip-column-names")
        done = subprocess.run(words, input=statements, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Trouble(f"MariaDB does not answer: {why(done.stderr)}")
        return [line.split("\t") for line in done.stdout.splitlines()]

    def answers(self) -> bool:
        """Whether it runs."""
        with contextlib.suppress(Trouble):
            return bool(self.rows("SELECT 1;"))
        return False

    def position(self) -> tuple[str, int]:
        """Where its binary log ends.

        Raises:
            Trouble: it writes none.
        """
        found = self.rows("SHOW MASTER STATUS;")
        if not found:
            raise Trouble("MariaDB writes no binary log (log_bin); see `fortress drift`")
        return found[0][0], int(found[0][1])

    def tables(self) -> list[tuple[str, str]]:
        """Schema and name of every table with data of an application."""
        query = (
            "SELECT table_schema, table_name FROM information_schema.tables "
            "WHERE table_type IN ('BASE TABLE', 'SYSTEM VERSIONED') ORDER BY 1, 2;"
        )
        return [(row[0], row[1]) for row in self.rows(query) if row[0] not in SYSTEM]


def _quoted(schema: str, table: str) -> str:
    return ".".join("`" + name.replace("`", "``") + "`" for name in (schema, table))


def counted(server: LocalServer, tell: Tell, *, sums: bool) -> list[dict[str, Any]]:
    """Rows of each table, with `sums` also its checksum: every row is read."""
    tables = server.tables()
    found = []
    for number, (schema, table) in enumerate(tables):
        tell.phase("reading tables", number, len(tables), "tables")
        name = _quoted(schema, table)
        each: dict[str, Any] = {
            "table": f"{schema}.{table}",
            "rows": int(server.rows(f"SELECT COUNT(*) FROM {name};")[0][0]),  # noqa: S608 - quoted
        }
        if sums:
            each["checksum"] = server.rows(f"CHECKSUM TABLE {name} EXTENDED;")[0][1]
        found.append(each)
    return found


# --- how far a run is, and how it went --------------------------------------------------------------------------------


@dataclass
class Tell:
    """How far a run is, in a file that `follow` reads."""

    verb: str
    began: float = field(default_factory=time.time)
    written: float = 0.0
    last: str = ""

    def phase(self, what: str, done: float = 0, total: float = 0, unit: str = "") -> None:
        """Say what is done now; at most two times a second for the same thing."""
        now = time.time()
        if what == self.last and now - self.written < 0.5:
            return
        self.last, self.written = what, now
        self._put({"phase": what, "done": done, "total": total, "unit": unit})

    def end(self, *, trouble: str | None, facts: Mapping[str, Any]) -> None:
        """Say how it ended."""
        self._put({"ended": time.time(), "trouble": trouble, "facts": dict(facts)})

    def _put(self, more: Mapping[str, Any]) -> None:
        _write(_private_folder() / f"{self.verb}.json", json.dumps({"verb": self.verb, "began": self.began, **more}))


def record(kind: str, trouble: str | None, facts: Mapping[str, Any], began: float) -> None:
    """Remember how a run went: the last one that went well, why the last one did not, and all of them in short."""
    known = recorded(kind)
    now = time.time()
    this = {"at": now, "seconds": round(now - began, 1), **facts}
    known["failed"] = None if trouble is None else {"at": now, "why": trouble}
    if trouble is None:
        known["ok"] = this
        short = {key: value for key, value in this.items() if isinstance(value, int | float)}
        known["runs"] = [*known.get("runs", []), short][-KEPT_RUNS:]
    _write(STATE / f"{kind}.json", json.dumps(known))


def recorded(kind: str) -> dict[str, Any]:
    """What is remembered of one kind of run."""
    with contextlib.suppress(OSError, ValueError):
        found = json.loads((STATE / f"{kind}.json").read_text())
        if isinstance(found, dict):
            return found
    return {"ok": None, "failed": None, "runs": []}


@contextlib.contextmanager
def run_of(kind: str, facts: dict[str, Any]) -> Iterator[None]:
    """One run, whose end is remembered whichever it is."""
    began = time.time()
    try:
        yield
    except BaseException as error:
        record(kind, str(error) or type(error).__name__, facts, began)
        raise
    record(kind, None, facts, began)


@contextlib.contextmanager
def alone(tell: Tell) -> Iterator[None]:
    """One run at a time: a restore changes what a backup reads."""
    with (_private_folder() / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            tell.phase("waiting for the end of another run")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


# --- a full backup ----------------------------------------------------------------------------------------------------

_POSITION = re.compile(r"binlog position: filename '([^']+)', position '(\d+)'(?:, GTID of the last change '([^']*)')?")


def full(config: Config, secrets: TargetSecrets, tell: Tell) -> dict[str, Any]:
    """Take one.

    Raises:
        Trouble: it is not complete, and so does not count.
    """
    facts: dict[str, Any] = {}
    with run_of("full", facts):
        restic = Restic(config, secrets, "data")
        tell.phase("opening the target")
        if not restic.exists():
            raise Trouble(f"{config.place}: {why('repository does not exist')}")
        server = LocalServer()
        version = server.rows("SELECT @@version;")[0][0].partition("-")[0]
        line = line_of(server.position())
        tables = len(server.tables())
        began = time.time()
        total = _size(DATA)
        with (
            tempfile.TemporaryDirectory(prefix="backup.", dir=_private_folder()) as folder,
            (Path(folder) / "said").open("w+") as said,
        ):
            taking = subprocess.Popen(
                [
                    *("mariadb-backup", "--backup", "--stream=mbstream", f"--target-dir={folder}/work", "--user=root"),
                    *(f"--socket={SOCKET}", f"--datadir={DATA}", "--parallel=1"),
                ],
                stdout=subprocess.PIPE,
                stderr=said,
            )
            keeping = subprocess.Popen(
                restic.words(
                    *("backup", "--stdin", "--stdin-filename", "full.mbstream", "--host", config.host),
                    *("--tag", "stream", "--json", "--quiet"),
                ),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=restic.environment(),
                text=False,
            )
            size, summary = _pour(
                taking, keeping, said, restic, lambda done: tell.phase("backing up", done, total, "bytes")
            )
            said.seek(0)
            place = _POSITION.findall(said.read())
        if not place:
            raise Trouble("mariadb-backup names no position in the binary log")
        tell.phase("completing")
        found = Full(
            at=round(time.time(), 3),
            stream=str(summary["snapshot_id"]),
            line=line,
            file=place[-1][0],
            position=int(place[-1][1]),
            gtid=place[-1][2],
            server=version,
            bytes=size,
            added=int(summary.get("data_added", 0)),
            tables=tables,
            seconds=round(time.time() - began, 1),
        )
        tags = [word for tag in found.tags() for word in ("--tag", tag)]
        restic.run(
            *("backup", "--stdin", "--stdin-filename", "full.json", "--host", config.host, "--json", "--quiet", *tags),
            stdin=json.dumps(asdict(found)),
        )
        facts |= {key: value for key, value in asdict(found).items() if key not in ("at", "seconds", "id")}
    return {**facts, "at": found.at, "seconds": found.seconds}


def _pour(
    taking: subprocess.Popen[bytes],
    keeping: subprocess.Popen[bytes],
    said: IO[str],
    restic: Restic,
    tell: Callable[[int], None],
) -> tuple[int, dict[str, Any]]:
    """Lead a backup into restic; gives its size and restic's summary.

    Raises:
        Trouble: one of them failed. No snapshot is left then: restic ends before it sees an end of the stream.
    """
    taken, stored, answer_of = _opened(taking.stdout), _opened(keeping.stdin), _opened(keeping.stdout)
    size, broken = 0, False
    try:
        while block := taken.read(BLOCK):
            stored.write(block)
            size += len(block)
            tell(size)
    except BrokenPipeError:
        broken = True
        taking.kill()
    except BaseException:
        taking.kill()
        keeping.kill()
        raise
    if taking.wait() and not broken:
        keeping.kill()
        keeping.wait()
        said.seek(0)
        raise Trouble(f"mariadb-backup failed: {why(said.read())}")
    with contextlib.suppress(BrokenPipeError):
        stored.close()
    answer = answer_of.read().decode(errors="replace")
    if keeping.wait() or broken:
        raise ResticError(restic.config.place, answer)
    return size, json.loads(next(line for line in answer.splitlines() if '"summary"' in line))


def _opened(pipe: IO[bytes] | None) -> IO[bytes]:
    """A pipe that was asked for."""
    if pipe is None:
        raise TypeError("not a pipe")
    return pipe


def _size(folder: Path) -> int:
    """Bytes of a server's files that a backup has."""
    total = 0
    for root, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not STAYS.fullmatch(name)]
        for name in files:
            if not re.match(r"(fortress-bin|ib_logfile|ibtmp)", name):
                with contextlib.suppress(OSError):
                    total += (Path(root) / name).stat().st_size
    return total


def line_of(position: tuple[str, int]) -> str:
    """The line of binary logs that a position belongs to: a new one where they have begun anew, or are another
    server's, as those of a member that got all data from it."""
    path = STATE / "line.json"
    with contextlib.suppress(OSError, ValueError, KeyError):
        known = json.loads(path.read_text())
        # What an earlier version wrote has no mark.
        same = known.get("mark") in (None, log_mark(DATA / known["file"]))
        if same and (known["file"], known["position"]) <= position:
            return str(known["line"])
    line = os.urandom(4).hex()
    _remember_line(line, position)
    return line


def _remember_line(line: str, position: tuple[str, int]) -> None:
    known = {"line": line, "file": position[0], "position": position[1], "mark": log_mark(DATA / position[0])}
    _write(STATE / "line.json", json.dumps(known))


def log_mark(file: Path) -> str | None:
    """What tells a binary log from another one of the same name: when it was begun, and by which server; None where
    it is not there.

    Both are in the head of its first event: https://mariadb.com/kb/en/2-binlog-event-header/
    """
    try:
        with file.open("rb") as log:
            head = log.read(13)
    except OSError:
        return None
    return f"{head[4:8].hex()} {head[9:13].hex()}" if head[:4] == b"\xfebin" else None


def lacks_full(line: str) -> bool:
    """Whether binary logs have begun anew since the last full backup, as on a server that got another one's data: what
    is sent of them is worth nothing before the next one. The first one of all may have been cut by that."""
    known = recorded("full")
    if known["ok"]:
        return bool(known["ok"].get("line", line) != line)
    return known["failed"] is not None and bool(other_servers())


def other_servers() -> dict[str, tuple[str, int]]:
    """The other servers of a database that has several, and where MariaDB is on each."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        known = json.loads(SERVERS.read_text())
        addresses = {name: (address, known["database_port"]) for name, address in known["servers"].items()}
        return {name: where for name, where in sorted(addresses.items()) if name != known["me"]}
    return {}


def has_all_until() -> float:
    """Up to when this server has every commit: now, but for a copy, which is behind the one that takes the writes.

    Raises:
        Trouble: a copy does not know how far.
    """
    at = time.time()
    if JOINED.exists() or not other_servers():
        return at
    try:
        found = json.loads(_role("state"))
        if found["takes_writes"]:
            return at
        lacks = found["lacks_s"]
    except (ValueError, KeyError, TypeError) as error:
        raise Trouble(f"how far this copy is behind cannot be read ({error!r})") from None
    if lacks is None:
        raise Trouble(f"how far this copy is behind is not known: {found.get('service') or found.get('why')}")
    return at - float(lacks)


def _role(verb: str) -> str:
    """What database_role.py prints.

    Raises:
        Trouble: it fails.
    """
    done = subprocess.run(["python3", "-I", str(ROLE), verb], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Trouble(why(done.stderr))
    return done.stdout


# --- binary logs ------------------------------------------------------------------------------------------------------


def ship(config: Config, secrets: TargetSecrets) -> None:
    """Keep sending the binary logs, and remember what was sent and what went wrong."""
    restic = Restic(config, secrets, "binlog")
    taking, taken_at = None, 0.0
    while True:
        began = time.monotonic()
        state = recorded("ship")
        try:
            state = {**state, "failed": None, "ok": ship_once(restic, state.get("ok"))}
            idle = taking is None or (taking.poll() is not None and began - taken_at > QUIET_S)
            if idle and lacks_full(state["ok"]["line"]):
                taking, taken_at = subprocess.Popen([str(PROGRAM), "anew"]), began
        except Trouble as error:
            first = (state.get("failed") or {}).get("since", time.time())
            state = {**state, "failed": {"at": time.time(), "since": first, "why": str(error)}}
            print(f"database-backup: {error}", file=sys.stderr, flush=True)
        _write(STATE / "ship.json", json.dumps(state))
        time.sleep(max(1.0, config.every_s - (time.monotonic() - began)))


def ship_once(restic: Restic, last: Mapping[str, Any] | None) -> dict[str, Any]:
    """Send what is new, if anything is; gives what is stored by now.

    Raises:
        Trouble: it could not be sent.
    """
    server = LocalServer()
    at = has_all_until()
    position = server.position()
    line = line_of(position)
    if (
        last
        and [last["line"], last["file"], last["position"]] == [line, *position]
        and time.time() < last["sent"] + QUIET_S
    ):
        return {**last, "at": at}
    files = [row[0] for row in server.rows("SHOW BINARY LOGS;")]
    logs = Logs(round(at, 3), line, files[0], *position)
    reach(restic.config)
    tags = [word for tag in logs.tags() for word in ("--tag", tag)]
    words = ("backup", "--host", restic.config.host, "--json", "--quiet", *tags, *(str(DATA / name) for name in files))
    try:
        restic.run(*words, seconds=600)
    except ResticError as error:
        if not _LOCKED.search(error.said):
            raise
        restic.run("unlock")  # releases those whose run has died, and no other
        restic.run(*words, seconds=600)
    _remember_line(line, position)
    return {**asdict(logs), "at": at, "sent": time.time()}


# --- what follows a backup --------------------------------------------------------------------------------------------


def prune(config: Config, secrets: TargetSecrets, tell: Tell | None = None) -> dict[str, int]:
    """Forget what is too old, and give back its space."""
    data, binlog = (Restic(config, secrets, part) for part in PARTS)
    fulls, _, streams = data.snapshots()
    kept = kept_fulls(fulls, config.daily, config.weekly, config.monthly)
    needed = {full.stream for full in kept}
    # A stream that no full names is what is left of a run that was cut; one of today may be at work.
    lost = [
        id_
        for id_, at in streams.items()
        if not any(id_.startswith(stream) for stream in needed)
        and (at < time.time() - DAY_S or any(id_.startswith(full.stream) for full in fulls))
    ]
    old = [full.id for full in fulls if full not in kept] + lost
    _, logs, _ = binlog.snapshots()
    old_logs = [each.id for each in logs if each not in kept_logs(logs, config.points_days, time.time())]
    for restic, ids in ((data, old), (binlog, old_logs)):
        if tell:
            tell.phase(f"forgetting {len(ids)} snapshots")
        restic.run("unlock")
        for start in range(0, len(ids), 100):
            restic.run("forget", *ids[start : start + 100])
        if ids:
            restic.run("prune")
    return {"forgotten": len(old) + len(old_logs), "fulls": len(kept)}


FORMATS = {
    b"XBSTCK": "a stream of mariadb-backup",
    b"\xfebin": "a binary log",
    b"-- M": "a dump in SQL",
    b"\x28\xb5\x2f\xfd": "compressed by zstd",
    b"\x1f\x8b\x08": "compressed by gzip",
}
"""How data begin that are not encrypted. What is compressed is as random as what is encrypted, but for this."""
SAMPLE, PACKS = 1 << 20, 4


def looked_at(data: bytes) -> dict[str, Any]:
    """Bytes as they lie somewhere: how many were looked at, their entropy in bits a byte, and what they begin as."""
    sample = data[:SAMPLE]
    counts = [sample.count(value) for value in range(256)]
    entropy = -sum(count / len(sample) * math.log2(count / len(sample)) for count in counts if count)
    begins = next((name for magic, name in FORMATS.items() if sample.startswith(magic)), "")
    return {"sample": len(sample), "entropy": round(entropy, 4), "begins": begins}


def stored_bytes(restic: Restic) -> dict[str, Any] | None:
    """What `looked_at` finds in one file of the target, another one each day, just as it lies there; None of none.

    Of those that only say which pieces a backup has some are small; of a few in turn the largest counts.

    Raises:
        Trouble: it cannot be read.
    """
    files = sorted(restic.run("list", "packs", "--no-lock", "--no-cache", "--quiet").split())
    day = datetime.now(UTC).timetuple().tm_yday
    found: list[dict[str, Any]] = []
    for number in range(min(len(files), PACKS)):
        pack = files[(day + number) % len(files)]
        found.append(looked_at(restic.raw("cat", "pack", pack, "--no-lock", "--no-cache", "--quiet")))
        if found[-1]["sample"] == SAMPLE:
            break
    return max(found, key=lambda each: int(each["sample"]), default=None)


def check(config: Config, secrets: TargetSecrets, tell: Tell) -> dict[str, Any]:
    """Read the target back: all of its structure, and each day another thirtieth of what is stored.

    Raises:
        Trouble: something cannot be read.
    """
    facts: dict[str, Any] = {}
    with run_of("check", facts):
        part = datetime.now(UTC).timetuple().tm_yday % 30 + 1
        for name in PARTS:
            tell.phase(f"reading back {'the binary logs' if name == 'binlog' else 'a part of the backups'}")
            subset = [f"--read-data-subset={part}/30"] if name == "data" else []
            Restic(config, secrets, name).run("check", "--no-lock", "--no-cache", "--quiet", *subset)
        facts["part"] = part
        facts["stored"] = stored_bytes(Restic(config, secrets, "data"))
    return facts


def daily(config: Config, secrets: TargetSecrets, tell: Tell) -> dict[str, Any]:
    """All that is done once a day. What fails does not keep the rest from being done.

    Raises:
        Trouble: something failed; the text says all of it.
    """
    facts: dict[str, Any] = {}
    wrong = []

    def attempt(step: Callable[[], Mapping[str, Any]]) -> None:
        try:
            facts.update(step())
        except Trouble as error:
            wrong.append(str(error))

    attempt(lambda: full(config, secrets, tell))
    if config.prune and not wrong:
        attempt(lambda: prune(config, secrets, tell))
    attempt(lambda: check(config, secrets, tell))
    last = (recorded("drill")["ok"] or {}).get("at", 0.0)
    if not wrong and config.drill_days is not None and time.time() - last > config.drill_days * DAY_S - DAY_S / 2:
        attempt(lambda: drill(config, secrets, tell, None))
    if wrong:
        raise Trouble("; ".join(dict.fromkeys(wrong)))
    return facts


# --- restoring --------------------------------------------------------------------------------------------------------


def unpack(
    config: Config, secrets: TargetSecrets, at: float | None, into: Path, tell: Tell
) -> tuple[Full, Logs | None]:
    """Bring a backup back as files of a server, ready to be started.

    Raises:
        Trouble: it could not be.
    """
    data, binlog = (Restic(config, secrets, part) for part in PARTS)
    tell.phase("looking for the backup")
    fulls, _, _ = data.snapshots()
    _, logs, _ = binlog.snapshots()
    found, later = plan(fulls, still_whole(logs), at)
    free = shutil.disk_usage(into).free
    needed = int(found.bytes * 1.1) + (256 << 20)
    if free < needed:
        raise Trouble(
            f"{into.parent} has {free >> 20} MB free, and the backup needs {needed >> 20} MB; make room there"
        )
    getting = subprocess.Popen(
        data.words("dump", "--no-lock", found.stream, "/full.mbstream"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=data.environment(),
    )
    laying = subprocess.Popen(["mbstream", "-x", "-C", str(into)], stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    got, laid = _opened(getting.stdout), _opened(laying.stdin)
    done = 0
    with contextlib.suppress(BrokenPipeError):
        while block := got.read(BLOCK):
            laid.write(block)
            done += len(block)
            tell.phase("restoring", done, found.bytes, "bytes")
        laid.close()
    complaint = _opened(laying.stderr).read().decode(errors="replace")
    if laying.wait():
        getting.kill()
        getting.wait()
        raise Trouble(f"the backup cannot be unpacked: {why(complaint)}")
    if getting.wait():
        raise ResticError(config.place, _opened(getting.stderr).read().decode(errors="replace"))
    tell.phase("preparing the data")
    _program("mariadb-backup", "--prepare", f"--target-dir={into}")
    return found, later


def _program(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Trouble(f"{words[0]} failed: {why(done.stdout + done.stderr)}")


@contextlib.contextmanager
def private_server(folder: Path) -> Iterator[LocalServer]:
    """A server on restored files that nobody but root reaches: no network, and a socket in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="server.", dir=_private_folder()) as place:
        server = LocalServer(f"{place}/socket")
        log = Path(place) / "log"
        words = [
            *("mariadbd", f"--defaults-file={folder}/backup-my.cnf", "--user=root", f"--datadir={folder}"),
            *(f"--socket={server.socket}", f"--pid-file={place}/pid", "--skip-networking", "--skip-log-bin"),
            *(
                "--skip-slave-start",
                "--event-scheduler=OFF",
                "--innodb-buffer-pool-size=256M",
                "--max-allowed-packet=1G",
            ),
            *(
                f"--log-error={log}",
                f"--tmpdir={place}",
                "--performance-schema=OFF",
                "--innodb-flush-log-at-trx-commit=2",
            ),
        ]
        running = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            while not server.answers():
                if running.poll() is not None:
                    raise Trouble(f"the restored server does not start: {_errors(log)}")
                time.sleep(0.2)
            yield server
            server.rows("SET GLOBAL innodb_fast_shutdown = 1; SHUTDOWN;")
            if running.wait():
                raise Trouble(f"the restored server does not stop cleanly: {_errors(log)}")
        finally:
            if running.poll() is None:
                running.kill()
                running.wait()


def _errors(log: Path) -> str:
    text = log.read_text(errors="replace") if log.exists() else ""
    return why("\n".join(line for line in text.splitlines() if "[ERROR]" in line) or text)


def replay(
    config: Config, secrets: TargetSecrets, server: LocalServer, found: Full, logs: Logs, at: float | None, tell: Tell
) -> None:
    """Play binary logs on top of a restored full, up to a moment.

    Raises:
        Trouble: one of them cannot be read or played.
    """
    binlog = Restic(config, secrets, "binlog")
    first, last = (int(name.rpartition(".")[2]) for name in (found.file, logs.file))
    stem, _, digits = found.file.rpartition(".")
    names = [f"{stem}.{number:0{len(digits)}}" for number in range(first, last + 1)]
    with tempfile.TemporaryDirectory(prefix="logs.", dir=STATE) as folder:
        for number, name in enumerate(names):
            tell.phase("fetching binary logs", number, len(names), "files")
            with (Path(folder) / name).open("wb") as file:
                words = binlog.words("dump", "--no-lock", logs.id, str(DATA / name))
                done = subprocess.run(words, stdout=file, stderr=subprocess.PIPE, env=binlog.environment(), check=False)
            if done.returncode:
                raise ResticError(config.place, done.stderr.decode(errors="replace"))
        tell.phase("playing binary logs")
        until = [f"--stop-position={logs.position}"]
        if at is not None:
            until.append(f"--stop-datetime={datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S}")
        words = ["mariadb-binlog", "--no-defaults", "--disable-log-bin", f"--start-position={found.position}", *until]
        reading = subprocess.Popen(
            [*words, *(f"{folder}/{name}" for name in names)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "TZ": "UTC"},
        )
        playing = subprocess.run(
            server.client("--binary-mode", "--max-allowed-packet=1G"),
            stdin=reading.stdout,
            capture_output=True,
            check=False,
        )
        _, complaint = reading.communicate()
        if playing.returncode:
            raise Trouble(f"the binary logs cannot be played: {why(playing.stderr.decode(errors='replace'))}")
        if reading.returncode:
            raise Trouble(f"the binary logs cannot be read: {why(complaint.decode(errors='replace'))}")


def restored_aside(
    config: Config,
    secrets: TargetSecrets,
    at: float | None,
    folder: Path,
    tell: Tell,
    work: Callable[[LocalServer], None],
    *,
    sums: bool,
) -> dict[str, Any]:
    """Restore into a folder, run it there, let `work` do its own, and count; gives the facts of it."""
    began = time.time()
    found, logs = unpack(config, secrets, at, folder, tell)
    point = found.at
    with private_server(folder) as server:
        if logs is not None:
            replay(config, secrets, server, found, logs, at, tell)
            point = logs.at if at is None else at
        work(server)
        tables = counted(server, tell, sums=sums)
    return {
        "point": point,
        "backup": found.at,
        "bytes": found.bytes,
        "restore_s": round(time.time() - began, 1),
        "rows": sum(each["rows"] for each in tables),
        "tables": tables,
    }


def drill(config: Config, secrets: TargetSecrets, tell: Tell, at: float | None) -> dict[str, Any]:
    """Restore aside and read every row. The result is remembered, and the data are gone afterwards.

    Raises:
        Trouble: it could not be restored.
    """
    facts: dict[str, Any] = {}
    with run_of("drill", facts), tempfile.TemporaryDirectory(prefix="drill.", dir=STATE) as folder:
        facts |= restored_aside(config, secrets, at, Path(folder), tell, lambda _server: None, sums=True)
    return facts


def restore(
    config: Config,
    secrets: TargetSecrets,
    tell: Tell,
    at: float | None,
    deletions: str,
    *,
    overwrite: bool,
    cluster: bool = False,
    copies: bool = False,
) -> dict[str, Any]:
    """Put a backup in place of the server's data. The old data stay until the new ones are served.

    With `cluster` the server begins a new Galera cluster with them, with `copies` it takes the writes, once whoever
    asks has stopped the other servers; each of these must get all data from it then.

    Raises:
        Trouble: it could not be; the old data are in place then, and the server runs if it did before.
    """
    _refuse_others(cluster=cluster, copies=copies)
    facts: dict[str, Any] = {}
    with run_of("restore", facts):
        _take_back_cut_swap()
        live = LocalServer()
        ran = live.answers()
        if not overwrite and (tables := live.tables() if ran else _found_tables()):
            raise Trouble(
                f"this host has data ({len(tables)} tables, such as {'.'.join(tables[0])}), which a restore replaces; "
                "nothing was changed. Say so with --overwrite"
            )
        if copies and not ran:
            raise Trouble("MariaDB does not run here, so who took the writes is not known; nothing was changed")
        accounts = _accounts(live) if ran else []
        number = 0
        folder = Path(tempfile.mkdtemp(prefix=NEW, dir=DATA))
        shipping = _systemctl("is-active", "--quiet", UNIT.format("ship")) == 0
        try:

            def work(server: LocalServer) -> None:
                for statement in accounts:
                    server.rows(statement)
                if cluster:
                    server.rows(PRIMARIES.format(0, config.host))
                if deletions.strip():
                    tell.phase("applying deletions")
                    before = {each["table"]: each["rows"] for each in counted(server, tell, sums=False)}
                    _apply(server, deletions)
                    after = {each["table"]: each["rows"] for each in counted(server, tell, sums=False)}
                    facts["deleted"] = {
                        name: rows - after.get(name, 0) for name, rows in before.items() if rows != after.get(name, 0)
                    }

            facts |= restored_aside(config, secrets, at, folder, tell, work, sums=False)
            if cluster:
                _wait_until_alone(live, tell)
            if copies:
                _wait_until_stopped(tell)
                number = int(live.rows("SELECT COALESCE(MAX(number), 0) FROM _fortress.primaries;")[0][0])
            tell.phase("putting the data in place")
            if shipping:
                _systemctl("stop", UNIT.format("ship"))
            _swap(folder, ran=ran)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            if shipping:
                _systemctl("start", UNIT.format("ship"))
        (STATE / "line.json").unlink(missing_ok=True)  # the binary log begins anew
        if copies:
            tell.phase("taking the writes")
            _take_writes(config.host, number)
        facts["accounts"] = "as they were on this host" if accounts else "as they were in the backup"
        _systemctl("start", "--no-block", UNIT.format("full"))
    return facts


def _refuse_others(*, cluster: bool, copies: bool) -> None:
    """See that no other server would undo a restore here, or go on without it.

    Raises:
        Trouble: one would.
    """
    if cluster and not JOINED.exists():
        raise Trouble("this server is no member of a cluster; nothing was changed. Run `pulumi up` first")
    if cluster:
        return
    if JOINED.exists():
        raise Trouble(
            "this server is a member of a cluster, which would replace what is restored here; nothing was changed. Use "
            "`fortress restore`, which stops the other members meanwhile"
        )
    others = other_servers()
    if others and not copies:
        raise Trouble(
            f"{', '.join(others)} would not follow restored data; nothing was changed. Use `fortress restore`, which "
            "stops the other servers meanwhile, and gives them the data"
        )
    if copies and not others:
        raise Trouble("this server is the only one; nothing was changed. Run `pulumi up` first")


def _wait_until_stopped(tell: Tell) -> None:
    """Wait until MariaDB runs on no other server: each host says itself that nothing listens there.

    One that does not answer may still take writes, so it counts as one that runs.

    Raises:
        Trouble: they do not stop in time.
    """
    began = time.monotonic()
    while running := [name for name, where in other_servers().items() if not _refused(where)]:
        if time.monotonic() - began > ALONE_S:
            raise Trouble(
                f"{', '.join(running)}: MariaDB was not stopped within {ALONE_S / 60:.0f} min; nothing was restored"
            )
        tell.phase(WAITING)
        time.sleep(0.5)


def _refused(where: tuple[str, int]) -> bool:
    try:
        socket.create_connection(where, ANSWERS_S).close()
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return False


def _take_writes(host: str, number: int) -> None:
    """Make this server the one that takes the writes, whatever the data of the others say, up to this number.

    Raises:
        Trouble: it does not.
    """
    try:
        # In its binary log, so that there is a position from which others can follow.
        LocalServer().rows(PRIMARIES.format(number, host))
        _role("promote")
        _role("join")  # the restored data may have another password for those who copy
    except Trouble as error:
        raise Trouble(
            f"the restored data are in place, but {host} does not take the writes: {error}. Use `fortress promote "
            f"{host}`, then `fortress reseed` for each other server"
        ) from None


def _wait_until_alone(server: LocalServer, tell: Tell) -> None:
    """Wait until this member is the only vote that is left of its cluster: no other one takes writes then, nor meets
    the new cluster with the old data.

    Raises:
        Trouble: it is not in time, or is in no majority any more.
    """
    began = counted_out = time.monotonic()
    while True:
        found = dict(server.rows(_VOTES))
        now = time.monotonic()
        if found.get("wsrep_cluster_status") == "Primary":
            counted_out = now
            if found.get("wsrep_cluster_size") == "1":
                return
        elif now - counted_out > COUNTING_S:
            raise Trouble(
                "the cluster lost its majority while the other members were stopped; nothing was restored. Begin it "
                "again with `fortress recover`"
            )
        if now - began > ALONE_S:
            raise Trouble(f"the other members were not stopped within {ALONE_S / 60:.0f} min; nothing was restored")
        tell.phase(WAITING)
        time.sleep(0.5)


def _found_tables() -> list[tuple[str, str]]:
    """Tables by the files of a server that does not run."""
    return [
        (file.parent.name, file.stem)
        for file in sorted(DATA.glob("*/*.frm"))
        if file.parent.name not in SYSTEM and not STAYS.fullmatch(file.parent.name)
    ]


def _accounts(server: LocalServer) -> list[str]:
    """Statements that make the program's accounts as they are now: passwords may have changed since the backup."""
    if not server.rows(
        "SELECT 1 FROM information_schema.tables WHERE table_schema = '_fortress' AND table_name = 'accounts';"
    ):
        return []
    # Roles first, which have no host: accounts are granted them.
    accounts = server.rows("SELECT user, host FROM _fortress.accounts ORDER BY host <> '';")
    statements = [
        "CREATE DATABASE IF NOT EXISTS _fortress CHARACTER SET utf8mb4; "
        "CREATE TABLE IF NOT EXISTS _fortress.accounts (user VARCHAR(80), host VARCHAR(255), PRIMARY KEY (user, host)) "
        "CHARACTER SET ascii COLLATE ascii_bin;"
    ]
    for user, host in accounts:
        account = f"'{user}'@'{host}'" if host else f"'{user}'"
        granted = server.rows(f"SHOW GRANTS FOR {account};")
        if host:
            made = server.rows(f"SHOW CREATE USER {account};")
            statements.append(f"DROP USER IF EXISTS {account}; {made[0][0]};")
        else:
            statements.append(f"DROP ROLE IF EXISTS {account}; CREATE ROLE {account};")
        statements.append(f"REPLACE INTO _fortress.accounts VALUES ('{user}', '{host}');")  # noqa: S608 - our names
        statements += [f"{row[0]};" for row in granted]
    return statements


def _apply(server: LocalServer, deletions: str) -> None:
    words = server.client("--batch")
    text = f"SET autocommit = 0;\n{deletions.rstrip().rstrip(';')};\nCOMMIT;\n"
    done = subprocess.run(words, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Trouble(f"the deletions cannot be applied, so nothing was restored: {why(done.stderr)}")


def _systemctl(*words: str) -> int:
    return subprocess.run(["systemctl", *words], capture_output=True, check=False).returncode


def _entries(folder: Path) -> list[Path]:
    return [each for each in folder.iterdir() if not STAYS.fullmatch(each.name)]


def _swap(new: Path, *, ran: bool) -> None:
    """Put the files of a server in place of those that are there; the old ones come back if it does not start.

    Raises:
        Trouble: it does not start.
    """
    for note in ("backup-my.cnf", "mariadb_backup_*", "xtrabackup_*"):
        for file in new.glob(note):
            file.unlink()
    _program("chown", "-R", "mysql:mysql", str(new))
    if _systemctl("stop", "mariadb.service"):
        raise Trouble("MariaDB does not stop; nothing was changed")
    LEAVING.mkdir(mode=0o700)
    _move(DATA, LEAVING)
    LEAVING.rename(BEFORE)
    _move(new, DATA)
    if _start_server() or not LocalServer().answers():
        _systemctl("stop", "mariadb.service")
        _move(DATA, new)
        _move(BEFORE, DATA)
        BEFORE.rmdir()
        if ran:
            _start_server()
        raise Trouble("MariaDB does not start with the restored data; the old data are back. See journalctl -u mariadb")
    BEFORE.rename(GONE)
    shutil.rmtree(GONE)


def _start_server() -> int:
    """Start MariaDB; a member of a cluster, which left it as the last one, begins it. Gives the exit status."""
    if JOINED.exists():
        return subprocess.run(["galera_new_cluster"], capture_output=True, check=False).returncode
    return _systemctl("start", "mariadb.service")


def _move(source: Path, target: Path) -> None:
    for each in _entries(source):
        each.rename(target / each.name)


def _take_back_cut_swap() -> None:
    """Where a restore was cut while files changed places: the old ones come back, and are served."""
    cut = LEAVING.exists() or BEFORE.exists()
    if cut and _systemctl("stop", "mariadb.service"):
        raise Trouble("an earlier restore was cut, and MariaDB does not stop for its old data to come back")
    if LEAVING.exists():
        _move(LEAVING, DATA)
        LEAVING.rmdir()
    if BEFORE.exists():
        for each in _entries(DATA):
            shutil.rmtree(each) if each.is_dir() else each.unlink()
        _move(BEFORE, DATA)
        BEFORE.rmdir()
    if cut:
        _systemctl("start", "mariadb.service")
    for left in (GONE, *DATA.glob(f"{NEW}*")):
        shutil.rmtree(left, ignore_errors=True)


# --- what is asked from outside ---------------------------------------------------------------------------------------


def listed(config: Config, secrets: TargetSecrets) -> dict[str, Any]:
    """What is stored."""
    fulls, _, _ = Restic(config, secrets, "data").snapshots()
    _, logs, _ = Restic(config, secrets, "binlog").snapshots()
    kept = points(fulls, still_whole(logs))
    return {"target": config.place, "backups": [asdict(each) for each in fulls], "points": kept}


def state(config: Config) -> dict[str, Any]:
    """How the last runs went, without asking the target."""
    found: dict[str, Any] = {"now": time.time(), "target": config.place, "drill_days": config.drill_days}
    for kind in ("full", "ship", "check", "drill"):
        found[kind] = recorded(kind)
    try:
        found["behind_s"] = round(found["now"] - has_all_until(), 1) if other_servers() else 0.0
    except Trouble:
        found["behind_s"] = None
    try:
        found["position"] = list(LocalServer().position())
    except Trouble as error:
        found["position"], found["trouble"] = None, str(error)
    found["running"] = [
        verb
        for verb in ("daily", "full", "drill", "ship")
        if _systemctl("is-active", "--quiet", UNIT.format(verb)) == 0
    ]
    return found


def follow(verb: str, words: Sequence[str], text: str) -> int:
    """Have a run done by systemd, which goes on if nobody listens any more, and tell how far it is."""
    progress, asked = (_private_folder() / f"{verb}.{end}" for end in ("json", "asked"))
    unit = RESTORE_UNIT if verb == "restore" else UNIT.format(verb)
    asking = json.dumps([*words, text])
    if not _active(unit):
        progress.unlink(missing_ok=True)
        _write(asked, asking)
        if verb == "restore":
            _write(_private_folder() / "deletions.sql", text)
            command = [
                "systemd-run",
                "--quiet",
                "--collect",
                f"--unit={unit}",
                "--property=Type=exec",
                str(PROGRAM),
                "restore",
                *words,
            ]
        else:
            command = ["systemctl", "start", unit]  # Type=exec: until it runs, not until it ends
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Trouble(why(done.stderr))
    elif asked.exists() and asked.read_text() != asking:
        raise Trouble(f"another {verb} is running, with other options; wait for its end")
    said, spoke = "", 0.0
    while True:
        active = _active(unit)
        now = progress.read_text() if progress.exists() else ""
        if (now and now != said) or time.monotonic() - spoke > 2:
            print(now or json.dumps({"verb": verb, "phase": "starting"}), flush=True)
            said, spoke = now, time.monotonic()
        if now and "ended" in json.loads(now):
            return 0
        if not active:
            raise Trouble(f"{unit} ended without a word; see journalctl -u {unit}")
        time.sleep(0.25)


def _active(unit: str) -> bool:
    said = subprocess.run(
        ["systemctl", "show", "-p", "ActiveState", "--value", unit], capture_output=True, text=True, check=False
    )
    return said.stdout.strip() in ("active", "activating", "deactivating")


def init(config: Config, secrets: TargetSecrets) -> None:
    """Make the repositories that are not there yet, and have the configuration used from now on.

    Raises:
        Trouble: the target cannot be used; nothing was made then.
    """
    missing = [restic for part in PARTS if not (restic := Restic(config, secrets, part)).exists()]
    for restic in missing:
        restic.run("init", "--quiet", seconds=OPENS_S)
        print(f"made a repository: {config.place} ({restic.part})")
    _systemctl("try-restart", UNIT.format("ship"))


def moment(text: str) -> float:
    """Seconds since 1970 of a time such as 2026-11-29T14:00:00Z; without a zone it is UTC.

    Raises:
        ValueError: it is no time.
    """
    found = datetime.fromisoformat(text)
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def main(arguments: Sequence[str]) -> int:
    """Run one verb; gives the exit status."""
    parser = argparse.ArgumentParser(prog="database-backup", description="Backups of this host's MariaDB.")
    parser.add_argument("--config", type=Path, default=CONFIG)
    parser.add_argument("--secrets", type=Path, default=SECRETS)
    verbs = parser.add_subparsers(dest="verb", required=True)
    for name in ("daily", "full", "anew", "ship", "list", "state", "init", "prune", "drill"):
        verbs.add_parser(name)
    for name in ("restore", "follow"):
        each = verbs.add_parser(name)
        if name == "follow":
            each.add_argument("what", choices=("daily", "full", "drill", "restore"))
        each.add_argument("--at", type=moment)
        each.add_argument("--overwrite", action="store_true")
        each.add_argument("--cluster", action="store_true")
        each.add_argument("--copies", action="store_true")
    given = parser.parse_args(arguments)
    os.umask(0o077)
    tell = Tell(given.verb)
    try:
        if given.verb == "follow":
            words = [*(["--at", told(given.at)] if given.at else [])]
            words += [f"--{name}" for name in ("overwrite", "cluster", "copies") if getattr(given, name)]
            return follow(given.what, words, sys.stdin.read() if given.what == "restore" else "")
        config = Config.read(given.config.read_text())
        if given.verb == "state":
            print(json.dumps(state(config)))
            return 0
        secrets = TargetSecrets.read(given.secrets.read_text())
        return _do(given, config, secrets, tell)
    except (Trouble, OSError, ValueError) as error:
        print(f"database-backup: {error}", file=sys.stderr)
        return 1


def _do(given: argparse.Namespace, config: Config, secrets: TargetSecrets, tell: Tell) -> int:
    runs: dict[str, Callable[[], Mapping[str, Any]]] = {
        "daily": lambda: daily(config, secrets, tell),
        "full": lambda: full(config, secrets, tell),
        "anew": lambda: full(config, secrets, tell) if lacks_full(line_of(LocalServer().position())) else {},
        "drill": lambda: drill(config, secrets, tell, None),
        "restore": lambda: restore(
            *(config, secrets, tell, given.at, _deletions()),
            overwrite=given.overwrite,
            cluster=given.cluster,
            copies=given.copies,
        ),
    }
    if given.verb in runs:
        try:
            with alone(tell):
                facts = runs[given.verb]()
        except BaseException as error:
            tell.end(trouble=str(error) or type(error).__name__, facts={})
            raise
        tell.end(trouble=None, facts=facts)
        print(json.dumps(facts))
    elif given.verb == "ship":
        ship(config, secrets)
    elif given.verb == "list":
        print(json.dumps(listed(config, secrets)))
    elif given.verb == "init":
        init(config, secrets)
    else:
        print(json.dumps(prune(config, secrets)))
    return 0


def _deletions() -> str:
    path = _private_folder() / "deletions.sql"
    text = path.read_text() if path.exists() else ""
    path.unlink(missing_ok=True)
    return text


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
