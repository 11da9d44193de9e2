"""Typed settings of a stack: everything that `Pulumi.STACK.yaml` may say, checked before anything is made."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv4Network, ip_address, ip_network
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from fortress import mariadb, wireguard

PROJECT = "data-fortress"
"""Pulumi's namespace of the settings: a setting's path reads `data-fortress:mesh.mtu`."""


class SettingsError(ValueError):
    """Settings that cannot stand; the text has one line a problem: path, value, what is wrong and the cure."""


def _matching(pattern: str, means: str) -> AfterValidator:
    compiled = re.compile(pattern)

    def check(value: str) -> str:
        if not compiled.fullmatch(value):
            raise ValueError(f"must be {means}")
        return value

    return AfterValidator(check)


def _address(value: str) -> str:
    try:
        return str(ip_address(value))
    except ValueError as bad:
        raise ValueError("must be an IPv4 or IPv6 address, such as 192.0.2.11") from bad


def _range(value: str) -> str:
    try:
        return str(ip_network(value))
    except ValueError as bad:
        raise ValueError("must be an address range without host bits, such as 192.0.2.0/24") from bad


def _privilege(value: str) -> str:
    if value not in mariadb.PRIVILEGES:
        raise ValueError(f"must be one of {', '.join(mariadb.PRIVILEGES)}")
    return value


def _host_path(value: str) -> str:
    if not re.fullmatch(r"/[A-Za-z0-9._/@+-]+", value) or value != str(PurePosixPath(value)) or ".." in value:
        raise ValueError("must be a plain absolute path on the host, such as /opt/app/app.py")
    return value


Name = Annotated[
    str,
    _matching(r"[a-z][a-z0-9-]{0,30}[a-z0-9]", "2 to 32 of a-z, 0-9 and -, starting with a letter, not ending in -"),
]
Identifier = Annotated[str, _matching(r"[a-z][a-z0-9_]{0,31}", "1 to 32 of a-z, 0-9 and _, starting with a letter")]
User = Annotated[str, _matching(r"[a-z_][a-z0-9_-]{0,31}", "the name of a Unix user")]
Package = Annotated[str, _matching(r"[a-z0-9][a-z0-9+.-]+", "the name of a Debian package")]
Variable = Annotated[str, _matching(r"[A-Z][A-Z0-9_]*", "the name of an environment variable, A-Z, 0-9 and _")]
OneLine = Annotated[str, _matching(r"[^\x00-\x1f\x7f]+", "one line of text without control characters")]
_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
DnsName = Annotated[str, _matching(rf"(?=.{{1,253}}$)({_LABEL}\.)*{_LABEL}", "a DNS name in small letters")]
UrlPath = Annotated[str, _matching(r"/[A-Za-z0-9._~/-]*", "the path of a URL, such as /health")]
HostKey = Annotated[
    str,
    _matching(
        r"(ssh-ed25519|ecdsa-sha2-nistp(256|384|521)|ssh-rsa) [A-Za-z0-9+/]+={0,2}",
        "an SSH host key, type and base64, as `ssh-keyscan -t ed25519 ADDRESS` prints it after the address",
    ),
]
Address = Annotated[str, AfterValidator(_address)]
Range = Annotated[str, AfterValidator(_range)]
HostPath = Annotated[str, AfterValidator(_host_path)]
Port = Annotated[int, Field(ge=1, le=65535)]
Privilege = Annotated[str, AfterValidator(_privilege)]
Role = Literal["database", "edge", "worker"]


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=False)


class Bastion(Model):
    """A jump host; its key cannot be learnt through itself, so it is given."""

    address: Address
    host_key: HostKey
    user: User = "debian"
    port: Port = 22


class Ssh(Model):
    """How the engine reaches hosts: by the operator's SSH agent, or by the secret setting `ssh_private_key`."""

    user: User = "debian"
    port: Port = 22
    operators: Annotated[list[Range], Field(min_length=1)]
    """Ranges that may open SSH connections; everything else is dropped."""
    bastion: Bastion | None = None

    @model_validator(mode="after")
    def _not_the_world(self) -> Ssh:
        for entry in self.operators:
            if ip_network(entry).prefixlen == 0:
                raise ValueError(f"operators: {entry} is the whole world; name the ranges that operators come from")
        return self


class Site(Model):
    """A place where hosts stand, and who operates it."""

    operator: OneLine
    country: Annotated[str, _matching(r"[A-Z]{2}", "a country's two letters (ISO 3166), such as NO")]
    sovereign: bool
    """Whether personal data may rest here."""


