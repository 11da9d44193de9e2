"""The stack's output `fortress`: where everything is and which limits hold. Nothing in it is secret.

components/facts.py writes it, for any program; the command (fortress/cli/engine/outputs.py) and other stacks read it.
The models below are the one place that names its fields. Any change of them raises VERSION.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from fortress import wireguard

OUTPUT = "fortress"
"""Name of the stack output that holds all this."""

VERSION = 3
"""Of these models. The first programs wrote none; what they wrote is read where it has the fields of version 1.

2 has `sites`; of what version 1 wrote, these are not known. 3 is of any program: `mesh`, `database` and `edge` are None
where it has none, a host may have the role `host`, and it has `flows`.
"""


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


class DatabaseFacts(_Facts):
    """MariaDB, and how to know it."""

    host: str
    address: str
    port: int
    name: str
    user: str
    ca_pem: str
    """The authority that its certificate is verified against."""
    copy_wanted: bool
    """Whether a copy in another cloud is the goal."""
    clients: tuple[str, ...] | None = None
    """Hosts whose workload uses it. Versions 1 and 2 have None: there every worker does."""


class EdgeFacts(_Facts):
    """The HAProxy edge."""

    host: str
    url: str
    server_name: str
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
    iowait_percent: float
    iops_4k: float
    iops_16k: float
    commit_ms: float
    ports: tuple[int, ...]
    firewall_tables: tuple[str, ...]
    """Tables of other tools, each as family and name."""

    def rtt(self, one: str, other: str) -> tuple[float, float] | None:
        """Least and most milliseconds between two sites, None where no limit is set."""
        return self.rtt_ms.get("-".join(sorted((one, other))))


class StackOutputs(_Facts):
    """All of the output."""

    version: Literal[1, 2, 3]
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
    if isinstance(version, int | float) and version > VERSION:
        raise UnreadableError(
            f"was written by a newer version of this program (version {version:g}; this one reads {VERSION}); "
            "update data-fortress"
        )
    try:
        return StackOutputs.model_validate({**found, "version": version} if isinstance(found, dict) else found)
    except ValidationError as wrong:
        first = wrong.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or OUTPUT
        raise UnreadableError(
            f"was written by another version of this program ({where}: {first['msg'].lower()}); "
            "run `pulumi up` once more"
        ) from None
