"""What leaves a site: flows as they are, against those in the register."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from fortress import firewall, push
from fortress.sovereignty.declared import Declared, stays_at_home
from fortress.sovereignty.evidence import Evidence, Resource, Withheld
from fortress.sovereignty.finding import Outcome, RuleFinding, rule
from fortress.sovereignty.register import Register, RegisteredFlow
from fortress.sovereignty.rules.exposure import GROUPS, RULES, openings
from fortress.sovereignty.rules.places import EDPB_01, EDPB_05
from fortress.sovereignty.rules.words import about, dated, no_register, unseen

HARMLESS_CLASSES = ("none", "pseudonymised", "ciphertext")
WORLD = ("0.0.0.0/0", "::/0")


@dataclass(frozen=True, order=True)
class DerivedFlow:
    """Connections between two sites of different operators, as they are."""

    source: str
    destination: str
    """Both are sites."""
    port: int
    protocol: str
    hosts: tuple[tuple[str, str], ...]
    """Pairs of hosts, by their names in the settings, that make it up."""


def derived(declared: Declared) -> list[DerivedFlow]:
    """The flows between operators that the stack's own hosts have, in a stable order."""
    found: dict[tuple[str, str, int, str], set[tuple[str, str]]] = {}
    for flow in declared.flows:
        ends = [declared.hosts[flow.source], declared.hosts[flow.destination]]
        source, destination = (end.site for end in ends)
        if _other_operator(declared, source, destination):
            key = (source, destination, flow.port, flow.protocol)
            found.setdefault(key, set()).add((ends[0].setting, ends[1].setting))
    edges = [host for host in declared.hosts.values() if host.role == "edge"]
    for guest, site in declared.guests.items():
        for edge in edges:
            if _other_operator(declared, edge.site, site):
                key = (edge.site, site, declared.workload_port, "tcp")
                found.setdefault(key, set()).add((edge.setting, guest))
    return sorted(DerivedFlow(*key, hosts=tuple(sorted(hosts))) for key, hosts in found.items())


def _other_operator(declared: Declared, one: str, other: str) -> bool:
    return declared.sites[one].operator != declared.sites[other].operator


def covers(entry: RegisteredFlow, flow: DerivedFlow, pair: tuple[str, str]) -> bool:
    """Whether an entry of the register is about the connections of these two hosts."""
    return (
        (entry.port, entry.protocol) == (flow.port, flow.protocol)
        and entry.source in (flow.source, pair[0])
        and entry.destination in (flow.destination, pair[1])
    )


@rule(
    "registered-flows",
    why="What leaves a site and is in no register is a transfer that nobody has decided on. The edge's overflow is "
    "such a flow.",
    source="Article 30(1)(d) and (e) GDPR; EDPB recommendations 01/2020, step 1: know your transfers",
)
def registered_flows(evidence: Evidence) -> Iterator[RuleFinding]:
    """Every flow between sites of different operators is in the register, and no way in is open that none needs."""
    yield from no_register(evidence, "which flows are accepted is not known")
    if evidence.settings and evidence.declared and evidence.register:
        yield from _against_register(evidence.declared, evidence.register.flows)
        yield from _overflow(evidence.declared, evidence.register)
    if evidence.declared:
        for resource in evidence.resources:
            yield from _open_doors(resource, evidence.declared)
            yield from _pushed_flows(resource, evidence.declared)
            if resource.type.startswith(("openstack:vpnaas/", "openstack:bgpvpn/")):
                wrong = f"{resource.type} joins a network to another one, and no rule reads what passes"
                cure = "leave it out: hosts reach each other through the mesh, whose flows are in the register"
                yield about(resource, wrong, cure)


def _against_register(declared: Declared, entries: dict[str, RegisteredFlow]) -> Iterator[RuleFinding]:
    flows = derived(declared)
    for flow in flows:
        for pair in flow.hosts:
            if not any(covers(entry, flow, pair) for entry in entries.values()):
                yield RuleFinding(
                    f"{flow.source} to {flow.destination}, {flow.protocol}/{flow.port}",
                    f"{pair[0]} connects to {pair[1]}, and the register has no such flow",
                    f"add it to sovereignty.flows: source {flow.source}, destination {flow.destination}, "
                    f"port {flow.port}",
                )
                break
    for name, entry in entries.items():
        if not any(covers(entry, flow, pair) for flow in flows for pair in flow.hosts):
            yield RuleFinding(
                f"sovereignty.flows.{name}",
                f"the stack has no flow from {entry.source} to {entry.destination} at {entry.protocol}/{entry.port} "
                "between two operators",
                "leave the entry out, or correct it",
                level="advisory",
            )


