"""Plain values that both clouds need: ranges that may use SSH, subnets of zones, first-boot text."""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network

from fortress.text import render

ZONES = "abcdefgh"
"""Letters that end the name of an AWS zone; a VPC has one part for each."""
HOSTNAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")

TAGS = ["data-fortress"]
"""Tags for OpenStack resources, to find in a project what a fortress created there."""

Network = IPv4Network | IPv6Network


def operator_ranges(operators: Iterable[str]) -> list[Network]:
    """The ranges that may open SSH connections, without duplicates. Raises ValueError for none, or the whole world."""
    ranges: list[Network] = []
    for entry in dict.fromkeys(operators):
        if "%" in entry:
            raise ValueError(f"operators: {entry!r} names an interface, which means nothing in a cloud")
        ranges.append(ip_network(entry))
    if not ranges:
        raise ValueError("operators: at least one range must reach the machines by SSH")
    if version := whole_world(ranges):
        raise ValueError(f"operators: together they are the whole world (IPv{version}); name where operators are")
    return list(dict.fromkeys(ranges))


def whole_world(ranges: Iterable[Network]) -> int | None:
    """The version of IP of which ranges together are every address, None where there is none."""
    known = list(ranges)
    for version in (4, 6):
        together = collapse_addresses(entry for entry in known if entry.version == version)  # type: ignore[type-var]
        if any(entry.prefixlen == 0 for entry in together):
            return version
    return None


def label(network: Network) -> str:
    """A range as part of a resource's name: `192-0-2-0-24`; no two ranges share one."""
    return re.sub(r"[.:/]", "-", str(network))


def zone_subnet(vpc: IPv4Network, zone: str) -> IPv4Network:
    """A zone's part of a VPC, one of eight equal ones, by the letter that ends its name.

    A zone keeps its part whichever others are in use. AWS wants subnets of /16 to /28
    (https://docs.aws.amazon.com/vpc/latest/userguide/subnet-sizing.html), so the VPC is a /16 to a /25.
    """
    if not 16 <= vpc.prefixlen <= 25:
        raise ValueError(f"{vpc}: a VPC that is parted into eight subnets is a /16 to a /25")
    return list(vpc.subnets(3))[_position(zone)]


def zone_subnet_ipv6(vpc: str, zone: str) -> str:
    """A zone's /64 of the IPv6 range (a /56) that AWS gave to a VPC."""
    whole = IPv6Network(vpc)
    return str(IPv6Network((int(whole.network_address) + (_position(zone) << 64), 64)))


def render_cloud_config(name: str, user: str) -> str:
    """User data for cloud-init: hostname and first user, nothing secret. Raises ValueError for an invalid one of these.

    The name may be a member's, such as `fra-1.2`: it is `fra-1-2` there, since what follows a dot would be a domain.
    """
    hostname = name.replace(".", "-")
    if not HOSTNAME.fullmatch(hostname):
        raise ValueError(f"{name!r} must be a hostname: 1 to 63 of a-z, 0-9 and -, not starting or ending with -")
    if not USER.fullmatch(user) or user == "root":
        raise ValueError(
            f"{user!r} must be the name of a Unix user other than root, who does not log in to new machines"
        )
    return render("cloud-config.yaml.j2", hostname=hostname, user=user)


def _position(zone: str) -> int:
    found = re.fullmatch(r"[a-z]{2}(-[a-z]+)+-[0-9]([a-h])", zone)
    if not found:
        raise ValueError(f"{zone!r} must be a zone of AWS with a letter from a to h, such as eu-central-1a")
    return ZONES.index(found[2])
