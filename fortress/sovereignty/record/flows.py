"""Flows: those that the register has, and those of the stack that it lacks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fortress.sovereignty.declared import Declared
from fortress.sovereignty.record.ground import NONE_DECLARED, Ground, abroad, derived, entry, parents, setting
from fortress.sovereignty.record.model import RecordArrow, RecordConnection, RecordEntry, RecordSection
from fortress.sovereignty.record.words import CLASSES, SAFEGUARDS, USE_CASES, country, listed
from fortress.sovereignty.register import DataSet, RegisteredFlow

STACK_FLOWS = "output sovereignty.flows"
"""Where the stack's own connections are in the state."""


@dataclass(frozen=True)
class _End:
    """One end of a connection."""

    name: str
    """A host, as the mesh names it, or a server of another stack."""
    setting: str
    site: str


def connections(ground: Ground) -> list[RecordConnection]:
    """Every connection between two hosts that roles or settings ask for, in a stable order."""
    return sorted(
        (_connection(ground, *one) for one in _wanted(ground.declared)),
        key=lambda one: (one.source, one.destination, one.port),
    )


def _wanted(declared: Declared) -> Iterator[tuple[_End, _End, int, str]]:
    """The connections of the stack's hosts, and those of its edge to servers of another stack."""
    ends = {name: _End(name, host.setting, host.site) for name, host in declared.hosts.items()}
    for flow in declared.flows:
        yield ends[flow.source], ends[flow.destination], flow.port, flow.protocol
    for name, host in declared.hosts.items():
        if host.role == "edge":
            for guest, site in declared.guests.items():
                yield ends[name], _End(guest, guest, site), declared.workload_port, "tcp"


def _connection(ground: Ground, source: _End, destination: _End, port: int, protocol: str) -> RecordConnection:
    entries = ground.register.flows
    return RecordConnection(
        source=source.name,
        destination=destination.name,
        source_site=source.site,
        destination_site=destination.site,
        port=f"{protocol}/{port}",
        flow=next(
            (name for name in sorted(entries) if _covers(entries[name], source, destination, port, protocol)), ""
        ),
        same_operator=ground.where(source.site).operator == ground.where(destination.site).operator,
    )


def _covers(registered: RegisteredFlow, source: _End, destination: _End, port: int, protocol: str) -> bool:
    """Whether an entry of the register is about a connection: it may name hosts or their sites."""
    return (
        (registered.port, registered.protocol) == (port, protocol)
        and registered.source in (source.setting, source.site)
        and registered.destination in (destination.setting, destination.site)
    )


def sections(ground: Ground, found: list[RecordConnection]) -> tuple[RecordSection, ...]:
    """One section a flow: registered ones by name, then those that the register lacks."""
    registered = [_registered(ground, name, found) for name in sorted(ground.register.flows)]
    return (*registered, *_unregistered(ground, found))


