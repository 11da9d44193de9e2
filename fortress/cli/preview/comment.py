"""A preview as the comment that a reviewer reads: Markdown for a forge, the worst first, of bounded size.

Untrusted text (names, file contents, errors) appears as code only, where no forge looks for mentions or HTML.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from fortress import push
from fortress.activation import Effect
from fortress.cli.base.markdown import block, code, fenced, fitting, fold, tag_code
from fortress.cli.base.masking import SECRET
from fortress.cli.preview.files import (
    HostOutlook,
    Outlook,
    Stage,
    effect_words,
    file_of,
    is_file,
    outlook,
    put_of,
    same_file,
    text_stays,
    unified,
)
from fortress.cli.preview.forge import LIMITS, Forge
from fortress.cli.preview.happens import sentences
from fortress.cli.preview.plan import ANOTHER_MACHINE, UNKNOWN, Change, Plan
from fortress.cli.preview.registered import changes

RULES_SAY = "sovereignty: "
"""What a line of the engine's begins with that a rule says (components/rules.py)."""

LONGEST_FILE = 8
"""A file may take at most the comment's size divided by this."""
LONGEST_HOST = 5
"""The same for the files of a host that is new or removed."""
LONGEST_RULES = 12
"""The same for what the rules of sovereignty say."""
LONGEST_ERRORS = 4
"""The same for the engine's errors, so that the risks are always shown beside them."""
LONGEST_RISKS = 3
"""The same for the list of risks, and for what happens; a line of risks takes a sixth of the shortest comment."""
LONGEST_RECORD = 6
"""The same for the changes of the record of processing."""
SAYING_WHAT_IS_CUT = 2500
"""Bytes reserved for it: eight names of 80, and the stack's of 200 characters."""
AROUND_THE_REPORT = 1200
"""Bytes for its fold and for the longest fences that its lines may need."""
OPEN_LINES = 80
"""Maximum lines of a diff that is shown unfolded."""
OPEN_LINES_OF_NEW = 8
"""The same for a file that is new, removed, or not known yet."""
LISTED = 50
"""Maximum items of a list, so that it does not push everything else out."""

_WORDS = {
    "create": "created",
    "update": "updated",
    "replace": "replaced",
    "delete": "deleted",
    "leave": "left in place and forgotten",
    "read": "read",
    "same": "unchanged",
}
_ORDER = tuple(_WORDS)
_INTERNAL = {"__defaults", "__internal", "__meta", "version"}


@dataclass
class Part:
    """A piece of the comment: the lower its rank, the later it is cut. `what` names it if it was cut."""

    rank: int
    text: str
    what: str = ""


def marker(stack: str) -> str:
    """The first line, by which a workflow finds its earlier comment."""
    return f"<!-- fortress preview: {re.sub(r'[^A-Za-z0-9._/-]', '?', stack)[:200]} -->"


