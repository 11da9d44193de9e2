"""The stack's output `fortress`: where everything is and which limits hold. Nothing in it is secret.

components/facts.py writes it, for any program; the command (fortress/cli/engine/outputs.py) and other stacks read it.
The models below are the one place that names its fields. Any change of them raises VERSION.
"""

from __future__ import annotations

from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from fortress import wireguard

OUTPUT = "fortress"
"""Name of the stack output that holds all this."""

VERSION = 10
"""Of these models. The first programs wrote none; what they wrote is read where it has the fields of version 1.

2 has `sites`; of what version 1 wrote, these are not known. 3 is of any program: `mesh`, `database` and `edge` are None
where it has none, a host may have the role `host`, and it has `flows`. 4 has the edge's `other_names`, and the
database's `backup` and `servers`. 5 has the database's `accounts`. 6 has the hosts'
`egress`. 7 has what `listens` on them, the limits' `listeners`, and whether the
database's volume is `encrypted`. 8 has the hosts' `exporters`. 9 has the limits'
`containers`, and the `url` of backups. 10 has the limits' `log_days`, and the
backup's `host`.
"""


_Output = TypeVar("_Output", bound=BaseModel)


class UnreadableError(ValueError):
    """The output is not of this version; the text says what it is instead, and the cure."""