class Host(Model):
    """One machine."""

    site: Name
    role: Role
    slot: Annotated[int, Field(ge=1)]
    """The host's fixed place in the mesh network: slot 1 of 10.100.0.0/24 is 10.100.0.1."""
    address: Address
    """Where the machine answers SSH, and where others of the mesh find it when it is a hub."""
    host_key: HostKey | None = None
    """Pinned when given; learnt once at first contact otherwise."""
    memory_mb: Annotated[int, Field(ge=256)] | None = None
    """Memory to size services by, in MB; the machine's own when not given."""
    incarnation: Annotated[int, Field(ge=1)] = 1
    """Raised by one when another machine took this name: its key is learnt anew and everything is pushed again."""
    gone: bool = False
    """The machine is lost: nothing contacts it any more, so that it can be taken out of the settings."""


class FlowSetting(Model):
    """A connection between two hosts that the roles do not imply."""

    source: Name
    destination: Name
    port: Port
    protocol: Literal["tcp", "udp"] = "tcp"


class Mesh(Model):
    """The WireGuard mesh."""

    network: Annotated[IPv4Network, Field(strict=False)] = IPv4Network("10.100.0.0/24")
    port: Port = 51820
    path_mtu: Annotated[int, Field(ge=576, le=9216)] = 1450
    """The smallest MTU between two hosts outside the tunnel, in bytes; 1450 is a VXLAN tenant network."""
    mtu: Annotated[int, Field(ge=576)] = 1360
    """The tunnel's own, in bytes."""
    keepalive_s: Annotated[int, Field(ge=1, le=120)] = 25
    """Seconds between keepalives; 25 is below AWS's 30 s tracking of one-way UDP."""
    hubs: Annotated[list[Name], Field(min_length=1)]
    """Hosts with a fixed address that the others dial."""
    flows: list[FlowSetting] = []

    @model_validator(mode="after")
    def _fits(self) -> Mesh:
        most = wireguard.tunnel_mtu(self.path_mtu)
        if self.mtu > most:
            raise ValueError(
                f"mtu: {self.mtu} does not fit: a path of {self.path_mtu} bytes carries at most {most} inside "
                f"the tunnel (80 bytes of overhead); lower mtu, or raise path_mtu if the path is wider"
            )
        if not 16 <= self.network.prefixlen <= 28:
            raise ValueError(f"network: {self.network} must be a /16 to a /28")
        return self


class Database(Model):
    """MariaDB."""

    name: Identifier = "app"
    user: Identifier = "app"
    privileges: Annotated[list[Privilege], Field(min_length=1)] = list(mariadb.DEFAULT_PRIVILEGES)
    """What the application's account may do in its database."""
    flush_log_at_commit: Literal[1, 2] = 1
    """1 loses no committed transaction; 2 only where a copy in another cloud is the goal."""
    cross_cloud_copy: bool = False
    buffer_pool_mb: Annotated[int, Field(ge=mariadb.MIN_POOL_MB)] | None = None
    """InnoDB's buffer pool in MB; 70 % of the host's memory when not given."""
    keep_data: bool = True
    """Whether the data stays on the host when the stack is destroyed."""

    @model_validator(mode="after")
    def _durable(self) -> Database:
        if self.flush_log_at_commit == 2 and not self.cross_cloud_copy:
            raise ValueError(
                "flush_log_at_commit: 2 can lose the last second of commits; keep 1, or say cross_cloud_copy: true"
            )
        return self


class Workload(Model):
    """What workers run: packages, files and one systemd unit."""

    name: Name
    packages: list[Package] = []
    files: dict[HostPath, OneLine] = {}
    """Path on the host: path in this project."""
    command: OneLine
    port: Port = 80
    health: UrlPath = "/health"
    environment: dict[Variable, OneLine] = {}
    healthy_within_s: Annotated[int, Field(ge=1, le=600)] = 60


class Checks(Model):
    """HAProxy's health checks, in milliseconds and counts; the defaults find a dead server within 2 s."""

    inter_ms: Annotated[int, Field(ge=100, le=2000)] = 1000
    fastinter_ms: Annotated[int, Field(ge=50, le=2000)] = 200
    timeout_ms: Annotated[int, Field(ge=50, le=2000)] = 400
    rise: Annotated[int, Field(ge=1, le=2)] = 2
    fall: Annotated[int, Field(ge=1, le=3)] = 2


class Certificate(Model):
    """Where the edge's certificate comes from; its key is the secret setting `edge_tls_key`."""

    file: OneLine
    """PEM file in this project: the certificate and its chain."""


