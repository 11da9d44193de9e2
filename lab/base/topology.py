"""Sites, hosts and addresses of the lab: the one place where they are written.

The networks are the documentation blocks of RFC 5737. They exist only inside the lab's own network namespaces,
so a machine that uses the same blocks itself is not disturbed.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from lab.base.errors import LabError


@dataclass(frozen=True)
class LabSite:
    """A place where hosts stand: one bridge, with a router at `gateway`."""

    name: str
    network: IPv4Network
    gateway: IPv4Address


@dataclass(frozen=True)
class LabHost:
    """A host that the lab can start."""

    name: str
    site: LabSite
    address: IPv4Address

    @property
    def interface(self) -> str:
        """Name of the host's port on the bridge of its site (systemd-nspawn makes it from the host's name)."""
        return f"vb-{self.name}"


OSLO = LabSite("oslo", IPv4Network("192.0.2.0/24"), IPv4Address("192.0.2.1"))
FRANKFURT = LabSite("frankfurt", IPv4Network("203.0.113.0/24"), IPv4Address("203.0.113.1"))
SITES = {site.name: site for site in (OSLO, FRANKFURT)}

CLOUD = {
    host.name: host
    for host in (
        *(LabHost(f"cloud-o{number}", OSLO, IPv4Address(f"192.0.2.{30 + number}")) for number in range(1, 7)),
        *(LabHost(f"cloud-f{number}", FRANKFURT, IPv4Address(f"203.0.113.{30 + number}")) for number in range(1, 9)),
    )
}
"""What the stand-ins for the clouds hand out as machines: only they boot these, each time on a new disk."""

HOSTS = {
    host.name: host
    for host in (
        LabHost("oslo-db", OSLO, IPv4Address("192.0.2.11")),
        LabHost("oslo-edge", OSLO, IPv4Address("192.0.2.12")),
        LabHost("oslo-web", OSLO, IPv4Address("192.0.2.13")),
        LabHost("oslo-db2", OSLO, IPv4Address("192.0.2.14")),
        LabHost("oslo-db3", OSLO, IPv4Address("192.0.2.15")),
        LabHost("fra-1", FRANKFURT, IPv4Address("203.0.113.21")),
        LabHost("fra-2", FRANKFURT, IPv4Address("203.0.113.22")),
        LabHost("fra-3", FRANKFURT, IPv4Address("203.0.113.23")),
        *CLOUD.values(),
    )
}
STANDARD = ("oslo-db", "oslo-edge", "oslo-web", "fra-1", "fra-2")
"""Hosts that `up` starts when none are named."""

OPERATOR = IPv4Address("192.0.2.10")
"""Where the operator sits: on the Oslo bridge."""
OUTSIDE = IPv4Address("198.51.100.10")
"""A client of the fortress, somewhere else; both sites reach it, and it has no rights anywhere."""
OUTSIDE_GATEWAYS = {OSLO.name: IPv4Address("198.51.100.1"), FRANKFURT.name: IPv4Address("198.51.100.2")}
LINK_ENDS = {OSLO.name: IPv4Address("198.51.100.253"), FRANKFURT.name: IPv4Address("198.51.100.254")}
"""The routers' addresses on the link between the sites."""

REPOSITORY = OSLO.gateway
"""Where the package repository answers, by HTTP on port 80."""
REPOSITORY_URL = f"http://{REPOSITORY}/"

USER = "ops"
USER_ID = 1000

NAMESPACES = ("oslo", "frankfurt", "operator", "outside")


def host(name: str) -> LabHost:
    """The host of that name.

    Raises:
        LabError: there is none.
    """
    try:
        return HOSTS[name]
    except KeyError:
        raise LabError(f"no host is called {name!r}", f"name one of {', '.join(HOSTS)}") from None


def cloud_host(name: str) -> LabHost:
    """The host of that name in the clouds' pool.

    Raises:
        LabError: there is none, or it is one that no cloud hands out.
    """
    try:
        return CLOUD[name]
    except KeyError:
        raise LabError(f"no cloud of the lab has a machine {name!r}", f"name one of {', '.join(CLOUD)}") from None
