"""The inputs and outputs of `command:remote:Command` and `command:local:Command`, and the check of inputs.

Names, types and defaults are those of the plugin's schema at 1.2.1 (the Python SDK of that version and the plugin's
`provider/pkg/provider/{remote,local,common}`); the sentences of a failed check are those of the engine's SDK
(`sdk/go/common/util/mapper`), which the plugin's library passes on.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from . import VERSION
from .values import UNKNOWN, Properties, Secret, Value, as_secret


@dataclass(frozen=True)
class Shape:
    """A structure: the name its errors call it by, and its fields."""

    name: str
    fields: tuple[Field, ...]


@dataclass(frozen=True)
class Field:
    """One property: its type in the schema's words (or a structure), and what becomes of it."""

    name: str
    type: str | Shape
    required: bool = False
    default: Value = None
    secret: bool = False
    replaces: bool = False


@dataclass(frozen=True)
class Failure:
    """Why a property was refused."""

    property: str
    reason: str


@dataclass(frozen=True)
class Resource:
    """One resource type: its token, its inputs, and the outputs it has besides them."""

    token: str
    inputs: Shape
    outputs: tuple[Field, ...]
    not_modelled: frozenset[str] = field(default_factory=frozenset)


def _connection(name: str, *more: Field) -> Shape:
    return Shape(
        name,
        (
            Field("user", "string", default="root"),
            Field("password", "string"),
            Field("host", "string", required=True),
            Field("port", "number", default=22.0),
            Field("privateKey", "string"),
            Field("privateKeyPassword", "string"),
            Field("agentSocketPath", "string"),
            Field("dialErrorLimit", "integer", default=10.0),
            Field("perDialTimeout", "integer", default=15.0),
            Field("hostKey", "string"),
            *more,
        ),
    )


_CONNECTION = _connection("remote.Connection", Field("proxy", _connection("remote.ProxyConnection")))
_LIFE = (
    Field("triggers", "list", replaces=True),
    Field("create", "string"),
    Field("update", "string"),
    Field("delete", "string"),
    Field("stdin", "string"),
    Field("logging", "string"),
    Field("environment", "string map"),
    Field("addPreviousOutputInEnv", "boolean", default=True),
)
_OUTPUTS = (Field("stdout", "string", required=True), Field("stderr", "string", required=True))

REMOTE = Resource(
    "command:remote:Command",
    Shape("remote.CommandInputs", (*_LIFE, Field("connection", _CONNECTION, required=True, secret=True))),
    _OUTPUTS,
)
LOCAL = Resource(
    "command:local:Command",
    Shape(
        "local.CommandInputs",
        (
            *_LIFE,
            Field("interpreter", "string list"),
            Field("dir", "string"),
            Field("assetPaths", "string list"),
            Field("archivePaths", "string list"),
        ),
    ),
    _OUTPUTS,
    frozenset({"assetPaths", "archivePaths"}),
)
RESOURCES = {resource.token: resource for resource in (REMOTE, LOCAL)}


def check(resource: Resource, news: Properties) -> tuple[Properties, list[Failure]]:
    """The inputs with defaults and secrets marked, and why they are refused; then no default is set."""
    failures = list(_failures(resource.inputs, news))
    failures += [
        Failure(name, f"the stand-in for pulumi-resource-command does not model '{name}' of {resource.token}")
        for name in sorted(resource.not_modelled)
        if news.get(name) is not None
    ]
    if failures:
        return _with_secrets(resource.inputs, news), failures
    return _with_secrets(resource.inputs, _with_defaults(resource.inputs, news)), []


def _failures(shape: Shape, properties: Properties) -> Iterator[Failure]:
    known = {item.name: item for item in shape.fields}
    for name, item in known.items():
        value = _uncovered(properties.get(name))
        if value is None:
            if item.required:
                yield Failure(name, f"Missing required field '{name}' on '{shape.name}'")
        else:
            yield from _mismatch(item.type, value, name, shape.name)
    for name in properties.keys() - known.keys():
        yield Failure(name, f"Unrecognized field '{name}' on '{shape.name}'")


