"""The WireGuard mesh between hosts: a file a peer, so that one that comes or goes touches no other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Any, NotRequired, TypedDict

import pulumi

from fortress import firewall, push, wireguard
from fortress.explain import path_of, shown

from .checking import Facts, arguments, build, wrong
from .host_file import FileToPut, fragment_file, put, put_together
from .remote import Member, Target, child_options

SYNC = f"{push.LIBRARY}/wireguard sync {wireguard.INTERFACE}"


class FlowArgs(TypedDict):
    """Connections that one host opens to another."""

    source: str
    """Name of the member that opens them."""
    destination: str
    """Name of the member that they go to."""
    port: int
    """Port at the destination."""
    protocol: NotRequired[str]
    """`tcp` when not given, or `udp`."""
    open: NotRequired[bool]
    """Whether the mesh opens the port at the destination; no when not given, since services open their own."""


class WireGuardMeshArgs(TypedDict):
    """Who is in the mesh, and what goes through it."""

    members: Mapping[str, Member]
    """Hosts by name: each a `Host`'s `member`."""
    hubs: list[str]
    """Names of the members that the others dial; they need an address that stays."""
    flows: list[FlowArgs]
    """What must reach what: peers are the pairs that these need."""
    elsewhere: NotRequired[list[str]]
    """Names of hubs whose mesh another stack makes: they get files for peers of this one, and nothing else."""
    mtu: int
    """The tunnel's MTU in bytes, the same on all hosts; at most `path_mtu` - 80."""
    path_mtu: NotRequired[int]
    """The smallest MTU between two hosts outside the tunnel, in bytes; 1500 when not given."""
    port: NotRequired[int]
    """UDP port of the hubs, 51820 when not given."""
    keepalive_s: NotRequired[int]
    """Seconds between keepalives towards hubs, 25 when not given."""
    private_key: NotRequired[pulumi.Input[str] | None]
    """SSH private key; the SSH agent's when not given."""


