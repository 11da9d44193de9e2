"""Typed settings of a stack: everything allowed in `Pulumi.STACK.yaml`, checked before anything is created."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, ip_network
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from fortress import access, firewall, galera, haproxy, mariadb, monitoring, replication, wireguard, workload
from fortress.backup import Backup
from fortress.explain import Place, check, path_of, shown
from fortress.limits import Limits
from fortress.server_variables import Variables
from fortress.settings import hosts as host_settings
from fortress.settings.hosts import HostSettings, Role, SiteSettings
from fortress.settings.types import ProjectPath
from fortress.sovereignty.register import Register
from fortress.values import (
    Address,
    Destination,
    Device,
    DnsName,
    Endpoint,
    HomePath,
    HostKey,
    HostPath,
    MeshNetwork,
    Method,
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


class EgressSettings(Model):
    """What hosts of a site whose `egress` is closed may connect to, beyond what every host needs."""

    source: Name
    """Site whose hosts open the connection, or one host there."""
    address: Destination
    """Address or range without host bits, such as 198.51.100.7/32: a firewall knows no names. Never all addresses."""
    port: Port
    """Its port."""
    protocol: wireguard.Protocol = "tcp"
    """Its protocol."""
    purpose: OneLine
    """Why it is needed, in a line; the record of processing has it."""


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


class AccountSettings(Model):
    """One more account of the database; its password is an entry of the secret setting `database_account_passwords`."""

    privileges: access.Grants = {}
    """Privileges by database, each without duplicates."""
    role: mariadb.AccountName | None = None
    """One of `database.roles`, whose privileges it has beside its own."""
    clients: Annotated[list[access.Client], AfterValidator(distinct)] = []
    """Hosts and addresses of the mesh that it may come from, without duplicates; the whole mesh if not given. A host
    that is no worker needs a flow to the database in `mesh.flows`."""
    connections_per_client: mariadb.ConnectionsPerClient = access.CONNECTIONS_PER_CLIENT
    """Connections that it may have open from one address."""


class DatabaseSettings(Model):
    """MariaDB, on the host with `role: database`, or with copies on several."""

    mode: Literal["single", "replica", "galera"] = "single"
    """`single`: one host with `role: database`. `replica`: several, one of which takes the writes while the others hold
    asynchronous copies that acknowledge each commit (semi-synchronous); all at sovereign sites. It needs the secret
    setting `database_replication_password`. `galera`: three, or two and a host with `role: witness`, of which any one
    may be lost: a commit is certified by all, one of them takes the writes, and another one takes over by itself; all
    at sovereign sites."""
    primary: Name | None = None
    """With several hosts: the one that takes the writes at first, and that changes reach last. Who takes them later is
    the servers' own truth (`fortress switchover`), which this setting never overrules; set it to that host then."""
    name: mariadb.DatabaseName = "app"
    """The application's database."""
    user: mariadb.AccountName = "app"
    """The application's account."""
    privileges: mariadb.Privileges = list(mariadb.DEFAULT_PRIVILEGES)
    """Privileges of the application's account in its database, without duplicates."""
    connections_per_client: mariadb.ConnectionsPerClient = 200
    """Connections that each worker may have open to the database, of 1,000 in all; further ones get error 1226."""
    databases: list[mariadb.DatabaseName] = []
    """Further databases, for `accounts`; made where they are missing, and never dropped."""
    roles: dict[mariadb.AccountName, access.Grants] = {}
    """Privileges that several accounts share: by role, then by database."""
    accounts: dict[mariadb.AccountName, AccountSettings] = {}
    """Further accounts, for other applications than the workload."""
    keep_old_passwords: bool = False
    """Whether a password that is changed works beside the new one until this is false again, for clients that this
    stack does not push to. Otherwise it works until the last worker has the new one."""
    flush_log_at_commit: mariadb.FlushLog = 1
    """MariaDB's innodb_flush_log_at_trx_commit. 1 loses no committed transaction; 2, which may lose the last second on
    a power cut, is allowed only with `cross_cloud_copy`."""
    cross_cloud_copy: bool = False
    """Whether a copy in another cloud is the goal. It allows `flush_log_at_commit: 2`, nothing else."""
    buffer_pool_mb: mariadb.BufferPoolSize | None = None
    """InnoDB's buffer pool in MB (MiB): at most 90 % of the host's memory with 128 MB left over; 70 % of the host's
    memory when not given."""
    variables: Variables = {}
    """Any other variable of MariaDB, by name; also in place of a value of ours that is no promise of the fortress, such
    as `max_connections`. What MariaDB takes while it runs is set without a restart."""
    keep_data: bool = True
    """Whether the data outlives the stack, and its volume is protected; a change takes effect with the next `up`."""
    upgrade_to: mariadb.Release | None = None
    """A release of MariaDB, such as `"11.8"`, to which data of an older one may be upgraded, as by a newer image. Not
    needed where a backup of the last 7 days was restored by `fortress drill` before; nothing allows it for data that
    were not shut down in order."""
    volume: VolumeSettings | None = None
    """A separate disk for /var/lib/mysql; the machine's own disk if not given."""
    backup: Backup | None = None
    """Where backups go, and how long they stay; none are made if not given. Of several servers they are made by one
    that does not take the writes at first."""


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
    home_paths: Annotated[list[HomePath], AfterValidator(distinct)] = []
    """Beginnings of paths, without duplicates, such as `/account` for `/account/orders` and `/accounts` too: requests
    for them never go to `overflow`. They wait for a worker of `primary`, and get 503 when there is none. Paths count
    decoded and in any case; one in an unusual form, such as `/a//b` or `/a;b`, then stays at home too."""
    home_methods: Annotated[list[Method], AfterValidator(distinct)] = []
    """Methods, without duplicates, such as POST: requests with them never go to `overflow` either."""
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