def _registered(ground: Ground, name: str, found: list[RecordConnection]) -> RecordSection:
    flow = ground.register.flows[name]
    path = ("flows", name)
    pairs = [f"{one.source} to {one.destination}, {one.port}" for one in found if one.flow == name]
    ends = [_end(ground, end) for end in (flow.source, flow.destination)]
    source = derived(setting(*path), setting("operators"), "output sovereignty.sites")
    personal = flow.data_class in ("personal", "pseudonymised")
    crosses = countries_beyond(ground, flow)
    entries = [
        entry("source", "From", ends[0], source),
        entry("destination", "To", ends[1], source),
        entry(
            "parents",
            "Ultimate parents of the operators in",
            parents(ground, (ground.where(ground.site_of(end)).operator for end in (flow.source, flow.destination))),
            derived(setting("operators"), setting(*path)),
            none=NONE_DECLARED,
        ),
        entry("port", "Protocol and port", f"{flow.protocol}/{flow.port}", setting(*path, "port")),
        entry(
            "connections",
            "Connections in the stack",
            pairs,
            derived(STACK_FLOWS, setting(*path)),
            none="none: the stack has no such connection",
        ),
        entry("data_class", "What the receiver can read", CLASSES[flow.data_class], setting(*path, "data_class")),
        entry(
            "data_sets",
            "Data sets",
            sorted(flow.data_sets),
            setting(*path, "data_sets"),
            none="" if personal else NONE_DECLARED,
        ),
        entry("purpose", "Purpose", flow.purpose, setting(*path, "purpose")),
        entry("encryption_ends", "Encryption ends", flow.encryption_ends, setting(*path, "encryption_ends")),
        entry("key_holder", "Who holds the keys of the data sets", _holders(ground, flow), _holder_source(flow)),
    ]
    if crosses:
        entries += [
            entry("third_countries", "Third countries", [country(one) for one in crosses], source),
            entry(
                "use_case",
                "Use case of EDPB 01/2020",
                USE_CASES[flow.use_case] if flow.use_case else None,
                setting(*path, "use_case"),
            ),
            entry(
                "basis",
                "Basis of the transfer",
                SAFEGUARDS[flow.basis] if flow.basis else None,
                setting(*path, "basis"),
            ),
            entry("review", "Review before the end of", str(flow.review or ""), setting(*path, "review")),
        ]
    entries.append(_exemption(flow, setting(*path, "exemption")))
    if any(one.flow == name and _is_overflow(ground.declared, one) for one in found):
        entries.append(_kept_at_home(ground.declared))
    urns = _urns(ground, [one for one in found if one.flow == name])
    if urns:
        entries.append(entry("resources", "Resources", urns, "state"))
    return RecordSection(name=name, title=name, entries=tuple(entries))


def _is_overflow(declared: Declared, one: RecordConnection) -> bool:
    """Whether by this connection the edge sends requests to the site that helps its own."""
    source = declared.hosts.get(one.source)
    port = f"tcp/{declared.workload_port}"
    is_edge = source is not None and source.role == "edge"
    return is_edge and (one.destination_site, one.port) == (declared.overflow, port)


def _kept_at_home(declared: Declared) -> RecordEntry:
    kept = [f"requests for {path} and what begins with it" for path in declared.home_paths]
    kept += [f"requests with the method {method}" for method in declared.home_methods]
    source = derived("output sovereignty.home_paths", "output sovereignty.home_methods")
    return entry("kept_at_home", "Never sent", kept, source, none="nothing is kept back: any request may be sent")


def _end(ground: Ground, place: str) -> str:
    site = ground.site_of(place)
    host = f"{place} at " if place != site else ""
    return f"{host}{site}, {country(ground.where(site).country)}, run by {ground.where(site).operator}"


def _holders(ground: Ground, flow: RegisteredFlow) -> list[str]:
    holders = {name: ground.register.data_sets[name].keys for name in sorted(flow.data_sets)}
    found = [f"{name}: {keys.holder}" for name, keys in holders.items() if keys]
    return found or [NONE_DECLARED]


def _holder_source(flow: RegisteredFlow) -> str:
    names = sorted(flow.data_sets)
    return derived(*(setting("data_sets", name, "keys") for name in names)) if names else setting("data_sets")


def _exemption(flow: RegisteredFlow, source: str) -> RecordEntry:
    if flow.exemption is None:
        return entry("exemption", "Exemption", None, source, none="none")
    one = flow.exemption
    return entry("exemption", "Exemption", f"{one.reason} (decided by {one.owner}, until {one.end})", source)


def countries_beyond(ground: Ground, flow: RegisteredFlow) -> list[str]:
    """The third countries that the operators of a flow's two ends answer to."""
    found = [
        code for end in (flow.source, flow.destination) for code in abroad(ground.operator_of(ground.site_of(end))[1])
    ]
    return sorted(set(found))


