"""nftables as text: the base of a host, and the fragments that each component adds to it."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_network
from typing import Annotated

from pydantic import AfterValidator

from fortress import push
from fortress.text import render
from fortress.values import Destination, Model, OneLine, Operators, Port, Source, distinct, matching
from fortress.wireguard import PORT, Protocol, Relay

BASE = "/etc/nftables.conf"
FOLDER = "/etc/nftables.d"
FORWARDING = "/etc/sysctl.d/60-fortress-relay.conf"
DROPS_INPUT, DROPS_OUTPUT = (f"type filter hook {hook} priority filter; policy drop;" for hook in ("input", "output"))
"""How the base says that it drops what comes in, or goes out, unless a rule takes it."""
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


class EgressTarget(Model):
    """Where a host whose egress is closed may open connections to, beyond what every host needs."""

    address: Destination | None = None
    """Address or range; anywhere for None, and then by root alone."""
    port: Port
    protocol: Protocol = "tcp"
    comment: OneLine
    """What it is needed for."""

    @property
    def match(self) -> str:
        """What its rule matches, in nftables' words."""
        if self.address is None:
            return f"meta skuid 0 {self.protocol} dport {self.port}"
        family = "ip" if ip_network(self.address).version == 4 else "ip6"
        return f"{family} daddr {self.address} {self.protocol} dport {self.port}"


class Base(Model):
    """Who may open SSH connections to a host, and where it may open connections to."""

    operators: Operators
    """Address ranges."""
    ssh_port: Port
    mesh_port: Port = PORT
    """UDP port of WireGuard."""
    egress: Sequence[EgressTarget] | None = None
    """What a host whose egress is closed needs beyond what every host does; None where it may connect to anywhere."""


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
    """/etc/nftables.conf: drop everything but SSH from the operators' ranges, and include the fragments.

    With `egress`, what the host itself sends is held to what it needs (docs/decisions/0025).
    """
    ranges = [ip_network(entry) for entry in base.operators]
    return render(
        "nftables.conf.j2",
        ipv4=[str(entry) for entry in ranges if entry.version == 4],
        ipv6=[str(entry) for entry in ranges if entry.version == 6],
        port=base.ssh_port,
        mesh_port=base.mesh_port,
        egress=base.egress,
    )


def is_closed(text: object) -> bool:
    """Whether a base as `render_base` gave it lets out only what is named."""
    return isinstance(text, str) and DROPS_OUTPUT in text


def render_fragment(fragment: Fragment) -> str:
    """A file of /etc/nftables.d."""
    return render("fragment.nft.j2", fragment=fragment)


def render_forwarding() -> str:
    """/etc/sysctl.d/60-fortress-relay.conf, for a hub that passes flows on."""
    return render("60-fortress-relay.conf.j2")