def render(stack: str, plan: Plan, forge: Forge = Forge.GITHUB) -> str:
    """The whole comment, at most as long as the forge allows."""
    limit, seen = LIMITS[forge], outlook(plan)
    head = [
        marker(stack),
        f"## Preview of {code(stack)}: {_headline(plan)}\n",
        *_risks(plan, limit // LONGEST_RISKS),
        *_record(plan, limit // LONGEST_RECORD),
        *_errors(plan, limit // LONGEST_ERRORS),
        *_sovereignty(plan, limit // LONGEST_RULES),
        *_happens(seen, limit // LONGEST_RISKS),
        *_tally(seen.plan),
    ]
    parts: list[Part] = []
    if plan.changing:
        parts += _hosts(seen, limit)
        parts += _cloud(plan)
        parts += _others(plan)
    parts += _notes(plan)
    return _fitted("\n".join(head), parts, _report(plan), limit, stack)


# --- first and loud ---------------------------------------------------------------------------------------------------


def _headline(plan: Plan) -> str:
    if plan.status or plan.errors:
        return "`pulumi up` would fail"
    if not plan.changing:
        return "only the record of processing changes" if changes(*plan.registered) else "nothing changes"
    going = [change for change in plan.risks if change.goes or change.moves or change.rebuilt]
    return f"data is at risk in {_number(len(going), 'place')}" if going else _counted(plan)


def _counted(plan: Plan) -> str:
    return ", ".join(f"{plan.counts[op]} {_WORDS[op]}" for op in _ORDER if plan.counts.get(op) and op != "same")


def _errors(plan: Plan, longest: int) -> list[str]:
    if not plan.errors:
        return []
    said = fenced("\n\n".join(plan.errors), longest=longest)
    return [f"**The engine stopped with exit status {plan.status}; nothing was changed.** Its message:\n", said]


def _risks(plan: Plan, longest: int) -> list[str]:
    """The first errors that fit into `longest` bytes, at least one."""
    if not plan.risks:
        return []
    lines = [_at_risk(change) for change in plan.risks[:LISTED]]
    while sum(len(line.encode()) + 1 for line in lines) > longest:
        lines.pop()
    if len(plan.risks) > len(lines):
        lines.append(f"- and {len(plan.risks) - len(lines)} more, in the full report")
    return ["### ⚠️ Data at risk\n", *lines, ""]


def _record(plan: Plan, longest: int) -> list[str]:
    """What changes in the record of processing, as many sentences as fit."""
    found = [f"- {said}" for said in changes(*plan.registered, code)]
    lines = list(found)
    while sum(len(line.encode()) + 1 for line in lines) > longest:
        lines.pop()
    if len(lines) < len(found):
        lines.append(f"- and {len(found) - len(lines)} more, with `--json`")
    return ["### The record of processing\n", *lines, ""] if lines else []


def _sovereignty(plan: Plan, longest: int) -> list[str]:
    """What the rules say, a line each, as many as fit; what stops the run is among the errors."""
    said = [text.removeprefix(RULES_SAY) for text in (*plan.warnings, *plan.notes) if text.startswith(RULES_SAY)]
    lines = [f"- {code(text, 600)}" for text in said[:LISTED]]
    while sum(len(line.encode()) + 1 for line in lines) > longest:
        lines.pop()
    if len(lines) < len(said):
        lines.append(f"- and {len(said) - len(lines)} more; `fortress audit` lists them once the stack is up")
    return ["### Sovereignty\n", *lines, ""] if lines else []


def _happens(seen: Outlook, longest: int) -> list[str]:
    """What it comes to, as many sentences as fit; nothing of a plan that stopped, which need not be whole."""
    if not seen.plan.changing or seen.plan.errors or seen.plan.status:
        return []
    lines = [f"- {said}" for said in sentences(seen)]
    while sum(len(line.encode()) + 1 for line in lines) > longest:
        lines.pop()
    return ["### What happens\n", *lines, ""]


def _at_risk(change: Change) -> str:
    if change.risk() == ANOTHER_MACHINE:
        return f"- **ANOTHER MACHINE** for {code(change.host, 120)}: {_risk(change)}"
    verb = {"replace": "**REPLACED**", "delete": "**DELETED**"}.get(change.op, "**CHANGED**")
    because = f", because of {_codes(change.reasons)}" if change.reasons else ""
    return f"- {verb} {code(change.name, 120)} ({code(change.type, 120)}){because}: {_risk(change)}"


def _risk(change: Change) -> str:
    risk = change.risk()
    if change.goes and change.old.get("protect") and risk != "protected":
        return f"{risk}; protected, so the engine refuses"
    return risk


def _tally(plan: Plan) -> list[str]:
    if not plan.changes:
        return []
    if not plan.changing:
        return [] if plan.errors else [f"All {_number(plan.counts.get('same', 0), 'resource')} are up to date.\n"]
    same = plan.counts.get("same", 0)
    said = f"{_counted(plan)}{f'; {same} unchanged' if same else ''}."
    commands = [change for change in plan.changing if change.is_command]
    files = [change for change in commands if is_file(change)]
    hosts = {change.host for change in files if change.host}
    cloud = [change for change in plan.changing if change.is_cloud]
    where = [f"{_number(len(files), 'file')} on {_number(len(hosts), 'host')}"] if files else []
    where += [f"{_number(len(cloud), 'cloud resource')}"] if cloud else []
    return [f"**{said}**{' ' + _sentence(', '.join(where)) + '.' if where else ''}\n"]


# --- hosts ------------------------------------------------------------------------------------------------------------


def _hosts(seen: Outlook, limit: int) -> list[Part]:
    shown = [host for host in seen.hosts.values() if host.changes]
    if not shown:
        return []
    parts = [Part(1, "### Hosts\n")]
    for host in shown:
        changes = sorted(host.changes, key=lambda change: (file_of(change) or "~", change.name))
        title = code(host.name) if host.name else "A host that is not known yet"
        parts.append(Part(1, f"#### {title}\n\n{_services(host)}\n"))
        files = [change for change in changes if is_file(change)]
        apart = host.stage in (Stage.NEW, Stage.REMOVED)
        own = [change for change in files if change.op == "create" and _is_tool(file_of(change))]
        again = [] if apart else [change for change in files if _is_again(change, host)]
        shown_files = [change for change in files if change not in own and change not in again]
        if apart and shown_files:
            parts.append(_whole(host.name, shown_files, seen, limit // LONGEST_HOST))
        elif not apart:
            parts += [_file(host.name, change, seen, limit // LONGEST_FILE) for change in shown_files]
        if again:
            paths = "\n".join(f"- {code(file_of(change))}" for change in again[:LISTED])
            more = f"\n- and {len(again) - LISTED} more" if len(again) > LISTED else ""
            parts.append(Part(3, fold(f"{_number(len(again), 'file')} put again as before", paths + more)))
        commands = [change for change in changes if change not in files]
        if own:
            paths = _codes([file_of(change) for change in own])
            parts.append(Part(3, f"New tools of the program: {paths}\n", f"tools of {code(host.name)}"))
        if commands:
            parts.append(Part(3, _commands(commands), f"commands on {code(host.name)}"))
    return parts


def _is_tool(path: str) -> bool:
    return path == push.PUSH or path.startswith(f"{push.LIBRARY}/")


def _is_again(change: Change, host: HostOutlook) -> bool:
    """Whether the same file is put again only since the way to its host changes, or since its host is another."""
    if host.stage is Stage.MOVES:
        return text_stays(change) and is_file(change) and not _meta(change)
    return same_file(change) and change.op == "update" and change.differing == ("connection",)


def _services(host: HostOutlook) -> str:
    """The combined effect on each service of a host."""
    said = [
        f"{code(service)} {effect_words(effect)}"
        for service, effect in sorted(host.services.items())
        if host.stage is not Stage.REMOVED or effect is Effect.STOPS
    ]
    for service in sorted(host.perhaps):
        if service not in host.services:
            said.append(f"{code(service)} restarts only if a text below is another")
    if host.stage is Stage.NEW and host.untold and not said:
        return "New: which services start there is known once its machine is."
    if host.untold:
        said.append(f"for {_number(host.untold, 'file')} the effect on the service is unknown")
    stage = {Stage.NEW: "New: ", Stage.REMOVED: "Removed: ", Stage.REBOOTS: "**Reboots**; "}.get(host.stage, "")
    if said:
        rest = ", ".join(said)
        whole = host.stage in (Stage.NEW, Stage.REMOVED)  # all its commands belong to that
        more = " Commands below may touch others." if host.besides and not whole else ""
        return f"{stage}{rest if stage else _sentence(rest)}.{more}"
    none = "No file touches a service; commands below may." if host.besides else "No service is touched."
    return f"{stage}{none[:1].lower()}{none[1:]}" if stage else none


def _sentence(said: str) -> str:
    return said[:1].upper() + said[1:]


def _becomes(change: Change, seen: Outlook) -> str:
    """What becomes of the service of a file, as Markdown."""
    if seen.asked_again(change):
        service, _, words = seen.said(change).partition(" ")
        return f"{code(service)} {words}" if words.startswith("restarts only") else "no service is touched"
    found = seen.activation(change)
    if not found.service:
        return "service unknown" if found.effect is Effect.UNKNOWN else "no service is touched"
    return f"{code(found.service)} {effect_words(found.effect)}"


def _whole(host: str, files: Sequence[Change], seen: Outlook, longest: int) -> Part:
    """All files of a host that comes or goes, folded; those that do not fit by their paths."""
    kept: list[str] = []
    for number, change in enumerate(files):
        text = _file(host, change, seen, longest, whole=True).text
        longest -= _size(text)
        if longest < 0:
            rest = files[number:]
            kept.append(f"And {_codes([file_of(each) or each.name for each in rest])}.\n")
            break
        kept.append(text)
    rank = 4 if any(change.op in ("create", "leave") for change in files) else 2
    title = _number(len(files), "file")
    return Part(rank, fold(title, "\n".join(kept)), f"{title} of {code(host or 'unknown')}")


def _file(host: str, change: Change, seen: Outlook, longest: int, *, whole: bool = False) -> Part:
    path = file_of(change)
    name = code(path) if path else f"{code(change.name)} (path unknown)"
    what = {"create": "is new", "delete": "is removed", "leave": "stays, and is forgotten", "replace": "is replaced"}
    secret = SECRET in (change.after.get("stdin"), change.before.get("stdin"))
    asked_again = seen.asked_again(change)
    diff = "" if secret or asked_again else unified(change)
    # Where no line differs, only a private key in it does.
    hidden = "stdin" in change.differing and not diff and not asked_again
    changes = "is asked again" if asked_again else "changes" if diff or hidden else "is pushed again unchanged"
    verb = what.get(change.op, changes)
    # Of a host that goes, it is said once which services stop.
    effect = "" if whole and change.op in ("delete", "leave") else f": {_becomes(change, seen)}"
    lines = [f"{name} {verb}{effect}\n"]
    if hidden or (secret and change.op in ("create", "replace")):
        lines.append("Its text is secret and not shown.\n")
    elif change.differing and not diff and change.op == "update":
        lines.append(f"Changed: {_codes(change.differing)}\n")
    lines += _meta(change)
    if diff:
        shown = fenced(diff, "diff", longest)
        compared = change.op == "update" and change.after.get("stdin") != UNKNOWN
        long = not whole and diff.count("\n") > (OPEN_LINES if compared else OPEN_LINES_OF_NEW)
        lines.append(
            fold(f"{_number(diff.count(chr(10)), 'line')} of {tag_code(path or change.name)}", shown) if long else shown
        )
    rank = 2 if change.op not in ("create", "leave") else 4
    return Part(rank, "\n".join(lines), f"{code(path or change.name)} on {code(host or 'unknown')}")


def _meta(change: Change) -> list[str]:
    """Mode and owner, if they change."""
    one, other = put_of(change.before), put_of(change.after)
    if one is None or other is None or (one.mode, one.owner) == (other.mode, other.owner):
        return []
    return [f"Mode and owner: {code(f'{one.mode} {one.owner}')} → {code(f'{other.mode} {other.owner}')}\n"]


def _commands(changes: Sequence[Change]) -> str:
    lines = []
    for change in changes[:LISTED]:
        if change.op in ("delete", "leave"):
            undone = change.before.get("delete")
            said = f"runs {code(push.bare(str(undone)), 200)}" if undone and change.op == "delete" else "is forgotten"
            lines.append(f"- removed: {code(change.name)} {said}")
            continue
        why = f" ({_codes(change.differing)} changed)" if change.op == "update" and change.differing else ""
        again = "runs again" if change.op == "update" else "runs"
        lines.append(
            f"- {code(change.name)} {again}{why}: {code(push.bare(str(change.after.get('create') or '')), 200)}"
        )
    if len(changes) > LISTED:
        lines.append(f"- and {len(changes) - LISTED} more")
    return fold(f"{_number(len(changes), 'other command')}", "\n".join(lines))


# --- clouds, and the rest ---------------------------------------------------------------------------------------------


def _cloud(plan: Plan) -> list[Part]:
    found = sorted(
        (change for change in plan.changing if change.is_cloud),
        key=lambda change: (-_ORDER.index(change.op), change.type, change.name),
    )
    if not found:
        return []
    parts = [Part(1, "### Cloud resources\n")]
    created = [change for change in found if change.op == "create"]
    for change in found:
        if change.op != "create":
            parts.append(Part(2, _resource(change), code(change.name)))
    if created:
        lines = [f"- created: {code(change.name)} ({code(change.type)})" for change in created]
        body = "\n".join(lines)
        title = f"{_number(len(created), 'resource')} created"
        text = fold(title, body) if len(created) > 10 or len(found) > len(created) else f"{body}\n"
        parts.append(Part(3, text, title))
    return parts


def _resource(change: Change) -> str:
    because = f" because of {_codes(change.reasons)}" if change.op == "replace" and change.reasons else ""
    lines = [f"- {_WORDS[change.op].split(' ')[0]}{because}: {code(change.name)} ({code(change.type)})"]
    if change.op in ("update", "replace"):
        lines += [f"  - {_property(change, key)}" for key in change.differing[:LISTED]]
    return "\n".join(lines) + "\n"


def _property(change: Change, key: str) -> str:
    before, after = _value(change.before, key), _value(change.after, key)
    return f"{code(key)}: {code(before, 120)} → {code(after, 120)}"


def _value(inputs: Mapping[str, object], key: str) -> str:
    if key not in inputs:
        return "none"
    value = inputs[key]
    return value if isinstance(value, str) and "\n" not in value else json.dumps(value, sort_keys=True)


def _others(plan: Plan) -> list[Part]:
    """Providers and commands on the engine's side, which the sections above leave out."""
    found = [
        change
        for change in plan.changing
        if not change.is_cloud and not change.is_command and (change.old or change.new).get("custom")
    ]
    if not found:
        return []
    found.sort(key=lambda change: (-_ORDER.index(change.op), change.type, change.name))
    lines = [
        f"- {_WORDS[change.op].split(' ')[0]}: {code(change.name)} ({code(change.type)})"
        + (f", changed: {_codes(change.differing)}" if change.op in ("update", "replace") else "")
        for change in found[:LISTED]
    ]
    if len(found) > LISTED:
        lines.append(f"- and {len(found) - LISTED} more")
    title = f"{_number(len(found), 'resource')} on the engine's side"
    return [Part(3, fold(title, "\n".join(lines)), title)]


def _notes(plan: Plan) -> list[Part]:
    said = [text for text in (*plan.warnings, *plan.notes) if not text.startswith(RULES_SAY)]
    if not said:
        return []
    title = "Other engine output"
    return [Part(3, fold(title, fenced("\n".join(said), longest=4000)), title)]


# --- the full report, and what fits -----------------------------------------------------------------------------------


def _report(plan: Plan) -> list[str]:
    """Every changed resource with each property, as plain lines."""
    lines: list[str] = []
    for change in sorted(plan.changing, key=lambda change: (change.type, change.name)):
        because = f" (because of {', '.join(change.reasons)})" if change.reasons else ""
        lines.append(f"{change.op:<8} {change.type} {change.name}{because}")
        keys: Iterable[str] = change.differing
        if change.op == "create":
            keys = sorted(key for key in change.after if key not in _INTERNAL)
        for key in keys:
            after = _short(change.after, key)
            lines.append(f"    {key}: {after if change.op == 'create' else f'{_short(change.before, key)} -> {after}'}")
    return lines


def _short(inputs: Mapping[str, object], key: str) -> str:
    value = inputs.get(key)
    if isinstance(value, str) and value.count("\n") > 1:
        return f"({value.count(chr(10))} lines)"
    return _value(inputs, key).replace("\n", "\\n")


def _fitted(head: str, parts: Sequence[Part], report: Sequence[str], limit: int, stack: str) -> str:
    """The head; the parts that fit, those of low rank first, in their order; then as much of the report as fits."""
    room = limit - SAYING_WHAT_IS_CUT - _size(head)
    kept: set[int] = set()
    for index in sorted(range(len(parts)), key=lambda index: (parts[index].rank, index)):
        if _size(parts[index].text) <= room:
            kept.add(index)
            room -= _size(parts[index].text)
    cut = [part.what for index, part in enumerate(parts) if index not in kept and part.what]
    lines = fitting(report, room - AROUND_THE_REPORT)
    texts = [head]
    if cut or len(lines) < len(report):
        texts.append(_said_of_cut(cut, len(report) - len(lines), limit, stack))
    texts += [part.text for index, part in enumerate(parts) if index in kept]
    if lines:
        rest = f", the first {len(lines)} of {len(report)} lines" if len(lines) < len(report) else ""
        texts.append(fold(f"Full report{rest}", block(lines)))
    return "\n".join(text.rstrip("\n") + "\n" for text in texts)


def _size(text: str) -> int:
    """Bytes of a part, with the empty line after it."""
    return len(text.encode()) + 2


def _said_of_cut(cut: Sequence[str], lines: int, limit: int, stack: str) -> str:
    said = [f"**Cut to the {limit} bytes that a comment may have.**"]
    if cut:
        names = [name for name in cut if len(name.encode()) < 80][:8]
        more = [f"{len(cut) - len(names)} more"] if len(cut) > len(names) else []
        said.append(f"Not shown: {' and '.join([', '.join(names), *more] if names else more)}.")
    if lines:
        said.append(f"{_number(lines, 'line')} of the full report are left out.")
    said.append(
        f"Complete output: {code(f'fortress preview --stack {stack} --forge gitlab', 200)}, or `pulumi preview --diff`."
    )
    return " ".join(said) + "\n"


def _codes(names: Iterable[str]) -> str:
    found = list(names)
    said = ", ".join(code(name, 120) for name in found[:20])
    return f"{said} and {len(found) - 20} more" if len(found) > 20 else said


def _number(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
