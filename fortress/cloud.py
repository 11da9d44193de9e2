"""Plain values that both clouds need: ranges that may use SSH, subnets of zones, first-boot text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_network
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from fortress import values, wireguard
from fortress.text import render
from fortress.values import LABEL, USER, Address, DataClass, Model, Operators, Port, Text, distinct, matching, refusal

ZONES = "abcdefgh"
"""Letters that end the name of an AWS zone; a VPC has one part for each."""
_ZONE = rf"[a-z]{{2}}(-[a-z]+)+-[0-9][{ZONES[0]}-{ZONES[-1]}]"
Zone = Annotated[str, matching(_ZONE, "a zone of AWS, such as eu-central-1a")]

SMALLEST_VPC = 25
"""Length of its prefix: eight subnets of at least 16 addresses."""

TAGS = ["data-fortress"]
"""Tags for OpenStack resources, to find in a project what a fortress created there."""

CLASS_KEY = "data-class"
"""Metadata key or tag by which a resource says what class of data it keeps."""

Network = IPv4Network | IPv6Network


class SshAccess(Model):
    """Who may open SSH connections to machines of a cloud."""

    operators: Operators
    ssh_port: Port = 22


def prefixed(prefix: str | None, name: str) -> str:
    """The name of a resource in a cloud, where another stack may have one of the same name."""
    return f"{prefix}-{name}" if prefix else name


def class_metadata(data_class: str | None) -> dict[str, str]:
    """Metadata, or tags, of a resource that keeps data of a class."""
    return {CLASS_KEY: data_class} if data_class else {}


class Prefixed(Model):
    """Names in a cloud."""

    name_prefix: NamePrefix | None = None


class OpenStackPlan(SshAccess, Prefixed):
    """What is asked of an OpenStack project."""

    mesh_port: Port = wireguard.PORT
    """UDP port of WireGuard."""
    cidr: values.Network | None = None
    """Of a network to make."""
    dns: Sequence[Address] = ()


class AwsPlan(SshAccess, Prefixed):
    """What is asked of an AWS account."""

    zones: Annotated[list[Zone], AfterValidator(distinct)]
    cidr: values.Network | None = None
    """Of a VPC to make."""

    @model_validator(mode="after")
    def _has_room_for_zones(self) -> AwsPlan:
        if self.cidr and self.cidr.prefixlen > SMALLEST_VPC:
            raise refusal(("cidr",), str(self.cidr), "is too small for subnets of eight zones; use a /25 or wider")
        return self


def operator_ranges(access: SshAccess) -> list[Network]:
    """The operators' ranges, each once."""
    return list(dict.fromkeys(ip_network(entry) for entry in access.operators))


def label(network: Network) -> str:
    """A range as part of a resource's name: `192-0-2-0-24`; no two ranges share one."""
    return re.sub(r"[.:/]", "-", str(network))


def zone_subnet(vpc: IPv4Network, zone: str) -> IPv4Network:
    """A zone's part of a VPC, one of eight equal ones, by the letter that ends its name.

    A zone keeps its part whichever others are in use. AWS wants subnets of /16 to /28
    (https://docs.aws.amazon.com/vpc/latest/userguide/subnet-sizing.html), so the VPC is a /16 to a /25.
    """
    if not 16 <= vpc.prefixlen <= SMALLEST_VPC:
        raise ValueError(f"{vpc}: a VPC that is parted into eight subnets is a /16 to a /25")
    return list(vpc.subnets(3))[_position(zone)]


def zone_subnet_ipv6(vpc: str, zone: str) -> str:
    """A zone's /64 of the IPv6 range (a /56) that AWS gave to a VPC."""
    whole = IPv6Network(vpc)
    return str(IPv6Network((int(whole.network_address) + (_position(zone) << 64), 64)))


def _first_user(value: str) -> str | None:
    return value if re.fullmatch(USER, value) and value != "root" else None


DiskSize = Annotated[int, Field(ge=8, le=16384)]
"""Of a root disk, in GB (GiB)."""


def _ipv4(value: str) -> str | None:
    try:
        return str(IPv4Address(value))
    except ValueError:
        return None


FixedAddress = Annotated[str, Text("an IPv4 address", _ipv4, r"[0-9]+(\.[0-9]+){3}")]
ContainerName = Annotated[str, matching(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", "1 to 63 letters, digits, dots, _ and -")]
Days = Annotated[int, Field(ge=1)]
# EC2 keeps names that begin with sg- for itself (CreateSecurityGroup, GroupName).
NamePrefix = Annotated[
    str,
    matching(
        r"(?!sg-|sg$)[a-z]([a-z0-9-]{0,30}[a-z0-9])?",
        "1 to 32 of a-z, 0-9 and -, starting with a letter and not with sg-, not ending in -",
    ),
]


class OpenStackAddress(Model):
    """The address of a machine in its own network."""

    fixed_address: FixedAddress | None = None


class AwsDisk(Model):
    """The disk of a machine on AWS."""

    disk_gb: DiskSize = 20


class ContainerFacts(Model):
    """A private object container."""

    container: ContainerName
    expire_days: Days | None = None
    data_class: DataClass | None = None


class FirstBoot(Model):
    """What cloud-init makes of a new machine."""

    hostname: Annotated[str, matching(LABEL, "a hostname: 1 to 63 of a-z, 0-9 and -, not starting or ending with -")]
    user: Annotated[
        str, Text("the name of a Unix user other than root, who does not log in to new machines", _first_user)
    ]


def render_cloud_config(name: str, user: str) -> str:
    """User data for cloud-init: hostname and first user, nothing secret.

    The name may be a member's, such as `fra-1.2`: it is `fra-1-2` there, since what follows a dot would be a domain.

    Raises:
        ValueError: one of these is invalid.
    """
    boot = FirstBoot(hostname=name.replace(".", "-"), user=user)
    return render("cloud-config.yaml.j2", hostname=boot.hostname, user=boot.user)


def _position(zone: str) -> int:
    if not re.fullmatch(_ZONE, zone):
        raise ValueError(f"{zone!r} must be a zone of AWS with a letter from a to h, such as eu-central-1a")
    return ZONES.index(zone[-1])
