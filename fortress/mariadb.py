"""MariaDB on the fortress host: the text of its configuration, and the arguments of its two host scripts.

Written for MariaDB 10.11 to 11.8, as Debian 12, Debian 13 and Ubuntu 24.04 package it. `Server` and `Access` hold the
facts and refuse what could become configuration, SQL or shell of its own; the host scripts check their arguments again.
Values without a source beside them: docs/decisions/0006.
"""

import dataclasses
import decimal
import ipaddress
import re
from collections.abc import Sequence
from importlib.resources import files

from fortress import text

PACKAGES = ("mariadb-server", "openssl", "fio")  # fio: `fortress verify --io`
PORT = 3306
DATA_FOLDER = "/var/lib/mysql"
TLS_FOLDER = "/etc/mysql/fortress"
CONFIG_PATH = "/etc/mysql/mariadb.conf.d/90-fortress.cnf"
DROP_IN_PATH = "/etc/systemd/system/mariadb.service.d/50-fortress.conf"

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
# The binary log is a copy of all changes to personal data: kept for a long weekend and a restore (our choice).
BINLOG_DAYS = 7

# What an application may be given, on its own database only. Left out are those that reach further (FILE, PROCESS,
# SUPER, GRANT OPTION, …) and those that leave code behind which runs without the application (EVENT, routines).
PRIVILEGES = (
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
    "TRIGGER",
    "UPDATE",
)
DEFAULT_PRIVILEGES = ("SELECT", "INSERT", "UPDATE", "DELETE")
RESERVED_DATABASES = ("information_schema", "mysql", "performance_schema", "sys", "test")
RESERVED_USERS = ("mysql", "public", "root")

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def _refuse(field: str, value: object, wanted: str) -> ValueError:
    return ValueError(f"{field}: {value!r} is not {wanted}")


