"""Which server of a database with copies takes writes. Runs on each database host (python3, standard library only).

Every server starts read-only. Who takes writes is said by the data themselves: the newest row of _fortress.primaries
names a server, and the number of each row is greater than the last one's. The row is written by the server that hands
over, as the last transaction that it takes, or by one that is promoted; so it arrives with all that came before it.
In a Galera cluster it is written by a member of the majority too, once the server that it names is in it no more.

    database_role.py serve              the service: asks its own server and the others once in half a second, and acts
    database_role.py state              what the service knows, as JSON
    database_role.py role               the same in a word: primary, copy, or none and why it has no place now
    database_role.py join [--first]     take part: become the first primary, or a copy of the one that takes writes
    database_role.py may-restart first|last
                                        whether the settings' order of restarts is right: the primary's comes last
    database_role.py settled            wait until this server has its place again, as after a restart
    database_role.py hand-over SERVER   let another server take the writes
    database_role.py promote            take the writes, since the primary is lost
    database_role.py reseed             throw this server's data away and copy the primary's
    database_role.py saved              in a Galera cluster: what the data of a stopped member are worth, as JSON
    database_role.py begin              in a Galera cluster that lost its majority: begin it again with these data
    database_role.py leave              take part no more; the data stay

The service never lifts read_only in doubt: not while another server of the list does not answer, not where one has
transactions that are missing here, and not where two claim the same number. docs/decisions/0021 has the reasons.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import hashlib
import hmac
import http.client
import http.server
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.parse
import xml.etree.ElementTree as ElementTree
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import IO, Any, NoReturn

CONFIG = Path("/etc/fortress/database/servers.json")
CA = Path("/etc/fortress/database/ca.pem")
PASSWORD = Path("/etc/fortress/database/replication-password")
CERTIFICATE = Path("/etc/mysql/fortress/server.pem")
SOCKET = "/run/mysqld/mysqld.sock"
DATA = Path("/var/lib/mysql")
SEEDING = DATA / ".fortress-seeding"
"""While it is there, the data are worthless: they are about to be, or half, replaced by a copy."""
STAGE = DATA / ".fortress-seed"
JOINED = Path("/etc/mysql/mariadb.conf.d/93-fortress-joined.cnf")
"""While it is there, MariaDB starts as a member of the cluster."""
BEGINNING = DATA / ".fortress-beginning"
"""While it is there, this member was to begin the cluster, and it is not known whether it did."""
SAVED = DATA / "grastate.dat"
SYNCED = "Synced"
LOCK = Path("/run/fortress-database/lock")
USER = "_replica"

EVERY_S = 0.5
ANSWER_S = 1.5
"""How long another server may take for its answer."""
FRESH_S = 3.0
"""How old an answer about the own server may be to be given to a proxy."""
JOIN_S = 240.0
SETTLE_S = 120.0
HAND_OVER_S = 20.0
DESYNCED_S = 10.0
"""How long a member that takes the writes may give data to another one before it lets a third one take them: what was
missed takes less, and all data take longer."""
PATIENCE_S = 10.0
STOP_S = 900.0
"""How long MariaDB may take to write what it has in memory, as its unit has it."""
APPLY_S = 120.0
FLOW_S = 60.0
"""Over how long the share of time is told in which the cluster waited for its slowest member."""

LOOK = """
SET SESSION wsrep_dirty_reads = ON;
SET @primary = IF((SELECT COUNT(*) FROM information_schema.TABLES
    WHERE TABLE_SCHEMA = '_fortress' AND TABLE_NAME = 'primaries') > 0,
    'SELECT number, server FROM _fortress.primaries ORDER BY number DESC LIMIT 1',
    'SELECT 0 AS number, NULL AS server');
EXECUTE IMMEDIATE @primary;
SET @members = IF((SELECT COUNT(*) FROM information_schema.TABLES
    WHERE TABLE_SCHEMA = 'mysql' AND TABLE_NAME = 'wsrep_cluster_members') > 0,
    'SELECT node_name AS name FROM mysql.wsrep_cluster_members WHERE node_incoming_address <> ""',
    'SELECT NULL AS name');
EXECUTE IMMEDIATE @members;
SELECT @@global.read_only AS read_only, @@global.gtid_current_pos AS position, @@global.gtid_binlog_pos AS binlog,
    @@global.wsrep_on AS wsrep_on,
    (SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_TYPE = 'BASE TABLE' AND TABLE_SCHEMA NOT IN
        ('mysql', 'sys', 'information_schema', 'performance_schema', '_fortress')) AS own_tables;
SHOW GLOBAL STATUS WHERE Variable_name IN
    ('Rpl_semi_sync_master_status', 'Rpl_semi_sync_master_clients', 'Rpl_semi_sync_slave_status',
    'wsrep_cluster_status', 'wsrep_cluster_state_uuid', 'wsrep_cluster_size', 'wsrep_local_state_comment',
    'wsrep_ready', 'wsrep_last_committed', 'wsrep_local_recv_queue', 'wsrep_flow_control_paused_ns');
SHOW ALL SLAVES STATUS;
"""
TABLE = """
SET SESSION sql_log_bin = 1;
CREATE DATABASE IF NOT EXISTS _fortress CHARACTER SET utf8mb4;
CREATE TABLE IF NOT EXISTS _fortress.primaries (number BIGINT UNSIGNED PRIMARY KEY, server VARCHAR(255) NOT NULL,
    since TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP) ENGINE InnoDB CHARACTER SET ascii COLLATE ascii_bin;
CREATE TABLE IF NOT EXISTS _fortress.heartbeat (one TINYINT UNSIGNED PRIMARY KEY, at TIMESTAMP(6) NOT NULL)
    ENGINE InnoDB;
"""
ROW = "INSERT INTO _fortress.primaries (number, server) VALUES ({}, {});"
HEARTBEAT = "SET SESSION sql_log_bin = 1; REPLACE INTO _fortress.heartbeat VALUES (1, NOW(6));"


DIVERGED = {"1236", "1945", "1950"}
"""Of MariaDB's errors: the position is not in the primary's binary log, cannot be applied after what is here, or is
out of order there."""


class RoleError(Exception):
    """What was asked for cannot be, or did not come about; the text says why."""


class NotNowError(RoleError):
    """The same, and it may be tried again."""


# --- what is known of a server ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ReplicationSource:
    """What a copy says of its connection to the primary."""

    address: str
    receiving: bool
    applying: bool
    error: str
    received: str
    """GTID position up to which transactions arrived."""
    waiting: bool
    """Whether all that arrived is applied."""
    diverged: bool = False
    """Whether its data do not continue into the primary's: another copy is the only way back."""


@dataclass(frozen=True)
class Membership:
    """What a member of a Galera cluster says of it."""

    status: str = ""
    """`Primary` where it is in the majority; nothing where MariaDB does not answer."""
    state: str = ""
    """Synced, or what it does to become so; Donor/Desynced while it gives data to another one."""
    ready: bool = False
    """Whether it takes queries."""
    size: int = 0
    """Votes in its component, the witness's too."""
    members: tuple[str, ...] = ()
    """Hosts of its component that keep data."""
    cluster: str = ""
    """Which cluster the data are of, for ever."""
    committed: int = 0
    """Number of the last write-set that it applied."""
    queue: int = 0
    """Write-sets that it received and has not applied."""
    paused_ns: int = 0
    """How long it waited for the slowest member, since it was started."""

    @property
    def stands(self) -> bool:
        """Whether it is in the majority, and answers."""
        return self.status == "Primary" and self.ready


