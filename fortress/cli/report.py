"""`fortress report`: what is known of a standing fortress, as one page."""

from __future__ import annotations

import hashlib
import json
import re
import time
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from fortress.cli import comment, engine, output, plots
from fortress.cli.checks import Check, Status
from fortress.cli.drawing import Drawing, Link, Place, lay_out, shortened
from fortress.cli.errors import GARBLED, CannotAskError
from fortress.cli.plan import Change, host_of, name_of, type_of
from fortress.cli.plots import Plot
from fortress.cli.results import Run
from fortress.cli.stack import Standing
from fortress.cli.verify import ORDER
from fortress.text import render_page

WORST = (Status.FAIL, Status.UNKNOWN, Status.OK)
MANY_FILES = 8
"""From so many on, a host's changed files are folded."""

_COUNTED = {"create": "created", "update": "updated", "replace": "replaced", "delete": "deleted", "same": "unchanged"}


@dataclass(frozen=True)
class Touched:
    """What the last `up` wrote on one host, or beside the hosts where `host` is empty. Names only, no values."""

    host: str
    files: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    """Those that a cloud made."""

    @property
    def said(self) -> str:
        """The tally in words."""
        kinds = (("file", self.files), ("command", self.commands), ("cloud resource", self.resources))
        return ", ".join(f"{len(found)} {kind}{'s' * (len(found) != 1)}" for kind, found in kinds if found)


@dataclass(frozen=True)
class Up:
    """The last `pulumi up`, by the engine's own record."""

    began: float
    """Seconds since 1970."""
    took_s: float | None
    """None while it runs, or when nobody noted its end."""
    result: str
    counts: Mapping[str, int] = field(default_factory=dict)
    """Resources by what became of them, in the engine's words."""
    commit: str = ""
    dirty: bool = False
    """Whether it was brought up from changes that were in no commit."""
    message: str = ""
    author: str = ""
    touched: tuple[Touched, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether anything but unchanged resources was counted."""
        return set(self.counts) != {"same"}

    @property
    def counted(self) -> str:
        """What became of how many resources, in words."""
        known = [f"{self.counts[op]} {word}" for op, word in _COUNTED.items() if self.counts.get(op)]
        others = [f"{count} {op}" for op, count in self.counts.items() if op not in _COUNTED and count]
        return ", ".join(known + others)


@dataclass(frozen=True)
class Facts:
    """All that the page is made from."""

    stack: str
    when: float
    """When the page is made; seconds since 1970, as all times here."""
    measured: float
    """When the checks were made."""
    standing: Standing
    checks: tuple[Check, ...]
    """Those of `fortress verify`."""
    looked: tuple[Check, ...] = ()
    """Those of `fortress status`; none where hosts were not asked."""
    runs: tuple[Run, ...] = ()
    """All runs that were kept, the one shown among them, oldest first."""
    up: Up | None = None
    no_up: str = ""
    """Why nothing is known of the last `up`."""

    @cached_property
    def past(self) -> dict[tuple[str, str], list[tuple[float, Check]]]:
        """What each check was in each run, by its name and host."""
        found: dict[tuple[str, str], list[tuple[float, Check]]] = {}
        for run in self.runs:
            for check in run.checks:
                found.setdefault((check.name, check.host), []).append((run.when, check))
        return found


def collect(stack: str, standing: Standing, runs: Sequence[Run], looked: Sequence[Check]) -> Facts:
    """The facts of the newest run. Raises CannotAskError where there is none; an unknown history of `up` is a fact."""
    if not runs:
        raise CannotAskError(f"no run of stack {stack!r} was kept; run `fortress verify --stack {stack}` first")
    up, no_up = None, ""
    try:
        up = last_up(stack)
    except CannotAskError as error:
        no_up = str(error)
    run = runs[-1]
    return Facts(stack, time.time(), run.when, standing, run.checks, tuple(looked), tuple(runs), up, no_up)


# --- the last `up` ----------------------------------------------------------------------------------------------------


def last_up(stack: str) -> Up | None:
    """The last `up` of a stack by the engine's history, None where there is none. Raises CannotAskError."""
    try:
        entries = json.loads(engine.run("stack", "history", "--json", stack=stack))
        return read_up(entries, engine.export(stack))
    except GARBLED as error:
        raise CannotAskError(f"`pulumi stack history` printed what cannot be read ({type(error).__name__})") from None


def read_up(entries: Any, exported: Any) -> Up | None:
    """The last `up` from what the engine prints: its history, the newest first, and the exported state."""
    entry = next((each for each in entries if each.get("kind") == "update"), None)
    if entry is None:
        return None
    began = _seconds(entry["startTime"])
    ended = _seconds(entry["endTime"]) if entry.get("endTime") else None
    environment = entry.get("environment") or {}
    return Up(
        began,
        None if ended is None else ended - began,
        str(entry.get("result", "")),
        dict(entry.get("resourceChanges") or {}),
        str(environment.get("git.head", ""))[:10],
        environment.get("git.dirty") == "true",
        str(entry.get("message", "")).partition("\n")[0],
        str(environment.get("git.author", "")),
        _touched(exported, began, ended),
    )


def _seconds(text: str) -> float:
    """RFC 3339 with up to nine digits of a second, of which Python takes six."""
    return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text.replace("Z", "+00:00"))).timestamp()


