"""Pairs of peers for the report's diagram and table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fortress.cli.check import show
from fortress.cli.check.check import Check, Status
from fortress.cli.check.kinds import Kind
from fortress.cli.report.custody import NO_REGISTER, Custody
from fortress.cli.report.drawing import Drawing, Link, Spot, lay_out
from fortress.facts import StackOutputs

BETWEEN_PEERS = (Kind.HANDSHAKE, Kind.ROUND_TRIP, Kind.LOSS, Kind.TUNNEL_MTU, Kind.PATH_MTU)
"""What one host measures to another one."""
WORST = (Status.FAIL, Status.UNKNOWN, Status.OK)


@dataclass(frozen=True)
class Pair:
    """Two hosts with a tunnel between them, with a flow from one to the other, or with both."""

    source: str
    target: str
    joined: bool
    """Whether there is a tunnel."""
    tunnel: tuple[Check, ...] = ()
    """All checks of one of the two about the other."""
    carries: str = ""
    """Name of the flow from source to target, empty if there is none."""
    flow: tuple[Check, ...] = ()
    """The checks of that flow."""

    @property
    def round_trip(self) -> Check | None:
        return next((check for check in self.tunnel if check.kind is Kind.ROUND_TRIP), None)


def worst(checks: Iterable[Check]) -> Status:
    """The worst state of some checks, unknown if there are none."""
    found = {check.status for check in checks}
    return next((status for status in WORST if status in found), Status.UNKNOWN)


def pairs(outputs: StackOutputs, checks: Sequence[Check]) -> list[Pair]:
    """Every tunnel and every flow, in the order in which a request passes: edge, workers, database."""

    def named(kind: Kind, host: str, about: str = "") -> tuple[Check, ...]:
        return tuple(check for check in checks if (check.kind, check.host, check.about) == (kind, host, about))

    def tunnel(one: str, other: str) -> tuple[Check, ...]:
        ends = {(one, other), (other, one)}
        return tuple(check for check in checks if check.kind in BETWEEN_PEERS and (check.host, check.about) in ends)

    hosts = outputs.hosts
    flows: dict[tuple[str, str], tuple[str, tuple[Check, ...]]] = {}
    edge, database = outputs.edge, outputs.database
    for backend, servers in edge.backends.items() if edge else ():
        for server, address in servers.items():
            ip = address.rpartition(":")[0]
            target = next(
                (n for n, host in hosts.items() if n == server or ip in (host.mesh_address, host.address)), None
            )
            if target is not None and edge and edge.host in hosts:
                check = named(Kind.BACKEND, edge.host, f"{backend}/{server}")
                flows[edge.host, target] = ("requests", check)
    for name in outputs.clients():
        if database and database.host in hosts:
            flows[name, database.host] = ("queries", named(Kind.DATABASE_OVER_TLS, name))
    tunnels = {frozenset(pair): tunnel(*pair) for pair in outputs.pairs()}
    found = [
        Pair(one, other, frozenset((one, other)) in tunnels, tunnels.get(frozenset((one, other)), ()), what, said)
        for (one, other), (what, said) in flows.items()
    ]
    drawn = {frozenset(pair) for pair in flows}
    rest = [pair for pair in outputs.pairs() if frozenset(pair) not in drawn]
    return found + [Pair(one, other, True, tunnels[frozenset((one, other))]) for one, other in rest]


def link(pair: Pair) -> Link:
    """A pair as the diagram shows it."""
    tunnel = worst(pair.tunnel) if pair.joined else None
    flow = worst(pair.flow) if pair.carries else None
    trip = pair.round_trip
    above = below = ""
    said = [f"{pair.source} to {pair.target}"]
    if tunnel is not None:
        words = {Status.OK: "up", Status.FAIL: "fails", Status.UNKNOWN: "unknown"}
        above = show.with_unit(trip) if trip and trip.value is not None else words[tunnel]
        said.append(f"tunnel {words[tunnel]}{f', round trip {show.with_unit(trip)}' if trip else ''}")
    if flow is not None:
        value = next((str(check.value) for check in pair.flow if check.value is not None), "")
        below = value[:10] if value else {Status.OK: "ok", Status.FAIL: "fails", Status.UNKNOWN: "unknown"}[flow]
        said.append(f"{pair.carries} {'pass' if flow is Status.OK else show.WORDS[flow].lower()}: {below}")
    said += [f"{c.name} on {c.host}: {c.detail}" for c in pair.tunnel + pair.flow if c.status is not Status.OK]
    return Link(pair.source, pair.target, ". ".join(said), tunnel, flow, above, below)


def draw(outputs: StackOutputs, found: Sequence[Pair], custody: Custody = NO_REGISTER) -> Drawing:
    """The diagram of a running fortress."""
    # A host without a service stands where workers do.
    places = [
        Spot(name, host.site, "worker" if host.role == "host" else host.role, custody.kept.get(name, ""))
        for name, host in outputs.hosts.items()
    ]
    return lay_out(places, [link(pair) for pair in found], outputs.edge.host if outputs.edge else None)


def between_sites(outputs: StackOutputs, found: Sequence[Pair]) -> dict[tuple[str, str], str]:
    """Minimum and maximum round trip between two sites, as text."""
    trips: dict[tuple[str, str], list[float]] = {}
    for pair in found:
        one, other = sorted((outputs.hosts[pair.source].site, outputs.hosts[pair.target].site))
        if one != other and pair.round_trip and isinstance(pair.round_trip.value, int | float):
            trips.setdefault((one, other), []).append(float(pair.round_trip.value))
    return {
        sites: f"{min(found):g} ms" if min(found) == max(found) else f"{min(found):g}-{max(found):g} ms"
        for sites, found in trips.items()
    }
