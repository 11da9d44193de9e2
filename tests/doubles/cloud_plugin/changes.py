"""What changed between old and new inputs, what that does, and what a preview can know of the outputs.

As Pulumi's bridge does it (`pulumi-terraform-bridge`, `pkg/tfbridge/provider.go`, `schema.go`).
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar, cast

from ..pulumi_resource_command.changes import Kind as Change
from ..pulumi_resource_command.changes import object_diff
from ..pulumi_resource_command.values import UNKNOWN, Properties, Secret, Value, plain, same
from .kinds import Kind
from .shapes import ListOf, Shape, Type

DEFAULTS = "__defaults"
"""The input in which the bridge notes what it filled in itself; the engine does not show it."""

Step = str | int
C = TypeVar("C")


def steps(path: str) -> list[Step]:
    """The parts of a property path: `networks[0].port`, `metadata["a.b"]`, `tags[*]`."""
    found: list[Step] = []
    for name, quoted, index in re.findall(r'([^.\["\]]+)(?![^\[]*\])|\["((?:[^"\\]|\\.)*)"\]|\[(\d+|\*)\]', path):
        if index:
            found.append("*" if index == "*" else int(index))
        else:
            found.append(name or re.sub(r"\\(.)", r"\1", quoted))
    return found


def with_ignored(olds: Properties, news: Properties, ignored: Iterable[str]) -> Properties:
    """The new inputs, with what stands at these paths as it was; a path may go into structures, `*` is any part."""
    result: Value = copy.deepcopy(news)
    for path in ignored:
        result = _restored(olds, result, steps(path))
    assert isinstance(result, dict)
    return result


def _restored(old: Value, new: Value, path: list[Step]) -> Value:
    if not path:
        return copy.deepcopy(old)
    if isinstance(new, Secret) or isinstance(old, Secret):
        inner = _restored(_bare(old), _bare(new), path)
        return Secret(inner)
    step, rest = path[0], path[1:]
    if isinstance(new, dict) and isinstance(old, dict):
        result = dict(new)
        for key in sorted(new.keys() | old.keys()) if step == "*" else [str(step)]:
            if key in old:
                result[key] = _restored(old[key], new.get(key), rest)
            elif not rest:
                result.pop(key, None)
        return result
    if isinstance(new, list) and isinstance(old, list):
        indexes = range(len(new)) if step == "*" else [step]
        return [
            _restored(old[place], item, rest) if place in indexes and place < len(old) else item
            for place, item in enumerate(new)
        ]
    return new


def _bare(value: Value) -> Value:
    return value.value if isinstance(value, Secret) else value


def detailed_diff(kind: Kind[C], olds: Properties, news: Properties) -> dict[str, tuple[Change, bool]]:
    """Each changed path of the inputs with how it changed and whether that replaces the resource.

    That a value is secret or no longer is, is not a change of the resource. Nor is it one that the program no longer
    says what the service fills in: that stays (Terraform's plugin SDK, helper/schema/schema.go, `removed` of what is
    `Computed`), as after an import, whose inputs are all that the cloud has.
    """
    before, after = told(olds), told(news)
    before = _without(before, (before.keys() - after.keys()) & kind.outputs)
    replacing = kind.replacing(after)
    return {path: (change, str(steps(path)[0]) in replacing) for path, change in object_diff("", before, after)}


def deletes_first(kind: Kind[C], news: Properties) -> bool:
    """Whether a replacement deletes before it creates: where the program gave the name, two cannot stand at once."""
    return kind.named in news and kind.named not in noted(news)


def noted(inputs: Properties) -> list[str]:
    """What of these inputs was filled in by us."""
    found = plain(inputs.get(DEFAULTS))
    return [str(name) for name in found] if isinstance(found, list) else []


def told(properties: Mapping[str, Value]) -> dict[str, Any]:
    """Properties without what is the bridge's own and without wrappings, whole numbers as such: as a kind gets them."""
    found = _whole(plain(dict(properties)))
    assert isinstance(found, dict)
    return {name: value for name, value in found.items() if not name.startswith("__") and value is not None}


def _whole(value: Value) -> Value:
    match value:
        case bool():
            return value
        case float() if value.is_integer():
            return int(value)
        case list():
            return [_whole(item) for item in value]
        case dict():
            return {key: _whole(item) for key, item in value.items()}
        case _:
            return value


def secret_again(outputs: Mapping[str, Any], *witnesses: Properties) -> Properties:
    """Outputs, secret as a whole where an input of that name, or what stood there before, is secret in any part."""
    return {
        name: Secret(value) if any(holds_secret(witness.get(name)) for witness in witnesses) else value
        for name, value in outputs.items()
    }


def holds_secret(value: Value) -> bool:
    """Whether any part of a value is secret."""
    match value:
        case Secret():
            return True
        case list():
            return any(map(holds_secret, value))
        case dict():
            return any(map(holds_secret, value.values()))
        case _:
            return False


def previewed_create(kind: Kind[C], inputs: Properties) -> Properties:
    """The outputs of a create that has not run."""
    known = told(inputs)
    return secret_again({**known, **dict.fromkeys(kind.computed(known), UNKNOWN)}, inputs)


def previewed_update(kind: Kind[C], olds: Properties, old_inputs: Properties, inputs: Properties) -> Properties:
    """The outputs of an update that has not run."""
    known, before = told(inputs), told(old_inputs)
    changed = {name for name in known.keys() | before.keys() if not same(known.get(name), before.get(name))}
    outputs = {**_without(told(olds), before.keys() - known.keys() - kind.outputs), **known}
    return secret_again({**outputs, **dict.fromkeys(kind.recomputed(frozenset(changed)), UNKNOWN)}, inputs, olds)


def _without(properties: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    left_out = set(names)
    return {name: value for name, value in properties.items() if name not in left_out}


def read_inputs(kind: Kind[C], shape: Shape, inputs: Properties, outputs: Mapping[str, Any]) -> Properties:
    """The inputs after a read: as the cloud has them where the program gave them, all of them after an import."""
    if not told(inputs):
        given = {name: outputs[name] for name in shape.fields if outputs.get(name) is not None}
        filled: list[Value] = [name for name in given if name in kind.defaults]
        return {**given, DEFAULTS: filled}
    return {
        name: _as_given(shape.fields.get(name), value, outputs[name]) if outputs.get(name) is not None else value
        for name, value in inputs.items()
    }


def _as_given(type_: Type | None, given: Value, found: Any) -> Value:
    """What was found, without the fields of structures that were not given: the service filled those in."""
    if holds_secret(given):
        return Secret(_as_given(type_, plain(given), found))
    match type_:
        case Shape() if isinstance(given, dict) and isinstance(found, dict):
            return {
                name: _as_given(type_.fields.get(name), value, found[name])
                for name, value in given.items()
                if found.get(name) is not None
            }
        case ListOf() if isinstance(given, list) and isinstance(found, list):
            return [
                _as_given(type_.item, given[place], item) if place < len(given) else item
                for place, item in enumerate(found)
            ]
        case _:
            return cast("Value", found)
