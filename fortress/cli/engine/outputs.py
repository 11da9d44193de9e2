"""A standing stack as its outputs describe it: what `fortress verify` measures against."""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from fortress.cli.base.errors import CannotAskError
from fortress.cli.engine import run as engine

OUTPUT = "fortress"
"""The stack output that holds all this; see __main__.py."""


class Facts(BaseModel):
    """Read-only, and open to outputs that a later version adds."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Host(Facts):
    """One machine: where it answers, who it must be, and its place in the mesh."""

    address: str
    port: int
    user: str
    host_key: str
    public_key: str
    mesh_address: str
    site: str
    role: Literal["database", "edge", "worker"]
    peers: tuple[str, ...]
    """Direct peers. One that is no host of the stack is set as gone, and still a peer until it leaves the settings."""
    open_tcp: tuple[int, ...]


class Mesh(Facts):
    mtu: int
    path_mtu: int = 0
    hubs: tuple[str, ...] = ()
    interface: str = "wg0"


class Database(Facts):
    host: str
    address: str
    port: int
    ca_pem: str
    copy_wanted: bool = False
    """Whether a copy in another cloud is the goal."""


class Edge(Facts):
    host: str
    url: str
    server_name: str
    health_path: str
    stats_socket: str
    backends: dict[str, dict[str, str]]
    """Backend to server to address:port, as HAProxy names them."""
    silent_ms: int = 0
    refused_ms: int = 0
    """The longest until a dead server is left, of a host that is silent and of one that refuses."""


class Bastion(Facts):
    address: str
    port: int
    user: str
    host_key: str


class Limits(Facts):
    """What holds and what does not: milliseconds, seconds, days; see the settings under `verify`."""

    rtt_ms: dict[str, tuple[float, float]]
    handshake_s: float
    certificate_days: float
    key_age_days: float = 0
    clock_offset_ms: float
    failover_s: float = 0
    replication_lag_s: float = 0
    iowait_percent: float = 0
    iops_4k: float = 0
    iops_16k: float = 0
    commit_ms: float = 0
    ports: tuple[int, ...]
    firewall_tables: tuple[str, ...] = ()
    """Tables of other tools, each as family and name."""

    def rtt(self, one: str, other: str) -> tuple[float, float] | None:
        """Least and most milliseconds between two sites, None where no limit is set."""
        return self.rtt_ms.get("-".join(sorted((one, other))))


class Standing(Facts):
    """The fortress that stands."""

    hosts: dict[str, Host]
    mesh: Mesh
    database: Database
    edge: Edge
    bastion: Bastion | None
    limits: Limits
    stack: str = ""
    """Its name, which no output says."""

    @property
    def older(self) -> bool:
        """Whether it was brought up by a version that did not export all that `fortress verify` measures against."""
        return not (self.mesh.path_mtu and self.limits.key_age_days)

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

    def dials(self) -> list[tuple[str, str]]:
        """Who dials whom outside the tunnel: each pair of direct peers once, the one whose address stays last."""
        return [(one, other) if other in self.mesh.hubs else (other, one) for one, other in self.pairs()]


def parse(outputs: Any, stack: str) -> Standing:
    """The outputs of a stack, as `pulumi stack output --json` prints them, checked. Raises CannotAskError."""
    found = outputs.get(OUTPUT) if isinstance(outputs, dict) else None
    if found is None:
        raise CannotAskError(
            f"stack {stack!r} has no output {OUTPUT!r}: its program exports none, or its last `pulumi up` did not end; "
            f"name a stack of Data Fortress's own program, or run `pulumi up --stack {stack}` again"
        )
    if secret := _secret(OUTPUT, found):
        raise CannotAskError(
            f"output {secret} of stack {stack!r} is secret and cannot be read; what the program exports as "
            f"{OUTPUT!r} must be made of values that are not"
        )
    try:
        return Standing.model_validate(found).model_copy(update={"stack": stack})
    except ValidationError as bad:
        first = bad.errors()[0]
        where = ".".join(str(part) for part in (OUTPUT, *first["loc"]))
        raise CannotAskError(
            f"output {where} of stack {stack!r} is not what this version reads ({first['msg'].lower()}); "
            f"use the version that brought it up, or run `pulumi up --stack {stack}` with this one"
        ) from None


def _secret(path: str, value: Any) -> str | None:
    """Path of the first value that the engine hides."""
    if value == "[secret]":
        return path
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return next((found for name, part in parts if (found := _secret(f"{path}.{name}", part))), None)


def read(stack: str) -> Standing:
    """What stands, by the engine. Raises CannotAskError: no such stack, not up, no engine."""
    text = engine.run("stack", "output", "--json", stack=stack)
    try:
        outputs = json.loads(text)
    except ValueError:
        raise CannotAskError("`pulumi stack output --json` did not print JSON") from None
    if not outputs:
        engine.export(stack)  # says so where nothing is up
    return parse(outputs, stack)
