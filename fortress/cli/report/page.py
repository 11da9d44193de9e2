"""`fortress report`: what is known of a standing fortress, as one page."""

from __future__ import annotations

import hashlib
import re
import time
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from fortress.cli.base.errors import CannotAskError
from fortress.cli.check import show
from fortress.cli.check.check import Check, Status
from fortress.cli.check.history import PastRun
from fortress.cli.check.kinds import Kind
from fortress.cli.report import plots
from fortress.cli.report.custody import NO_REGISTER, Custody, custody
from fortress.cli.report.drawing import shortened
from fortress.cli.report.pairs import WORST, between_sites, draw, link, pairs, worst
from fortress.cli.report.plots import Plot
from fortress.cli.report.up import Up, last_up
from fortress.facts import StackOutputs
from fortress.sovereignty.record.words import CLASSES, SHORT_CLASSES
from fortress.text import render_page

CERTIFICATES = (Kind.DATABASE_CERTIFICATE, Kind.EDGE_CERTIFICATE, Kind.CERTIFICATE)
MANY_HOSTS = 6
"""With more hosts, their names stand upright above the matrix of checks."""
MANY_FILES = 8
"""From so many on, a host's changed files are folded."""


@dataclass(frozen=True)
class ReportData:
    """All that the page is made from."""

    stack: str
    when: float
    """When the page is made; seconds since 1970, as all times here."""
    measured: float
    """When the checks were made."""
    outputs: StackOutputs
    checks: tuple[Check, ...]
    """Those of `fortress verify`."""
    looked: tuple[Check, ...] = ()
    """Those of `fortress status`; none where hosts were not asked."""
    runs: tuple[PastRun, ...] = ()
    """All runs that were kept, the one shown among them, oldest first."""
    up: Up | None = None
    no_up: str = ""
    """Why nothing is known of the last `up`."""
    custody: Custody = NO_REGISTER

    @cached_property
    def past(self) -> dict[tuple[str, str], list[tuple[float, Check]]]:
        """What each check was in each run, by its name and host."""
        found: dict[tuple[str, str], list[tuple[float, Check]]] = {}
        for run in self.runs:
            for check in run.checks:
                found.setdefault((check.name, check.host), []).append((run.when, check))
        return found


def collect(
    stack: str, outputs: StackOutputs, runs: Sequence[PastRun], looked: Sequence[Check], exported: Mapping[str, Any]
) -> ReportData:
    """All about the newest run; `exported` is the stack's state. An unknown history of `up` is a fact too.

    Raises:
        CannotAskError: no run was kept.
    """
    if not runs:
        raise CannotAskError(f"no run of stack {stack!r} was kept; run `fortress verify --stack {stack}` first")
    up, no_up = None, ""
    try:
        up = last_up(stack, exported)
    except CannotAskError as error:
        no_up = str(error)
    run = runs[-1]
    return ReportData(
        stack,
        time.time(),
        run.when,
        outputs,
        run.checks,
        tuple(looked),
        tuple(runs),
        up,
        no_up,
        custody(exported, stack),
    )


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
    def place(self) -> int:
        """Before those that hold come those that do not."""
        return WORST.index(self.check.status)

    @property
    def word(self) -> str:
        return show.WORDS[self.check.status].lower()


def slugs(outputs: StackOutputs, checks: Iterable[Check]) -> dict[str, str]:
    """By host what is safe in an id, an address and a style sheet, each its own."""
    found: dict[str, str] = {}
    for name in [*outputs.hosts, *(check.host for check in checks)]:
        if name not in found:
            plain = re.sub(r"[^A-Za-z0-9_-]", "-", name)
            found[name] = plain if plain not in found.values() else f"{plain}-{len(found)}"
    return found


@dataclass(frozen=True)
class Cell:
    """What the checks of one kind come to on one host; no status where it has none."""

    slug: str
    status: Status | None
    said: str


@dataclass(frozen=True)
class Group:
    """The checks of one kind, folded to a line where all of them hold."""

    title: str
    measures: str
    status: Status
    rows: tuple[Row, ...]
    cells: tuple[Cell, ...]
    """One a host, in the order of `slugs`."""
    spread: str
    """Least and greatest value, or the one that all have; empty where there is no such."""
    limit: str
    """The limit that all have, empty where they differ."""


def grouped(facts: ReportData) -> list[Group]:
    """The groups, those that fail first."""
    names = slugs(facts.outputs, facts.checks)
    found = [_group(rows, names) for rows in groups(facts)]
    return sorted(found, key=lambda group: WORST.index(group.status))


def _group(rows: Sequence[Row], names: Mapping[str, str]) -> Group:
    kind = rows[0].check.kind
    cells = []
    for name, slug in names.items():
        own = [row.check for row in rows if row.check.host == name]
        said = f"{name}: {show.tally(own)}" if own else f"{name}: none"
        cells.append(Cell(slug, worst(own) if own else None, said))
    limits = {row.limit for row in rows}
    return Group(
        _title(kind),
        kind.measures,
        worst(row.check for row in rows),
        tuple(rows),
        tuple(cells),
        _spread([row.check for row in rows]),
        limits.pop() if len(limits) == 1 else "",
    )


