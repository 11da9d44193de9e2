"""What one asks for of a host: how it is reached, its place in the mesh, and files on it."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Annotated

from pydantic import Field, model_validator

from fortress import firewall, mariadb, wireguard
from fortress.values import (
    USER,
    Address,
    Base64,
    Country,
    HostKey,
    MemberName,
    MeshNetwork,
    Model,
    OneLine,
    Operators,
    Package,
    PlainPath,
    Port,
    TunnelAddress,
    User,
    matching,
    refusal,
)


class SitePlan(Model):
    """A location of hosts: who runs it, and where it is."""

    operator: OneLine
    """Name of the company that runs the machines."""
    country: Country
    """Where the machines are. `"NO"` in quotes: YAML reads a bare NO as false."""
    sovereign: bool
    """Whether personal data may be stored here; must be true for the site of the database."""


class HostPlan(Model):
    """The facts of a host that one asks for."""

    name: MemberName
    site: MemberName
    address: Address | None = None
    """Where a machine that exists answers SSH."""
    mesh_address: TunnelAddress
    mesh_network: MeshNetwork
    operators: Operators
    user: User = "debian"
    port: Port = 22
    """TCP port of SSH."""
    mesh_port: Port = wireguard.PORT
    """UDP port of WireGuard."""
    host_key: HostKey | None = None
    memory_mb: mariadb.Memory | None = None
    incarnation: Annotated[int, Field(ge=1)] = 1
    firewall_tables: firewall.Tables = Field(default=[])
    egress: list[firewall.EgressTarget] | None = None
    """Where it may open connections to beyond what every host needs; anywhere for None."""
    packages: list[Package] = Field(default=[])
    """Debian packages that services on it need."""

    @model_validator(mode="after")
    def _is_in_the_mesh(self) -> HostPlan:
        network = self.mesh_network
        if not network[0] < IPv4Address(self.mesh_address) < network[-1]:
            wrong = f"is outside mesh_network {network}, whose hosts have {network[1]} to {network[-2]}"
            raise refusal(("mesh_address",), self.mesh_address, wrong)
        return self


class FileFacts(Model):
    """Where a file is put, and how."""

    path: PlainPath
    mode: Annotated[str, matching("0?[0-7]{3}", "an octal mode, such as 0644")] | None = None
    owner: Annotated[str, matching(f"{USER}:{USER}", "user:group, such as root:root")] | None = None
    unit: Annotated[str, matching(r"[A-Za-z0-9:_.@-]{1,200}", "the name of a systemd unit")] | None = None


class FileBytes(Model):
    """What a file that is no text has in it."""

    binary_content: Base64
