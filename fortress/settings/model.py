"""Typed settings of a stack: everything allowed in `Pulumi.STACK.yaml`, checked before anything is created."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, ip_network
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from fortress import haproxy, mariadb, wireguard, workload
from fortress.explain import Place, check, shown
from fortress.limits import Limits
from fortress.settings import hosts as host_settings
from fortress.settings.hosts import HostSettings, Role, SiteSettings
from fortress.settings.types import ProjectPath
from fortress.values import (
    Address,
    Device,
    DnsName,
    Endpoint,
    HostKey,
    HostPath,
    MeshNetwork,
    Model,
    Name,
    OneLine,
    Operators,
    Port,
    User,
    VolumeSize,
    distinct,
    refusal,
)


class BastionSettings(Model):
    """A jump host, for a stack whose hosts all have an `address` and a `host_key`: no key can be learnt through it."""

    address: Address
    """Address at which it answers SSH."""
    host_key: HostKey
    """Its pinned key."""
    user: User = "debian"
    """User who logs in to it."""
    port: Port = 22
    """Its SSH port."""


class Ssh(Model):
    """How the engine reaches hosts: with the operator's SSH agent, or with the secret setting `ssh_private_key`."""

    user: User = "debian"
    """User who logs in to each host: root, or one with password-less sudo. On machines that the stack creates it is the
    first user, and not root."""
    port: Port = 22
    """Port of SSH on each host; must not be the port of a service of the fortress."""
    operators: Operators
    """Ranges that may open SSH connections; everyone else is dropped. Never the whole world. With machines that the
    stack creates, at least one IPv4 range."""
    bastion: BastionSettings | None = None


class FlowSetting(wireguard.Flow):
    """A connection between two hosts that the roles do not imply."""

    source: Name
    """Host that opens the connection."""
    destination: Name
    """Host that accepts it; must differ from `source`."""


class MeshSettings(Model):
    """The WireGuard mesh."""

    network: MeshNetwork = IPv4Network("10.100.0.0/24")
    """Network of the tunnel; must not overlap a site's network. Half its addresses, less two, are slots for hosts."""
    port: Port = wireguard.PORT
    """UDP port that WireGuard listens on, on each host."""
    path_mtu: wireguard.PathMtu = 1450
    """The smallest MTU between two hosts outside the tunnel, in bytes; 1450 is a VXLAN tenant network."""
    mtu: wireguard.Mtu = 1360
    """MTU of the tunnel, in bytes; at most `path_mtu` - 80, since WireGuard adds 80 bytes to a packet over IPv6."""
    keepalive_s: wireguard.Keepalive = 25
    """Seconds between keepalives; 25 is below AWS's 30 s tracking of one-way UDP."""
    hubs: Annotated[list[Name], Field(min_length=1), AfterValidator(distinct)]
    """Hosts with a fixed address that the others dial, without duplicates; no worker that the stack creates."""
    flows: list[FlowSetting] = []
    """Connections beyond those that the roles imply: workers to the database, the edge to workers."""

    @model_validator(mode="after")
    def _fits(self) -> MeshSettings:
        if problem := wireguard.mtu_problem(self.mtu, self.path_mtu):
            raise refusal(("mtu",), self.mtu, problem)
        return self


class VolumeSettings(Model):
    """A separate disk for the data: either a volume of the cloud (`size_gb`), for a machine that the stack creates, or
    a disk that a machine with an `address` has (`device`)."""

    size_gb: VolumeSize | None = None
    """Size in GB; it can grow, and never shrinks."""
    type: OneLine | None = None
    """Volume type of the cloud, such as nvme; the cloud's default if not given."""
    device: Device | None = None
    """The disk; it is formatted only if it is completely empty."""
    encrypted: bool = False
    """Whether it is encrypted (LUKS), with the secret setting `database_volume_key`; only before there is data."""

    @model_validator(mode="after")
    def _one_disk(self) -> VolumeSettings:
        if (self.size_gb is None) == (self.device is None):
            raise ValueError("size_gb: set either size_gb, for a volume of the cloud, or device, for an existing disk")
        if self.device and self.type:
            raise ValueError(f"type: {shown(self.type)} is for a volume of the cloud; a device has none")
        return self


