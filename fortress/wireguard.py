"""The WireGuard mesh as facts and text: addresses, MTU, who is whose peer, and the files that say so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Annotated, Literal

from pydantic import Field, model_validator

from fortress.text import render
from fortress.values import AddressAndPort, MemberName, Model, Port, Range, TunnelAddress, WireGuardKey, refusals

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


def mtu_problem(mtu: int, path_mtu: int) -> str | None:
    """What is wrong with a tunnel of `mtu` bytes over a path of `path_mtu` bytes."""
    most = tunnel_mtu(path_mtu)
    if mtu <= most:
        return None
    return (
        f"does not fit: a path of {path_mtu} bytes carries at most {most} inside the tunnel ({OVERHEAD} bytes of "
        "overhead); lower mtu, or raise path_mtu if the path is wider"
    )


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
WIDEST_PATH = 9216
"""Bytes: no cloud's network carries larger packets."""
PathMtu = Annotated[int, Field(ge=576, le=WIDEST_PATH)]
Mtu = Annotated[int, Field(ge=576, le=WIDEST_PATH - OVERHEAD)]
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

    def __str__(self) -> str:
        return f"{self.source} to {self.destination}, {self.protocol}/{self.port}"


class Mesh(Model):
    """The facts of a mesh that one asks for."""

    addresses: dict[MemberName, TunnelAddress]
    """Each host's, in the mesh."""
    hubs: list[MemberName]
    """Hosts that the others dial."""
    flows: list[Flow]
    mtu: Mtu
    """The tunnel's."""
    path_mtu: PathMtu = 1500
    """The smallest MTU between two hosts outside the tunnel; Ethernet's."""
    port: Port = PORT
    """UDP port of the hubs."""
    keepalive_s: Keepalive = 25
    """Between keepalives towards hubs."""

    @model_validator(mode="after")
    def _names_its_members(self) -> Mesh:
        found: list[tuple[tuple[str | int, ...], object, str]] = []
        owners: dict[str, str] = {}
        for name, address in self.addresses.items():
            if address in owners:
                found.append((("addresses", name), address, f"is the address of {owners[address]} too"))
            owners.setdefault(address, name)
        named: list[tuple[tuple[str | int, ...], str]] = [(("hubs", index), hub) for index, hub in enumerate(self.hubs)]
        for index, flow in enumerate(self.flows):
            named += [(("flows", index, "source"), flow.source), (("flows", index, "destination"), flow.destination)]
            if flow.source == flow.destination:
                found.append((("flows", index, "destination"), flow.destination, "is the source too"))
            if (first := self.flows.index(flow)) < index:
                found.append((("flows", index), str(flow), f"is flows[{first}] too; leave it out"))
        known = ", ".join(self.addresses) or "none"
        found += [
            (path, name, f"is not a member; known: {known}") for path, name in named if name not in self.addresses
        ]
        if problem := mtu_problem(self.mtu, self.path_mtu):
            found.append((("mtu",), self.mtu, problem))
        if not self.hubs and self.flows:
            found.append((("hubs",), self.hubs, "must not be empty: hosts that are no hubs cannot reach each other"))
        if found:
            raise refusals(found)
        return self


class Peer(Model):
    """One peer of a host."""

    name: MemberName
    allowed_ips: tuple[Range, ...]
    """Mesh addresses that lie behind it, its own first."""
    dial: bool
    """Whether the host dials it."""


class PeerFile(Model):
    """What a peer's file says."""

    name: MemberName
    public_key: WireGuardKey
    allowed_ips: tuple[Range, ...]
    endpoint: AddressAndPort | None = None
    """Where it is dialled; None for a peer that dials us."""
    keepalive_s: Keepalive
    """Towards a peer that is dialled."""


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


def relay(source: str, destination: str, hubs: Sequence[str]) -> str | None:
    """The hub that a flow goes over; None where its ends are direct peers.

    Hubs have a fixed endpoint and are dialled; the others may sit anywhere, so two that are not hubs cannot rely
    on reaching each other: their flow goes over the first hub.
    """
    return None if source in hubs or destination in hubs else hubs[0]


def topology(addresses: Mapping[str, IPv4Address], hubs: Sequence[str], flows: Iterable[Flow]) -> Topology:
    """Peers are the pairs that flows need, no more. `addresses` maps each host to its mesh address."""
    behind: dict[tuple[str, str], set[str]] = {}
    relays: dict[str, set[Relay]] = {}

    def join(one: str, other: str, reach: str) -> None:
        """`one` sends to `reach` by way of its peer `other`, which is `reach` itself or a hub."""
        behind.setdefault((one, other), {other}).add(reach)
        behind.setdefault((other, one), {one})

    for flow in flows:
        one, other = flow.source, flow.destination
        hub = relay(one, other, hubs)
        if hub is None:
            join(one, other, other)
            continue
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


def render_peer(peer: PeerFile) -> str:
    """/etc/wireguard/wg0.d/NAME.conf: one peer."""
    return render("peer.conf.j2", peer=peer)