class Edge(Model):
    """The HAProxy edge."""

    server_name: DnsName
    primary: Name
    """Site whose workers answer."""
    overflow: Name
    """Site whose workers answer when the primary site has none, or no room."""
    certificate: Certificate | None = None
    """Self-signed on the host when not given."""
    maxconn: Annotated[int, Field(ge=1, le=100_000)] = 2000
    server_maxconn: Annotated[int, Field(ge=1, le=100_000)] = 200
    """Connections that one worker is given at a time."""
    timeout_client_ms: Annotated[int, Field(ge=100)] = 10_000
    timeout_connect_ms: Annotated[int, Field(ge=50, le=5000)] = 400
    timeout_server_ms: Annotated[int, Field(ge=100)] = 10_000
    checks: Checks = Checks()


class Verify(Model):
    """Limits of `fortress verify`."""

    rtt_ms: dict[str, tuple[float, float]] = {}
    """Least and most round trip between two sites through the tunnel, in ms: `{frankfurt-oslo: [20, 30]}`."""
    handshake_s: Annotated[int, Field(ge=60)] = 180
    certificate_days: Annotated[int, Field(ge=1)] = 14
    clock_offset_ms: Annotated[int, Field(ge=1)] = 100
    ports: list[Port] = [21, 22, 23, 25, 53, 80, 111, 139, 443, 445, 2375, 3306, 4444, 4567, 4568, 5432, 6443, 8080]
    """TCP ports tried on each host's outside address."""


class Settings(Model):
    """A whole stack."""

    ssh: Ssh
    sites: Annotated[dict[Name, Site], Field(min_length=1)]
    hosts: Annotated[dict[Name, Host], Field(min_length=1)]
    mesh: Mesh
    database: Database = Database()
    workload: Workload
    edge: Edge
    verify: Verify = Verify()

    @model_validator(mode="after")
    def _agree(self) -> Settings:
        problems = [*self._host_problems(), *self._mesh_problems(), *self._edge_problems(), *self._verify_problems()]
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def _host_problems(self) -> Iterable[str]:
        room = wireguard.slots(self.mesh.network)
        slots: dict[int, str] = {}
        addresses: dict[str, str] = {}
        for name, host in self.hosts.items():
            if host.site not in self.sites:
                yield f"hosts.{name}.site: {host.site!r} is not in sites; known: {', '.join(self.sites)}"
            if host.slot > room:
                yield f"hosts.{name}.slot: {host.slot} is outside {self.mesh.network}, which has slots 1 to {room}"
            if other := slots.get(host.slot):
                yield f"hosts.{name}.slot: {host.slot} is taken by hosts.{other}; give each host a slot of its own"
            if other := addresses.get(host.address):
                yield f"hosts.{name}.address: {host.address} is taken by hosts.{other}"
            if ip_address(host.address) in self.mesh.network:
                yield f"hosts.{name}.address: {host.address} lies inside mesh.network {self.mesh.network}"
            if self.ssh.bastion and host.host_key is None:
                yield f"hosts.{name}.host_key: needed with ssh.bastion; a key cannot be learnt through another host"
            slots[host.slot] = name
            addresses[host.address] = name
        for role in ("database", "edge"):
            found = self.named(role)
            if len(found) != 1:
                yield f"hosts: exactly one host has role: {role}, found {len(found)} ({', '.join(found) or 'none'})"
        if not self.workers:
            yield "hosts: at least one host has role: worker"
        for name in self.named("database"):
            site = self.sites.get(self.hosts[name].site)
            if site and not site.sovereign:
                yield f"hosts.{name}.site: {self.hosts[name].site} is not sovereign, and personal data rests here"

    def _mesh_problems(self) -> Iterable[str]:
        for hub in self.mesh.hubs:
            if hub not in self.hosts:
                yield f"mesh.hubs: {hub!r} is not in hosts; known: {', '.join(self.hosts)}"
        for index, flow in enumerate(self.mesh.flows):
            for end in (flow.source, flow.destination):
                if end not in self.hosts:
                    yield f"mesh.flows.{index}: {end!r} is not in hosts; known: {', '.join(self.hosts)}"
            if flow.source == flow.destination:
                yield f"mesh.flows.{index}: a flow joins two hosts, not {flow.source} with itself"

    def _edge_problems(self) -> Iterable[str]:
        for key in ("primary", "overflow"):
            site = getattr(self.edge, key)
            if site not in self.sites:
                yield f"edge.{key}: {site!r} is not in sites; known: {', '.join(self.sites)}"
        if self.edge.primary == self.edge.overflow:
            yield f"edge.overflow: must be another site than edge.primary ({self.edge.primary})"
        elif not self.workers_at(self.edge.primary):
            yield f"edge.primary: no host with role: worker stands at {self.edge.primary}"
        slots = len(self.workers_at(self.edge.primary)) * self.edge.server_maxconn
        if slots >= self.edge.maxconn:
            yield (
                f"edge.maxconn: {self.edge.maxconn} is not above the {slots} connections that {self.edge.primary} "
                f"takes, so load could never go to {self.edge.overflow}; raise it or lower edge.server_maxconn"
            )

    def _verify_problems(self) -> Iterable[str]:
        pairs = {"-".join(sorted((one, other))) for one in self.sites for other in self.sites}
        for pair in self.verify.rtt_ms:
            if pair not in pairs:
                yield f"verify.rtt_ms.{pair}: must be two sites in alphabetical order: {', '.join(sorted(pairs))}"

    def named(self, role: Role) -> list[str]:
        """Names of the hosts of one role, in the settings' order."""
        return [name for name, host in self.hosts.items() if host.role == role]

    @property
    def database_host(self) -> str:
        return self.named("database")[0]

    @property
    def edge_host(self) -> str:
        return self.named("edge")[0]

    @property
    def workers(self) -> list[str]:
        return self.named("worker")

    def workers_at(self, site: str) -> list[str]:
        return [name for name in self.workers if self.hosts[name].site == site]

    def mesh_address(self, name: str) -> IPv4Address:
        """The host's address in the mesh."""
        return wireguard.mesh_address(self.mesh.network, self.hosts[name].slot)

    def servers(self, site: str) -> dict[str, str]:
        """Workers of a site as HAProxy servers: name to address:port in the mesh."""
        return {name: f"{self.mesh_address(name)}:{self.workload.port}" for name in self.workers_at(site)}

    def flows(self) -> list[wireguard.Flow]:
        """Every connection between two hosts: those that roles imply, then those that the settings add."""
        flows = []
        for worker in self.workers:
            flows.append(wireguard.Flow(worker, self.database_host, mariadb.PORT))
            flows.append(wireguard.Flow(self.edge_host, worker, self.workload.port))
        return flows + self.extra_flows()

    def extra_flows(self) -> list[wireguard.Flow]:
        """The connections that the settings declare beyond the roles."""
        return [wireguard.Flow(f.source, f.destination, f.port, f.protocol) for f in self.mesh.flows]