class MonitoringSettings(Model):
    """Metrics for a Prometheus of your own, from Debian's exporters: of hosts, of databases, and of the edge's HAProxy.

    They listen in the tunnel only, and answer `scrapers` only; examples/monitoring has what Prometheus needs."""

    scrapers: Annotated[list[Name], Field(min_length=1), AfterValidator(distinct)]
    """Hosts that Prometheus asks from, without duplicates; a machine for it alone has `role: monitor`. What it asks is
    a flow: at a site of another operator the register has it (`sovereignty.flows`)."""
    hosts: Annotated[list[Name], AfterValidator(distinct)] = []
    """Hosts that have exporters, without duplicates; every host if empty."""


class Settings(Model):
    """A whole stack."""

    ssh: Ssh
    sites: Annotated[dict[Name, SiteSettings], Field(min_length=1)]
    hosts: Annotated[dict[Name, HostSettings], Field(min_length=1)]
    mesh: MeshSettings
    database: DatabaseSettings = DatabaseSettings()
    workload: WorkloadSettings
    edge: EdgeSettings
    egress: dict[Name, EgressSettings] = {}
    monitoring: MonitoringSettings | None = None
    verify: Limits = Limits()
    sovereignty: Register | None = None

    @model_validator(mode="after")
    def _agree(self) -> Settings:
        problems = [*self._host_problems(), *self._mesh_problems(), *self._edge_problems(), *self._verify_problems()]
        problems += [*self._egress_problems(), *self._register_problems(), *self._monitoring_problems()]
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
            if role == "database" and self.copies:
                yield from self._replica_problems(found)
            elif len(found) != 1:
                cure = "; for copies set database.mode: replica or galera" if role == "database" and found else ""
                named = ", ".join(found) or "none"
                yield f"hosts: exactly one host has role: {role}, found {len(found)} ({named}){cure}"
        if not self.workers:
            yield "hosts: at least one host has role: worker"
        for name in self.with_role("database"):
            site = self.sites.get(self.hosts[name].site)
            if site and not site.sovereign:
                copied = ": a copy of the database is one of all personal data" if len(self.database_hosts) > 1 else ""
                why = f"is not sovereign, but personal data is stored here{copied}"
                yield f"hosts.{name}.site: {self.hosts[name].site} {why}"
        yield from self._vote_problems()

        taken = {
            haproxy.HTTP_PORT: "HAProxy",
            haproxy.HTTPS_PORT: "HAProxy",
            mariadb.PORT: "MariaDB",
            **({replication.PORT: "the database's roles"} if self.copies else {}),
            self.workload.port: "the workload",
            **(dict.fromkeys(monitoring.PORTS.values(), "a metrics exporter") if self.monitoring else {}),
        }
        if service := taken.get(self.ssh.port):
            yield f"ssh.port: {self.ssh.port} is the port of {service}; let SSH listen on a different one"

    def _replica_problems(self, found: list[str]) -> Iterable[str]:
        named = ", ".join(found) or "none"
        if not found:
            yield "hosts: at least one host has role: database, found none"
        elif self.database.primary is None and len(found) > 1:
            yield f"database.primary: missing; name the host that takes the writes at first: one of {named}"
        elif self.database.primary is not None and self.database.primary not in found:
            yield f"database.primary: {self.database.primary!r} is no host with role: database; known: {named}"
        for name in [*found, *self.with_role("witness")] if len(found) > 1 else ():
            if name not in self.mesh.hubs:
                who = "the witness" if self.hosts[name].role == "witness" else "each server of the database"
                why = f"{who} is a hub, so that it is reached while another one is lost"
                yield f"mesh.hubs: {name!r} is missing: with copies {why}; add it"

    def _vote_problems(self) -> Iterable[str]:
        voters, witnesses = self.with_role("database"), self.with_role("witness")
        for name in witnesses:
            site = self.sites.get(self.hosts[name].site)
            if not self.clustered:
                yield f"hosts.{name}.role: a witness is for database.mode: galera; leave it out"
            elif site and not site.sovereign:
                why = "is not sovereign, but a witness receives every write-set: all personal data that are written"
                yield f"hosts.{name}.site: {self.hosts[name].site} {why}"
        if not self.clustered or not voters:
            return
        if len(witnesses) > 1:
            yield f"hosts: at most one host has role: witness, found {len(witnesses)} ({', '.join(witnesses)})"
        elif len(voters) == 1 and not witnesses:
            yield "database.mode: galera is for three servers, or two and a witness; for one leave it out"
        elif len(voters) % 2 == 0 and not witnesses:
            named = ", ".join(voters)
            yield (
                f"hosts: {len(voters)} hosts have role: database ({named}), and half of them is no majority, so both "
                "halves would stop; add another one, or a host with role: witness"
            )
        elif len(voters) % 2 == 1 and witnesses:
            yield (
                f"hosts.{witnesses[0]}.role: {len(voters)} hosts have role: database, which need no witness: with it "
                "half of the votes is no majority; leave it out"
            )

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
        if wrong := self.verify.listeners_problem(self.sites, self.hosts):
            yield f"verify.{wrong}"

    def _egress_problems(self) -> Iterable[str]:
        for name, target in self.egress.items():
            host = self.hosts.get(target.source)
            site = host.site if host else target.source
            if site not in self.sites:
                known = ", ".join([*self.sites, *self.hosts])
                yield f"egress.{name}.source: {target.source!r} is neither a site nor a host; known: {known}"
            elif self.sites[site].egress == "open":
                yield (
                    f"egress.{name}: hosts of {site} may connect to anywhere, so that it says nothing; "
                    f"set sites.{site}.egress to closed, or leave it out"
                )

    def _monitoring_problems(self) -> Iterable[str]:
        wanted = self.monitoring
        for name in self.with_role("monitor"):
            if wanted is None or name not in wanted.scrapers:
                yield f"hosts.{name}.role: a monitor asks for metrics; name {name} in monitoring.scrapers"
        if wanted is None:
            return
        for key in ("scrapers", "hosts"):
            for name in getattr(wanted, key):
                if name not in self.hosts:
                    yield f"monitoring.{key}: {name!r} is not in hosts; known: {', '.join(self.hosts)}"
        if self.workload.port == monitoring.PORTS[monitoring.NODE]:
            unit = monitoring.UNITS[monitoring.NODE]
            yield f"workload.port: {self.workload.port} is the port of {unit}; use another one, or set no monitoring"
        for path, name in (
            ("user", self.database.user),
            *((f"accounts.{name}", name) for name in self.database.accounts),
            *((f"roles.{name}", name) for name in self.database.roles),
        ):
            if name == monitoring.ACCOUNT:
                yield f"database.{path}: {name!r} is the account of the database's exporter; use another name"

    def _register_problems(self) -> Iterable[str]:
        if self.sovereignty:
            containers = [
                f"{name}/{container}"
                for name, site in self.sites.items()
                if site.openstack
                for container in site.openstack.containers
            ]
            for path, value, wrong in self.sovereignty.place_problems(self.sites, self.hosts, containers):
                yield f"{path_of(path, 'sovereignty')}: {shown(value)} {wrong}"

    def _volume_problems(self, host: HostSettings) -> Iterable[str]:
        volume = self.database.volume
        if volume is None and host.made:
            yield "database.volume: missing; the disk of a machine that the stack creates ends with it; set size_gb"
        if volume and volume.device and host.made:
            yield "database.volume.device: the stack creates this host, and the volume too; set size_gb"
        if volume and volume.size_gb and not host.made:
            yield "database.volume.size_gb: no cloud creates a volume for a host that exists; set device"

    def _backup_problems(self) -> Iterable[str]:
        if (kept := self.database.backup) is None:
            return
        if (site := self.sites.get(kept.site)) is None:
            known = ", ".join(self.sites)
            yield f"database.backup.site: {kept.site!r} is not in sites; known: {known}; declare where it stands"
        elif not site.sovereign:
            yield (
                f"database.backup.site: {kept.site} is not sovereign, but a backup holds all personal data; "
                "use a target at a sovereign site"
            )

    def _database_problems(self) -> Iterable[str]:
        if not self.copies and self.database.primary not in (None, self.database_host):
            yield f"database.primary: {self.database.primary!r} is not the host with role: database; leave it out"
        if self.clustered and (other := {galera.GROUP_PORT, galera.MISSING_PORT, galera.STATE_PORT} & {self.ssh.port}):
            yield f"ssh.port: {other.pop()} is a port of Galera; let SSH listen on a different one"
        if self.copies and self.workload.port in (mariadb.PORT, replication.PORT):
            yield f"workload.port: {self.workload.port} is taken by the database's own listener; use another one"
        yield from self._backup_problems()
        yield from self._account_problems()
        found: list[str] = []
        for name in self.database_hosts:
            found += [*self._volume_problems(self.hosts[name]), *self._server_problems(name)]
        yield from dict.fromkeys(found)

    def _account_problems(self) -> Iterable[str]:
        database = self.database
        if database.user in database.accounts:
            yield f"database.accounts.{database.user}: is the workload's account, database.user; use another name"
            return
        known: dict[str, list[str]] = {}
        for name, account in database.accounts.items():
            known[name] = []
            for client in account.clients:
                networks, problem = self.client_networks(client)
                known[name] += networks
                if problem:
                    yield f"database.accounts.{name}.clients: {client!r} {problem}"
                    return
        facts = {
            "databases": [database.name, *database.databases],
            "roles": database.roles,
            "accounts": {
                database.user: {"networks": [str(self.mesh.network)], "privileges": {database.name: ["SELECT"]}},
                **{
                    name: {
                        "networks": known[name] or [str(self.mesh.network)],
                        "privileges": account.privileges,
                        "role": account.role,
                    }
                    for name, account in database.accounts.items()
                },
            },
        }
        clients = {f"accounts.{name}.networks": f"database.accounts.{name}.clients" for name in database.accounts}
        yield from check(access.Access, facts, Place(paths={**clients, "": "database"}))

    def client_networks(self, client: str) -> tuple[list[str], str]:
        """Where a client of the database comes from, as networks of the mesh, and what is wrong with it."""
        if client not in self.hosts:
            network = access.network_of(client)
            if network is None:
                return [], f"is not in hosts, and no address; known: {', '.join(self.hosts)}"
            if not network.subnet_of(self.mesh.network):
                return [], f"is outside mesh.network {self.mesh.network}"
            return [str(network)], ""
        host = self.hosts[client]
        generations = (1, 2) if host.made and host.role == "worker" else (host.generation,)
        addresses = [wireguard.mesh_address(self.mesh.network, host.slot, each) for each in generations]
        flows = {(flow.source, flow.destination, flow.port) for flow in self.flows()}
        if not any((self.member(client), server, mariadb.PORT) in flows for server in self.with_role("database")):
            return [], (
                f"has no way to the database; add a flow to mesh.flows: {{source: {client}, destination: "
                f"{self.database_host}, port: {mariadb.PORT}}}"
            )
        return [f"{address}/32" for address in addresses], ""

    def _server_problems(self, name: str) -> Iterable[str]:
        server = {
            "address": str(self.mesh_address(name)),
            # The host's own memory is known only once it has been asked.
            "ram_mb": self.hosts[name].memory_mb or mariadb.MOST_MEMORY_MB,
            "buffer_pool_mb": self.database.buffer_pool_mb,
            "innodb_flush_log_at_trx_commit": self.database.flush_log_at_commit,
            "cross_cloud_copy": self.database.cross_cloud_copy,
            "volume_gb": self.database.volume.size_gb if self.database.volume else None,
            "copies": self.copies,
            "variables": self.database.variables,
            "cluster": self.cluster_member(name),
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
            "home_paths": tuple(edge.home_paths),
            "home_methods": tuple(edge.home_methods),
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
    def copies(self) -> bool:
        """Whether the database has several servers, or may have them."""
        return self.database.mode != "single"

    @property
    def clustered(self) -> bool:
        """Whether these are a Galera cluster."""
        return self.database.mode == "galera"

    @property
    def witness(self) -> str | None:
        """The host of the cluster's witness."""
        return next(iter(self.with_role("witness")), None) if self.clustered else None

    @property
    def cluster_addresses(self) -> tuple[str, ...]:
        """Of a Galera cluster: addresses of all that vote, in the order of their slots."""
        voters = [*self.with_role("database"), *([self.witness] if self.witness else [])]
        return tuple(str(each) for each in sorted(self.mesh_address(name) for name in voters))

    def segment(self, name: str) -> int:
        """The number of a voter's site among those that have one."""
        voters = [*self.with_role("database"), *([self.witness] if self.witness else [])]
        return sorted({self.members[each].site for each in voters}).index(self.members[name].site)

    def cluster_member(self, name: str) -> dict[str, Any] | None:
        """A server's place in the Galera cluster, as `galera.Voter` has it."""
        if not self.clustered:
            return None
        others = [each for each in self.database_hosts if each not in (name, self.database_host)]
        return {
            "name": name,
            "address": str(self.mesh_address(name)),
            "segment": self.segment(name),
            "members": self.cluster_addresses,
            "donors": tuple(others),
        }

    @property
    def database_hosts(self) -> list[str]:
        """Hosts with a database in the order in which a change reaches them: the one that `primary` names last."""
        return sorted(self.with_role("database"), key=lambda name: name == self.database.primary)

    @property
    def database_host(self) -> str:
        """The one that takes the writes at first."""
        return self.database_hosts[-1]

    @property
    def backup_host(self) -> str:
        """The one that makes the backups: of several a server that does not take the writes at first, since a member of
        a cluster is paused for a moment by each backup, and a copy spares the primary the reading."""
        standing = [name for name in self.database_hosts if not self.members[name].gone]
        return standing[0] if self.copies and standing else self.database_host

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

    def egress_of(self, name: str) -> list[firewall.EgressTarget] | None:
        """Where a member may open connections to, beyond what every host needs; None for anywhere."""
        site = self.members[name].site
        if self.sites[site].egress == "open":
            return None
        found = [
            firewall.EgressTarget(address=each.address, port=each.port, protocol=each.protocol, comment=each.purpose)
            for each in self.egress.values()
            if each.source in (site, declared(name))
        ]
        if (kept := self.database.backup) and name in self.database_hosts and (target := kept.egress()):
            found.append(target)
        return found

    def flows(self) -> list[wireguard.Flow]:
        """Every connection between two hosts."""
        return self.implied_flows() + self.extra_flows()

    def implied_flows(self) -> list[wireguard.Flow]:
        """The connections that roles imply: workers to the database, the edge to workers, databases to each other, and
        those who ask for metrics to all that have any."""
        flows = []
        ports = (mariadb.PORT, replication.PORT) if self.copies else (mariadb.PORT,)
        databases = self.with_role("database")
        for worker in self.workers:
            for database in databases:
                flows += [wireguard.Flow(source=worker, destination=database, port=port) for port in ports]
            flows.append(wireguard.Flow(source=self.edge_host, destination=worker, port=self.workload.port))
        between = (replication.PORT, *galera.PORTS) if self.clustered else ports
        for one, other in itertools.permutations(databases, 2):
            flows += [wireguard.Flow(source=one, destination=other, port=port) for port in between]
        for database in databases if self.witness else ():
            for one, other in itertools.permutations((database, str(self.witness)), 2):
                flows.append(wireguard.Flow(source=one, destination=other, port=galera.GROUP_PORT))
        return flows + self.metrics_flows()

    @property
    def monitored(self) -> list[str]:
        """Members that have exporters, in the settings' order."""
        if self.monitoring is None:
            return []
        named = self.monitoring.hosts or list(self.hosts)
        return [self.member(name) for name in self.hosts if name in named]

    def exporters_of(self, name: str) -> list[str]:
        """The exporters of a member, by their names in `fortress.monitoring`."""
        if name not in self.monitored:
            return []
        role = self.members[name].role
        services = {"database": monitoring.MYSQLD, "edge": monitoring.HAPROXY}
        return [monitoring.NODE, *([services[role]] if role in services else [])]

    def scraper_addresses(self, name: str) -> list[str]:
        """Addresses in the mesh of those who may ask a member for its metrics."""
        if self.monitoring is None or name not in self.monitored:
            return []
        return [str(self.mesh_address(self.member(each))) for each in self.monitoring.scrapers]

    def metrics_flows(self) -> list[wireguard.Flow]:
        """The connections of those who ask for metrics."""
        scrapers = [self.member(each) for each in self.monitoring.scrapers] if self.monitoring else []
        return [
            wireguard.Flow(source=scraper, destination=name, port=monitoring.PORTS[each])
            for scraper in scrapers
            for name in self.monitored
            for each in self.exporters_of(name)
            if name != scraper
        ]

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
