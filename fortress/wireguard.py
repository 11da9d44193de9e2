"""The WireGuard mesh as facts and text: addresses, MTU, who is whose peer, and the files that say so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Annotated, Literal

from pydantic import Field

from fortress.text import render
from fortress.values import MemberName, Model, Port, Range, TunnelAddress

PORT = 51820
"""UDP port that WireGuard listens on where no other is given (wg-quick(8) has it in its examples)."""
INTERFACE = "wg0"
CONFIG_PATH = f"/etc/wireguard/{INTERFACE}.conf"
KEY_PATH = f"/etc/wireguard/{INTERFACE}.key"
PARTS_FOLDER = f"/etc/wireguard/{INTERFACE}.d"
"""Folder of what the mesh adds to the interface: its MTU, and a file a peer."""
MTU_PATH = f"{PARTS_FOLDER}/mtu"

OVERHEAD = 80
"""Bytes that WireGuard adds to a packet over IPv6, its dearer carrier (60 over IPv4): the protocol's paper, 5.4.6."""


def tunnel_mtu(path_mtu: int) -> int:
    """The widest MTU inside a tunnel over a path of `path_mtu` bytes, whichever IP carries it."""
    return path_mtu - OVERHEAD


def capacity(network: IPv4Network) -> int:
    """How many slots a mesh network has: half its addresses, since each slot has two."""
    return network.num_addresses // 2 - 2


def mesh_address(network: IPv4Network, slot: int, generation: int = 1) -> IPv4Address:
    """The address of a slot: the lower half of the network for odd generations, the upper half for even ones.

    A slot has two addresses so that a worker's next generation can join before the one it replaces leaves.

    Raises:
        ValueError: the slot is outside 1 to `capacity(network)`, or the generation below 1.
    """
    if not 1 <= slot <= capacity(network):
        raise ValueError(f"slot {slot} is outside 1 to {capacity(network)} of {network}")
    if generation < 1:
        raise ValueError(f"generation {generation} is below 1")
    half = 0 if generation % 2 else network.num_addresses // 2
    return network.network_address + half + slot


Protocol = Literal["tcp", "udp"]
Mtu = Annotated[int, Field(ge=576)]
"""In bytes."""
Keepalive = Annotated[int, Field(ge=1, le=120)]
"""In seconds."""


class Flow(Model):
    """Connections that `source` opens to `destination`, both names of hosts."""

    source: MemberName
    """Host that opens the connection."""
    destination: MemberName
    """Host that accepts it; must differ from `source`."""
    port: Port
    """Port at the destination."""
    protocol: Protocol = "tcp"
    """Protocol of the connection."""


class Mesh(Model):
    """The facts of a mesh that one asks for."""

    addresses: dict[MemberName, TunnelAddress]
    """Each host's, in the mesh."""
    hubs: list[MemberName]
    """Hosts that the others dial."""
    flows: list[Flow]
    mtu: Mtu
    """The tunnel's."""
    port: Port = PORT
    """UDP port of the hubs."""
    keepalive_s: Keepalive = 25
    """Between keepalives towards hubs."""


class Peer(Model):
    """One peer of a host."""

    name: MemberName
    allowed_ips: tuple[Range, ...]
    """Mesh addresses that lie behind it, its own first."""
    dial: bool
    """Whether the host dials it."""


@dataclass(frozen=True)
class Relay:
    """A flow that a hub passes on between two hosts that cannot reach each other."""

    source: IPv4Address
    destination: IPv4Address
    port: int
    protocol: str


@dataclass(frozen=True)
class Topology:
    """A mesh: each host's peers, and the flows that each hub passes on."""

    peers: dict[str, tuple[Peer, ...]]
    relays: dict[str, tuple[Relay, ...]]


def topology(addresses: Mapping[str, IPv4Address], hubs: Sequence[str], flows: Iterable[Flow]) -> Topology:
    """Peers are the pairs that flows need, no more.

    Hubs have a fixed endpoint and are dialled; the others may sit anywhere, so two that are not hubs cannot rely
    on reaching each other: their flow goes over the first hub. `addresses` maps each host to its mesh address.
    """
    behind: dict[tuple[str, str], set[str]] = {}
    relays: dict[str, set[Relay]] = {}

    def join(one: str, other: str, reach: str) -> None:
        """`one` sends to `reach` by way of its peer `other`, which is `reach` itself or a hub."""
        behind.setdefault((one, other), {other}).add(reach)
        behind.setdefault((other, one), {one})

    for flow in flows:
        one, other = flow.source, flow.destination
        if one in hubs or other in hubs:
            join(one, other, other)
            continue
        hub = hubs[0]
        join(one, hub, other)
        join(other, hub, one)
        relays.setdefault(hub, set()).add(Relay(addresses[one], addresses[other], flow.port, flow.protocol))

    peers: dict[str, tuple[Peer, ...]] = {}
    for name in addresses:
        mine = sorted((other, reach) for (one, other), reach in behind.items() if one == name)
        peers[name] = tuple(
            Peer(
                name=other,
                # The peer's own address first: by that one `wireguard check` knows who it is.
                allowed_ips=tuple(
                    f"{addresses[host]}/32" for host in sorted(reach, key=lambda host: (host != other, addresses[host]))
                ),
                dial=other in hubs,
            )
            for other, reach in mine
        )
    return Topology(peers, {hub: tuple(sorted(found, key=str)) for hub, found in relays.items()})


def endpoint(address: str, port: int) -> str:
    """An address and a port as WireGuard writes them, with brackets around IPv6."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def render_interface(address: IPv4Address, network: IPv4Network, port: int) -> str:
    """/etc/wireguard/wg0.conf: the interface without its key and without peers."""
    return render("wg0.conf.j2", address=address, prefix=network.prefixlen, port=port)


def render_mtu(mtu: int) -> str:
    """/etc/wireguard/wg0.d/mtu: the tunnel's MTU in bytes, a file of its own since the mesh decides it."""
    return render("wg0.mtu.j2", mtu=int(mtu))


def peer_path(name: str) -> str:
    """Where the file of a peer stands."""
    return f"{PARTS_FOLDER}/{name}.conf"


def render_peer(peer: Peer, public_key: str, endpoint: str | None, keepalive_s: int) -> str:
    """/etc/wireguard/wg0.d/NAME.conf: one peer. `endpoint` is None for a peer that dials us."""
    return render("peer.conf.j2", peer=peer, public_key=public_key, endpoint=endpoint, keepalive_s=int(keepalive_s))
