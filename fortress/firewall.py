"""nftables as text: the base of a host, and the fragments that each component adds to it."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_network
from typing import Annotated

from pydantic import AfterValidator

from fortress import push
from fortress.text import render
from fortress.values import Model, OneLine, Operators, Port, Source, distinct, matching
from fortress.wireguard import Protocol, Relay

BASE = "/etc/nftables.conf"
FOLDER = "/etc/nftables.d"
FORWARDING = "/etc/sysctl.d/60-fortress-relay.conf"
APPLY = f"{push.in_force('nftables-next', BASE)} && nft -f {BASE} && {push.in_force('nftables', BASE)}"
"""Loads the base and every fragment in one transaction, unless another file there would take all of them away again."""
APPLY_FORWARDING = (
    f'if [ -e "$1" ]; then sysctl -q -p "$1" && {push.in_force("sysctl", push.PUT_FILE)}; '
    "else sysctl -q -w net.ipv4.ip_forward=0; fi"
)

Table = Annotated[
    str,
    matching(
        r"(ip|ip6|inet|arp|bridge|netdev) [A-Za-z0-9._/-]{1,255}",
        "the family and name of an nftables table and nothing else, such as inet f2b-table",
    ),
]
Tables = Annotated[list[Table], AfterValidator(distinct)]
"""Of other tools."""


class Base(Model):
    """Who may open SSH connections to a host."""

    operators: Operators
    """Address ranges."""
    ssh_port: Port


class AcceptRule(Model):
    """A port that a fragment opens: to everyone, or to the sources named."""

    port: Port
    comment: OneLine
    protocol: Protocol = "tcp"
    sources: Sequence[Source] = ()
    interface: Annotated[str, matching(r"[A-Za-z0-9._-]{1,15}", "the name of a network interface")] | None = None
    """Only packets that came in by this interface, such as wg0."""

    @property
    def match(self) -> str:
        """What the rule matches, in nftables' words."""
        came_by = f'iifname "{self.interface}" ' if self.interface else ""
        source = f"ip saddr {{ {', '.join(self.sources)} }} " if self.sources else ""
        return f"{came_by}{source}{self.protocol} dport {self.port}"


class Fragment(Model):
    """What one component needs: what this host accepts, and flows that it passes on as a hub."""

    title: OneLine
    rules: Sequence[AcceptRule] = ()
    relays: Sequence[Relay] = ()


def render_base(base: Base) -> str:
    """/etc/nftables.conf: drop everything but SSH from the operators' ranges, and include the fragments."""
    ranges = [ip_network(entry) for entry in base.operators]
    return render(
        "nftables.conf.j2",
        ipv4=[str(entry) for entry in ranges if entry.version == 4],
        ipv6=[str(entry) for entry in ranges if entry.version == 6],
        port=base.ssh_port,
    )


def render_fragment(fragment: Fragment) -> str:
    """A file of /etc/nftables.d."""
    return render("fragment.nft.j2", fragment=fragment)


def render_forwarding() -> str:
    """/etc/sysctl.d/60-fortress-relay.conf, for a hub that passes flows on."""
    return render("60-fortress-relay.conf.j2")