class DatabaseSettings(Model):
    """MariaDB, on the one host with `role: database`."""

    name: mariadb.DatabaseName = "app"
    """The application's database."""
    user: mariadb.AccountName = "app"
    """The application's account."""
    privileges: mariadb.Privileges = list(mariadb.DEFAULT_PRIVILEGES)
    """Privileges of the application's account in its database, without duplicates."""
    connections_per_client: mariadb.ConnectionsPerClient = 200
    """Connections that each worker may have open to the database, of 1,000 in all; further ones get error 1226."""
    flush_log_at_commit: mariadb.FlushLog = 1
    """MariaDB's innodb_flush_log_at_trx_commit. 1 loses no committed transaction; 2, which may lose the last second on
    a power cut, is allowed only with `cross_cloud_copy`."""
    cross_cloud_copy: bool = False
    """Whether a copy in another cloud is the goal. It allows `flush_log_at_commit: 2`, nothing else."""
    buffer_pool_mb: mariadb.BufferPoolSize | None = None
    """InnoDB's buffer pool in MB (MiB): at most 90 % of the host's memory with 128 MB left over; 70 % of the host's
    memory when not given."""
    keep_data: bool = True
    """Whether the data outlives the stack, and its volume is protected; a change takes effect with the next `up`."""
    volume: VolumeSettings | None = None
    """A separate disk for /var/lib/mysql; the machine's own disk if not given."""


class WorkloadSettings(workload.Workload):
    """What workers run: packages, files and one systemd unit."""

    files: dict[HostPath, ProjectPath] = {}
    """Path on the host: path in this project, as in `/opt/app/app.py: examples/app/app.py`. Each lands byte for byte.
    No path that the program itself writes, such as /etc/fortress or /etc/systemd."""


class Certificate(Model):
    """A certificate of your own for the edge; its key is the secret setting `edge_tls_key`."""

    file: ProjectPath
    """PEM file in this project: the certificate and its chain."""


class EdgeSettings(Model):
    """The HAProxy edge, on the one host with `role: edge`."""

    server_name: DnsName
    """DNS name that clients use; a self-signed certificate is for this name."""
    primary: Name
    """Site whose workers answer; it must have at least one worker."""
    overflow: Name
    """Another site, whose workers answer when the primary site has no live worker, or all are full."""
    other_names: Annotated[list[DnsName], AfterValidator(distinct)] = []
    """Further DNS names that clients use, without duplicates. Port 80 redirects to these names and `server_name` only,
    and a self-signed certificate is for all of them."""
    guests: dict[Name, Endpoint] = {}
    """Workers of another stack that answer with those of `overflow`: name to address in the mesh and port, as in
    `fra-8: 10.100.0.8:80`. A guest may be listed before it runs and after it has gone: `fortress verify` of this
    stack does not check it."""
    certificate: Certificate | None = None
    """The edge's certificate; self-signed on the host if not given."""
    maxconn: haproxy.Connections = 2000
    """Concurrent client connections of the edge, on port 443 and as many on port 80; must exceed `server_maxconn` times
    the primary site's workers, or requests could never spill over."""
    client_maxconn: haproxy.Connections | None = None
    """Concurrent connections of one client address, and of one /64 network with IPv6: an office behind one address has
    them together. Further ones are closed at once. A quarter of `maxconn`, and at least 32, when not given; behind a
    load balancer set it to `maxconn`."""
    server_maxconn: haproxy.Connections = 200
    """Concurrent requests per worker. Further requests go to `overflow`."""
    timeout_client_ms: haproxy.Patience = 10_000
    """Longest wait for the next bytes from a client."""
    timeout_connect_ms: haproxy.ConnectTime = 400
    """Longest wait for a connection to a worker, for a request or a check."""
    timeout_server_ms: haproxy.Patience = 10_000
    """Longest wait for the next bytes from a worker."""
    timeout_queue_ms: haproxy.Patience = 3_000
    """Longest wait of a request for a worker that can take it, when all are full; then the client gets 503."""
    timeout_tunnel_ms: haproxy.Patience = 3_600_000
    """Longest silence of a WebSocket. An open one is one of its worker's `server_maxconn` requests."""
    hsts_s: haproxy.HstsAge | None = None
    """Seconds for which browsers that were here use HTTPS only (Strict-Transport-Security). When not given, a year with
    a `certificate`, and nothing is said with a self-signed one. 0 takes it back."""
    answers_within_s: haproxy.AnswerTime = 30
    """Seconds within which a worker must answer through the edge after a change, or `up` fails and names the workers
    that are down. 0 asks nobody; nobody is asked either while every worker of this stack is gone."""
    checks: haproxy.HealthChecks = haproxy.HealthChecks()

    def detection(self) -> haproxy.Checks:
        """How a dead server is detected."""
        return haproxy.Checks(**self.checks.model_dump(), connect_ms=self.timeout_connect_ms)


