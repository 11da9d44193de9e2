"""`fortress status`: one line a host, from one question to each."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from rich.table import Table
from rich.text import Text

from fortress import records
from fortress.cli.base.errors import GARBLED
from fortress.cli.base.screen import Screen
from fortress.cli.check.certificate import certificate_days
from fortress.cli.check.check import DAY_S, Check, Status
from fortress.cli.check.kinds import Kind
from fortress.cli.check.question import Question
from fortress.cli.check.show import NARROW, STYLES, WORDS, tally
from fortress.cli.hosts import ssh
from fortress.cli.hosts.ssh import not_asked
from fortress.cli.hosts.visit import Tell, visit
from fortress.facts import HostFacts, StackOutputs
from fortress.records import Record
from fortress.text import script

LOOKING_TAKES_S = 5.0
"""Seconds that a busy host may need beside the time that an answer may take."""

RENEW = "renew it; `fortress verify` prints the command"

KINDS = (Kind.UP, Kind.PEERS_HEARD, Kind.SERVICES, Kind.CERTIFICATE, Kind.LAST_PUSH)
"""The checks of a host, each a column."""
TITLES = {Kind.CERTIFICATE: "cert", Kind.LAST_PUSH: "pushed"}
"""Where a column's title is shorter than its check's name: a line fits 80 columns."""


@dataclass
class HostAnswer:
    """What host-state printed. Times in seconds since 1970, by the host's own clock."""

    now: float = 0.0
    up_s: float = 0.0
    units: dict[str, str] = field(default_factory=dict)
    """State by unit, as systemd says it."""
    heard: dict[str, float] = field(default_factory=dict)
    """Last handshake by public key, 0 for never."""
    certificates: dict[str, float] = field(default_factory=dict)
    """End by path."""
    role: str = ""
    """Of a database server of several: `primary`, `copy`, or `none` and why."""
    records: list[Record] = field(default_factory=list)
    """Of the files that were pushed."""

    @property
    def pushed(self) -> float | None:
        """When the newest push ended."""
        return max((record.ended for record in self.records if record.ended is not None), default=None)

    @property
    def unfinished(self) -> list[str]:
        """Paths of pushes that did not end."""
        return [record.path for record in self.records if record.unfinished]


def read(text: str) -> HostAnswer:
    """What host-state prints.

    Raises:
        ValueError: anything else.
    """
    found = HostAnswer()
    for line in text.removesuffix("\n").split("\n"):  # other ends of lines may stand in a path
        kind, _, rest = line.partition(" ")
        match kind:
            case "now":
                found.now = float(rest)
            case "up":
                found.up_s = float(rest)
            case "record":
                found.records.append(records.parse(rest))
            case "role":
                found.role = rest
            case "unit":
                unit, _, state = rest.partition(" ")
                found.units[unit] = state or "unknown"
            case "peer":
                key, epoch = rest.split()
                found.heard[key] = float(epoch)
            case "certificate":
                path, _, end = rest.partition(" ")
                found.certificates[path] = _openssl_time(end)
            case _:
                raise ValueError(f"not an answer: {line!r}")
    if not found.now:
        raise ValueError("no answer")
    return found


def _openssl_time(text: str) -> float:
    """`Nov 23 09:42:44 2026 GMT`, where a day of one digit has a space in front."""
    month, day, clock, year, zone = text.split()
    return parsedate_to_datetime(f"{day} {month} {year} {clock} {zone}").timestamp()


def ask(
    outputs: StackOutputs,
    credentials: ssh.Credentials,
    *,
    timeout: float,
    tell: Tell = lambda _done, _total: None,
) -> list[Check]:
    """The checks of every host, in the settings' order. Nothing raises because of a host."""
    found: dict[str, list[Check]] = {}

    def look(name: str, session: ssh.Session) -> None:
        found[name] = question(outputs, name, role=True).ask(session)

    trouble = visit(outputs, credentials, timeout, look, tell=tell)
    for name, why in trouble.items():
        found[name] = [Check(kind, name).unknown(why) for kind in KINDS]
    return [check for name in outputs.hosts for check in found[name]]


def question(outputs: StackOutputs, name: str, *, role: bool = False) -> Question:
    """What one host is asked, for whoever has a connection to it.

    The `role` of a database server of several is a check of `fortress verify` too, so that whoever asks both leaves it
    out here.
    """
    checks_of_host = tuple(Check(kind, name) for kind in KINDS)

    def ask(session: ssh.Session) -> list[Check]:
        words = [*session.sudo, "sh", "-c", script("host-state"), "host-state", outputs.interface]
        result = session.run(shlex.join(words), takes=LOOKING_TAKES_S)
        try:
            answer = read(result.stdout)
            return [*judge(outputs, name, answer), *(role_of(name, answer.role) if role else ())]
        except GARBLED:
            why = (
                records.cure(result.stderr)
                or not_asked(result, name)
                or result.stderr
                or f"{name} printed {result.stdout!r}"
            )
            return [check.unknown(why) for check in checks_of_host]

    return Question(checks_of_host, ask)