def _touched(exported: Any, began: float, ended: float | None) -> tuple[Touched, ...]:
    """What was written meanwhile and still stands, by host. What was deleted is in no state."""
    resources = (exported.get("deployment") or {}).get("resources") or []
    states = {resource["urn"]: resource for resource in resources}
    found: dict[str, dict[str, list[str]]] = {}
    for urn, resource in states.items():
        if not resource.get("custom") or type_of(urn).startswith("pulumi:") or not resource.get("modified"):
            continue
        # The history's times have no fractions of a second.
        if not began <= _seconds(resource["modified"]) < (ended or float("inf")) + 1:
            continue
        host = host_of(urn, states)
        change = Change(urn, type_of(urn), name_of(urn), "update", {}, resource, host=host)
        path = comment.file_of(change) if change.is_command else ""
        kind = "files" if path else "resources" if change.is_cloud else "commands"
        found.setdefault(host, {}).setdefault(kind, []).append(path or change.name)
    return tuple(
        Touched(host, **{kind: tuple(sorted(names)) for kind, names in kinds.items()})
        for host, kinds in sorted(found.items(), key=lambda each: (not each[0], each[0]))
    )


# --- tunnels and flows ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pair:
    """Two hosts with a tunnel between them, with a flow from one to the other, or with both."""

    source: str
    target: str
    joined: bool
    """Whether there is a tunnel."""
    tunnel: tuple[Check, ...] = ()
    """Every check that one of the two has about the other."""
    carries: str = ""
    """What flows from source to target, empty where nothing is meant to."""
    flow: tuple[Check, ...] = ()
    """What says whether it does."""

    @property
    def round_trip(self) -> Check | None:
        return next((check for check in self.tunnel if check.name.startswith("round trip ")), None)


def worst(checks: Iterable[Check]) -> Status:
    """The worst state of some checks, unknown where there is none."""
    found = {check.status for check in checks}
    return next((status for status in WORST if status in found), Status.UNKNOWN)


def pairs(standing: Standing, checks: Sequence[Check]) -> list[Pair]:
    """Every tunnel and every flow, in the order in which a request passes: edge, workers, database."""

    def named(name: str, host: str) -> tuple[Check, ...]:
        return tuple(check for check in checks if (check.name, check.host) == (name, host))

    def tunnel(one: str, other: str) -> tuple[Check, ...]:
        # `handshake with B`, `round trip to B` and the like on A, and the other way round.
        ends = {one: f" {other}", other: f" {one}"}
        return tuple(check for check in checks if check.host in ends and check.name.endswith(ends[check.host]))

    hosts = standing.hosts
    flows: dict[tuple[str, str], tuple[str, tuple[Check, ...]]] = {}
    for backend, servers in standing.edge.backends.items():
        for server, address in servers.items():
            ip = address.rpartition(":")[0]
            target = next(
                (n for n, host in hosts.items() if n == server or ip in (host.mesh_address, host.address)), None
            )
            if target is not None and standing.edge.host in hosts:
                check = named(f"backend {backend}/{server}", standing.edge.host)
                flows[standing.edge.host, target] = ("requests", check)
    for name, host in hosts.items():
        if host.role == "worker" and standing.database.host in hosts:
            flows[name, standing.database.host] = ("queries", named("database over TLS", name))
    tunnels = {frozenset(pair): tunnel(*pair) for pair in standing.pairs()}
    found = [
        Pair(one, other, frozenset((one, other)) in tunnels, tunnels.get(frozenset((one, other)), ()), what, said)
        for (one, other), (what, said) in flows.items()
    ]
    drawn = {frozenset(pair) for pair in flows}
    rest = [pair for pair in standing.pairs() if frozenset(pair) not in drawn]
    return found + [Pair(one, other, True, tunnels[frozenset((one, other))]) for one, other in rest]