class Settings(Model):
    """A whole stack."""

    ssh: Ssh
    sites: Annotated[dict[Name, SiteSettings], Field(min_length=1)]
    hosts: Annotated[dict[Name, HostSettings], Field(min_length=1)]
    mesh: MeshSettings
    database: DatabaseSettings = DatabaseSettings()
    workload: WorkloadSettings
    edge: EdgeSettings
    verify: Limits = Limits()

    @model_validator(mode="after")
    def _agree(self) -> Settings:
        problems = [*self._host_problems(), *self._mesh_problems(), *self._edge_problems(), *self._verify_problems()]
        # Services on hosts can only be checked once the hosts themselves are valid.
        problems = problems or [*self._flow_problems(), *self._database_problems(), *self._proxy_problems()]
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def _host_problems(self) -> Iterable[str]:
        yield from host_settings.problems(self.sites, self.hosts, self.mesh.network)
        if any(host.made for host in self.hosts.values()):
            if self.ssh.user == "root":
                yield "ssh.user: 'root' cannot log in to machines that the stack creates; use their first user, debian"
            if all(ip_network(entry).version == 6 for entry in self.ssh.operators):
                yield "ssh.operators: no IPv4 range, but machines that the stack creates answer on IPv4; add one"
        if self.ssh.bastion:
            for name, host in self.hosts.items():
                if host.made:
                    why = "no key can be learnt through ssh.bastion, and the stack creates this machine"
                    yield f"hosts.{name}: {why}; leave ssh.bastion out, or give the host an address"
                elif host.host_key is None:
                    yield f"hosts.{name}.host_key: needed with ssh.bastion; a key cannot be learnt through another host"
        for role in ("database", "edge"):
            found = self.with_role(role)
            if len(found) != 1:
                yield f"hosts: exactly one host has role: {role}, found {len(found)} ({', '.join(found) or 'none'})"
        if not self.workers:
            yield "hosts: at least one host has role: worker"
        for name in self.with_role("database"):
            site = self.sites.get(self.hosts[name].site)
            if site and not site.sovereign:
                yield f"hosts.{name}.site: {self.hosts[name].site} is not sovereign, but personal data is stored here"

        taken = {
            haproxy.HTTP_PORT: "HAProxy",
            haproxy.HTTPS_PORT: "HAProxy",
            mariadb.PORT: "MariaDB",
            self.workload.port: "the workload",
        }
        if service := taken.get(self.ssh.port):
            yield f"ssh.port: {self.ssh.port} is the port of {service}; let SSH listen on a different one"

    def _mesh_problems(self) -> Iterable[str]:
        for hub in self.mesh.hubs:
            if hub not in self.hosts:
                yield f"mesh.hubs: {hub!r} is not in hosts; known: {', '.join(self.hosts)}"
            elif self.hosts[hub].made and self.hosts[hub].role == "worker":
                yield f"mesh.hubs: {hub!r} is a worker that the stack creates; a hub needs a fixed address"
        for index, flow in enumerate(self.mesh.flows):
            for end in (flow.source, flow.destination):
                if end not in self.hosts:
                    yield f"mesh.flows[{index}]: {end!r} is not in hosts; known: {', '.join(self.hosts)}"
            if flow.source == flow.destination:
                yield f"mesh.flows[{index}]: a flow joins two hosts, not {flow.source} with itself"

    def _flow_problems(self) -> Iterable[str]:
        implied, extra = self.implied_flows(), self.extra_flows()
        for index, flow in enumerate(extra):
            if flow in implied:
                yield f"mesh.flows[{index}]: {flow} is open by their roles; leave it out"
            elif (first := extra.index(flow)) < index:
                yield f"mesh.flows[{index}]: {flow} is mesh.flows[{first}] too; leave it out"

    def _edge_problems(self) -> Iterable[str]:
        for key in ("primary", "overflow"):
            site = getattr(self.edge, key)
            if site not in self.sites:
                yield f"edge.{key}: {site!r} is not in sites; known: {', '.join(self.sites)}"
        if self.edge.primary in self.sites and not self.workers_at(self.edge.primary):
            yield f"edge.primary: no host with role: worker is at {self.edge.primary!r}; name a site with workers"
        yield from self._guest_problems()

    def _guest_problems(self) -> Iterable[str]:
        network = self.mesh.network
        room = wireguard.capacity(network)
        taken = {
            wireguard.mesh_address(network, host.slot, generation): f"hosts.{name}, whose slot has two addresses"
            for name, host in self.hosts.items()
            if host.slot <= room
            for generation in (1, 2)
        }
        for name, server in self.edge.guests.items():
            path = f"edge.guests.{name}"
            address = IPv4Address(server.partition(":")[0])
            if name in self.hosts:
                yield f"{path}: {name!r} is in hosts; leave it out, or give the guest another name"
            if not network[0] < address < network[-1]:
                yield (
                    f"{path}: {address} is outside mesh.network {network}, {network[1]} to {network[-2]}; "
                    "use the guest's address in the mesh"
                )
            elif other := taken.get(address):
                yield f"{path}: {address} is taken by {other}; use another one for the guest"
            taken.setdefault(address, path)

    def _verify_problems(self) -> Iterable[str]:
        if wrong := self.verify.pairs_problem(self.sites):
            yield f"verify.{wrong}"

    def _volume_problems(self) -> Iterable[str]:
        volume, host = self.database.volume, self.hosts[self.database_host]
        if volume is None and host.made:
            yield "database.volume: missing; the disk of a machine that the stack creates ends with it; set size_gb"
        if volume and volume.device and host.made:
            yield "database.volume.device: the stack creates this host, and the volume too; set size_gb"
        if volume and volume.size_gb and not host.made:
            yield "database.volume.size_gb: no cloud creates a volume for a host that exists; set device"

    def _database_problems(self) -> Iterable[str]:
        yield from self._volume_problems()
        name = self.database_host
        server = {
            "address": str(self.mesh_address(name)),
            # The host's own memory is known only once it has been asked.
            "ram_mb": self.hosts[name].memory_mb or mariadb.MOST_MEMORY_MB,
            "buffer_pool_mb": self.database.buffer_pool_mb,
            "innodb_flush_log_at_trx_commit": self.database.flush_log_at_commit,
            "cross_cloud_copy": self.database.cross_cloud_copy,
            "volume_gb": self.database.volume.size_gb if self.database.volume else None,
        }
        paths = {
            "address": f"hosts.{name}.slot",
            "volume_gb": "database.volume.size_gb",
            "ram_mb": f"hosts.{name}.memory_mb",
            "innodb_flush_log_at_trx_commit": "database.flush_log_at_commit",
            "": "database",
        }
        yield from check(mariadb.Server, server, Place(paths=paths))

    def _proxy_problems(self) -> Iterable[str]:
        edge = self.edge
        primary, overflow = (
            {"site": site, "servers": self.servers(site), "maxconn": edge.server_maxconn}
            for site in (edge.primary, edge.overflow)
        )
        facts = {
            "server_name": edge.server_name,
            "other_names": tuple(edge.other_names),
            "primary": primary,
            "overflow": overflow,
            "maxconn": edge.maxconn,
            "client_maxconn": edge.client_maxconn,
        }
        yield from check(haproxy.Edge, facts, Place(paths={"overflow.site": "edge.overflow", "": "edge"}))

    def with_role(self, role: Role) -> list[str]:
        """Members of one role, in the settings' order."""
        return [name for name, host in self.members.items() if host.role == role]

    @property
    def members(self) -> dict[str, HostSettings]:
        """The machines of the mesh by name, in the settings' order."""
        return {self.member(name): host for name, host in self.hosts.items()}

    def member(self, host: str) -> str:
        """The name of a host's machine: with its generation where the next one will stand beside it."""
        settings = self.hosts[host]
        return f"{host}.{settings.generation}" if settings.made and settings.role == "worker" else host

    @property
    def database_host(self) -> str:
        return self.with_role("database")[0]

    @property
    def edge_host(self) -> str:
        return self.with_role("edge")[0]

    @property
    def workers(self) -> list[str]:
        return self.with_role("worker")

    @property
    def rollout_order(self) -> list[str]:
        """Workers in the order in which a change reaches them: the primary site's last."""
        return sorted(self.workers, key=lambda name: (self.members[name].site == self.edge.primary, name))

    def workers_at(self, site: str) -> list[str]:
        return [name for name in self.workers if self.members[name].site == site]

    def mesh_address(self, name: str) -> IPv4Address:
        """A member's address in the mesh."""
        host = self.members[name]
        return wireguard.mesh_address(self.mesh.network, host.slot, host.generation)

    def servers(self, site: str) -> dict[str, str]:
        """Workers of a site, guests among them, as HAProxy servers: name to address:port in the mesh."""
        own = {name: f"{self.mesh_address(name)}:{self.workload.port}" for name in self.workers_at(site)}
        return own | self.edge.guests if site == self.edge.overflow else own

    def flows(self) -> list[wireguard.Flow]:
        """Every connection between two hosts."""
        return self.implied_flows() + self.extra_flows()

    def implied_flows(self) -> list[wireguard.Flow]:
        """The connections that roles imply: workers to the database, the edge to workers."""
        flows = []
        for worker in self.workers:
            flows.append(wireguard.Flow(source=worker, destination=self.database_host, port=mariadb.PORT))
            flows.append(wireguard.Flow(source=self.edge_host, destination=worker, port=self.workload.port))
        return flows

    def extra_flows(self) -> list[wireguard.Flow]:
        """The connections that the settings declare beyond the roles."""
        return [
            wireguard.Flow(
                source=self.member(f.source), destination=self.member(f.destination), port=f.port, protocol=f.protocol
            )
            for f in self.mesh.flows
        ]


def declared(member: str) -> str:
    """The name under `hosts` of a member of the mesh."""
    return member.partition(".")[0]
