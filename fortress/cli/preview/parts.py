"""A resource that does several things on a host, as one change of each: of every file, and of every command."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from fortress import push
from fortress.cli.engine.state import State
from fortress.cli.preview.plan import Change

_Key = tuple[str, ...]
_TEXT = ("create", "stdin", "delete")


def apart(changes: Iterable[Change]) -> tuple[Change, ...]:
    """The same changes, those of several files or commands as one of each; a file that only changes hands, once."""
    return tuple(_handed_over([part for change in changes for part in _parts(change)]))


def _parts(change: Change) -> list[Change]:
    if not change.is_command or not any(_is_several(inputs) for inputs in (change.before, change.after)):
        return [change]
    before, after = _by_key(change.before, {}), _by_key(change.after, _by_key(change.before, {}))
    found = [_part(change, before.get(key, {}), after.get(key, {})) for key in {**after, **before}]
    # A host that is gone has no text, and what runs nothing is still a resource.
    return [part for part in found if part.op != "same" or change.op == "same"] or [change]


def _is_several(inputs: State) -> bool:
    return isinstance(push.parse(str(inputs.get("create", ""))), push.Files | push.Steps)


def _by_key(inputs: State, known: Mapping[_Key, State]) -> dict[_Key, State]:
    """What is done, each as the inputs of a resource of its own; `known` are those of before.

    Of files whose text is not known or secret only the paths are: the rest is taken to be as before.
    """
    line, stdin = str(inputs.get("create", "")), inputs.get("stdin")
    note, sudo = push.without_note(line)[1], "sudo " if line.startswith("sudo ") else ""
    rest = {key: value for key, value in inputs.items() if key not in _TEXT}
    removals = {_key(command): command.render() for command, _ in push.parts(str(inputs.get("delete", "")), None)}
    found: dict[_Key, State] = {}
    for command, sent in push.parts(line, None if stdin is None else str(stdin)):
        puts: list[push.Command] = [command]
        if isinstance(command, push.Files):
            puts = [_put(command, path, known) for path in command.paths]
        for each in puts:
            key = _key(each)
            create = push.with_note(f"{sudo}{each.render()}", note) if _concerns(note, each) else sudo + each.render()
            text = {"create": create, "stdin": sent, "delete": f"{sudo}{removals[key]}" if key in removals else None}
            found[key] = {**rest, **{name: value for name, value in text.items() if value is not None}}
    return found


def _put(files: push.Files, path: str, known: Mapping[_Key, State]) -> push.Put:
    before = push.parse(str(known.get(("file", path), {}).get("create", "")))
    put = before if isinstance(before, push.Put) else push.Put(path, machine="", resource="")
    return replace(put, machine=files.machine, resource=files.resource, stack=files.stack, adopt=files.adopt)


def _concerns(note: str, command: push.Command) -> bool:
    return bool(note) and (not isinstance(command, push.Push) or push.notes(note, command.path))


def _key(command: push.Command) -> _Key:
    """By what it is found again after a change."""
    match command:
        case push.Push(path):
            return ("file", path)
        case push.Install() | push.Uninstall():
            return ("file", push.PUSH)
        case push.Confirm(path):
            return ("confirm", path)
        case push.Run(command=words):
            return ("run", *words[:1])
    return (type(command).__name__,)


def _part(change: Change, before: State, after: State) -> Change:
    differing = [key for key in change.differing if key not in _TEXT]
    hidden = "stdin" in change.differing and not (_is_shown(before) and _is_shown(after))
    differing += [
        key for key in ("create", "stdin") if before.get(key) != after.get(key) or (hidden and key == "stdin")
    ]
    op = change.op
    if op in ("update", "replace", "same"):
        op = "create" if not before else "delete" if not after else op if differing else "same"
    if op == "delete" != change.op and (put := _put_of(before)):  # by push.sh, while the others stay
        gone = push.Remove(put.path, machine=put.machine, resource=put.resource, stack=put.stack, apply=put.apply)
        before = {**before, "delete": gone.render()}
    return replace(
        change,
        op=op,
        old={**change.old, "inputs": before} if before else {},
        new={**change.new, "inputs": after} if after else {},
        differing=tuple(sorted(differing)) if op in ("update", "replace") else (),
    )


def _is_shown(inputs: State) -> bool:
    return str(inputs.get("stdin", "")).endswith((push.END, push.OPEN_END, push.BASE64_END))


def _put_of(inputs: State) -> push.Put | None:
    found = push.parse(str(inputs.get("create", "")))
    return found if isinstance(found, push.Put) else None


def _text_of(inputs: State) -> State:
    return {key: inputs[key] for key in ("create", "stdin") if key in inputs}


def _handed_over(changes: list[Change]) -> list[Change]:
    """Without the removals of files that another resource puts in the same plan: push.sh leaves such a file alone."""
    left: dict[tuple[str, str, str], Change] = {
        (change.host, put.machine, put.path): change
        for change in changes
        if change.op == "delete" and (put := _put_of(change.before))
    }
    found, taken = [], set()
    for change in changes:
        put = _put_of(change.after)
        if put and change.op == "create" and (old := left.get((change.host, put.machine, put.path))):
            taken.add(id(old))
            if not _is_shown(change.after):  # all that is known of it is its path
                change = replace(change, new={**change.new, "inputs": {**change.after, **_text_of(old.before)}})
            keys = {*old.before, *change.after} - {"delete"}
            differing = sorted(key for key in keys if old.before.get(key) != change.after.get(key))
            change = replace(change, op="update", old=old.old, differing=tuple(differing))
        found.append(change)
    return [change for change in found if id(change) not in taken]
