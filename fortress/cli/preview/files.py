"""The files and services of a plan: which lines change, and what becomes of which service on which host."""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum

from fortress import mariadb, push, server_variables
from fortress.activation import WORDS, Activation, Effect, leaves_services, of_command
from fortress.cli.base.lines import lines
from fortress.cli.engine.state import HOST
from fortress.cli.preview.certificates import readable
from fortress.cli.preview.parts import apart
from fortress.cli.preview.plan import UNKNOWN, Change, Plan

KERNEL = "sysctl"
"""What `of_command` calls the kernel's settings, which are always there and never start."""


class Stage(IntEnum):
    """What becomes of a host as a whole, the gravest last."""

    STAYS = 0
    NEW = 1
    REBOOTS = 2
    """Its machine is stopped and started."""
    MOVES = 3
    """Another machine takes its place, or the one that it is is said to be another."""
    REMOVED = 4


@dataclass
class HostOutlook:
    """A host and what a plan does there."""

    name: str
    stage: Stage = Stage.STAYS
    changes: list[Change] = field(default_factory=list)
    """Those of its commands."""
    services: dict[str, Effect] = field(default_factory=dict)
    """The gravest effect on each."""
    perhaps: dict[str, list[str]] = field(default_factory=dict)
    """Services that restart only if a file's text, which is asked again, turns out to be another; and those files."""
    untold: int = 0
    """Files whose effect on a service cannot be told."""
    besides: bool = False
    """Whether commands run that may touch a service."""
    at_risk: bool = False
    machine: str = ""
    """What becomes of its machine in a cloud, as `Change.op` has it; empty where nothing does."""

    @property
    def gravity(self) -> tuple[bool, Stage, Effect]:
        """Hosts are shown by it, the greatest first."""
        worst = max(self.services.values(), default=Effect.UNTOUCHED)
        return self.at_risk, self.stage if self.stage > Stage.NEW else Stage.STAYS, worst


@dataclass(frozen=True)
class Outlook:
    """A plan, and what follows from it for hosts and services."""

    plan: Plan
    hosts: Mapping[str, HostOutlook]
    """Those with a change, in the order in which they are shown. The name is empty where it is not known yet."""
    standing: frozenset[str]
    """Names of all hosts that are there afterwards."""
    running: frozenset[tuple[str, str]]
    """Host and service of each file that is there before."""
    remade: frozenset[str]
    """Hosts whose machine in a cloud is replaced: what is put on the new one is not known to the letter."""
    by_urn: Mapping[str, Change]

    def activation(self, change: Change) -> Activation:
        """The effect on the service of a file; none if the same file is pushed to the same machine again."""
        found = _activation(change, again=self.asked_again(change))
        if found.effect is Effect.UNKNOWN and change.op == "update" and change.host in self.remade:
            found = of_command(str(change.before.get("create", "")))
        if found.effect is Effect.RESTARTS and _taken_while_it_runs(change):
            return Activation(Effect.TAKES, found.service)
        acts = found.effect in (Effect.RELOADS, Effect.RESTARTS) and found.service not in ("", KERNEL)
        if acts and change.op != "delete" and (change.host, found.service) not in self.running:
            return Activation(Effect.STARTS, found.service)
        return found

    def asked_again(self, change: Change) -> bool:
        """Whether a file's text is unknown only since the command that it comes from runs again as it is.

        The engine knows no answer of a command whose connection changed; nothing else of that command did.
        """
        if change.op != "update" or change.after.get("stdin") != UNKNOWN or not _same_command(change):
            return False
        sources = [self.by_urn.get(urn) for urn in (change.new.get("propertyDependencies") or {}).get("stdin") or ()]
        found = [source for source in sources if source is not None and source.op != "same"]
        return bool(found) and all(each.op == "update" and each.differing == ("connection",) for each in found)

    def said(self, change: Change) -> str:
        """The effect on the service of a file, in plain words."""
        service = _activation(change).service if self.asked_again(change) else ""
        return f"{service} restarts only if the text is another" if service else str(self.activation(change))