def link(pair: Pair) -> Link:
    """A pair as the drawing has it."""
    tunnel = worst(pair.tunnel) if pair.joined else None
    flow = worst(pair.flow) if pair.carries else None
    trip = pair.round_trip
    above = below = ""
    said = [f"{pair.source} to {pair.target}"]
    if tunnel is not None:
        words = {Status.OK: "up", Status.FAIL: "fails", Status.UNKNOWN: "unknown"}
        above = output.with_unit(trip) if trip and trip.value is not None else words[tunnel]
        said.append(f"tunnel {words[tunnel]}{f', round trip {output.with_unit(trip)}' if trip else ''}")
    if flow is not None:
        value = next((str(check.value) for check in pair.flow if check.value is not None), "")
        below = value[:10] if value else {Status.OK: "ok", Status.FAIL: "fails", Status.UNKNOWN: "unknown"}[flow]
        said.append(f"{pair.carries} {'pass' if flow is Status.OK else output.WORDS[flow].lower()}: {below}")
    said += [f"{c.name} on {c.host}: {c.detail}" for c in pair.tunnel + pair.flow if c.status is not Status.OK]
    return Link(pair.source, pair.target, ". ".join(said), tunnel, flow, above, below)


def draw(standing: Standing, found: Sequence[Pair]) -> Drawing:
    """The drawing of what stands."""
    places = [Place(name, host.site, host.role) for name, host in standing.hosts.items()]
    return lay_out(places, [link(pair) for pair in found], standing.edge.host)


def between_sites(standing: Standing, found: Sequence[Pair]) -> dict[tuple[str, str], str]:
    """Least and most round trip between two sites, in words."""
    trips: dict[tuple[str, str], list[float]] = {}
    for pair in found:
        one, other = sorted((standing.hosts[pair.source].site, standing.hosts[pair.target].site))
        if one != other and pair.round_trip and isinstance(pair.round_trip.value, int | float):
            trips.setdefault((one, other), []).append(float(pair.round_trip.value))
    return {
        sites: f"{min(found):g} ms" if min(found) == max(found) else f"{min(found):g}-{max(found):g} ms"
        for sites, found in trips.items()
    }


# --- the page ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """A check as a line of a table."""

    check: Check
    value: str
    limit: str
    plot: Plot | None
    slug: str
    """Its host's."""
    about: str = ""
    """That of the other host whom it is about: `handshake with B`, `backend X/B`."""

    @property
    def word(self) -> str:
        return output.WORDS[self.check.status].lower()


@dataclass(frozen=True)
class Group:
    """Checks whose names begin alike."""

    title: str
    rows: tuple[Row, ...]


def slugs(standing: Standing, checks: Iterable[Check]) -> dict[str, str]:
    """By host what is safe in an id, an address and a style sheet, each its own."""
    found: dict[str, str] = {}
    for name in [*standing.hosts, *(check.host for check in checks)]:
        if name not in found:
            plain = re.sub(r"[^A-Za-z0-9_-]", "-", name)
            found[name] = plain if plain not in found.values() else f"{plain}-{len(found)}"
    return found


def groups(facts: Facts) -> list[Group]:
    """The checks by how their names begin, each group in the order in which `fortress verify` shows it."""
    names = slugs(facts.standing, facts.checks)
    found: dict[str, list[Row]] = {}
    for check in facts.checks:
        start = next((each for each in ORDER if check.name.startswith(each)), "other")
        about = (slug for host, slug in names.items() if check.name.endswith((f" {host}", f"/{host}")))
        found.setdefault(start, []).append(replace(row(facts, check, names[check.host]), about=next(about, "")))
    return [Group(start[:1].upper() + start[1:], tuple(rows)) for start, rows in found.items()]


def row(facts: Facts, check: Check, slug: str) -> Row:
    """One check with its history."""
    past = facts.past.get((check.name, check.host), [])
    return Row(check, output.with_unit(check), output.limit_of(check), plots.plot(past), slug)


@dataclass(frozen=True)
class Age:
    """A certificate by what is left of it, or a key by how old it is."""

    row: Row
    days: float
    part: float
    """Of the longest in its list, from 0 to 1."""
    limit_part: float | None