def _overflow(declared: Declared, register: Register) -> Iterator[RuleFinding]:
    """Data sets in requests that the edge may send to another operator, against the register's flow."""
    edge = {host.site for host in declared.hosts.values() if host.role == "edge"}
    entries = {
        name: entry
        for flow in derived(declared)
        if flow.source in edge and (flow.destination, flow.port) == (declared.overflow, declared.workload_port)
        for pair in flow.hosts
        for name, entry in register.flows.items()
        if covers(entry, flow, pair)
    }
    for name, data in register.data_sets.items() if entries else ():
        path = f"sovereignty.data_sets.{name}.paths"
        leaving = [one for one in data.paths if not stays_at_home(declared, one)]
        carrying = [entry for entry, flow in entries.items() if name in flow.data_sets]
        if leaving and not carrying:
            wrong = f"requests for {leaving[0]} may go to {declared.overflow}, and no flow there names {name}"
            cure = f"add {leaving[0]} to edge.home_paths, or {name} to data_sets of sovereignty.flows.{min(entries)}"
            yield RuleFinding(path, wrong, cure)
        for entry in carrying:
            if leaving and data.data_class == "personal" and entries[entry].data_class == "none":
                wrong = f"none, but requests for {leaving[0]} carry {name}"
                cure = f"say what the receiver can read, or add {leaving[0]} to edge.home_paths"
                yield RuleFinding(f"sovereignty.flows.{entry}.data_class", wrong, cure)
            elif data.paths and not leaving:
                wrong = f"names {name}, whose requests all stay at home"
                yield RuleFinding(f"sovereignty.flows.{entry}.data_sets", wrong, f"leave {name} out", level="advisory")


def _open_doors(resource: Resource, declared: Declared) -> Iterator[RuleFinding]:
    """Ways in that a cloud's rules open, beyond SSH from operators, WireGuard, and the edge's two ports."""
    if resource.type not in (*RULES, *GROUPS):
        return
    cure = "leave it out: hosts reach each other through the tunnel"
    for opening in openings(resource):
        if isinstance(opening["protocol"], Withheld) or isinstance(opening["first"], Withheld):
            yield unseen(resource, "what it opens", Withheld.UNKNOWN, cure)
            continue
        protocol = str(opening["protocol"] or "any").lower()
        if protocol.startswith(("icmp", "ipv6-icmp")):
            continue
        for source in opening["sources"]:
            if isinstance(source, Withheld):
                yield unseen(resource, "its source", source, cure)
            elif source is not None and not _is_needed(opening, protocol, str(source), declared):
                ports = "every port" if opening["first"] is None else f"port {opening['first']}"
                if opening["last"] not in (None, opening["first"]):
                    ports = f"ports {opening['first']} to {opening['last']}"
                yield about(resource, f"lets {source} reach {ports} ({protocol}), which no flow needs", cure)


def _is_needed(opening: dict[str, object], protocol: str, source: str, declared: Declared) -> bool:
    first, last = opening["first"], opening["last"]
    if first is None or (last is not None and last != first):
        return False
    port = int(str(first))
    if reaches_one(protocol, port) in declared.open_ports:
        return True
    return protocol == "tcp" and port == declared.ssh_port and source in declared.operators


def reaches_one(protocol: str, port: int) -> str:
    """A port as `Declared.open_ports` has it."""
    return f"{ {'6': 'tcp', '17': 'udp'}.get(protocol, protocol) }/{port}"


_SERVER = re.compile(r"(?m)^\s*server\s+(\S+)\s+([0-9.]+):([0-9]+)")
_ALLOWED = re.compile(r"(?m)^AllowedIPs\s*=\s*(.+)$")


def _pushed_flows(resource: Resource, declared: Declared) -> Iterator[RuleFinding]:
    """Backends of a pushed haproxy.cfg, and peers of a pushed tunnel, that the settings do not have."""
    command, text = resource.get("create"), resource.get("stdin")
    if resource.type != "command:remote:Command" or not isinstance(command, str) or not isinstance(text, str):
        return
    hosts = {host.mesh_address for host in declared.hosts.values()}
    if "/etc/haproxy/haproxy.cfg" in command:
        for name, address, port in _SERVER.findall(text):
            if address not in hosts and name not in declared.guests:
                cure = "send requests to hosts of the settings, or to guests that they name"
                yield about(resource, f"the edge sends requests to {name} at {address}:{port}, which no host has", cure)
    if "/etc/wireguard/wg0.d/" in command:
        for allowed in _ALLOWED.findall(text):
            for entry in allowed.split(","):
                address, _, bits = entry.strip().partition("/")
                if bits not in ("", "32") or not _in_mesh(address, declared):
                    cure = "a peer has addresses of the tunnel's network only"
                    yield about(resource, f"the tunnel carries {entry.strip()} for a peer", cure)


def _in_mesh(address: str, declared: Declared) -> bool:
    return declared.mesh_network is not None and ip_address(address) in ip_network(declared.mesh_network)