def _urns(ground: Ground, found: list[RecordConnection]) -> list[str]:
    hosts = sorted({end for one in found for end in (one.source, one.destination)})
    return [resource.urn for host in hosts for resource in ground.standing.of_host(host)]


def _unregistered(ground: Ground, found: list[RecordConnection]) -> Iterator[RecordSection]:
    """Between operators, and in no entry: by the sites that they join."""
    groups: dict[tuple[str, str, str], list[RecordConnection]] = {}
    for one in found:
        if not one.flow and not one.same_operator:
            groups.setdefault((one.source_site, one.destination_site, one.port), []).append(one)
    for (source, destination, port), pairs in sorted(groups.items()):
        name = f"{source} to {destination}, {port}"
        where = derived(STACK_FLOWS)
        yield RecordSection(
            name=name,
            title=f"{name}: not in the register",
            entries=(
                entry("source", "From", _end(ground, source), where),
                entry("destination", "To", _end(ground, destination), where),
                entry("port", "Protocol and port", port, where),
                entry(
                    "connections",
                    "Connections in the stack",
                    [f"{one.source} to {one.destination}, {one.port}" for one in pairs],
                    where,
                ),
                entry("data_class", "What the receiver can read", None, f"{setting('flows')}: {name}"),
            ),
        )


def arrows(ground: Ground, found: list[RecordConnection]) -> tuple[RecordArrow, ...]:
    """The flows of the drawing: between sites, those of the register first."""
    drawn = [
        RecordArrow(
            flow=name,
            source=ground.site_of(flow.source),
            destination=ground.site_of(flow.destination),
            data_class=flow.data_class,
        )
        for name, flow in sorted(ground.register.flows.items())
    ]
    for section in _unregistered(ground, found):
        source, destination = section.name.partition(",")[0].split(" to ")
        drawn.append(RecordArrow(flow=section.name, source=source, destination=destination, data_class=""))
    return tuple(drawn)


def _keepers(ground: Ground, data: DataSet) -> set[str]:
    """Sites that keep a data set or a backup of it."""
    backups = {one.site for one in ground.backups_of(data) if one.site}
    return {*map(ground.site_of, data.stored_on), *data.backups_at, *backups}


def transfers(ground: Ground) -> tuple[RecordSection, ...]:
    """Who outside the EEA may come to personal data, by operator and third country."""
    sections = []
    for name, operator in sorted(ground.register.operators.items()):
        countries = abroad(operator)
        sites = {site for site, where in ground.declared.sites.items() if where.operator == name}
        flows = [
            flow_name
            for flow_name, flow in sorted(ground.register.flows.items())
            if flow.data_class != "none" and sites & {ground.site_of(flow.source), ground.site_of(flow.destination)}
        ]
        stored = [
            data_name
            for data_name, data in sorted(ground.register.data_sets.items())
            if data.data_class != "none" and sites & _keepers(ground, data)
        ]
        if not countries or not (flows or stored):
            continue
        path = ("operators", name)
        through = {data for flow in flows for data in ground.register.flows[flow].data_sets}
        named = [country(code) for code in countries]
        ways = [f"flow {flow}" for flow in flows] + [f"data set {data}, which is stored there" for data in stored]
        entries = [
            entry("country", "Third country", named, setting(*path, "parent_country")),
            entry(
                "data_sets", "Data sets", sorted(through | set(stored)), derived(setting("flows"), setting("data_sets"))
            ),
            entry("way", "By way of", ways, derived(setting("flows"), setting("data_sets"))),
            entry(
                "basis", "Safeguards", SAFEGUARDS[operator.basis] if operator.basis else None, setting(*path, "basis")
            ),
            entry(
                "assessment",
                "Transfer impact assessment",
                operator.assessment,
                setting(*path, "assessment"),
                none="" if operator.basis in ("standard-clauses", "binding-rules") else NONE_DECLARED,
            ),
        ]
        sections.append(RecordSection(name=name, title=f"{name}: {listed(named)}", entries=tuple(entries)))
    return tuple(sections)
