"""What a plan does, in a few sentences: the gravest first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from fortress import haproxy, push
from fortress.activation import WORDS, Effect
from fortress.cli.base.markdown import code
from fortress.cli.base.masking import SECRET
from fortress.cli.preview.files import Outlook, Stage, file_of, is_file, joined, same_file
from fortress.cli.preview.plan import UNKNOWN, Change

MOST_NAMES = 12
"""Names that a sentence lists."""

_EDGE = "haproxy"
_DATABASE = "mariadb"
_REMARKS = {
    (_DATABASE, Effect.RESTARTS): ": connections to it end, what is committed stays",
    (_DATABASE, Effect.STOPS): ": no worker has a database then",
    (_EDGE, Effect.RESTARTS): ": connections to it end",
    (_EDGE, Effect.STOPS): ": nobody is served then",
}


def sentences(seen: Outlook) -> list[str]:
    """Each a line of Markdown."""
    return [
        *_machines(seen),
        *_services(seen),
        *_edge(seen),
        *_reloads(seen),
        *_again(seen),
        *_secrets(seen),
        _data(seen),
    ]


# --- machines and services --------------------------------------------------------------------------------------------


def _machines(seen: Outlook) -> Iterator[str]:
    for host in seen.hosts.values():
        match host.stage:
            case Stage.REMOVED:
                stops = [service for service, effect in host.services.items() if effect is Effect.STOPS]
                tail = f"; {_all(stops)} {_verb(Effect.STOPS, stops)} there" if stops else ""
                if all(change.op == "leave" for change in host.changes):
                    yield f"{code(host.name)} is forgotten: nothing contacts it any more."
                else:
                    how = " with its machine" if host.machine == "delete" else ""
                    yield f"{code(host.name)} **is removed**{how}{tail}."
            case Stage.MOVES:
                yield f"{code(host.name)} **is another machine**, which gets everything again."
            case Stage.REBOOTS:
                yield f"{code(host.name)} **reboots**: its machine gets another size."
            case _:
                pass
    new: dict[tuple[str, ...], list[str]] = {}
    for host in seen.hosts.values():
        if host.stage is Stage.NEW:
            starts = tuple(sorted(service for service, effect in host.services.items() if effect is Effect.STARTS))
            new.setdefault(starts, []).append(host.name)
    for starts, names in new.items():
        be = "is" if len(names) == 1 else "are"
        tail = f": {_all(starts)} {_verb(Effect.STARTS, starts)} there" if starts else ""
        yield f"{_all(names)} {be} new{tail}."


def _services(seen: Outlook) -> Iterator[str]:
    """What starts, restarts and stops on hosts that stay."""
    for effect in (Effect.STOPS, Effect.RESTARTS, Effect.STARTS):
        for hosts, services in _grouped(seen, effect):
            remark = next((said for (name, what), said in _REMARKS.items() if name in services and what is effect), "")
            verb = _verb(effect, services)
            loud = f"**{verb}**" if effect > Effect.STARTS else verb
            yield f"{_all(services)} {loud} on {_hosts(seen, hosts)}{remark}."
    for host in seen.hosts.values():
        if host.untold and host.stage is not Stage.NEW:
            files = "a file" if host.untold == 1 else f"{host.untold} files"
            where = f"on {code(host.name)}" if host.name else "on a host that is not known yet"
            yield f"What {files} {where} {'does' if host.untold == 1 else 'do'} to a service cannot be told."


def _reloads(seen: Outlook) -> Iterator[str]:
    for effect in (Effect.RELOADS, Effect.TAKES):
        for hosts, services in _grouped(seen, effect):
            yield f"{_all(services)} {_verb(effect, services)} on {_hosts(seen, hosts)}."


def _grouped(seen: Outlook, effect: Effect) -> list[tuple[tuple[str, ...], list[str]]]:
    """Services with this effect, by the hosts where they have it; not on hosts that come or go as a whole."""
    where: dict[str, list[str]] = {}
    for host in seen.hosts.values():
        if host.stage in (Stage.NEW, Stage.REMOVED):
            continue
        for service, found in host.services.items():
            if found is effect:
                where.setdefault(service, []).append(host.name)
    groups: dict[tuple[str, ...], list[str]] = {}
    for service, hosts in sorted(where.items()):
        groups.setdefault(tuple(hosts), []).append(service)
    return list(groups.items())


def _again(seen: Outlook) -> Iterator[str]:
    """Files whose text is only asked again, and what runs again since the way to its host changes."""
    perhaps: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for host in seen.hosts.values():
        for service, paths in host.perhaps.items():
            perhaps.setdefault((service, tuple(sorted(paths))), []).append(host.name)
    for (service, files), names in perhaps.items():
        yield (
            f"{_all(files)} on {_hosts(seen, names)}: only the connection to the host that it comes from changes, so "
            f"its text is asked again; {code(service)} restarts only if that is another."
        )
    again = [
        (host.name, is_file(change))
        for host in seen.hosts.values()
        for change in host.changes
        if change.op == "update" and change.differing == ("connection",) and (same_file(change) or not is_file(change))
    ]
    if again:
        count = sum(a_file for _, a_file in again)
        commands = len(again) - count
        said = []
        if count:
            said.append(f"{'1 file is' if count == 1 else f'{count} files are'} put again, which touches no service")
        if commands:
            said.append("1 command runs again" if commands == 1 else f"{commands} commands run again")
        yield f"The connection to {_hosts(seen, dict.fromkeys(name for name, _ in again))} changes; {'; '.join(said)}."


# --- the edge ---------------------------------------------------------------------------------------------------------


def _edge(seen: Outlook) -> Iterator[str]:
    for host in seen.hosts.values():
        for change in host.changes:
            if file_of(change).endswith("/haproxy.cfg") and change.op in ("update", "replace"):
                yield from _served(change)


def _served(change: Change) -> Iterator[str]:
    if change.after.get("stdin") == UNKNOWN:
        yield "Who serves at the edge afterwards is not known yet."
        return
    before, after = (haproxy.servers(str(state.get("stdin", ""))) for state in (change.before, change.after))
    for site in sorted({*before, *after}):
        had, has = before.get(site, ()), after.get(site, ())
        if left := [name for name in had if name not in has]:
            empty = f"; no server of {code(site)} is left there" if not has else ""
            yield f"{_all(left)} **{'leaves' if len(left) == 1 else 'leave'} the edge**{empty}."
        if came := [name for name in has if name not in had]:
            yield f"{_all(came)} {'joins' if len(came) == 1 else 'join'} the edge, at {code(site)}."


# --- secrets and data -------------------------------------------------------------------------------------------------


def _secrets(seen: Outlook) -> Iterator[str]:
    """Whether a password changes: the engine shows neither, and tells whether they differ."""
    changed: dict[str, list[str]] = {}
    account = same = False
    for change in (change for host in seen.hosts.values() for change in host.changes):
        if change.op != "update" or change.after.get("stdin") != SECRET:
            continue
        command = push.parse(str(change.after.get("create", "")))
        is_account = isinstance(command, push.Run) and command.begins(push.ENSURE_ACCESS)
        if change.differing == ("connection",):
            same = True
        elif "stdin" not in change.differing:
            continue
        elif is_account:
            account = True
        elif path := file_of(change):
            changed.setdefault(path, []).append(change.host)
    if account:
        yield "The database's password **changes**."
    for path, hosts in changed.items():
        yield f"The secret text of {code(path)} on {_hosts(seen, hosts)} **changes**."
    if same and not account and not changed:
        yield "No password changes."


def _data(seen: Outlook) -> str:
    plan = seen.plan
    if plan.risks:
        return "**Data is at risk**, as said above."
    changed = [change for change in plan.changing if change.holds_data and change.op == "update"]
    if changed:
        verb = "changes" if len(changed) == 1 else "change"
        return f"{_all(change.name for change in changed)}, where data is, {verb} in place."
    return "No data is touched."


# --- words ------------------------------------------------------------------------------------------------------------


def _verb(effect: Effect, subjects: Iterable[str]) -> str:
    return WORDS[effect] if len(list(subjects)) == 1 else WORDS[effect].removesuffix("s")


def _all(names: Iterable[str]) -> str:
    found = [code(name, 80) for name in names]
    if len(found) > MOST_NAMES:
        return f"{', '.join(found[:MOST_NAMES])} and {len(found) - MOST_NAMES} more"
    return joined(found)


def _hosts(seen: Outlook, names: Iterable[str]) -> str:
    found = list(names)
    if len(found) > 2 and set(found) == set(seen.standing):
        return f"all {len(found)} hosts"
    return _all(name for name in found) if all(found) else "a host that is not known yet"
