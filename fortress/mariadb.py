"""MariaDB on the fortress host: the text of its configuration, and the arguments of its host script.

Written for MariaDB 10.11 to 11.8, as Debian 12, Debian 13 and Ubuntu 24.04 package it. `Server` and `Authority` hold
the facts and refuse what could become configuration or shell of its own; the host script checks its arguments again.
Values without a source beside them: docs/decisions/0006.
"""

from __future__ import annotations

import decimal
import ipaddress
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, Field, model_validator

from fortress import galera, text
from fortress.server_variables import Variables, assignments, quoted
from fortress.values import (
    Device,
    DnsName,
    Model,
    TunnelAddress,
    VolumeSize,
    distinct,
    matching,
    not_among,
    refusal,
)

PACKAGES = ("mariadb-server", "openssl", "python3", "fio")  # fio: `fortress verify --io`
PORT = 3306
MAX_CONNECTIONS = 1000
"""Of all clients together, at a time."""
DATA_FOLDER = "/var/lib/mysql"
TLS_FOLDER = "/etc/mysql/fortress"
CONFIG_PATH = "/etc/mysql/mariadb.conf.d/90-fortress.cnf"
DROP_IN_PATH = "/etc/systemd/system/mariadb.service.d/50-fortress.conf"
AUTHORITIES_PATH = "/etc/fortress/database/ca.pem"
"""With several servers: the certificates of all their authorities."""

SEMI_SYNC_TIMEOUT_MS = 10_000
"""How long a commit waits for a copy before the primary goes on without one: MariaDB's own default."""

# Known to every client (its number is below 256). The access script makes databases with it.
COLLATION = "utf8mb4_unicode_520_ci"

# For `fortress-push put --check`: the server itself reads the candidate, with every plugin's variables, and starts
# nothing. A wrong value of InnoDB's and a value out of range do not change its exit status, so its words are read too;
# what else it warns of depends on limits that only the unit sets.
CONFIG_CHECK = (
    'said=$(mariadbd --defaults-file="$1" --user=mysql --help --verbose 2>&1 >/dev/null); status=$?; '
    "wrong=$(printf '%s\\n' \"$said\" | grep -e '\\[ERROR\\]' -e 'adjusted to'); "
    '[ "$status" -eq 0 ] && [ -z "$wrong" ] || { printf \'%s\\n\' "${wrong:-$said}" >&2; exit 1; }'
)

# The article's buffer pool as a share of RAM; the most that a server of its own should give it; and the least in MB
# that must remain for the buffers of connections, the page cache of the binary log, and the system (our choice).
SHARE = 0.7
MAX_SHARE = 0.9
MIN_REST_MB = 128
# InnoDB lays the buffer pool out in extents of 8 MiB since 10.11.12 (MDEV-29445); innodb_buffer_pool_chunk_size, the
# older unit, is ignored from there on.
EXTENT_MB = 8
# InnoDB's own default size: a smaller one only makes a server that is too small look as if it fitted.
MIN_POOL_MB = 128
MIN_REDO_MB = 96
MAX_REDO_MB = 2048
# Beside the redo log, for a server that is still empty: system tables, undo and temporary files, the first binary log,
# and what a file system takes (our choice).
REST_OF_DISK_MB = 768
# The binary log is a copy of all changes to personal data: kept for a long weekend and a restore (our choice).
BINLOG_DAYS = 7

Privilege = Literal[
    "ALTER",
    "CREATE",
    "CREATE TEMPORARY TABLES",
    "CREATE VIEW",
    "DELETE",
    "DROP",
    "EXECUTE",
    "INDEX",
    "INSERT",
    "LOCK TABLES",
    "REFERENCES",
    "SELECT",
    "SHOW VIEW",
    "UPDATE",
]
"""What an application may be given, on its own database only. Left out are those that reach further (FILE, PROCESS,
SUPER, GRANT OPTION, …), those that leave code behind which runs without the application (EVENT, routines), and TRIGGER:
with binary logs the server lets nobody use it who has not SUPER (error 1419)."""
PRIVILEGES: tuple[Privilege, ...] = get_args(Privilege)
DEFAULT_PRIVILEGES: tuple[Privilege, ...] = ("SELECT", "INSERT", "UPDATE", "DELETE")
Privileges = Annotated[list[Privilege], Field(min_length=1), AfterValidator(distinct)]
RESERVED_DATABASES = ("information_schema", "mysql", "performance_schema", "sys", "test")
RESERVED_USERS = ("mysql", "public", "root")