def judge(outputs: StackOutputs, name: str, answer: HostAnswer) -> list[Check]:
    """What a host's answer means; ages by the host's own clock."""
    limits = outputs.limits
    up, peers, services, certificate, push = (Check(kind, name) for kind in KINDS)
    named = [peer for peer in outputs.hosts[name].peers if peer in outputs.hosts]
    silent = [
        peer
        for peer in named
        if answer.now - answer.heard.get(outputs.hosts[peer].public_key, 0.0) > limits.handshake_s
    ]
    down = [f"{unit} {state}" for unit, state in answer.units.items() if state != "active"]
    found = [
        up.ok(_span(answer.up_s)),
        peers.judge(
            not silent, f"{len(named) - len(silent)}/{len(named)}", f"silent: {', '.join(silent)}" if silent else ""
        ),
        services.judge(
            not down, f"{len(answer.units) - len(down)}/{len(answer.units)}", ", ".join(down) or ", ".join(answer.units)
        ),
    ]
    if answer.certificates:
        path, end = min(answer.certificates.items(), key=lambda each: each[1])
        check = replace(certificate, limit=limits.certificate_days)
        found.append(certificate_days(check, end, answer.now, limits.certificate_days, RENEW, path))
    else:
        found.append(certificate.ok(None, "no certificate here"))
    when = None if answer.pushed is None else datetime.fromtimestamp(answer.pushed, UTC).strftime("%Y-%m-%d %H:%M UTC")
    if answer.unfinished:
        found.append(push.fail(when, f"unfinished: {', '.join(answer.unfinished)}; see `fortress drift`"))
    else:
        ago = "" if answer.pushed is None else f"{_span(answer.now - answer.pushed)} ago"
        found.append(push.judge(when is not None, when, ago or "nothing was ever pushed"))
    return found


def role_of(name: str, role: str) -> list[Check]:
    """The role of a database server of several, as a check; none for any other host."""
    check = Check(Kind.DATABASE_ROLE, name)
    if not role:
        return []
    word, _, why = role.partition(" ")
    return [check.judge(word in ("primary", "copy"), word, why)]


def _span(seconds: float) -> str:
    for length, unit in ((DAY_S, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= length:
            return f"{int(seconds // length)} {unit}"
    return f"{max(0, int(seconds))} s"


def as_table(
    outputs: StackOutputs,
    stack: str,
    found: Sequence[Check],
    *,
    terminal: bool,
    width: int | None = None,
) -> str:
    """One line a host, then what does not hold. `terminal` and `width` are as `Screen` has them."""
    screen = Screen(terminal=terminal, width=width)
    by_host = {name: {c.kind: c for c in found if c.host == name} for name in outputs.hosts}
    table = _table(outputs, by_host)
    if screen.width < NARROW or not screen.fits(table):
        for name, row in by_host.items():
            shown = [kind for kind in (Kind.DATABASE_ROLE, *KINDS) if kind in row]
            cells = ", ".join(f"{kind.words} {_cell(row[kind])}" for kind in shown)
            screen.print(Text(f"{WORDS[_worst(row)]}  {name}: {cells}"), soft_wrap=True)
    else:
        screen.print(table)
    told: dict[tuple[str, str], Check] = {}
    for check in found:
        if check.status is not Status.OK:
            told.setdefault((check.host, check.detail), check)
    for (host, detail), check in told.items():
        name = "host" if check.status is Status.UNKNOWN else check.name
        said = detail if detail.startswith(f"{host} ") else f"{host} {name}: {detail}"
        screen.print(Text(f"{WORDS[check.status]}  {said}"), soft_wrap=True)
    screen.print(Text(f"{stack}: {len(by_host)} hosts, {tally(found)}"))
    return screen.text()


def _table(outputs: StackOutputs, by_host: Mapping[str, Mapping[Kind, Check]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("", "host", "role", "site", *(TITLES.get(kind, kind.words) for kind in KINDS)):
        table.add_column(title, overflow="fold", no_wrap=title == "host")
    for name, row in by_host.items():
        worst = _worst(row)
        facts = outputs.hosts[name]
        cells = [Text(_cell(row[kind]), style=_style(row[kind])) for kind in KINDS]
        table.add_row(
            Text(WORDS[worst], style=STYLES[worst]), Text(name), _role_cell(facts, row), Text(facts.site), *cells
        )
    return table


def _role_cell(facts: HostFacts, row: Mapping[Kind, Check]) -> Text:
    """Of a database server of several the role that it has now."""
    check = row.get(Kind.DATABASE_ROLE)
    if check is None or check.status is not Status.OK:
        return Text(facts.role, style=_style(check) if check else "")
    return Text(_cell(check))


def _worst(row: Mapping[Kind, Check]) -> Status:
    found = {check.status for check in row.values()}
    return next((status for status in (Status.FAIL, Status.UNKNOWN) if status in found), Status.OK)


def _style(check: Check) -> str:
    return "" if check.status is Status.OK else STYLES[check.status]


def _cell(check: Check) -> str:
    if check.value is None:
        return "-"
    if check.kind is Kind.LAST_PUSH and check.status is Status.OK:
        return check.detail
    if isinstance(check.value, str):
        return check.value
    return f"{math.floor(check.value)} d"