def _mismatch(wanted: str | Shape, value: Value, path: str, owner: str) -> Iterator[Failure]:
    value = _uncovered(value)
    if value is UNKNOWN or (wanted == "list" and isinstance(value, list)):
        return
    if isinstance(wanted, Shape) and isinstance(value, dict):
        inner = list(_failures(wanted, value))
        if inner:
            lines = "".join(f"\n\t{failure.property}: {failure.reason}" for failure in inner)
            reason = f"{len(inner)} failures decoding:{lines}"
            yield Failure(path, f"An error occurred decoding '{owner.split('.')[1]}.{path}': {reason}")
    elif wanted == "string list" and isinstance(value, list):
        for index, item in enumerate(value):
            yield from _mismatch("string", item, f"{path}[{index}]", owner)
    elif wanted == "string map" and isinstance(value, dict):
        for key, item in value.items():
            yield from _mismatch("string", item, f"{path}[{key}] value", owner)
    elif _go_type(value) != (go := _GO.get(wanted, "") if isinstance(wanted, str) else wanted.name):
        if isinstance(wanted, str) and isinstance(value, float) and go == "int":
            return  # the library converts numbers
        yield Failure(path, f"Field '{path}' on '{owner}' must be a '{go}'; got '{_go_type(value)}' instead")


_GO = {
    "string": "string",
    "number": "float64",
    "integer": "int",
    "boolean": "bool",
    "list": "[]interface {}",
    "string list": "[]string",
    "string map": "map[string]string",
}


def _go_type(value: Value) -> str:
    match value:
        case bool():
            return "bool"
        case float() | int():
            return "float64"
        case list():
            return "[]interface {}"
        case dict():
            return "map[string]interface {}"
        case _:
            return "string"


def _uncovered(value: Value) -> Value:
    while isinstance(value, Secret):
        value = value.value
    return value


def _with_defaults(shape: Shape, properties: Properties) -> Properties:
    result: Properties = {name: value for name, value in properties.items() if value is not None}
    for item in shape.fields:
        if item.name not in result:
            if item.default is not None:
                result[item.name] = item.default
        elif isinstance(item.type, Shape):
            result[item.name] = _inside(item.type, result[item.name])
    return result


def _inside(shape: Shape, value: Value) -> Value:
    match value:
        case Secret():
            return Secret(_inside(shape, value.value))
        case dict():
            return _with_defaults(shape, value)
        case _:
            return value


def _with_secrets(shape: Shape, properties: Properties) -> Properties:
    secret = {item.name for item in shape.fields if item.secret}
    return {name: as_secret(value) if name in secret else value for name, value in properties.items()}


def package_schema() -> str:
    """The package schema of the two resources as JSON, for `pulumi package get-schema`."""
    types: dict[str, object] = {}
    resources = {token: _resource_schema(resource, types) for token, resource in RESOURCES.items()}
    return json.dumps(
        {
            "name": "command",
            "version": VERSION,
            "displayName": "Command (stand-in)",
            "description": "The stand-in for the Command provider, with the two resources that it models.",
            "types": types,
            "provider": {},
            "resources": resources,
        }
    )


def _resource_schema(resource: Resource, types: dict[str, object]) -> Mapping[str, object]:
    inputs = {item.name: _property_schema(item, types) for item in resource.inputs.fields}
    outputs = {item.name: _property_schema(item, types) for item in resource.outputs}
    return {
        "properties": inputs | outputs,
        "required": [item.name for item in (*resource.inputs.fields, *resource.outputs) if item.required],
        "inputProperties": inputs,
        "requiredInputs": [item.name for item in resource.inputs.fields if item.required],
    }


def _property_schema(item: Field, types: dict[str, object]) -> Mapping[str, object]:
    kinds: dict[str, dict[str, object]] = {
        "list": {"type": "array", "items": {"$ref": "pulumi.json#/Any"}},
        "string list": {"type": "array", "items": {"type": "string"}},
        "string map": {"type": "object", "additionalProperties": {"type": "string"}},
    }
    result: dict[str, object]
    if isinstance(item.type, Shape):
        token = f"command:remote:{item.type.name.split('.')[1]}"
        types[token] = {
            "type": "object",
            "properties": {inner.name: _property_schema(inner, types) for inner in item.type.fields},
            "required": [inner.name for inner in item.type.fields if inner.required],
        }
        result = {"$ref": f"#/types/{token}"}
    else:
        result = dict(kinds.get(item.type, {"type": item.type}))
    if item.default is not None:
        result["default"] = item.default
    if item.secret:
        result["secret"] = True
    if item.replaces:
        result["replaceOnChanges"] = True
    return result
