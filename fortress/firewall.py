"""nftables as text: the base of a host, and the fragments that each component adds to it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, ip_network

from fortress.text import render
from fortress.wireguard import Relay

BASE = "/etc/nftables.conf"
FOLDER = "/etc/nftables.d"
APPLY = f"nft -f {BASE}"
"""Loads the base and every fragment in one transaction."""


@dataclass(frozen=True)
class AcceptRule:
    """A port that a fragment opens: to everyone, or to the sources named (addresses or ranges)."""

    port: int
    comment: str
    protocol: str = "tcp"
    sources: Sequence[str] = ()
    interface: str | None = None
    """Only packets that came in by this interface, such as wg0."""

    @property
    def match(self) -> str:
        """What the rule matches, in nftables' words."""
        came_by = f'iifname "{self.interface}" ' if self.interface else ""
        source = f"ip saddr {{ {', '.join(self.sources)} }} " if self.sources else ""
        return f"{came_by}{source}{self.protocol} dport {int(self.port)}"


@dataclass(frozen=True)
class Fragment:
    """What one component needs: what this host accepts, and flows that it passes on as a hub."""

    title: str
    rules: Sequence[AcceptRule] = ()
    relays: Sequence[Relay] = field(default=())


def render_base(operators: Iterable[str], ssh_port: int) -> str:
    """/etc/nftables.conf: drop everything but SSH from the operators' ranges, and include the fragments."""
    ranges = [ip_network(entry) for entry in operators]
    return render(
        "nftables.conf.j2",
        ipv4=[str(entry) for entry in ranges if entry.version == 4],
        ipv6=[str(entry) for entry in ranges if entry.version == 6],
        port=int(ssh_port),
    )


def render_fragment(fragment: Fragment) -> str:
    """A file of /etc/nftables.d."""
    for rule in fragment.rules:
        for source in rule.sources:
            IPv4Network(source)
    return render("fragment.nft.j2", fragment=fragment)


def render_forwarding() -> str:
    """/etc/sysctl.d/60-fortress-relay.conf, for a hub that passes flows on."""
    return render("60-fortress-relay.conf.j2")