def outlook(plan: Plan) -> Outlook:
    """What follows from a plan, whose resources with several files are seen as one change a file."""
    plan = replace(plan, changes=apart(plan.changes))
    stages = _stages(plan)
    remade = frozenset(change.host for change in plan.changes if change.is_machine and change.op == "replace")
    running = {
        (change.host, service)
        for change in plan.changes
        if change.is_command and change.old and change.host not in remade
        if (service := of_command(str(change.before.get("create", ""))).service)
    }
    standing = {change.host for change in plan.changes if change.type == HOST and change.op not in ("delete", "leave")}
    by_urn = {change.urn: change for change in plan.changes}
    seen = Outlook(plan, {}, frozenset(standing), frozenset(running), remade, by_urn)
    at_risk = {change.host for change in plan.risks}
    hosts: dict[str, HostOutlook] = {}
    for change in plan.changing:
        if change.is_command or change.is_machine:
            host = hosts.setdefault(change.host, HostOutlook(change.host, stages.get(change.host, Stage.STAYS)))
            host.at_risk = bool(change.host) and change.host in at_risk
            if change.is_machine:
                host.machine = change.op
            else:
                host.changes.append(change)
                _count(host, change, seen)
    order = sorted(hosts.values(), key=lambda host: (not host.name, *_reversed(host.gravity), host.name))
    return replace(seen, hosts={host.name: host for host in order})


_COMES_OR_GOES = {"create": Stage.NEW, "delete": Stage.REMOVED, "leave": Stage.REMOVED}


def _reversed(gravity: tuple[bool, Stage, Effect]) -> Iterator[int]:
    return (-int(part) for part in gravity)


def _stages(plan: Plan) -> dict[str, Stage]:
    found: dict[str, Stage] = {}

    def note(host: str, stage: Stage) -> None:
        if host:
            found[host] = max(found.get(host, Stage.STAYS), stage)

    for change in plan.changes:
        if change.type == HOST:
            note(change.host, _COMES_OR_GOES.get(change.op, Stage.STAYS))
        elif change.moves or (change.is_machine and change.op == "replace"):
            note(change.host, Stage.MOVES)
        elif change.reboots:
            note(change.host, Stage.REBOOTS)
    return found


def _count(host: HostOutlook, change: Change, seen: Outlook) -> None:
    if not is_file(change):
        run = {"delete": change.before.get("delete"), "leave": None}.get(change.op, change.after.get("create"))
        host.besides |= run is not None and not leaves_services(str(run))
        return
    if seen.asked_again(change):
        if service := _activation(change).service:
            host.perhaps.setdefault(service, []).append(file_of(change))
        return
    found = seen.activation(change)
    if found.effect is Effect.UNKNOWN and not found.service:
        host.untold += 1
    elif found.service:
        host.services[found.service] = max(host.services.get(found.service, Effect.UNTOUCHED), found.effect)


def _taken_while_it_runs(change: Change) -> bool:
    """Whether only variables change in MariaDB's file that it takes while it runs."""
    if file_of(change) != mariadb.CONFIG_PATH or change.op != "update" or not _same_command(change):
        return False
    before, after = (str(state.get("stdin", "")) for state in (change.before, change.after))
    if not (before.endswith(push.END) and after.endswith(push.END)):  # not known yet
        return False
    return not server_variables.need_restart(server_variables.changed(before, after))


# --- one file ---------------------------------------------------------------------------------------------------------


def file_of(change: Change) -> str:
    """The path of a change on its host, empty if it is not a file, or its path is unknown."""
    for state in (change.after, change.before):
        found = push.parse(str(state.get("create", "")))
        if isinstance(found, push.Push):
            return found.path
        if isinstance(found, push.Install):
            return push.PUSH
    return ""


def is_file(change: Change) -> bool:
    """Whether it is a file, or may be one: a text whose command is not known yet."""
    return bool(file_of(change)) or (change.after.get("create") == UNKNOWN and "stdin" in change.after)


def put_of(inputs: Mapping[str, object]) -> push.Put | None:
    """The command that puts a file, None for any other."""
    found = push.parse(str(inputs.get("create", "")))
    return found if isinstance(found, push.Put) else None