@dataclass(frozen=True)
class ServerState:
    """One server, as it says itself."""

    server: str
    number: int = 0
    """Of the newest row that says who takes writes; 0 where there is none."""
    primary: str | None = None
    read_only: bool = True
    position: str = ""
    """GTID position of all that it has: its own transactions and those that it applied."""
    binlog: str = ""
    own_tables: int = 0
    """Of databases that are not the system's."""
    semi_sync: bool = False
    """Whether its commits wait for a copy."""
    semi_sync_copies: int = 0
    source: ReplicationSource | None = None
    member: Membership | None = None
    """None where it is no member of a Galera cluster."""
    seeding: bool = False
    trouble: str = ""
    """Why the server itself cannot be asked."""


def parse_state(found: Mapping[str, Any]) -> ServerState:
    """A state as another server's service prints it; fields that this version does not know are passed over."""
    known = {name: found[name] for name in ServerState.__dataclass_fields__ if name in found}
    source, member = known.pop("source", None), known.pop("member", None)
    return ServerState(
        **known,
        source=ReplicationSource(**source) if source else None,
        member=Membership(**{**member, "members": tuple(member["members"])}) if member else None,
    )


def positions(text: str) -> dict[str, int]:
    """A GTID position: domain to sequence number."""
    found: dict[str, int] = {}
    for each in text.replace("\n", "").split(","):
        if each.strip():
            domain, _, sequence = each.strip().split("-")
            found[domain] = max(found.get(domain, 0), int(sequence))
    return found


def ahead(one: str, other: str) -> bool:
    """Whether position `one` has a transaction that `other` lacks, by their numbers."""
    had = positions(other)
    return any(sequence > had.get(domain, 0) for domain, sequence in positions(one).items())


@dataclass(frozen=True)
class PrimarySeen:
    """The primary as a copy saw it last."""

    ago_s: float
    position: str
    semi_sync: bool


@dataclass(frozen=True)
class ServerReport:
    """What a server's service knows, as it prints it and as others read it."""

    own: ServerState
    age_s: float = 0.0
    """Since it asked its own server."""
    takes_writes: bool = False
    why: str = ""
    """What it does about its role, and the reason."""
    lag_s: float | None = None
    """Of a copy: how old what it has is, by when it saw the primary at that position."""
    primary_seen: PrimarySeen | None = None
    votes: int = 0
    """Of a Galera cluster: how many there should be, the witness's too; 0 where there is none."""
    flow_paused: float | None = None
    """Of a member: the share of the last minute in which it waited for the slowest one."""
    others: dict[str, str] = field(default_factory=dict)
    """Every other server to `answers`, or why it does not."""
    service: str = ""
    """Why the service itself does not answer; then this is one look without it."""


def parse_report(found: Mapping[str, Any]) -> ServerReport:
    """A report as `asdict` of it is printed in JSON.

    Raises:
        ValueError: it is none.
    """
    try:
        known = {name: found[name] for name in ServerReport.__dataclass_fields__ if name in found}
        seen = known.pop("primary_seen", None)
        own = parse_state(known.pop("own"))
        return ServerReport(own, **known, primary_seen=PrimarySeen(**seen) if seen else None)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no report of a server: {error!r}") from None


@dataclass(frozen=True)
class Decision:
    """What the service does now: `lift` read_only, `drop` to read-only, `follow` a server, or `keep` what there is. In
    a cluster it may `take` the writes from one that left, or `yield` them to another one."""

    do: str
    why: str
    server: str = ""


def decide(
    me: str, own: ServerState, others: Mapping[str, ServerState | str], addresses: Mapping[str, str]
) -> Decision:
    """What a server does about its role. `others` has a text in place of a state where one does not answer."""
    answered = [state for state in others.values() if isinstance(state, ServerState) and not state.trouble]
    silent = [
        f"{name} does not answer ({state if isinstance(state, str) else state.trouble})"
        for name, state in others.items()
        if isinstance(state, str) or state.trouble
    ]
    trusted = [state for state in (own, *answered) if not state.seeding]
    number = max((state.number for state in trusted), default=0)
    claims = {state.primary for state in trusted if state.number == number}
    to_read_only = "keep" if own.read_only else "drop"
    if own.seeding:
        return Decision("keep", "its data are being replaced by a copy of the primary's")
    if number == 0:
        return Decision(to_read_only, "takes no part yet: `pulumi up` lets it join")
    if len(claims) > 1:
        named = " and ".join(sorted(str(claim) for claim in claims))
        return Decision(to_read_only, f"{named} were both made primary (number {number}): promote one of them")
    (primary,) = claims
    if primary != me:
        if not own.read_only:
            return Decision("drop", f"{primary} takes the writes since number {number}", str(primary))
        if primary not in addresses:
            return Decision("keep", f"the primary, {primary}, is none of the servers any more: promote one of them")
        if own.number == 0:
            return Decision("keep", "takes no part yet: `pulumi up` lets it join")
        if own.source is None or own.source.address != addresses[str(primary)]:
            return Decision("follow", f"{primary} takes the writes since number {number}", str(primary))
        return Decision("keep", f"follows {primary}", str(primary))
    if own.number < number:
        return Decision(
            to_read_only,
            f"its data are older than number {number}, which another server knows of: promote that one instead",
        )
    if not own.read_only:
        return Decision("keep", "takes the writes")
    if silent:
        return Decision(
            "keep", f"stays read-only until it knows that no other server was promoted: {'; '.join(silent)}"
        )
    behind = [state.server for state in answered if not state.seeding and ahead(state.position, own.position)]
    if behind:
        return Decision("keep", f"stays read-only: {', '.join(behind)} has transactions that are missing here")
    return Decision("lift", f"is the primary, number {number}, and no other server knows of a newer one")


def decide_member(
    me: str, own: ServerState, others: Mapping[str, ServerState | str], desynced_s: float = 0.0
) -> Decision:
    """The same in a Galera cluster, in whose majority all know the same rows. `desynced_s` says since when this server
    has not been Synced.

    Only who is in it can commit, so one that left is replaced at once. Two that would do so at the same time write the
    same number, and the cluster takes one of them.
    """
    to_read_only = "keep" if own.read_only else "drop"
    member = own.member
    if member is None or own.number == 0:
        return Decision(to_read_only, "takes no part yet: `pulumi up` lets it join")
    if not member.stands:
        said = f"{member.status or 'not connected'}, {member.state or 'no state'}"
        return Decision(to_read_only, f"is not in the majority of the cluster ({said})")
    states = [own, *(state for state in others.values() if isinstance(state, ServerState) and not state.trouble)]
    synced = sorted(
        state.server
        for state in states
        if state.member is not None and state.member.stands and state.member.state == SYNCED
        if state.server in member.members
    )
    if own.primary == me:
        better = [name for name in synced if name != me]
        if member.state != SYNCED and better and desynced_s > DESYNCED_S:
            return Decision("yield", f"is {member.state} while {better[0]} is Synced", better[0])
        return Decision("lift" if own.read_only else "keep", "takes the writes")
    if not own.read_only:
        return Decision("drop", f"{own.primary} takes the writes since number {own.number}")
    if own.primary in member.members:
        return Decision("keep", f"is a member; {own.primary} takes the writes", str(own.primary))
    successor = synced[0] if synced else me
    if successor != me:
        return Decision("keep", f"{own.primary} left the cluster, so {successor} is to take the writes", successor)
    return Decision("take", f"{own.primary} left the cluster")


# --- this host --------------------------------------------------------------------------------------------------------


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