_NAME = matching(
    r"[a-z][a-z0-9_]{0,63}", "a name: a lower-case letter, then lower-case letters, digits and underscores, at most 64"
)
_RESERVED = "is reserved by MariaDB"
DatabaseName = Annotated[str, _NAME, not_among(RESERVED_DATABASES, _RESERVED)]
AccountName = Annotated[str, _NAME, not_among(RESERVED_USERS, _RESERVED)]
MOST_MEMORY_MB = 2**24
"""Stands for the memory of a host that has not been asked yet, too: what does not fit this fits no host."""
Memory = Annotated[int, Field(ge=256, le=MOST_MEMORY_MB)]
"""Of a host, in MB (MiB)."""
BufferPoolSize = Annotated[int, Field(ge=MIN_POOL_MB, multiple_of=EXTENT_MB)]
"""In MB."""
ConnectionsPerClient = Annotated[int, Field(ge=1, le=MAX_CONNECTIONS)]
FlushLog = Annotated[int, Field(ge=1, le=2)]
Release = Annotated[str, matching(r"[1-9][0-9]\.[0-9]{1,2}", 'a release of MariaDB in quotes, such as "11.8"')]


class DataDisk(Model):
    """The disk of a database: a volume of a cloud (`size_gb`), or a disk that the host has (`device`)."""

    size_gb: VolumeSize | None = None
    device: Device | None = None


class BufferPool(Model):
    """How much of a host's memory InnoDB's buffer pool takes."""

    ram_mb: Memory
    """Memory of the host in MB (MiB)."""
    share: Annotated[float, Field(gt=0, le=MAX_SHARE)] = SHARE
    """Of that memory, rounded down to whole extents of 8 MB."""
    buffer_pool_mb: BufferPoolSize | None = None
    """A size chosen by hand, in MB, kept as it is if it leaves the host enough."""

    @model_validator(mode="after")
    def _leaves_the_host_enough(self) -> BufferPool:
        most = min(_extents(self.ram_mb, MAX_SHARE), _extents(self.ram_mb - MIN_REST_MB))
        if self.buffer_pool_mb is not None and self.buffer_pool_mb > most:
            wrong = f"must be at most {most} on a host of {self.ram_mb} MB"
            raise refusal(("buffer_pool_mb",), self.buffer_pool_mb, wrong)
        if not MIN_POOL_MB <= self.pool_mb <= most:
            wrong = (
                f"is not enough: {self.share:.0%} of it is {self.pool_mb} MB, but only a buffer pool of {MIN_POOL_MB} "
                f"to {most} MB would fit; set buffer_pool_mb or use a larger host"
            )
            raise refusal(("ram_mb",), self.ram_mb, wrong)
        return self

    @property
    def pool_mb(self) -> int:
        """Size of the buffer pool in MB."""
        return _extents(self.ram_mb, self.share) if self.buffer_pool_mb is None else self.buffer_pool_mb


