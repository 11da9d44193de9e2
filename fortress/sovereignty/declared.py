"""The stack's output `sovereignty`: the register, and the sites and hosts it speaks of. Nothing in it is secret.

The stack's program writes it; `fortress record` and `fortress audit` read it. Any change of the models raises VERSION.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from fortress.facts import of_version
from fortress.sovereignty.register import Register
from fortress.values import DataClass

OUTPUT = "sovereignty"
"""Name of the stack output."""

VERSION = 2
"""Of these models and those of the register. 2 has what stays at home at the edge, paths of data sets, and
egress."""


class _Declared(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DeclaredSite(_Declared):
    """A location of hosts, as the settings have it."""

    operator: str
    """The name in the register."""
    country: str
    region: str | None
    """None where the settings do not say."""
    sovereign: bool
    cloud: Literal["openstack", "aws"] | None
    """What creates its machines; None where they exist already."""
    auth_url: str | None = None
    """Of an OpenStack site."""
    egress: Literal["open", "closed"] = "open"
    """Whether its hosts let out only what they need."""
    containers: tuple[str, ...] = ()
    """Object containers that the stack creates there."""


class DeclaredHost(_Declared):
    """One machine of the mesh."""

    setting: str
    """Its name under `hosts`, which has no generation."""
    site: str
    role: Literal["database", "edge", "monitor", "witness", "worker"]
    mesh_address: str
    data_class: DataClass
    """What somebody who reads its disk has."""


class DeclaredFlow(_Declared):
    """Connections through the tunnel that roles or `mesh.flows` ask for; source and destination are hosts."""

    source: str
    destination: str
    port: int
    protocol: Literal["tcp", "udp"]


class DeclaredEgress(_Declared):
    """What hosts of a site whose egress is closed may connect to, beyond what every host needs."""

    name: str
    """The name in the settings."""
    source: str
    """Site, or host."""
    address: str
    port: int
    protocol: Literal["tcp", "udp"]
    purpose: str


class DeclaredBackup(_Declared):
    """A backup that the stack makes."""

    setting: str
    """Path of the setting that asks for it."""
    site: str | None
    """Where it is kept."""
    encrypted: bool
    """Whether it is encrypted on the host before it leaves."""


class Declared(_Declared):
    """All of the output."""

    version: Literal[1, 2] = 2
    sites: dict[str, DeclaredSite]
    hosts: dict[str, DeclaredHost] = {}
    flows: tuple[DeclaredFlow, ...] = ()
    egress: tuple[DeclaredEgress, ...] = ()
    mesh_network: str | None = None
    """Network of the tunnel."""
    open_ports: tuple[str, ...] = ()
    """What answers outside the tunnel, to anybody: `tcp/443`."""
    ssh_port: int = 22
    workload_port: int = 80
    operators: tuple[str, ...] = ()
    """Ranges that may open SSH connections."""
    backups: tuple[DeclaredBackup, ...] = ()
    guests: dict[str, str] = {}
    """Servers of another stack that the edge sends requests to, and the site that they count to."""
    overflow: str | None = None
    """Site that the edge sends requests to when its own is full or has no live server."""
    home_paths: tuple[str, ...] = ()
    """Beginnings of paths of requests that it never sends there."""
    home_methods: tuple[str, ...] = ()
    """Methods of such requests."""
    database_encrypted: bool = False
    """Whether the database's volume is encrypted (LUKS) with the secret setting `database_volume_key`."""
    entries: Register | None = None
    """None where the stack file has none."""


def stays_at_home(declared: Declared, path: str) -> bool:
    """Whether every request for a path, and for what begins with it, stays at the edge's own site."""
    return any(path.lower().startswith(home.lower()) for home in declared.home_paths)


def parse(found: Any) -> Declared:
    """What the output holds, as the state has it.

    Raises:
        UnreadableError: it is no such output, or another version's.
    """
    return of_version(Declared, _whole(found), VERSION, OUTPUT)


def _whole(value: Any) -> Any:
    """The same with its integers, which a state may have as fractions."""
    if isinstance(value, dict):
        return {name: _whole(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_whole(part) for part in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def written(declared: Declared) -> dict[str, Any]:
    """The output, as JSON has it."""
    return declared.model_dump(mode="json")