def quoted(text: str) -> str:
    """A string of SQL, of what holds no control characters."""
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def sql(statements: str, seconds: float = 10.0) -> list[list[dict[str, str]]]:
    """Run SQL as this process's account by the unix socket; the rows of each result.

    Raises:
        RoleError: the server does not answer in time, or refuses.
    """
    words = ["mariadb", "--no-defaults", "--protocol=socket", f"--socket={SOCKET}", "--connect-timeout=3", "--xml"]
    account = "root" if os.geteuid() == 0 else "mysql"
    try:
        done = subprocess.run(
            [*words, f"--user={account}", "--default-character-set=utf8mb4"],
            input=f"SET SESSION sql_mode = '', sql_log_bin = 0;\n{statements}",
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise RoleError(f"MariaDB gave no answer within {seconds:g} s") from None
    if done.returncode != 0:
        raise RoleError(" ".join(done.stderr.split()) or "mariadb failed")
    found = []
    for part in done.stdout.split('<?xml version="1.0"?>')[1:]:
        root = ElementTree.fromstring(re.sub("[\x00-\x08\x0b\x0c\x0e-\x1f]", "?", part))  # noqa: S314 - our server's
        found.append([{str(f.get("name")): f.text or "" for f in row.iter("field")} for row in root.iter("row")])
    return found


def look(me: str) -> ServerState:
    """This host's server."""
    seeding = SEEDING.exists()
    try:
        (primary,), members, (known,), status, sources = sql(LOOK)
    except (RoleError, ValueError, ElementTree.ParseError) as error:
        member = Membership() if JOINED.exists() else None
        return ServerState(me, seeding=seeding, member=member, trouble=f"MariaDB: {error}")
    flags = {str(row["Variable_name"]).lower(): row["Value"] for row in status}
    return ServerState(
        server=me,
        number=int(primary["number"] or 0),
        primary=primary["server"] or None,
        read_only=known["read_only"] != "0",
        position=str(known["position"]),
        binlog=str(known["binlog"]),
        own_tables=int(known["own_tables"] or 0),
        semi_sync=flags.get("rpl_semi_sync_master_status") == "ON",
        semi_sync_copies=int(flags.get("rpl_semi_sync_master_clients") or 0),
        source=_source(sources[0]) if sources else None,
        # It may be on without Galera, where the file that named that is gone: then it says nothing of a cluster.
        member=_member(flags, members) if known["wsrep_on"] != "0" and "wsrep_local_state_comment" in flags else None,
        seeding=seeding,
    )


def _member(flags: Mapping[str, str], members: list[dict[str, str]]) -> Membership:
    return Membership(
        status=flags["wsrep_cluster_status"],
        state=flags["wsrep_local_state_comment"],
        ready=flags["wsrep_ready"] == "ON",
        size=int(flags["wsrep_cluster_size"]),
        members=tuple(sorted(row["name"] for row in members if row["name"])),
        cluster=flags["wsrep_cluster_state_uuid"],
        committed=int(flags["wsrep_last_committed"]),
        queue=int(flags["wsrep_local_recv_queue"]),
        paused_ns=int(flags["wsrep_flow_control_paused_ns"]),
    )


def _source(row: Mapping[str, str]) -> ReplicationSource:
    return ReplicationSource(
        address=str(row["Master_Host"]),
        receiving=row["Slave_IO_Running"] == "Yes",
        applying=row["Slave_SQL_Running"] == "Yes",
        error=" ".join(f"{row['Last_IO_Error'] or ''} {row['Last_SQL_Error'] or ''}".split()),
        received=str(row["Gtid_IO_Pos"] or ""),
        diverged=bool(DIVERGED & {row["Last_IO_Errno"], row["Last_SQL_Errno"]}),
        waiting=str(row["Slave_SQL_Running_State"]).startswith("Slave has read all relay log"),
    )


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


def follow(config: ServerList, primary: str) -> None:
    """Copy another server from here on. What this one wrote itself as a primary counts as its position.

    Raises:
        RoleError: the server refuses, or the password cannot be read.
    """
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    try:
        password = (Path(folder) / "replication-password" if folder else PASSWORD).read_text().removesuffix("\n")
    except OSError as error:
        raise RoleError(f"the replication password cannot be read ({error.strerror})") from None
    sql(f"""
        STOP ALL SLAVES;
        SET GLOBAL rpl_semi_sync_master_enabled = OFF;
        CHANGE MASTER TO MASTER_HOST = {quoted(config.servers[primary])}, MASTER_PORT = {config.database_port},
            MASTER_USER = {quoted(USER)}, MASTER_PASSWORD = {quoted(password)}, MASTER_CONNECT_RETRY = 2,
            MASTER_HEARTBEAT_PERIOD = 5, MASTER_SSL = 1, MASTER_SSL_CA = {quoted(str(CA))},
            MASTER_SSL_VERIFY_SERVER_CERT = 1, MASTER_USE_GTID = slave_pos, MASTER_DEMOTE_TO_SLAVE = 1;
        START SLAVE;
    """)


RELOAD = """
SET @reload = IF((SELECT COUNT(*) FROM information_schema.GLOBAL_VARIABLES
    WHERE VARIABLE_NAME = 'wsrep_provider_socket_ssl_reload') > 0,
    'SET GLOBAL wsrep_provider_socket_ssl_reload = ON',
    'SET GLOBAL wsrep_provider_options = "socket.ssl_reload=1"');
EXECUTE IMMEDIATE @reload;
"""
"""Newer servers have a variable of its own for each of Galera's options, and then do not take them together."""
READ_ONLY = "SET SESSION wsrep_on = OFF; SET GLOBAL read_only = ON;"
"""Without it Galera itself would stop for the moment that this takes."""


def hand_on(number: int, server: str) -> None:
    """In a cluster: name who takes the writes from here on, after all that came before.

    Raises:
        RoleError: another member was faster, or the majority is lost.
    """
    sql(f"SET SESSION sql_log_bin = 1; {ROW.format(number, quoted(server))}", HAND_OVER_S)


def lift() -> None:
    """Take writes, each of which waits for a copy from the first on: only the primary's do, or a copy would wait for
    one of its own with each transaction that it applies.

    Raises:
        RoleError: the server refuses.
    """
    sql(
        "STOP ALL SLAVES; RESET SLAVE ALL; SET GLOBAL rpl_semi_sync_master_enabled = ON; SET GLOBAL read_only = OFF;",
        APPLY_S,
    )


# --- the service, and asking others -----------------------------------------------------------------------------------


class Service:
    """Looks twice a second, acts, and tells who asks."""

    def __init__(self, config: ServerList) -> None:
        self.config = config
        self.own = ServerState(config.me, trouble="not asked yet")
        self.others: dict[str, ServerState | str] = dict.fromkeys(config.others, "not asked yet")
        self.decision = Decision("keep", "has just started")
        self.looked = 0.0
        self.seen: tuple[float, ServerState] | None = None
        """The primary as this copy saw it last, and when."""
        self.marks: deque[tuple[float, str]] = deque(maxlen=7200)
        """When the primary was where: what a copy's lag is told from, by the copy's own clock. Each commit so is a beat
        of its own; a table of beats would cost a commit a second, in every binary log and backup, and two clocks that
        agree. The server's own figure is NULL without a thread, and 0 while the network stalls."""
        self.applied: float | None = None
        """When the primary was where this copy is, None before one is known."""
        self.synced = time.monotonic()
        """When this member was seen Synced last."""
        self.flow: deque[tuple[float, int]] = deque(maxlen=240)
        """How long the cluster was paused in all, and when."""
        self.sending = threading.Lock()
        self.waking = threading.Lock()

    def step(self) -> None:
        """One look, and what follows from it."""
        others = ask_all(self.config)
        with contextlib.suppress(RoleError), one_at_a_time(5.0):
            # Under the lock, since a hand-over may have begun meanwhile.
            own = look(self.config.me)
            self.own, self.others = own, others
            if own.trouble:
                self.decision = Decision("keep", own.trouble)
            else:
                self.decision = (
                    decide_member(self.config.me, own, others, self.desynced_s())
                    if self.config.cluster
                    else decide(self.config.me, own, others, self.config.servers)
                )
                self.act()
            self.looked = time.monotonic()
        self.note()
        if self.takes_writes() and self.own.member is None and not self.own.semi_sync and self.own.semi_sync_copies:
            threading.Thread(target=self.wake, daemon=True).start()

    def desynced_s(self) -> float:
        """Since when this member has not been Synced."""
        now = time.monotonic()
        if self.own.member is None or self.own.member.state == SYNCED:
            self.synced = now
        return now - self.synced

    def wake(self) -> None:
        """Commit something: semi-sync that went off comes back with a commit that a copy acknowledges, and no sooner.

        In a thread of its own, since that commit may have to wait for the copy.
        """
        if self.waking.acquire(blocking=False):
            try:
                sql(HEARTBEAT, 30)
            except RoleError as error:
                print(f"no heartbeat: {error}", flush=True)
            finally:
                self.waking.release()

    def act(self) -> None:
        """Do what was decided; a failure is said in its reason, and tried again by the next step."""
        try:
            match self.decision.do:
                case "lift" if self.config.cluster:
                    sql("SET GLOBAL read_only = OFF;", APPLY_S)
                case "lift":
                    lift()
                case "take":
                    hand_on(self.own.number + 1, self.config.me)
                    sql("SET GLOBAL read_only = OFF;", APPLY_S)
                case "yield":
                    sql(READ_ONLY, APPLY_S)
                    hand_on(self.own.number + 1, self.decision.server)
                case "drop":
                    sql(READ_ONLY, APPLY_S)
                case "follow":
                    follow(self.config, self.decision.server)
                case _:
                    return
            print(f"{self.decision.do}: {self.decision.why}", flush=True)
            self.own = look(self.config.me)
        except RoleError as error:
            self.decision = replace(self.decision, why=f"{self.decision.why}; {error}")

    def note(self) -> None:
        """Where the primary is now, and how far this copy has come; in a cluster, how long it was paused."""
        now = time.monotonic()
        if self.config.cluster:
            if self.own.member is not None and not self.own.trouble:
                self.flow.append((now, self.own.member.paused_ns))
            while self.flow and now - self.flow[0][0] > FLOW_S:
                self.flow.popleft()
            return
        primary = self.others.get(self.own.primary or "")
        if isinstance(primary, ServerState) and not primary.trouble and not primary.read_only:
            self.seen = now, primary
            self.marks.append((now, primary.binlog))
        while self.marks and not ahead(self.marks[0][1], self.own.position):
            self.applied = self.marks.popleft()[0]

    def report(self) -> ServerReport:
        """What is known."""
        now = time.monotonic()
        copies = self.own.source is not None and bool(self.own.primary) and not self.own.trouble
        paused = None
        if len(self.flow) > 1 and (took := self.flow[-1][0] - self.flow[0][0]) > 0:
            # A restart begins to count anew.
            paused = round(max(self.flow[-1][1] - self.flow[0][1], 0) / 1e9 / took, 4)
        seen = None
        if self.seen is not None:
            when, primary = self.seen
            seen = PrimarySeen(round(now - when, 3), primary.binlog, primary.semi_sync)
        return ServerReport(
            self.own,
            age_s=round(now - self.looked, 3),
            takes_writes=self.takes_writes(),
            why=self.decision.why,
            lag_s=round(now - self.applied, 3) if copies and self.applied is not None else None,
            primary_seen=seen,
            votes=self.config.votes,
            flow_paused=paused,
            others={name: other if isinstance(other, str) else "answers" for name, other in self.others.items()},
        )

    def takes_writes(self) -> bool:
        """Whether clients are sent here."""
        fresh = time.monotonic() - self.looked < FRESH_S
        if self.config.cluster and not (self.own.member is not None and self.own.member.stands):
            return False
        return fresh and not self.own.trouble and not self.own.read_only and self.own.primary == self.config.me


def context_of_client() -> ssl.SSLContext:
    """TLS to another server, whose certificate is for its address and from the authority of one of the servers."""
    return ssl.create_default_context(cafile=str(CA))


def connect(config: ServerList, name: str, seconds: float) -> http.client.HTTPSConnection:
    """A connection to a server's service."""
    address = config.servers[name]
    return http.client.HTTPSConnection(address, config.port, timeout=seconds, context=context_of_client())


def ask(config: ServerList, name: str) -> ServerState | str:
    """What another server says of itself, or why it does not."""
    try:
        connection = connect(config, name, ANSWER_S)
        with contextlib.closing(connection):
            connection.request("GET", "/state")
            answer = connection.getresponse()
            found = parse_report(json.loads(answer.read(1_000_000)))
        if found.age_s >= FRESH_S and not found.own.trouble:
            return "its service has not asked MariaDB lately"
        return found.own
    except (OSError, ValueError, TypeError, http.client.HTTPException) as error:
        return getattr(error, "strerror", None) or str(error) or type(error).__name__


def ask_all(config: ServerList) -> dict[str, ServerState | str]:
    """Every other server at the same time."""
    found: dict[str, ServerState | str] = {}
    asking = [
        threading.Thread(target=lambda each=name: found.__setitem__(each, ask(config, each)), daemon=True)
        for name in config.others
    ]
    for each in asking:
        each.start()
    for each in asking:
        each.join(ANSWER_S * 3)
    return {name: found.get(name, "no answer") for name in config.others}


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers proxies and other servers."""

    service: Service
    timeout = 10
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        match urllib.parse.urlsplit(self.path).path:
            case "/primary":
                writes = self.service.takes_writes()
                self.say(200 if writes else 503, f"{self.service.decision.why}\n".encode())
            case "/state":
                self.say(200, json.dumps(asdict(self.service.report())).encode(), "application/json")
            case "/seed":
                self.seed()
            case _:
                self.say(404, b"no such thing\n")

    do_HEAD = do_GET
    do_OPTIONS = do_GET

    def say(self, status: int, body: bytes, kind: str = "text/plain") -> None:
        """A whole answer."""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)
        self.close_connection = True

    def seed(self) -> None:
        """All data, to another server that knows the replication password: a stream of mariadb-backup.

        In chunks, whose last one is sent only when mariadb-backup ended well: one that is cut cannot pass for all.
        """
        if self.client_address[0] not in self.service.config.others.values() or not self.allowed():
            self.say(403, b"only another server may copy the data\n")
            return
        if not self.service.takes_writes():
            self.say(409, b"this server does not take the writes\n")
            return
        if not self.service.sending.acquire(blocking=False):
            self.say(409, b"another server is being sent the data; one after the other\n")
            return
        try:
            self.send_backup()
        finally:
            self.service.sending.release()

    def allowed(self) -> bool:
        """Whether the caller has the password of the replication account, of which the server keeps a hash."""
        kind, _, given = self.headers.get("Authorization", "").partition(" ")
        try:
            password = base64.b64decode(given, validate=True).partition(b":")[2]
            rows = sql(
                "SELECT JSON_VALUE(Priv, '$.authentication_string') AS hash FROM mysql.global_priv "
                f"WHERE User = {quoted(USER)}"
            )[0]
        except (ValueError, RoleError, IndexError):
            return False
        hashes = [str(row["hash"]) for row in rows if row["hash"]]
        return kind == "Basic" and any(hmac.compare_digest(hash_of(password), each) for each in hashes)

    def send_backup(self) -> None:
        words = ["mariadb-backup", "--backup", "--stream=mbstream", "--user=mysql", f"--socket={SOCKET}"]
        with subprocess.Popen(
            [*words, "--target-dir=/tmp/seed", "--parallel=2"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
        ) as backup:
            said: deque[bytes] = deque(maxlen=20)
            reading = threading.Thread(target=lambda: said.extend(pipe(backup.stderr)), daemon=True)
            reading.start()
            self.send_response(200)
            self.send_header("Content-Type", "application/octet-stream")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.connection.settimeout(60)
            self.close_connection = True
            try:
                while part := pipe(backup.stdout).read(1 << 18):
                    self.wfile.write(b"%x\r\n%b\r\n" % (len(part), part))
                if backup.wait() == 0:
                    self.wfile.write(b"0\r\n\r\n")
                    return
            except OSError as error:
                backup.kill()
                said.append(str(error).encode())
            reading.join(5)
            print(f"a copy of the data was not sent: {b' '.join(said).decode(errors='replace')[-1000:]}", flush=True)

    def log_message(self, format: str, *args: object) -> None:
        """Proxies ask every second: nothing is logged."""


class RoleServer(http.server.ThreadingHTTPServer):
    """HTTPS; each handshake in the thread of its connection, with the certificate that is there now."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, service: Service) -> None:
        self.context: ssl.SSLContext | None = None
        self.born: tuple[float, int] = (0.0, 0)
        handler = type("Bound", (Handler,), {"service": service})
        super().__init__((service.config.servers[service.config.me], service.config.port), handler)

    def server_bind(self) -> None:
        # The tunnel may come later than the service: as MariaDB itself does it (IP_FREEBIND).
        self.socket.setsockopt(socket.IPPROTO_IP, 15, 1)
        super().server_bind()

    def current(self) -> ssl.SSLContext:
        """With a renewed certificate once there is one."""
        found = CERTIFICATE.stat()
        born = (found.st_mtime, found.st_ino)
        if self.context is None or born != self.born:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            context.load_cert_chain(CERTIFICATE)
            self.context, self.born = context, born
        return self.context

    def finish_request(self, request: Any, client_address: Any) -> None:
        request.settimeout(5)
        with self.current().wrap_socket(request, server_side=True) as secure:
            super().finish_request(secure, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that goes away, or speaks no TLS, is no news."""
        if not isinstance(sys.exception() if hasattr(sys, "exception") else sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


def read_authorities() -> None:
    """Have Galera read again whom it trusts: a push of these restarts the service."""
    try:
        found = sql("SHOW GLOBAL STATUS LIKE 'wsrep_connected';")
        if found and found[0] and found[0][0]["Value"] == "ON":
            sql(RELOAD)
    except RoleError as error:
        print(f"Galera reads its authorities when MariaDB starts: {error}", flush=True)


def serve() -> None:
    """Until it is stopped."""
    service = Service(read_config())
    if service.config.cluster:
        read_authorities()
    with RoleServer(service) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        while True:
            service.step()
            time.sleep(EVERY_S)


# --- by hand, as root -------------------------------------------------------------------------------------------------


def hash_of(password: bytes) -> str:
    """As mysql_native_password keeps it."""
    return "*" + hashlib.sha1(hashlib.sha1(password).digest()).hexdigest().upper()  # noqa: S324 - MariaDB's own


def own_report(config: ServerList) -> ServerReport:
    """What the service of this host knows; a look without it where it does not answer."""
    try:
        connection = connect(config, config.me, ANSWER_S)
        with contextlib.closing(connection):
            connection.request("GET", "/state")
            return parse_report(json.loads(connection.getresponse().read(1_000_000)))
    except (OSError, ValueError, http.client.HTTPException) as error:
        why = f"fortress-database-role does not answer: {error}"
        return ServerReport(look(config.me), votes=config.votes, service=why)


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


def place(config: ServerList) -> str:
    """Why this server is not at its place: takes the writes, or follows who does and has all of it."""
    found = own_report(config)
    if trouble := found.service or found.own.trouble:
        return trouble
    if config.cluster:
        return place_in_cluster(found)
    if found.takes_writes:
        return ""
    source = found.own.source
    if source is None:
        return found.why
    if source.diverged:
        raise RoleError(f"its data do not continue into the primary's, see `fortress reseed`: {source.error}")
    if source.error:
        return source.error
    if not (source.receiving and source.applying):
        return f"it does not receive yet from {source.address}"
    if found.lag_s is None:
        return "how far it is behind is not known yet"
    return "" if found.lag_s < FRESH_S else f"it is {found.lag_s} s behind"


def place_in_cluster(found: ServerReport) -> str:
    """The same of a member: it is in the majority, has all, and somebody there takes the writes."""
    member = found.own.member
    if member is None or not member.stands:
        return found.why
    if member.state != SYNCED and not found.takes_writes:
        return f"it is {member.state}"
    return "" if found.takes_writes or found.own.primary in member.members else found.why


def role(config: ServerList) -> str:
    """What this server is now, in a word, and why where it is nothing."""
    if own_report(config).takes_writes:
        return "primary"
    try:
        why = place(config)
    except RoleError as error:
        why = str(error)
    return f"none {' '.join(why.split())}" if why else "copy"


def settled(config: ServerList) -> None:
    """Wait until this server has its place again; one that takes no part yet has none."""
    own = look(config.me)
    if (not own.trouble and own.number == 0) or (config.cluster and not JOINED.exists()):
        return
    until(SETTLE_S, lambda: place(config), f"{config.me} did not come back to its place")


def may_restart(config: ServerList, turn: str) -> None:
    """Whether this server may restart at its turn: first, as a copy, or last, as the one that takes the writes.

    In a cluster the turn does not matter: one that takes the writes hands them over.

    Raises:
        RoleError: it takes the writes, and the settings have another server restart last; or another member of the
            cluster is not at its place, so that the majority would be at stake.
    """
    if config.cluster:
        if JOINED.exists() and running().endswith((", running", ", start")):
            until(SETTLE_S, lambda: others_stand(config), f"{config.me} must not restart")
            own = look(config.me)
            if config.others and own.primary == config.me and not own.read_only:
                # Clients lose a moment so, and a statement or two where they must find out by themselves.
                hand_over(config, min(config.others))
        return
    if turn == "first" and own_report(config).takes_writes:
        raise RoleError(
            f"{config.me} takes the writes now, and would restart before the copies: set database.primary: {config.me}"
        )


def others_stand(config: ServerList) -> str:
    """Why a member must not restart now: it or another one is not at its place."""
    own = look(config.me)
    if own.trouble or own.member is None or not own.member.stands:
        return f"{config.me} is not in the majority of the cluster itself ({own.trouble or 'see fortress verify'})"
    if own.member.size == 1:
        return f"{config.me} is the only vote that is left, so nobody could go on, nor let it come back"
    for name, state in ask_all(config).items():
        if isinstance(state, str):
            return f"{name} does not answer ({state}); if it is lost, set it as gone"
        if state.member is None and not state.trouble:
            continue  # it has not joined yet
        if state.trouble or state.member is None or not state.member.stands or state.member.state != SYNCED:
            return f"{name} is not Synced ({state.trouble or (state.member and state.member.state) or 'no member'})"
    return ""


def join_cluster(config: ServerList, *, first: bool) -> None:
    """Become a member: as the one that begins the cluster, or with the data of one that stands.

    A second cluster is never begun: not while another server does not answer, and not where one was a member.

    Raises:
        RoleError: neither comes about in time, or the server has data of its own.
    """
    if BEGINNING.exists() and not JOINED.exists():
        BEGINNING.unlink()

    def part() -> str:
        own = look(config.me)
        if own.member is not None and own.member.stands:
            BEGINNING.unlink(missing_ok=True)
            return ""
        if own.trouble and not JOINED.exists():
            return own.trouble
        others = ask_all(config)
        states = [state for state in others.values() if isinstance(state, ServerState)]
        standing = [state for state in states if state.member is not None and state.member.stands]
        if standing:
            enter(config, own, standing)
            return ""
        silent = [f"{name} does not answer ({state})" for name, state in others.items() if isinstance(state, str)]
        members = [state.server for state in states if state.member is not None]
        if JOINED.exists() and not BEGINNING.exists():
            return f"{config.me} is a member of a cluster that has lost its majority: see `fortress recover`"
        if members:
            raise RoleError(
                f"{', '.join(members)} had joined a cluster, which has no majority now, so no other one is begun: see "
                "`fortress recover`"
            )
        if not first:
            return "; ".join(["no member stands yet", *silent])
        if silent:
            return "; ".join(silent)
        if own.primary not in (None, config.me):
            raise RoleError(f"{own.primary} takes the writes: set database.primary: {own.primary}")
        for state in states:
            if state.own_tables and not own.own_tables and own.number == 0:
                raise RoleError(
                    f"{state.server} has tables and {config.me} has none: name {state.server} as database.primary"
                )
        newer = [state.server for state in states if state.number > own.number]
        if newer:
            raise RoleError(f"{newer[0]} has newer data than {config.me}: name it as database.primary")
        begin_first(config, own)
        return ""

    until(SETTLE_S, lambda: "" if JOINED.exists() else look(config.me).trouble, "MariaDB does not answer")
    until(JOIN_S, part, f"{config.me} could not join")
    until(SETTLE_S, lambda: place(config), f"{config.me} did not come to its place")


def begin_first(config: ServerList, own: ServerState) -> None:
    """Begin the cluster with the data of this server, for the first time.

    Raises:
        RoleError: MariaDB refuses it.
    """
    if not JOINED.exists():
        with one_at_a_time():
            # Before it is one, since a cluster has no semi-sync and follows nobody.
            sql("STOP ALL SLAVES; RESET SLAVE ALL; SET GLOBAL rpl_semi_sync_master_enabled = OFF;", APPLY_S)
            if own.number == 0:
                sql(f"{TABLE} {ROW.format(1, quoted(config.me))}")
        BEGINNING.touch()
        sync(DATA)
    begin()
    BEGINNING.unlink()
    sync(DATA)
    print(f"{config.me} has begun the cluster")


def stop() -> None:
    """Stop MariaDB, one that waits for a majority too: it heeds no signal, and has begun nothing that could be lost.

    Raises:
        RoleError: it does not stop.
    """
    answers = not look("").trouble
    run("systemctl", "stop", "--no-block", "mariadb")
    if not answers:
        with contextlib.suppress(RoleError):
            until(PATIENCE_S, running, "MariaDB waits")
        run("systemctl", "kill", "--signal=KILL", "mariadb", fails=True)
    until(STOP_S, running, "MariaDB did not stop")
    run("systemctl", "reset-failed", "mariadb", fails=True)


def running() -> str:
    """In which state MariaDB's unit is; no word where it runs no more."""
    words = ["systemctl", "show", "--property=ActiveState,SubState", "--value", "mariadb"]
    active, sub = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()
    return "" if active in ("inactive", "failed") else f"{active}, {sub}"


def begin() -> None:
    """Start MariaDB as the first member of a cluster, whatever it says of being safe for that.

    Raises:
        RoleError: it does not come up.
    """
    stop()
    set_joined()
    if SAVED.exists():
        saved = re.sub(r"(?m)^safe_to_bootstrap: .*$", "safe_to_bootstrap: 1", SAVED.read_text())
        SAVED.write_text(saved)
    run("galera_new_cluster")


def set_joined() -> None:
    """From now on MariaDB starts as a member."""
    if not JOINED.exists():
        new = JOINED.with_suffix(".new")
        new.write_text(
            "# Written by fortress-database-role: this server is a member of the cluster, and starts as one.\n\n"
            "[mariadbd]\nwsrep_on = ON\n"
        )
        new.chmod(0o644)
        new.rename(JOINED)
        sync(JOINED.parent)


def enter(config: ServerList, own: ServerState, standing: list[ServerState]) -> None:
    """Become a member of a cluster that stands, or come back to it: it gives what is missing, or all.

    Raises:
        RoleError: there are data of its own that the cluster lacks, or it does not come up.
    """
    if not JOINED.exists():
        if own.number == 0 and own.own_tables:
            raise RoleError(
                f"{config.me} has {own.own_tables} tables of its own, which those of the cluster would replace: move "
                "them away, or throw them away: database_role.py reseed"
            )
        known = saved()[0] in {state.member.cluster for state in standing if state.member}
        if own.number > 0 and not known:
            # A copy has had what the others told a moment ago, and more: it stops, and they are asked once more.
            sql("STOP ALL SLAVES;", APPLY_S)
            position = look(config.me).position

            def lacking() -> str:
                now = [
                    state for state in ask_all(config).values() if isinstance(state, ServerState) and not state.trouble
                ]
                there = [state for state in now if state.member is not None and state.member.stands]
                if any(not ahead(position, state.position) for state in there):
                    return ""
                found = "; ".join(f"{state.server} is at {state.position}" for state in there) or "no member answers"
                return f"it is at {position}, {found}"

            cure = "move its data away, or throw them away: database_role.py reseed"
            until(PATIENCE_S, lacking, f"{config.me} has what no member has, and would lose it ({cure}); none had it")
        sql("STOP ALL SLAVES; RESET SLAVE ALL;", APPLY_S)
    started = time.monotonic()
    set_joined()
    run("systemctl", "reset-failed", "mariadb", fails=True)
    # It says that it is up only once it has all data.
    run("systemctl", "restart", "mariadb")
    print(f"{config.me} joined the cluster in {time.monotonic() - started:.0f} s")


def saved() -> tuple[str, int, bool]:
    """What a member's own file says of its data: of which cluster, up to which number, and whether it may begin one."""
    try:
        found = dict(re.findall(r"(?m)^(uuid|seqno|safe_to_bootstrap):\s*(\S+)", SAVED.read_text()))
    except OSError:
        return "", -1, False
    return found.get("uuid", ""), int(found.get("seqno", "-1")), found.get("safe_to_bootstrap") == "1"


def join(config: ServerList, first: bool) -> None:
    """Take part: as the first primary, or as a copy of the server that takes the writes.

    Raises:
        RoleError: neither comes about in time, or the server has data of its own.
    """

    if config.cluster:
        join_cluster(config, first=first)
        return

    def part() -> str:
        own = look(config.me)
        if own.number > 0 and not own.seeding:
            return ""
        if own.trouble and not own.seeding:
            return own.trouble
        others = ask_all(config)
        states = [state for state in others.values() if isinstance(state, ServerState)]
        number = max((state.number for state in states), default=0)
        for state in states:
            if state.number == number > 0 and not state.read_only and state.primary == state.server:
                try:
                    seed(config, state.server)
                except NotNowError as error:
                    return str(error)
                return ""
        silent = [f"{name} does not answer ({state})" for name, state in others.items() if isinstance(state, str)]
        if number > 0 and any(state.number == number and state.primary == config.me for state in states):
            raise RoleError(
                f"{config.me} was the primary and its data are gone; another server has a copy: `fortress promote` it"
            )
        if number > 0:
            return "; ".join(["no server takes writes now", *silent])
        if not first:
            return "; ".join(["the first primary does not take writes yet", *silent])
        if silent:
            return "; ".join(silent)
        for state in states:
            if state.own_tables and not own.own_tables:
                raise RoleError(
                    f"{state.server} has tables and {config.me} has none: name {state.server} as database.primary"
                )
        with one_at_a_time():
            sql(f"{TABLE} {ROW.format(1, quoted(config.me))}")
        print(f"{config.me} is the first primary")
        return ""

    if not SEEDING.exists():
        until(SETTLE_S, lambda: look(config.me).trouble, "MariaDB does not answer")
        ensure_account(config)
    until(JOIN_S, part, f"{config.me} could not join")
    until(SETTLE_S, lambda: place(config), f"{config.me} did not come to its place")
    own = look(config.me)
    if own.source is not None and own.primary in config.others:
        # A changed password or authority becomes known.
        with one_at_a_time():
            follow(config, own.primary)
        until(SETTLE_S, lambda: place(config), f"{config.me} did not come to its place")


def seed(config: ServerList, primary: str, *, despite: bool = False) -> None:
    """Make this server a copy: the primary's data come through the tunnel, over TLS, and take the place of its own.

    What is cut may be run again at any moment: until the end SEEDING says that the data are worthless, and while they
    are being exchanged MariaDB cannot be started.

    Raises:
        RoleError: there are data of its own, the copy did not arrive whole, or MariaDB refuses it.
    """
    own = look(config.me)
    if not SEEDING.exists() and not despite:
        if own.trouble:
            raise RoleError(own.trouble)
        if own.own_tables:
            raise RoleError(
                f"{config.me} has {own.own_tables} tables of its own, which a copy of {primary} would replace: move "
                "them away, or throw them away: database_role.py reseed"
            )
    SEEDING.touch()
    sync(DATA)
    shutil.rmtree(STAGE, ignore_errors=True)
    STAGE.mkdir(mode=0o700)
    started = time.monotonic()
    size = receive(config, primary)
    run("mariadb-backup", "--prepare", f"--target-dir={STAGE}")
    position = backup_position()
    run("systemctl", "stop", "mariadb")
    run("systemctl", "mask", "--quiet", "mariadb")
    for each in DATA.iterdir():
        if each not in (SEEDING, STAGE) and each.name != "lost+found" and not each.match("debian-*.flag"):
            shutil.rmtree(each) if each.is_dir() and not each.is_symlink() else each.unlink()
    for each in STAGE.iterdir():
        each.rename(DATA / each.name)
    run("chown", "-R", "mysql:mysql", str(DATA))
    sync(DATA)
    run("systemctl", "unmask", "--quiet", "mariadb")
    run("systemctl", "reset-failed", "mariadb", fails=True)
    run("systemctl", "start", "mariadb")
    with one_at_a_time():
        sql(f"STOP ALL SLAVES; RESET SLAVE ALL; SET GLOBAL gtid_slave_pos = {quoted(position)};")
        follow(config, primary)
    STAGE.rmdir()
    SEEDING.unlink()
    sync(DATA)
    print(f"copied {size / 1e6:.0f} MB from {primary} in {time.monotonic() - started:.0f} s, as of {position}")


def receive(config: ServerList, primary: str) -> int:
    """The stream of the primary's data, laid out in STAGE; how many bytes it had.

    Raises:
        NotNowError: it was refused.
        RoleError: it was cut.
    """
    login = base64.b64encode(f"{USER}:".encode() + PASSWORD.read_bytes().removesuffix(b"\n")).decode()
    connection = connect(config, primary, 120)
    size = 0
    with contextlib.closing(connection):
        try:
            connection.request("GET", "/seed", headers={"Authorization": f"Basic {login}"})
            answer = connection.getresponse()
            if answer.status != 200:
                # One whose data name it as the primary may take writes before it has the account of copies.
                raise NotNowError(f"{primary} sends no copy: {answer.read(500).decode(errors='replace').strip()}")
            with subprocess.Popen(
                ["mbstream", "-x", "-C", str(STAGE)], stdin=subprocess.PIPE, stderr=subprocess.PIPE
            ) as unpack:
                with contextlib.suppress(BrokenPipeError):
                    while part := answer.read(1 << 18):
                        pipe(unpack.stdin).write(part)
                        size += len(part)
                    pipe(unpack.stdin).close()
                complaint = pipe(unpack.stderr).read().decode(errors="replace")
            if unpack.returncode != 0:
                raise RoleError(f"the copy cannot be laid out: {complaint.strip()[-500:]}")
        except (OSError, http.client.HTTPException) as error:
            raise RoleError(f"the copy from {primary} was cut after {size / 1e6:.0f} MB ({error!r})") from None
    return size


def backup_position() -> str:
    """The GTID position that a prepared copy is at.

    Raises:
        RoleError: it says none.
    """
    for name in ("mariadb_backup_binlog_info", "xtrabackup_binlog_info"):
        with contextlib.suppress(OSError):
            words = (STAGE / name).read_text().split()
            if len(words) >= 3 and positions(words[2]):
                return words[2]
    raise RoleError("the copy does not say at which position it is")


def pipe(end: IO[bytes] | None) -> IO[bytes]:
    """An end of a pipe that was asked for, so that there is one.

    Raises:
        RoleError: there is none.
    """
    if end is None:
        raise RoleError("a pipe is missing")
    return end


def run(*words: str, fails: bool = False) -> None:
    """A program, whose failure is said by its last lines.

    Raises:
        RoleError: it failed.
    """
    done = subprocess.run(words, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode != 0 and not fails:
        raise RoleError(f"{' '.join(words)}: {(done.stderr or done.stdout).strip()[-800:]}")


def sync(folder: Path) -> None:
    """What changed in a folder is on the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def reseed(config: ServerList) -> None:
    """Throw this server's data away for a copy of the primary's.

    Raises:
        RoleError: it is the primary, or no other server takes writes.
    """
    if config.cluster:
        standing = [s for s in ask_all(config).values() if isinstance(s, ServerState) and s.member and s.member.stands]
        own = look(config.me)
        if not standing or (own.member is not None and own.member.stands and own.primary == config.me):
            raise RoleError("no other member stands, or this one takes the writes, so there is nothing to copy")
        stop()
        SAVED.unlink(missing_ok=True)
        set_joined()
        enter(config, own, standing)
        until(SETTLE_S, lambda: place(config), f"{config.me} did not come to its place")
        return
    for state in ask_all(config).values():
        if isinstance(state, ServerState) and state.primary == state.server and not state.read_only:
            seed(config, state.server, despite=True)
            until(SETTLE_S, lambda: place(config), f"{config.me} did not come to its place")
            return
    raise RoleError("no other server takes the writes now, so there is nothing to copy")


def hand_over(config: ServerList, to: str) -> None:
    """Let another server take the writes, once it has every transaction that this one acknowledged.

    Raises:
        RoleError: it cannot be; this server takes writes then as before, unless the text says something else.
    """
    if to not in config.others:
        raise RoleError(f"{to!r} is none of the other servers: {', '.join(config.others)}")
    with one_at_a_time():
        own = look(config.me)
        if own.trouble or own.primary != config.me or own.read_only:
            raise RoleError(f"{config.me} does not take the writes now: {own.trouble or own.primary}")
        started = time.monotonic()
        if own.member is not None:
            hand_over_in_cluster(config, own, to)
            return
        try:
            sql(f"SET SESSION lock_wait_timeout = {int(HAND_OVER_S)}; SET GLOBAL read_only = ON;", HAND_OVER_S + 5)
            last = look(config.me).binlog

            def behind() -> str:
                state = ask(config, to)
                if isinstance(state, str) or state.trouble:
                    return state if isinstance(state, str) else state.trouble
                return f"it has {state.position} of {last}" if ahead(last, state.position) else ""

            until(HAND_OVER_S, behind, f"{to} did not catch up")
            sql(f"SET SESSION sql_log_bin = 1; {ROW.format(own.number + 1, quoted(to))}", HAND_OVER_S)
        except RoleError:
            # Whether the row is there decides, not whether its writer heard of it.
            if look(config.me).number == own.number:
                sql("SET GLOBAL read_only = OFF;")
            raise
        print(f"read-only at {last}; {to} has all of it", flush=True)
    wait_until_taken(config, to, started)


def wait_until_taken(config: ServerList, to: str, started: float) -> None:
    """Wait until another server takes the writes, which this one gave up when its monotonic clock was at `started`.

    Raises:
        RoleError: it does not within HAND_OVER_S.
    """

    def taken() -> str:
        state = ask(config, to)
        return "" if isinstance(state, ServerState) and not state.read_only else "it is still read-only"

    until(HAND_OVER_S, taken, f"{to} did not take the writes, and {config.me} gave them up")
    print(f"{to} takes the writes, {time.monotonic() - started:.1f} s after {config.me} became read-only", flush=True)


def hand_over_in_cluster(config: ServerList, own: ServerState, to: str) -> None:
    """The same in a cluster: whoever has applied the row has all that came before it.

    Raises:
        RoleError: it cannot be; this server takes writes then as before, unless the text says something else.
    """
    state = ask(config, to)
    if isinstance(state, str) or state.member is None or state.member.state != SYNCED:
        raise RoleError(f"{to} is not Synced: {state if isinstance(state, str) else state.trouble or state.member}")
    started = time.monotonic()
    try:
        sql(f"SET SESSION lock_wait_timeout = {int(HAND_OVER_S)}; {READ_ONLY}", HAND_OVER_S + 5)
        hand_on(own.number + 1, to)
    except RoleError:
        # Whether the row is there decides, not whether its writer heard of it.
        if look(config.me).number == own.number:
            sql("SET GLOBAL read_only = OFF;")
        raise
    print(f"{config.me} is read-only; {to} is named after its last commit", flush=True)
    wait_until_taken(config, to, started)


def begin_again(config: ServerList) -> None:
    """Begin a cluster that lost its majority with the data of this member, which is the one that has most.

    Raises:
        RoleError: a member stands, or this one never was a member.
    """
    if not (config.cluster and JOINED.exists()):
        raise RoleError(f"{config.me} never was a member of a cluster")
    for name, state in ask_all(config).items():
        if isinstance(state, ServerState) and state.member is not None and state.member.stands:
            raise RoleError(f"{name} is in a majority, so there is a cluster: start mariadb here to join it")
    begin()
    until(SETTLE_S, lambda: place(config), f"{config.me} did not come to its place")
    print(f"{config.me} has begun the cluster again, with all up to {look(config.me).position}")


def print_saved(config: ServerList) -> None:
    """What the data of a member that is in no majority are worth. MariaDB is stopped for it, since only it can tell.

    Raises:
        RoleError: it is in the majority, or its data cannot be read.
    """
    own = look(config.me)
    if own.member is not None and own.member.stands:
        raise RoleError(f"{config.me} is in the majority of the cluster: there is nothing to recover")
    uuid, number, safe = saved()
    if JOINED.exists() and SAVED.exists():
        stop()
        words = ["runuser", "-u", "mysql", "--", "galera_recovery"]
        done = subprocess.run(words, capture_output=True, text=True, errors="replace", check=False)
        found = re.search(r"start_position=([0-9a-f-]{36}):(-?[0-9]+)", done.stdout)
        if found is None:
            raise RoleError(f"its data cannot be read: {done.stderr.strip()[-800:]}")
        uuid, number = found[1], int(found[2])
    print(json.dumps({"server": config.me, "cluster": uuid, "committed": number, "safe_to_bootstrap": safe}))


def promote(config: ServerList) -> None:
    """Take the writes, with all that arrived here.

    Raises:
        RoleError: another server takes them, or has more.
    """
    if config.cluster:
        raise RoleError("a cluster's members agree on it themselves; where the majority is lost: fortress recover")
    others = {name: state for name, state in ask_all(config).items() if isinstance(state, ServerState)}
    with one_at_a_time():
        own = look(config.me)
        if own.trouble:
            raise RoleError(own.trouble)
        if own.seeding or own.number == 0:
            raise RoleError(f"{config.me} has no whole copy of the data")
        for name, state in others.items():
            if not state.trouble and not state.read_only:
                raise RoleError(f"{name} takes the writes: use `fortress switchover`")
        if own.source is not None:
            sql("STOP SLAVE IO_THREAD;", 60)

            def applying() -> str:
                now = look(config.me)
                if now.source is None or (now.source.waiting and not ahead(now.source.received, now.position)):
                    return ""
                if not now.source.applying and ahead(now.source.received, now.position):
                    why = now.source.error or "its SQL thread was stopped; START SLAVE SQL_THREAD"
                    raise RoleError(f"transactions that arrived, up to {now.source.received}, are not applied: {why}")
                return "" if not now.source.applying else "transactions that arrived are still being applied"

            until(APPLY_S, applying, "could not apply all that arrived")
        own = look(config.me)
        for name, state in others.items():
            if not state.seeding and ahead(state.position, own.position):
                raise RoleError(f"{name} has more ({state.position}, here {own.position}): promote {name}")
        number = max([own.number, *(state.number for state in others.values() if not state.seeding)])
        if not (own.number == number and own.primary == config.me):
            number += 1
            sql(f"SET SESSION sql_log_bin = 1; {ROW.format(number, quoted(config.me))}")
        lift()
    print(f"{config.me} takes the writes as number {number}, from {own.position} on")


def ensure_account(config: ServerList) -> None:
    """The account by which the others copy from here: it may read the binary log, over TLS, and nothing else.

    Made on each server, and not in the binary log, so that all have it with today's password before anyone needs it.
    """
    account = f"{quoted(USER)}@{quoted(config.clients)}"
    hashed = hash_of(PASSWORD.read_bytes().removesuffix(b"\n"))
    secret = f"IDENTIFIED VIA mysql_native_password USING '{hashed}' REQUIRE SSL"
    (found,) = sql(f"SELECT Host FROM mysql.global_priv WHERE User = {quoted(USER)};")
    others = "".join(
        f"DROP USER {quoted(USER)}@{quoted(row['Host'])};" for row in found if row["Host"] != config.clients
    )
    sql(f"""
        CREATE USER IF NOT EXISTS {account} {secret};
        ALTER USER {account} {secret};
        REVOKE ALL PRIVILEGES, GRANT OPTION FROM {account};
        GRANT REPLICATION SLAVE ON *.* TO {account};
        {others}
    """)


def leave() -> None:
    """Follow nobody any more, and be followed by nobody. The data stay, with the last word on who was the primary: that
    one takes the writes without copies from here on."""
    if not (shutil.which("mariadbd") and Path(SOCKET).exists()):
        return
    own = look(read_config().me) if CONFIG.exists() else None
    if JOINED.exists():
        alone = own is not None and (own.member is None or len(own.member.members) <= 1)
        if own is not None and own.member is not None and not alone and own.primary == own.server and not own.trouble:
            # What is written from now on is not to be here.
            config = read_config()
            hand_over(config, min(name for name in own.member.members if name != own.server))
        JOINED.unlink()
        if own is not None and own.member is None and not own.trouble:
            sql("SET GLOBAL wsrep_on = OFF;")
        else:
            run("systemctl", "restart", "mariadb")
        if not alone:
            return  # the others are the database, and this is a copy of it as of now
        # By what was pushed it would make a server that is no member read-only again.
        run("systemctl", "stop", "fortress-database-role", fails=True)
    if own is not None and own.primary == own.server and not own.trouble:
        sql("SET GLOBAL rpl_semi_sync_master_enabled = OFF; SET GLOBAL read_only = OFF;", APPLY_S)
    (found,) = sql(f"STOP ALL SLAVES; RESET SLAVE ALL; SELECT Host FROM mysql.global_priv WHERE User = {quoted(USER)};")
    if found:
        sql("".join(f"DROP USER {quoted(USER)}@{quoted(row['Host'])};" for row in found))


def fail(text: str) -> NoReturn:
    """End with one line."""
    sys.exit(f"database-role: {text}")


def main(words: list[str]) -> None:
    """One verb."""
    try:
        match words:
            case ["serve"]:
                serve()
            case ["state"]:
                print(json.dumps(asdict(own_report(read_config()))))
            case ["role"]:
                print(role(read_config()))
            case ["join"] | ["join", "--first"]:
                join(read_config(), first="--first" in words)
            case ["may-restart", ("first" | "last") as turn]:
                if CONFIG.exists():
                    may_restart(read_config(), turn)
            case ["settled"]:
                if CONFIG.exists():
                    settled(read_config())
            case ["hand-over", to]:
                hand_over(read_config(), to)
            case ["promote"]:
                promote(read_config())
            case ["reseed"]:
                reseed(read_config())
            case ["saved"]:
                print_saved(read_config())
            case ["begin"]:
                begin_again(read_config())
            case ["leave"]:
                leave()
            case _:
                verbs = "may-restart first|last | settled | hand-over SERVER | promote | reseed | saved | begin | leave"
                fail(f"usage: serve | state | role | join [--first] | {verbs}")
    except (RoleError, OSError) as error:
        fail(str(error))


if __name__ == "__main__":
    # A caller whose connection is cut must not end the work half-way.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    main(sys.argv[1:])