class WireGuardMesh(pulumi.ComponentResource):
    """The mesh; a service takes its host from `member`, and so waits for that host's part of the mesh."""

    def __init__(self, name: str, args: WireGuardMeshArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        args = arguments("WireGuardMesh", name, WireGuardMeshArgs, args)
        facts = _facts(name, args)
        opened = [flow for flow, given in zip(facts.flows, args["flows"], strict=True) if given.get("open", False)]
        addresses = {host: IPv4Address(address) for host, address in facts.addresses.items()}
        plan = wireguard.topology(addresses, facts.hubs, facts.flows)
        elsewhere = args.get("elsewhere", [])
        _check_elsewhere(name, elsewhere, args["members"], plan, opened)
        super().__init__("fortress:index:WireGuardMesh", name, {}, opts)
        self.parts: dict[str, list[pulumi.Resource]] = {
            host: _part(
                _HostPart(
                    mesh=self,
                    name=f"{name}-{host}",
                    target={"member": member, "private_key": args.get("private_key")},
                    others=args["members"],
                    peers=[peer for peer in plan.peers[host] if host not in elsewhere or peer.name not in elsewhere],
                    hubs=facts.hubs,
                    here=host not in elsewhere,
                    rules=_rules(host, host in facts.hubs, facts.port, opened, addresses),
                    relays=plan.relays.get(host, ()),
                    port=facts.port,
                    keepalive_s=facts.keepalive_s,
                    mtu=facts.mtu,
                ),
                child_options(self, opts),
            )
            for host, member in args["members"].items()
        }
        """What each host has of the mesh, to depend on."""
        self._members = args["members"]
        self._plan = plan
        self.flows = tuple(facts.flows)
        """Who opens connections to whom."""
        self.facts = {
            "port": facts.port,
            "mtu": facts.mtu,
            "path_mtu": facts.path_mtu,
            "hubs": facts.hubs,
            "interface": wireguard.INTERFACE,
        }
        """Its part of the output `fortress`, as `fortress.facts.MeshFacts` has it."""
        self.register_outputs({})

    def member(self, name: str) -> Member:
        """A host as a service there takes it: what serves on it waits for the host's part of the mesh.

        Raises:
            ValueError: the mesh has no such member.
        """
        self._check_member(name)
        part = [resource.urn for resource in self.parts[name]]
        return {**self._members[name], "in_mesh": pulumi.Output.all(*part).apply(lambda urns: " ".join(urns))}

    def peers(self, name: str) -> list[str]:
        """Names of a host's direct peers.

        Raises:
            ValueError: the mesh has no such member.
        """
        self._check_member(name)
        return [peer.name for peer in self._plan.peers[name]]

    def _check_member(self, name: str) -> None:
        if name not in self._members:
            known = ", ".join(self._members) or "none"
            raise wrong(
                "WireGuardMesh", self.pulumi_resource_name, "members", f"{shown(name)} is not a member; known: {known}"
            )


@dataclass(frozen=True, kw_only=True)
class _HostPart:
    mesh: WireGuardMesh
    name: str
    target: Target
    others: Mapping[str, Member]
    peers: Sequence[wireguard.Peer]
    hubs: Sequence[str]
    here: bool
    rules: Sequence[firewall.AcceptRule]
    relays: Sequence[wireguard.Relay]
    port: int
    keepalive_s: int
    mtu: int


def _part(part: _HostPart, opts: pulumi.ResourceOptions) -> list[pulumi.Resource]:
    """One host's part of the mesh."""
    mesh, name = part.mesh.pulumi_resource_name, part.name
    options = pulumi.ResourceOptions.merge(
        opts,
        pulumi.ResourceOptions(
            retain_on_delete=True if part.target["member"]["gone"] else None,
            aliases=[pulumi.Alias(parent=part.mesh.urn.apply(lambda urn: _component_before(urn, name)))],
        ),
    )
    found: list[pulumi.Resource] = []
    files = [FileToPut(wireguard.MTU_PATH, wireguard.render_mtu(part.mtu), apply=SYNC)] if part.here else []
    for peer in part.peers:
        text = _peer_file(mesh, peer, part.others[peer.name], part.port, part.keepalive_s)
        path, check = wireguard.peer_path(peer.name), f'{push.LIBRARY}/wireguard check "$1"'
        if peer.name in part.hubs:
            files.append(FileToPut(path, text, check=check, apply=SYNC))
        else:
            # Of its own, since it comes and goes: the key of a new one is not known at preview, and hides the text.
            found.append(put(f"{name}-peer-{peer.name}", part.target, path, text, options, check=check, apply=SYNC))
    if part.here and (part.rules or part.relays):
        fragment = firewall.Fragment(title="The mesh.", rules=list(part.rules), relays=tuple(part.relays))
        files.append(fragment_file("20-mesh.nft", fragment))
    if part.relays:
        files.append(FileToPut(firewall.FORWARDING, firewall.render_forwarding(), apply=firewall.APPLY_FORWARDING))
    if files:
        found.append(put_together(f"{name}-files", part.target, files, options))
    return found


def _component_before(mesh: str, name: str) -> str:
    """The parent of a host's part in states from before decision 0026, by the mesh's URN."""
    kind = "::".join(mesh.split("::")[:3])
    return f"{kind}$fortress:index:WireGuardMember::{name}"


def _facts(name: str, args: WireGuardMeshArgs) -> wireguard.Mesh:
    """The mesh that the arguments ask for.

    Raises:
        ValueError: an argument is wrong; the message names it.
    """
    facts: dict[str, Any] = {
        "addresses": {host: member["mesh_address"] for host, member in args["members"].items()},
        "hubs": list(args["hubs"]),
        "flows": [{key: value for key, value in flow.items() if key != "open"} for flow in args["flows"]],
        "mtu": args["mtu"],
        "path_mtu": args.get("path_mtu"),
        "port": args.get("port"),
        "keepalive_s": args.get("keepalive_s"),
    }
    paths = {path_of(("addresses", host)): path_of(("members", host, "mesh_address")) for host in args["members"]}
    return build("WireGuardMesh", name, Facts(wireguard.Mesh, facts, {**paths, "addresses": "members"}))


def _check_elsewhere(
    name: str,
    elsewhere: list[str],
    members: Mapping[str, Member],
    plan: wireguard.Topology,
    opened: list[wireguard.Flow],
) -> None:
    """Refuse what a mesh that another stack made does not take.

    Raises:
        ValueError: it would need more than files for peers on a host of another stack's mesh.
    """
    if unknown := [host for host in elsewhere if host not in members]:
        known = ", ".join(members)
        raise wrong("WireGuardMesh", name, "elsewhere", f"{', '.join(unknown)} is not a member; known: {known}")
    if any(plan.relays.get(host) for host in elsewhere) or any(flow.destination in elsewhere for flow in opened):
        raise wrong(
            "WireGuardMesh",
            name,
            "flows",
            f"these would open the firewall of {', '.join(elsewhere)}, which is up to the stack that makes their mesh; "
            "use only flows to ports that are already open there, to or from a hub",
        )


def _peer_file(mesh: str, peer: wireguard.Peer, other: Member, port: int, keepalive_s: int) -> pulumi.Output[str]:
    """One peer's text; the address of a peer that dials us stands in no file, so that it may change."""

    def text(public_key: str, address: str | None) -> str:
        values = {
            "name": peer.name,
            "allowed_ips": peer.allowed_ips,
            "public_key": public_key,
            "endpoint": None if address is None else wireguard.endpoint(address, port),
            "keepalive_s": keepalive_s,
        }
        member = path_of(("members", peer.name))
        paths = {"public_key": f"{member}.public_key", "endpoint": f"{member}.address"}
        return wireguard.render_peer(build("WireGuardMesh", mesh, Facts(wireguard.PeerFile, values, paths)))

    if not peer.dial:
        return pulumi.Output.from_input(other["public_key"]).apply(lambda key: text(key, None))
    return pulumi.Output.all(other["public_key"], other["address"]).apply(lambda known: text(*known))


def _rules(
    host: str, hub: bool, port: int, flows: list[wireguard.Flow], addresses: Mapping[str, IPv4Address]
) -> list[firewall.AcceptRule]:
    rules = [firewall.AcceptRule(port=port, comment="WireGuard", protocol="udp")] if hub else []
    return rules + [
        firewall.AcceptRule(
            port=flow.port,
            comment=f"from {flow.source}",
            protocol=flow.protocol,
            sources=[str(addresses[flow.source])],
            interface=wireguard.INTERFACE,
        )
        for flow in flows
        if flow.destination == host
    ]
