"""What changed between the state and new inputs, and which outputs a preview can know.

Both follow the plugin's library (pulumi-go-provider, `infer/resource.go`: `diff`, `markComputed`, `markSecret`) and
the SDK it calls (`sdk/go/common/resource/property_diff.go`, `plugin/provider.go`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from enum import Enum

from .schema import Resource
from .values import UNKNOWN, Properties, Value, is_unknown, same


class Kind(Enum):
    """How one property changed."""

    ADD = "add"
    DELETE = "delete"
    UPDATE = "update"


def detailed_diff(resource: Resource, olds: Properties, news: Properties) -> dict[str, tuple[Kind, bool]]:
    """Each changed path with how it changed and whether that alone replaces the resource.

    Only a whole property can replace: of `triggers[0]` the library does not know that `triggers` replaces. It is the
    SDK that tells the engine so for the elements (`replace_on_changes=["triggers[*]"]`).
    """
    inputs = {field.name for field in resource.inputs.fields}
    replacing = {field.name for field in resource.inputs.fields if field.replaces}
    before = {name: value for name, value in olds.items() if name in inputs}
    return {path: (kind, path in replacing) for path, kind in object_diff("", before, news)}


def with_ignored(olds: Properties, news: Properties, ignored: Iterable[str]) -> Properties:
    """The new inputs, with what is to be ignored as it was."""
    return news | {name: olds[name] for name in ignored if name in olds}


def object_diff(prefix: str, old: Properties, new: Properties) -> Iterator[tuple[str, Kind]]:
    """The paths below `prefix` at which two objects differ, and how each does."""
    for name in sorted(old.keys() | new.keys()):
        yield from _value_diff(_path(prefix, name), old.get(name), new.get(name))


def _value_diff(path: str, old: Value, new: Value) -> Iterator[tuple[str, Kind]]:
    if isinstance(old, dict) and isinstance(new, dict):
        yield from object_diff(path, old, new)
    elif isinstance(old, list) and isinstance(new, list):
        for index in range(max(len(old), len(new))):
            place = f"{path}[{index}]"
            if index >= len(old):
                yield place, Kind.ADD
            elif index >= len(new):
                yield place, Kind.DELETE
            else:
                yield from _value_diff(place, old[index], new[index])
    elif not same(old, new):
        yield path, Kind.ADD if old is None else Kind.DELETE if new is None else Kind.UPDATE


def _path(prefix: str, name: str) -> str:
    if re.fullmatch(r"[A-Za-z_$][A-Za-z0-9_$]*", name):
        return f"{prefix}.{name}" if prefix else name
    quoted = name.replace('"', '\\"')
    return f'{prefix}["{quoted}"]'


def previewed_create(inputs: Properties, outputs: Properties) -> Properties:
    """The outputs of a create that has not run: what mirrors an input is known, the rest is not."""
    return {name: value if name in inputs and same(inputs[name], value) else UNKNOWN for name, value in outputs.items()}


def previewed_update(resource: Resource, olds: Properties, inputs: Properties, outputs: Properties) -> Properties:
    """The outputs of an update that has not run: those that mirror no input are unknown once any input changed.

    An input that the state does not have yet does not count as changed, as in the library.
    """
    names = [field.name for field in resource.inputs.fields]
    changed = any(
        is_unknown(inputs.get(name)) or (name in olds and not same(inputs.get(name), olds[name])) for name in names
    )
    if not changed:
        return outputs
    return previewed_create(inputs, outputs)
