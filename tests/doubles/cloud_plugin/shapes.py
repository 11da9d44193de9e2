"""What a property may hold, read from the SDK's own generated classes, and the check of properties against it.

A type that is not there, misspelt, missing or mistyped is then an error here as it is with the real plugin, though
nothing of the package's schema is repeated. The sentences for an unknown and a missing property are those of Pulumi's
bridge (`pulumi-terraform-bridge`, `pkg/tfbridge/check_failures.go`); that for a wrong type is ours, since the bridge
passes on whatever Terraform says.
"""

from __future__ import annotations

import collections.abc
import enum
import inspect
import re
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from pulumi import _types

from ..pulumi_resource_command.values import UNKNOWN, Properties, Secret, Value
from .kinds import Problem


@dataclass(frozen=True)
class Scalar:
    """`name` is string, integer, number, boolean, or any."""

    name: str


@dataclass(frozen=True)
class ListOf:
    item: Type


@dataclass(frozen=True)
class MapOf:
    item: Type


@dataclass(frozen=True)
class OneOf:
    types: tuple[Type, ...]


@dataclass(frozen=True)
class Shape:
    """A structure: its fields by their name on the wire."""

    fields: Mapping[str, Type]
    required: frozenset[str]


Type = Scalar | ListOf | MapOf | OneOf | Shape

_SCALARS = {str: "string", bool: "boolean", int: "integer", float: "number"}


@cache
def of_class(args: type) -> Shape:
    """The shape of one of the SDK's classes of inputs."""
    parameters = inspect.signature(args).parameters
    names = _types.input_type_py_to_pulumi_names(args)
    hints = _types.input_type_types(args)
    required = {names[name] for name, item in parameters.items() if item.default is inspect.Parameter.empty}
    return Shape({name: _type(hint) for name, hint in hints.items()}, frozenset(required))


@cache
def of_function(function: Callable[..., Any]) -> Shape:
    """The shape of the inputs of one of the SDK's functions."""
    hints = typing.get_type_hints(function)
    parameters = [item for item in inspect.signature(function).parameters.values() if item.name != "opts"]
    return Shape(
        {_camel(item.name): _type(hints[item.name]) for item in parameters},
        frozenset(_camel(item.name) for item in parameters if item.default is inspect.Parameter.empty),
    )


def _camel(name: str) -> str:
    return re.sub(r"_(.)", lambda found: found[1].upper(), name)


def _type(hint: Any) -> Type:
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        found: list[Type] = []
        for item in typing.get_args(hint):
            if _carries(item) and (kind := _type(item)) not in found:
                found.append(kind)
        return found[0] if len(found) == 1 else OneOf(tuple(found))
    if origin in (collections.abc.Sequence, list):
        return ListOf(_type(typing.get_args(hint)[0]))
    if origin in (collections.abc.Mapping, dict):
        return MapOf(_type(typing.get_args(hint)[1]))
    if isinstance(hint, type):
        if _types.is_input_type(hint):
            return of_class(hint)
        if issubclass(hint, enum.Enum):
            return Scalar("string")
        if hint in _SCALARS:
            return Scalar(_SCALARS[hint])
    return Scalar("any")


def _carries(hint: Any) -> bool:
    """Whether a member of a union says what the value is, and not only in which wrapping it may come."""
    if hint is type(None) or isinstance(hint, typing.ForwardRef):
        return False
    plain = typing.get_origin(hint) or hint
    if plain is collections.abc.Awaitable or getattr(plain, "__name__", "") == "Output":
        return False
    return not (isinstance(plain, type) and (typing.is_typeddict(plain) or _types.is_output_type(plain)))


def problems(shape: Shape, properties: Mapping[str, Value], path: str = "") -> Iterator[Problem]:
    """Why these properties are refused, each with the path of the property."""
    for name in sorted(shape.required):
        if _uncovered(properties.get(name)) is None:
            yield Problem(_join(path, name), f"Missing required property '{_join(path, name)}'")
    for name, value in sorted(properties.items()):
        place = _join(path, name)
        if name in shape.fields:
            yield from _mismatches(shape.fields[name], value, place)
        else:
            yield Problem(place, "Invalid or unknown key")


def _mismatches(wanted: Type, value: Value, path: str) -> Iterator[Problem]:
    value = _uncovered(value)
    if value is None or value is UNKNOWN:
        return
    match wanted:
        case Shape() if isinstance(value, dict):
            yield from problems(wanted, value, path)
        case ListOf() if isinstance(value, list):
            for index, item in enumerate(value):
                yield from _mismatches(wanted.item, item, f"{path}[{index}]")
        case MapOf() if isinstance(value, dict):
            for key, item in value.items():
                yield from _mismatches(wanted.item, item, _join(path, key))
        case OneOf():
            found = [list(_mismatches(item, value, path)) for item in wanted.types]
            yield from [] if [] in found else found[0]
        case Scalar() if _fits(wanted.name, value):
            pass
        case _:
            yield Problem(path, f"expected {_words(wanted)}, got {_said(value)}")


def _fits(name: str, value: Value) -> bool:
    match name:
        case "string":
            return isinstance(value, str)
        case "boolean":
            return isinstance(value, bool)
        case "integer":
            return isinstance(value, int | float) and not isinstance(value, bool) and value == int(value)
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case _:
            return True


def _words(wanted: Type) -> str:
    match wanted:
        case Scalar():
            return f"{'an' if wanted.name[0] in 'ai' else 'a'} {wanted.name}"
        case ListOf():
            return "a list"
        case OneOf():
            return " or ".join(_words(item) for item in wanted.types)
        case _:
            return "an object"


def _said(value: Value) -> str:
    match value:
        case bool():
            return "a boolean"
        case int() | float():
            return f"the number {value:g}"
        case str():
            return "a string"
        case list():
            return "a list"
        case _:
            return "an object"


def _join(path: str, name: str) -> str:
    if not path:
        return name
    return f"{path}.{name}" if re.fullmatch(r"[_a-zA-Z][-_a-zA-Z0-9]*", name) else f'{path}["{name}"]'


def _uncovered(value: Value) -> Value:
    while isinstance(value, Secret):
        value = value.value
    return value


def from_texts(shape: Shape, properties: Properties, decode: Callable[[str], Any]) -> Properties:
    """A provider's properties, which the SDK sends as JSON texts wherever they are no strings."""
    return {
        name: decode(value) if isinstance(value, str) and shape.fields.get(name) != Scalar("string") else value
        for name, value in properties.items()
    }