def _check_number(field: str, value: object, low: int, high: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise _refuse(field, value, f"a whole number from {low} to {high}")


def _check_address(field: str, value: object) -> None:
    wanted = "the IPv4 address of one host, such as 10.100.0.1"
    if not isinstance(value, str):
        raise _refuse(field, value, wanted)
    try:
        address = ipaddress.IPv4Address(value)
    except ValueError:
        raise _refuse(field, value, wanted) from None
    # 0.0.0.0 would listen everywhere; none of the others is a tunnel.
    if address.is_unspecified or address.is_loopback or address.is_multicast or address.is_reserved:
        raise _refuse(field, value, wanted)


def _check_name(field: str, value: object, reserved: Sequence[str]) -> None:
    wanted = "a name: a lower-case letter, then lower-case letters, digits and underscores, at most 64"
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise _refuse(field, value, wanted)
    if value in reserved:
        raise _refuse(field, value, "free: MariaDB keeps that name for itself")


def buffer_pool_mb(ram_mb: int, share: float = SHARE, override_mb: int | None = None) -> int:
    """Give the size of the InnoDB buffer pool in MB (MiB): `share` of the RAM, rounded down to whole extents of 8 MB.

    override_mb: a size chosen by hand, kept as it is if it is made of whole extents and leaves the host enough.
    Raise ValueError naming the value and what would do.
    """
    _check_number("ram_mb", ram_mb, 256, 2**24)
    if not isinstance(share, (int, float)) or isinstance(share, bool) or not 0 < share <= MAX_SHARE:
        raise _refuse("share", share, f"a share of RAM above 0 and up to {MAX_SHARE}")
    most = min(_extents(ram_mb, MAX_SHARE), _extents(ram_mb - MIN_REST_MB))
    if override_mb is not None:
        _check_number("buffer_pool_mb", override_mb, MIN_POOL_MB, most)
        if override_mb % EXTENT_MB:
            below = override_mb - override_mb % EXTENT_MB
            raise _refuse("buffer_pool_mb", override_mb, f"a multiple of {EXTENT_MB} MB; the next below is {below}")
        return override_mb
    size = _extents(ram_mb, share)
    if not MIN_POOL_MB <= size <= most:
        wanted = f"enough: {share:.0%} of it is {size} MB, and a buffer pool of {MIN_POOL_MB} to {most} MB would fit"
        raise _refuse("ram_mb", ram_mb, f"{wanted}; set buffer_pool_mb or take a larger host")
    return size


def _extents(ram_mb: int, share: float = 1) -> int:
    # Decimal, because 0.7 * ram in binary falls just below a whole number for some sizes and would lose an extent.
    return int(ram_mb * decimal.Decimal(str(share)) // EXTENT_MB) * EXTENT_MB


@dataclasses.dataclass(frozen=True)
class Server:
    """The facts of one database server.

    address: its IPv4 address in the tunnel, the only one that it listens on.
    ram_mb: memory of the host in MB (MiB).
    buffer_pool_mb: InnoDB's buffer pool in MB; 70 % of RAM when None.
    innodb_flush_log_at_trx_commit: 1, or 2 where a cross-cloud copy is the goal.
    cross_cloud_copy: says that it is.
    """

    address: str
    ram_mb: int
    buffer_pool_mb: int | None = None
    innodb_flush_log_at_trx_commit: int = 1
    cross_cloud_copy: bool = False

    def __post_init__(self) -> None:
        """Raise ValueError naming the field."""
        _check_address("address", self.address)
        buffer_pool_mb(self.ram_mb, override_mb=self.buffer_pool_mb)
        _check_number("innodb_flush_log_at_trx_commit", self.innodb_flush_log_at_trx_commit, 1, 2)
        if not isinstance(self.cross_cloud_copy, bool):
            raise _refuse("cross_cloud_copy", self.cross_cloud_copy, "true or false")
        if self.innodb_flush_log_at_trx_commit == 2 and not self.cross_cloud_copy:
            raise _refuse(
                "innodb_flush_log_at_trx_commit",
                2,
                "allowed here: it loses the last second at a power cut. Use 1, or set cross_cloud_copy: true",
            )

    @property
    def pool_mb(self) -> int:
        """Size of the buffer pool in MB."""
        return buffer_pool_mb(self.ram_mb, override_mb=self.buffer_pool_mb)

    @property
    def redo_log_mb(self) -> int:
        """Size of the redo log in MB: room for bursts, bounded so that recovery after a crash stays short."""
        return min(max(self.pool_mb // 4, MIN_REDO_MB), MAX_REDO_MB)

    @property
    def server_id(self) -> int:
        """A number that no other server of the mesh has."""
        return int(ipaddress.IPv4Address(self.address))


@dataclasses.dataclass(frozen=True)
class Access:
    """The application's database and its account.

    database, user: names of `[a-z][a-z0-9_]{0,63}`.
    network: where the account may come from, as "10.100.0.0/24"; at least /8.
    privileges: of PRIVILEGES, on that database only.
    """

    database: str
    user: str
    network: str
    privileges: tuple[str, ...] = DEFAULT_PRIVILEGES

    def __post_init__(self) -> None:
        """Raise ValueError naming the field."""
        _check_name("database", self.database, RESERVED_DATABASES)
        _check_name("user", self.user, RESERVED_USERS)
        wanted = "an IPv4 network of at most 2^24 addresses, such as 10.100.0.0/24"
        if not isinstance(self.network, str) or "/" not in self.network:
            raise _refuse("network", self.network, wanted)
        try:
            network = ipaddress.IPv4Network(self.network)
        except ValueError:
            raise _refuse("network", self.network, wanted) from None
        if network.prefixlen < 8:
            raise _refuse("network", self.network, wanted)
        if not isinstance(self.privileges, tuple) or not self.privileges:
            raise _refuse("privileges", self.privileges, "a tuple with at least one privilege")
        for privilege in self.privileges:
            if privilege not in PRIVILEGES:
                raise _refuse("privileges", privilege, "one of " + ", ".join(PRIVILEGES))
        if len(set(self.privileges)) != len(self.privileges):
            raise _refuse("privileges", self.privileges, "free of repetitions")

    @property
    def host_pattern(self) -> str:
        """The network as an account's host part: "10.100.0.0/255.255.255.0"."""
        return ipaddress.IPv4Network(self.network).with_netmask


def authority_arguments(address: str, names: Sequence[str] = ()) -> tuple[str, ...]:
    """Give the arguments of mariadb-authority for a server that clients call by this IPv4 address and these DNS names.

    Raise ValueError naming the value.
    """
    _check_address("address", address)
    for name in names:
        labels = name.split(".") if isinstance(name, str) else []
        if not labels or len(name) > 253 or not all(_DNS_LABEL.fullmatch(label) for label in labels):
            raise _refuse("names", name, "a DNS name in lower case")
    return ("ensure", address, *names)


def access_arguments(access: Access) -> tuple[str, ...]:
    """Give the arguments of mariadb-access; the password goes to its stdin, with no newline after it."""
    return ("ensure", access.database, access.user, access.host_pattern, ",".join(sorted(access.privileges)))


def render(server: Server) -> str:
    """Give 90-fortress.cnf as it stands at CONFIG_PATH."""
    return text.render(
        "90-fortress.cnf.j2",
        server=server,
        port=PORT,
        tls_folder=TLS_FOLDER,
        collation=COLLATION,
        binlog_days=BINLOG_DAYS,
        share_percent=round(SHARE * 100),
        extent_mb=EXTENT_MB,
        redo_min_mb=MIN_REDO_MB,
        redo_max_mb=MAX_REDO_MB,
    )


def wait_for_tunnel() -> str:
    """Give the systemd drop-in at DROP_IN_PATH: MariaDB starts after the tunnel, stops before it, and tries again."""
    return (files("fortress") / "templates" / "mariadb-wait-for-tunnel.conf").read_text()