def _title(kind: Kind) -> str:
    """The words of a kind without those that lead to what each check is about."""
    return re.sub(r"(?: (?:to|with|at))? \{about\}$", "", kind.words)


def _spread(checks: Sequence[Check]) -> str:
    numbers = [check for check in checks if isinstance(check.value, int | float)]
    if numbers:
        least, greatest = (pick(numbers, key=lambda check: _number(check.value)) for pick in (min, max))
        if least.value == greatest.value:
            return show.with_unit(least)
        return f"{show.number(_number(least.value))} to {show.with_unit(greatest)}"
    values = {str(check.value) for check in checks if check.value is not None}
    return values.pop() if len(values) == 1 else ""


def groups(facts: ReportData) -> list[list[Row]]:
    """The checks by their kinds, in the order in which `fortress verify` shows them."""
    names = slugs(facts.outputs, facts.checks)
    backends = facts.outputs.edge.backends if facts.outputs.edge else {}
    servers = {f"{backend}/{name}": name for backend, found in backends.items() for name in found}
    found: dict[Kind, list[Row]] = {}
    for check in facts.checks:
        other = servers.get(check.about, "") if check.kind is Kind.BACKEND else check.about
        found.setdefault(check.kind, []).append(
            replace(row(facts, check, names[check.host]), about=names.get(other, ""))
        )
    return list(found.values())


def row(facts: ReportData, check: Check, slug: str) -> Row:
    """One check with its history."""
    past = facts.past.get((check.name, check.host), [])
    return Row(check, show.with_unit(check), show.limit_of(check), plots.plot(past), slug)


@dataclass(frozen=True)
class Age:
    """A certificate by what is left of it, or a key by how old it is."""

    row: Row
    days: float
    part: float
    """Of the longest in its list, from 0 to 1."""
    limit_part: float | None


def ages(facts: ReportData, *, keys: bool) -> list[Age]:
    """Keys, the oldest first, or certificates, the first to end first."""
    names = slugs(facts.outputs, facts.checks)
    hosts = {check.host for check in facts.checks if check.kind in CERTIFICATES}
    # What `fortress status` reads on a host itself, where nothing was measured from outside.
    checks = [*facts.checks, *(check for check in facts.looked if check.host not in hosts)]
    found = [
        check
        for check in checks
        if isinstance(check.value, int | float) and (check.kind is Kind.KEY_AGE if keys else check.kind in CERTIFICATES)
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
    found = [(status, host, detail, names) for (status, host, detail), names in show.reasons(checks).items()]
    return sorted(found, key=lambda each: WORST.index(each[0]))


def as_html(facts: ReportData) -> str:
    """The whole page. It holds all it shows, and forbids the browser to load anything."""
    names = slugs(facts.outputs, facts.checks)
    style = render_page("report.css.j2", slugs=list(names.values()), many_hosts=len(names) > MANY_HOSTS)
    program = render_page("report.js")
    found = pairs(facts.outputs, facts.checks)
    by_host = {name: [check for check in facts.checks if check.host == name] for name in facts.outputs.hosts}
    return render_page(
        "report.html.j2",
        facts=facts,
        outputs=facts.outputs,
        style=style,
        program=program,
        style_hash=_hash(style),
        program_hash=_hash(program),
        drawing=draw(facts.outputs, found, facts.custody),
        pairs=found,
        between=between_sites(facts.outputs, found),
        slugs=names,
        groups=grouped(facts),
        by_host=by_host,
        custody=facts.custody,
        data_words=CLASSES,
        short_words=SHORT_CLASSES,
        looked={(check.host, str(check.kind)): check for check in facts.looked},
        reasons=reasons(facts.checks),
        counts={status: sum(check.status is status for check in facts.checks) for status in Status},
        certificates=ages(facts, keys=False),
        keys=ages(facts, keys=True),
        worst=worst,
        shortened=shortened,
        date=date,
        span=span,
        with_unit=show.with_unit,
        limit_of=show.limit_of,
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


def as_json(facts: ReportData) -> str:
    """One object with what the page is made from."""
    up = facts.up
    more = {
        "when": facts.when,
        "measured": facts.measured,
        "looked": [check.as_json() for check in facts.looked],
        "hosts": {
            name: {
                "site": host.site,
                "role": host.role,
                "mesh_address": host.mesh_address,
                "address": host.address,
                "keeps": facts.custody.kept.get(name),
            }
            for name, host in facts.outputs.hosts.items()
        },
        "sites": {
            name: {**site.model_dump(), "parent_country": facts.custody.parents.get(name)}
            for name, site in facts.outputs.sites.items()
        },
        "links": [
            {
                "source": each.source,
                "target": each.target,
                "tunnel": each.tunnel and str(each.tunnel),
                "flow": each.flow and str(each.flow),
                "said": each.said,
                "data_class": facts.custody.passing.get((each.source, each.target)),
            }
            for each in (link(pair) for pair in pairs(facts.outputs, facts.checks))
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
    return show.as_json(facts.stack, facts.checks, more=more)


def unasked(stack: str, error: str) -> str:
    """The object for a failure before anything could be asked."""
    return show.as_json(stack, [], error)