@rule(
    "third-country-flows",
    why="What an operator with a third-country parent reads in clear text, that country may ask for. Use cases 6 and 7 "
    "have no technical remedy, so that somebody must decide, for a time.",
    source=f"{EDPB_01}; {EDPB_05}; Articles 44 to 49 GDPR; T-553/23, C-703/25 P",
)
def third_country_flows(evidence: Evidence) -> Iterator[RuleFinding]:
    """A flow to an operator outside the profile's area is none, pseudonymised or ciphertext, or exempt until a day."""
    yield from no_register(evidence, "what flows carry is not known")
    if not (evidence.settings and evidence.declared and evidence.register):
        return
    places = {host.setting: host.site for host in evidence.declared.hosts.values()}
    for name, flow in evidence.register.flows.items():
        path = f"sovereignty.flows.{name}"
        yield from dated(evidence, f"{path}.review", flow.review, f"the flow {name}")
        abroad = []
        for end in (flow.source, flow.destination):
            site = places.get(end, end)
            operator = evidence.operator(site)
            if operator is None:
                abroad.append(f"{site} has an operator who is UNDECLARED")
            elif why := evidence.outside(operator):
                abroad.append(f"the operator of {site} {why}")
        if not abroad:
            continue
        if flow.basis in (None, "no-transfer"):
            found = "UNDECLARED" if flow.basis is None else "no-transfer"
            yield RuleFinding(f"{path}.basis", f"{found}, but {abroad[0]}", "name what the transfer rests on")
        if flow.purpose is None:
            yield RuleFinding(f"{path}.purpose", "UNDECLARED", "say why the flow is needed")
        if flow.data_class not in HARMLESS_CLASSES:
            yield from _clear_text(evidence, f"{path}.data_class", f"personal, but {abroad[0]}", flow)
        elif flow.use_case in (6, 7):
            wrong = f"{flow.use_case} is a use case without a remedy, but the class is {flow.data_class}"
            yield RuleFinding(f"{path}.use_case", wrong, "correct one of the two")


def _clear_text(evidence: Evidence, path: str, wrong: str, flow: RegisteredFlow) -> Iterator[RuleFinding]:
    cure = "pseudonymise or encrypt it, keep it at home, or have somebody exempt the flow until a day"
    exemption = flow.exemption
    if exemption is None:
        yield RuleFinding(path, wrong, cure)
    elif exemption.end < evidence.today:
        yield RuleFinding(path, f"{wrong}; the exemption ended on {exemption.end}", cure)
    else:
        decided = f"{wrong}; exempt until {exemption.end} by {exemption.owner}: {exemption.reason}"
        yield RuleFinding(path, decided, cure, Outcome.EXEMPT)
        yield from (
            found
            for found in dated(evidence, f"{path.rpartition('.')[0]}.exemption.end", exemption.end, "the exemption")
            if found.outcome is Outcome.EXPIRES
        )


@rule(
    "egress",
    level="advisory",
    why="A worker that was broken into sends what it has read wherever it likes, unless its host lets nothing out but "
    "what it needs.",
    source="Article 32(1)(b) GDPR; BSI IT-Grundschutz NET.3.2; EDPB recommendations 01/2020, step 1",
)
def egress(evidence: Evidence) -> Iterator[RuleFinding]:
    """Hosts at sites that are not sovereign let out only what they need, and what the settings name."""
    declared = evidence.declared
    if declared is None:
        return
    if evidence.settings:
        for name in sorted({host.site for host in declared.hosts.values()}):
            site = declared.sites[name]
            if not site.sovereign and site.egress == "open":
                yield RuleFinding(
                    f"sites.{name}.egress",
                    f"open: hosts there may connect to anywhere, and {name} is not sovereign",
                    f"set sites.{name}.egress to closed, and name what they need beyond in egress",
                )
    closed = [name for name, host in declared.hosts.items() if declared.sites[host.site].egress == "closed"]
    for resource in evidence.of_type("command:remote:Command"):
        # Older versions put the firewall by a resource of its own.
        host = resource.name.removesuffix("-push").removesuffix("-firewall")
        if host in closed:
            yield from _lets_out(resource)


def _lets_out(resource: Resource) -> Iterator[RuleFinding]:
    """What is wrong with the base firewall among what a resource puts on a host whose egress is closed."""
    command, text = resource.get("create"), resource.get("stdin")
    cure = "run `pulumi up`, which pushes it anew"
    for step, sent in push.parts(command, text if isinstance(text, str) else None) if isinstance(command, str) else ():
        if not isinstance(step, push.Put) or step.path != firewall.BASE:
            continue
        if sent is None:
            yield unseen(resource, "what the host's firewall lets out", text, cure)
        elif not firewall.is_closed(push.received(sent)):
            wrong = "the host's firewall lets everything out, although the egress of its site is closed"
            yield about(resource, wrong, cure)