def _extents(ram_mb: int, share: float = 1) -> int:
    # Decimal, because 0.7 * ram in binary falls just below a whole number for some sizes and would lose an extent.
    return int(ram_mb * decimal.Decimal(str(share)) // EXTENT_MB) * EXTENT_MB


class Server(BufferPool):
    """The facts of one database server."""

    address: TunnelAddress
    """Its address in the tunnel, the only one that it listens on."""
    innodb_flush_log_at_trx_commit: FlushLog = 1
    """1, or 2 where a cross-cloud copy is the goal."""
    cross_cloud_copy: bool = False
    """Says that it is."""
    volume_gb: VolumeSize | None = None
    """Size of the disk for its data in GB (GiB), where one is made for it."""
    copies: bool = False
    """Whether it is one of several servers with the same data, any of which may be the primary."""
    variables: Variables = {}
    """Values of further variables, and in place of our own where these are no promise of the fortress."""
    cluster: galera.Voter | None = None
    """Its place in a Galera cluster, where the servers are one."""
    upgrade_to: Release | None = None
    """To which data of an older release may be upgraded without a fresh backup that was restored."""

    @model_validator(mode="after")
    def _fits_its_volume(self) -> Server:
        needed = -(-(self.redo_log_mb + self.cache_mb + REST_OF_DISK_MB) // 1024)
        if self.volume_gb is not None and self.volume_gb < needed:
            wrong = (
                f"is too small: the redo log takes {self.redo_log_mb} MB with a buffer pool of {self.pool_mb} MB; "
                f"use at least {needed}, or set a smaller buffer_pool_mb"
                if self.ram_mb < MOST_MEMORY_MB or self.buffer_pool_mb is not None
                else f"may be too small: the redo log takes up to {MAX_REDO_MB} MB; use at least {needed}, or set "
                "buffer_pool_mb, which decides how much"
            )
            raise refusal(("volume_gb",), self.volume_gb, wrong)
        return self

    @model_validator(mode="after")
    def _leaves_the_cluster_its_own(self) -> Server:
        if self.cluster and "innodb_autoinc_lock_mode" in self.variables:
            wrong = "is decided by the program: appliers of a cluster cannot wait for a lock on a counter"
            raise refusal(("variables", "innodb_autoinc_lock_mode"), self.variables["innodb_autoinc_lock_mode"], wrong)
        return self

    @model_validator(mode="after")
    def _loses_nothing_unsaid(self) -> Server:
        if self.innodb_flush_log_at_trx_commit == 2 and not self.cross_cloud_copy:
            wrong = "is not allowed here: it loses the last second on a power cut. Use 1, or set cross_cloud_copy: true"
            raise refusal(("innodb_flush_log_at_trx_commit",), 2, wrong)
        return self

    @property
    def redo_log_mb(self) -> int:
        """Size of the redo log in MB: room for bursts, bounded so that recovery after a crash stays short."""
        return min(max(self.pool_mb // 4, MIN_REDO_MB), MAX_REDO_MB)

    @property
    def cache_mb(self) -> int:
        """Size of Galera's ring of write-sets in MB, 0 without a cluster."""
        return galera.cache_mb(self.pool_mb) if self.cluster else 0

    @property
    def provider_options(self) -> str:
        """Galera's options, empty without a cluster."""
        if self.cluster is None:
            return ""
        return galera.provider_options(self.cluster, f"{TLS_FOLDER}/server.pem", AUTHORITIES_PATH, self.cache_mb)

    @property
    def server_id(self) -> int:
        """A number that no other server of the mesh has."""
        return int(ipaddress.IPv4Address(self.address))


CLIENT_ADDRESS = "127.0.0.1"
"""Where the proxy of a client listens that leads to whichever of several servers takes the writes."""


class Authority(Model):
    """What the server's certificate is for."""

    address: TunnelAddress
    """By which clients call it."""
    names: tuple[DnsName, ...] = ()
    """By which they may call it too."""
    copies: bool = False
    """Whether clients reach it through a proxy of their own, by `CLIENT_ADDRESS`, as one of several."""
    cluster: bool = False
    """Whether it calls other members of a Galera cluster by it."""
    witness: bool = False
    """Whether it is the witness of one, and has no MariaDB."""


def authority_arguments(authority: Authority) -> tuple[str, ...]:
    """Give the arguments of mariadb-authority."""
    verb = "witness" if authority.witness else "peer" if authority.cluster else "ensure"
    return (verb, authority.address, *authority.names, *((CLIENT_ADDRESS,) if authority.copies else ()))


def render(server: Server) -> str:
    """Give 90-fortress.cnf as it stands at CONFIG_PATH."""
    variables = {name: quoted(value) for name, value in sorted(server.variables.items())}
    known = assignments(_rendered(server, {}, []))
    return _rendered(server, variables, [pair for pair in variables.items() if pair[0] not in known])


def _rendered(server: Server, variables: Mapping[str, str], more: Sequence[tuple[str, str]]) -> str:
    """The same; `more` are those variables of settings that the template has no line for."""
    return text.render(
        "90-fortress.cnf.j2",
        variables=variables,
        more=more,
        server=server,
        port=PORT,
        max_connections=MAX_CONNECTIONS,
        tls_folder=TLS_FOLDER,
        collation=COLLATION,
        binlog_days=BINLOG_DAYS,
        share_percent=round(server.share * 100),
        extent_mb=EXTENT_MB,
        redo_min_mb=MIN_REDO_MB,
        redo_max_mb=MAX_REDO_MB,
        semi_sync_timeout_ms=SEMI_SYNC_TIMEOUT_MS,
        provider=galera.PROVIDER,
        cluster_name=galera.CLUSTER,
        peers=galera.peers(server.cluster.members) if server.cluster else "",
        authorities=AUTHORITIES_PATH,
        outage_minutes=galera.OUTAGE_S // 60,
    )


def drop_in() -> str:
    """Give the systemd drop-in at DROP_IN_PATH: MariaDB runs by the tunnel, and reaches nothing else of the host."""
    return text.render("mariadb.service.conf")