def ages(facts: Facts, *, keys: bool) -> list[Age]:
    """Keys, the oldest first, or certificates, the first to end first."""
    names = slugs(facts.standing, facts.checks)
    measured = {(check.name, check.host) for check in facts.checks}
    hosts = {host for name, host in measured if "certificate" in name}
    # What `fortress status` reads on a host itself, where nothing was measured from outside.
    checks = [*facts.checks, *(check for check in facts.looked if check.host not in hosts)]
    found = [
        check
        for check in checks
        if check.unit == "days" and isinstance(check.value, int | float) and ("certificate" in check.name) is not keys
    ]
    found.sort(key=lambda check: float(check.value or 0), reverse=keys)
    longest = max((abs(end) for check in found for end in (_number(check.value), _number(check.limit))), default=0) or 1
    return [
        Age(
            row(facts, check, names[check.host]),
            _number(check.value),
            max(0.0, _number(check.value)) / longest,
            _number(check.limit) / longest if isinstance(check.limit, int | float) else None,
        )
        for check in found
    ]


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def reasons(checks: Sequence[Check]) -> list[tuple[Status, str, str, list[str]]]:
    """What does not hold, the worst first: state, host, reason, and the checks that have it."""
    found = [(status, host, detail, names) for (status, host, detail), names in output.reasons(checks).items()]
    return sorted(found, key=lambda each: WORST.index(each[0]))


def as_html(facts: Facts) -> str:
    """The whole page. It holds all it shows, and forbids the browser to load anything."""
    names = slugs(facts.standing, facts.checks)
    style = render_page("report.css.j2", slugs=list(names.values()))
    program = render_page("report.js")
    found = pairs(facts.standing, facts.checks)
    by_host = {name: [check for check in facts.checks if check.host == name] for name in facts.standing.hosts}
    return render_page(
        "report.html.j2",
        facts=facts,
        standing=facts.standing,
        style=style,
        program=program,
        style_hash=_hash(style),
        program_hash=_hash(program),
        drawing=draw(facts.standing, found),
        pairs=found,
        between=between_sites(facts.standing, found),
        slugs=names,
        groups=groups(facts),
        by_host=by_host,
        looked={(check.host, check.name): check for check in facts.looked},
        reasons=reasons(facts.checks),
        counts={status: sum(check.status is status for check in facts.checks) for status in Status},
        certificates=ages(facts, keys=False),
        keys=ages(facts, keys=True),
        worst=worst,
        shortened=shortened,
        date=date,
        span=span,
        with_unit=output.with_unit,
        limit_of=output.limit_of,
        many_files=MANY_FILES,
        plot_width=plots.WIDTH,
        plot_height=plots.HEIGHT,
    )


def _hash(text: str) -> str:
    """As a Content-Security-Policy names an inline style or script."""
    return f"sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def date(seconds: float) -> str:
    """A time as it is written on the page."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def span(seconds: float) -> str:
    """How long something took or is ago, with its unit."""
    for length, unit in ((86_400, "days"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(0, round(seconds))} s"


# --- for programs -----------------------------------------------------------------------------------------------------


def as_json(facts: Facts) -> str:
    """One object with what the page is made from."""
    up = facts.up
    found = {
        "ok": bool(facts.checks) and all(check.status is Status.OK for check in facts.checks),
        "stack": facts.stack,
        "when": facts.when,
        "measured": facts.measured,
        "checks": [check.as_json() for check in facts.checks],
        "looked": [check.as_json() for check in facts.looked],
        "hosts": {
            name: {"site": host.site, "role": host.role, "mesh_address": host.mesh_address, "address": host.address}
            for name, host in facts.standing.hosts.items()
        },
        "links": [
            {
                "source": each.source,
                "target": each.target,
                "tunnel": each.tunnel and str(each.tunnel),
                "flow": each.flow and str(each.flow),
                "said": each.said,
            }
            for each in (link(pair) for pair in pairs(facts.standing, facts.checks))
        ],
        "up": up
        and {
            "began": up.began,
            "took_s": up.took_s,
            "result": up.result,
            "counts": dict(up.counts),
            "commit": up.commit,
            "dirty": up.dirty,
            "message": up.message,
            "author": up.author,
            "touched": [vars(each) for each in up.touched],
        },
        "history": [
            {
                "name": name,
                "host": host,
                "runs": [{"when": when, "status": str(check.status), "value": check.value} for when, check in past],
            }
            for (name, host), past in facts.past.items()
        ],
    }
    return json.dumps(found, indent=2) + "\n"


def unasked(stack: str, error: str) -> str:
    """The object where nothing could be asked."""
    return json.dumps({"ok": False, "stack": stack, "checks": [], "error": error}, indent=2) + "\n"