def _activation(change: Change, *, again: bool = False) -> Activation:
    """What the command of a file says of its service; `again` as `Outlook.asked_again` has it."""
    if change.op == "leave":
        return Activation(Effect.UNTOUCHED)
    if change.op == "delete":
        return of_command(str(change.before.get("delete", "")))
    if change.op == "update" and (again or same_file(change)):
        return Activation(Effect.UNTOUCHED)
    return of_command(str(change.after.get("create", "")))


def same_file(change: Change) -> bool:
    """Whether the same file goes to the same machine."""
    before, after = change.before, change.after
    return "stdin" not in change.differing and before.get("stdin") == after.get("stdin") and _same_command(change)


def _same_command(change: Change) -> bool:
    noted = push.without_note(str(change.before.get("create", "")))[1]  # what `fortress drift` found is put right
    one, other = _place(change.before), _place(change.after)
    return one is not None and one == other and not noted


def _place(inputs: Mapping[str, object]) -> tuple[str, ...] | None:
    """Where a file goes and as whose; None for what puts none."""
    match push.parse(str(inputs.get("create", ""))):
        case push.Put() as put:
            return (put.machine, put.mode, put.owner)
        case push.Install() as install:
            return (install.machine,)
    return None


def text_stays(change: Change) -> bool:
    """Whether the text of a file, known or secret, is the one that it was."""
    return change.op == "update" and "stdin" not in change.differing


# --- its lines --------------------------------------------------------------------------------------------------------


def _text(state: Mapping[str, object]) -> str:
    """The text of a file as it lands on the host, certificates described."""
    sent = str(state.get("stdin", ""))
    text = push.received(sent)
    if sent.endswith(push.BASE64_END):
        data = text.encode(errors="surrogateescape")
        return f"[{len(data)} bytes that are no text; sha256 {hashlib.sha256(data).hexdigest()[:16]}]\n"
    if not sent.endswith((push.END, push.OPEN_END)):  # not known yet
        text += "\n" if text else ""
    return readable(text)


def unified(change: Change) -> str:
    """The changed lines of a file, with three around them; empty if the text stays or may not be seen.

    Where lines are left out, the section that the change is in is named: a line's number tells a reviewer nothing.
    """
    before = lines(_text(change.before)) if change.old else []
    after = lines(_text(change.after)) if change.op not in ("delete", "leave") else []
    if not before or not after:  # all of it is new or gone
        return "".join(f"{sign}{line}\n" for sign, lines in (("-", before), ("+", after)) for line in lines)
    found = []
    for hunk in difflib.SequenceMatcher(None, before, after).get_grouped_opcodes(3):
        start, end = hunk[0][1], hunk[-1][2]
        if start > 0 or end < len(before):
            found.append(f"@@ {_section(before, hunk)} @@")
        for tag, first, last, into, upto in hunk:
            if tag == "equal":
                found += [f" {line}" for line in before[first:last]]
            else:
                found += [f"-{line}" for line in before[first:last]]
                found += [f"+{line}" for line in after[into:upto]]
    return "".join(f"{line}\n" for line in found)


def _section(lines: Sequence[str], hunk: Sequence[tuple[str, int, int, int, int]]) -> str:
    """The heading above the first change of a hunk: a line that others are indented below, or one in brackets."""
    first = next(start for tag, start, *_ in hunk if tag != "equal")
    for number in range(min(first, len(lines)) - 1, -1, -1):
        line = lines[number]
        below = next((each for each in lines[number + 1 :] if each.strip()), "")
        if re.match(r"\[.+\]$|[A-Za-z_]", line) and (line.startswith("[") or below[:1].isspace()):
            return "…" if number >= hunk[0][1] else line.rstrip(" {:")  # that which is shown need not be said
    return "…"


def effect_words(effect: Effect) -> str:
    """An effect in words, one that interrupts in bold."""
    return f"**{WORDS[effect]}**" if effect > Effect.STARTS else WORDS[effect]


def joined(names: Iterable[str]) -> str:
    """Names as a sentence has them."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