class _Facts(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class HostFacts(_Facts):
    """One machine: where it answers, who it must be, and its place in the mesh."""

    address: str
    port: int
    """TCP port of SSH."""
    user: str
    host_key: str
    public_key: str
    mesh_address: str
    site: str
    role: Literal["database", "edge", "worker", "host"]
    """`host` is one without a service of the fortress."""
    peers: tuple[str, ...]
    """Direct peers. One that is no host of the stack is set as gone, and still a peer until it leaves the settings."""
    open_tcp: tuple[int, ...]
    """TCP ports that answer outside the tunnel."""
    egress: Literal["open", "closed"] = "open"
    """Whether it lets out only what it needs."""
    listens: tuple[str, ...] | None = None
    """What the program has listen outside loopback and tunnel, such as `tcp/22`. Versions 1 to 6 do not tell it."""
    exporters: dict[Literal["node", "mysqld", "haproxy"], int] = {}
    """Exporters of metrics, and the port of each at `mesh_address`. Versions 1 to 7 do not tell them."""


class SiteFacts(_Facts):
    """A location of hosts: who runs it, and where it is."""

    operator: str
    country: str
    """ISO 3166-1 alpha-2."""
    sovereign: bool
    """Whether personal data may be stored there."""


class MeshFacts(_Facts):
    """The WireGuard mesh; sizes in bytes."""

    network: str
    port: int
    mtu: int
    path_mtu: int
    hubs: tuple[str, ...]
    interface: str


class FlowFacts(_Facts):
    """Connections that a host opens to another one through the tunnel."""

    source: str
    destination: str
    port: int
    """At the destination."""
    protocol: Literal["tcp", "udp"]


class BackupFacts(_Facts):
    """Backups of the database."""

    site: str
    """Where the target stands."""
    target: str
    """What it is, for people: `sftp 192.0.2.40:/srv/backup`."""
    url: str | None = None
    """Of its bucket; None where it has none. Versions 1 to 8 do not tell it."""
    host: str = ""
    """Which of the database's hosts makes them. Versions 1 to 9 do not tell it: there it is the database's `host`."""


class DatabaseFacts(_Facts):
    """MariaDB, and how to know it."""

    host: str
    address: str
    port: int
    name: str
    user: str
    accounts: tuple[str, ...] = ()
    """All that the settings name, whose grants are looked at. Versions 1 to 4 do not tell them."""
    ca_pem: str
    """The authority that its certificate is verified against."""
    copy_wanted: bool
    """Whether a copy in another cloud is the goal."""
    servers: dict[str, str] = {}
    """Of several servers with the same data: each host's name to its address in the mesh. `host` is the one that takes
    the writes at first; who does so now is known to them alone."""
    clients: tuple[str, ...] | None = None
    """Hosts whose workload uses it. Versions 1 and 2 have None: there every worker does."""
    encrypted: bool = False
    """Whether the hosts encrypt the volume of the data. Versions 1 to 6 do not tell it."""
    backup: BackupFacts | None = None
    """None where no backups are made."""

    def hosts(self) -> list[str]:
        """Hosts of its servers."""
        return list(self.servers) or [self.host]

    @property
    def backup_host(self) -> str | None:
        """The host that makes its backups, None where none are made."""
        return (self.backup.host or self.host) if self.backup else None


class EdgeFacts(_Facts):
    """The HAProxy edge."""

    host: str
    url: str
    server_name: str
    other_names: tuple[str, ...] = ()
    """Further names that clients use. Versions 1 to 3 do not tell them."""
    health_path: str
    stats_socket: str
    backends: dict[str, dict[str, str]]
    """Backend to server to address:port, as HAProxy names them."""
    silent_ms: int
    refused_ms: int
    """The longest until a dead server is left, of a host that is silent and of one that refuses."""


class BastionFacts(_Facts):
    """The jump host in front of the hosts."""

    address: str
    port: int
    user: str
    host_key: str


class ListenerFacts(_Facts):
    """What listens on hosts with somebody's consent."""

    at: str
    """A site, or a host as the settings name it."""
    port: int
    protocol: Literal["tcp", "udp"]
    purpose: str


class LimitFacts(_Facts):
    """What holds and what does not: milliseconds, seconds, days; see the settings under `verify`."""

    rtt_ms: dict[str, tuple[float, float]]
    loss_percent: float = 1.0
    """An output of a version that did not measure it has none."""
    handshake_s: float
    certificate_days: float
    key_age_days: float
    clock_offset_ms: float
    failover_s: float
    replication_lag_s: float
    disk_percent: float = 85.0
    """An output of a version that did not measure it has none."""
    iowait_percent: float
    iops_4k: float
    iops_16k: float
    commit_ms: float
    ports: tuple[int, ...]
    firewall_tables: tuple[str, ...]
    """Tables of other tools, each as family and name."""
    log_days: int | None = None
    listeners: dict[str, ListenerFacts] = {}
    """Versions 1 to 6 have none."""
    containers: dict[str, str] = {}
    """Name to URL. Versions 1 to 8 have none."""

    def rtt(self, one: str, other: str) -> tuple[float, float] | None:
        """Least and most milliseconds between two sites, None where no limit is set."""
        return self.rtt_ms.get("-".join(sorted((one, other))))


class StackOutputs(_Facts):
    """All of the output."""

    version: Literal[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
    sites: dict[str, SiteFacts] = {}
    hosts: dict[str, HostFacts]
    flows: tuple[FlowFacts, ...] = ()
    """Between these hosts, but for those that workers and the edge use: other checks measure these."""
    mesh: MeshFacts | None
    database: DatabaseFacts | None
    edge: EdgeFacts | None
    bastion: BastionFacts | None
    limits: LimitFacts

    def clients(self) -> list[str]:
        """Hosts whose workload uses the database."""
        if self.database is None:
            return []
        if self.database.clients is not None:
            return [name for name in self.hosts if name in self.database.clients]
        return [name for name, host in self.hosts.items() if host.role == "worker"]

    def pairs(self) -> list[tuple[str, str]]:
        """Direct peers, each pair once; the first is the one that measures, and the work is spread over the hosts."""
        found = {
            tuple(sorted((name, peer)))
            for name, host in self.hosts.items()
            for peer in host.peers
            if peer in self.hosts
        }
        load = dict.fromkeys(self.hosts, 0)
        pairs = []
        for one, other in sorted(found):
            first, second = (one, other) if load[one] <= load[other] else (other, one)
            load[first] += 1
            pairs.append((first, second))
        return pairs

    @property
    def interface(self) -> str:
        """Name of the tunnel's interface, which a host has without a mesh too."""
        return self.mesh.interface if self.mesh else wireguard.INTERFACE

    def dials(self) -> list[tuple[str, str]]:
        """Who dials whom outside the tunnel: each pair of direct peers once, the one whose address stays last."""
        hubs = self.mesh.hubs if self.mesh else ()
        return [(one, other) if other in hubs else (other, one) for one, other in self.pairs()]


def parse(found: Any) -> StackOutputs:
    """What the output holds, by whichever version of the program wrote it.

    Raises:
        UnreadableError: it is no such output, or a newer version's.
    """
    version = found.get("version", 1) if isinstance(found, dict) else VERSION
    whole = {**found, "version": version} if isinstance(found, dict) else found
    return of_version(StackOutputs, whole, VERSION, OUTPUT)


def of_version(model: type[_Output], found: Any, newest: int, output: str) -> _Output:
    """What a stack output with a `version` holds; `newest` is the one that this program writes.

    Raises:
        UnreadableError: it is no such output, or a newer version's.
    """
    version = found.get("version") if isinstance(found, dict) else None
    if isinstance(version, int | float) and version > newest:
        raise UnreadableError(
            f"was written by a newer version of this program (version {version:g}; this one reads {newest}); "
            "update data-fortress"
        )
    try:
        return model.model_validate(found)
    except ValidationError as wrong:
        first = wrong.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or output
        raise UnreadableError(
            f"was written by another version of this program ({where}: {first['msg'].lower()}); "
            "run `pulumi up` once more"
        ) from None