def parse(values: Mapping[str, Any], project: Path) -> Settings:
    """Check a stack's settings as they stand under `config:`, without the `data-fortress:` prefix.

    `project` is the folder that paths in settings start from. Raises `SettingsError`.
    """
    try:
        settings = Settings.model_validate(dict(values))
    except ValidationError as bad:
        lines = [line for error in bad.errors() for line in _explain(dict(error))]
        raise SettingsError("\n".join(lines)) from None
    problems = list(_missing_files(settings, project))
    if problems:
        raise SettingsError("\n".join(problems))
    return settings


def _missing_files(settings: Settings, project: Path) -> Iterable[str]:
    paths = {f"workload.files.{there}": here for there, here in settings.workload.files.items()}
    if settings.edge.certificate:
        paths["edge.certificate.file"] = settings.edge.certificate.file
    for setting, path in paths.items():
        if not (project / path).is_file():
            yield f"{PROJECT}:{setting}: {path}: no such file in this project; paths start at the folder of Pulumi.yaml"


def _explain(error: dict[str, Any]) -> list[str]:
    """One problem as lines of `path: value: what is wrong and the cure`."""
    where = ".".join(str(part) for part in error["loc"] if part != "[key]")
    path = f"{PROJECT}:{where}" if where else f"{PROJECT}"
    kind, message = error["type"], str(error["msg"]).removeprefix("Value error, ")
    if kind == "missing":
        return [f"{path}: missing; add it to the stack file"]
    if kind == "extra_forbidden":
        return [f"{path}: unknown setting{_nearest(error['loc'])}"]
    if kind == "value_error" and isinstance(error["input"], (Mapping, BaseModel)):
        joint = "." if where else ":"
        return [f"{path}{joint}{line}" for line in message.splitlines()]
    shown = repr(error["input"])
    return [f"{path}: {shown if len(shown) <= 80 else shown[:77] + '...'}: {message[:1].lower()}{message[1:]}"]


def _nearest(location: tuple[str | int, ...]) -> str:
    """A hint at the setting that was probably meant."""
    model: Any = Settings
    for part in location[:-1]:
        field = getattr(model, "model_fields", {}).get(part)
        model = _model_in(field.annotation) if field else model
        if model is None:
            return ""
    known = list(getattr(model, "model_fields", {}))
    near = difflib.get_close_matches(str(location[-1]), known, n=1)
    return f"; did you mean {near[0]}?" if near else f"; known here: {', '.join(known)}"


def _model_in(annotation: Any) -> Any:
    """The model inside an annotation such as `dict[Name, Host]` or `Bastion | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for part in reversed(getattr(annotation, "__args__", ())):
        if (found := _model_in(part)) is not None:
            return found
    return None
