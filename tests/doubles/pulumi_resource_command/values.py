"""Property values as the engine sends them, and what the provider library asks of them.

The wire marks a secret by an object with a signature and an unknown by a fixed string (sdk/go/common/resource,
`properties.go` and `plugin/rpc.go`); here a secret is a `Secret` and an unknown is `UNKNOWN`. Everything else is
plain Python. Assets and archives stay the signed objects they are: only `triggers` may hold one, and they are only
ever compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias, cast

from google.protobuf import struct_pb2  # type: ignore[import-untyped]

_SIGNATURE = "4dabf18193072939515e22adb298388d"
_SECRET = "1b47061264138c4ac30d75fd1eb44270"
_UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"


class Unknown(Enum):
    """The one value that is not known before an update has run."""

    UNKNOWN = "unknown"


UNKNOWN = Unknown.UNKNOWN


@dataclass(frozen=True)
class Secret:
    """A value that the engine encrypts in its state and hides in what it prints."""

    value: Value


Value: TypeAlias = "bool | float | str | list[Value] | dict[str, Value] | Secret | Unknown | None"
Properties: TypeAlias = "dict[str, Value]"


def from_wire(struct: struct_pb2.Struct) -> Properties:
    """The properties in a message of the engine."""
    return {key: _read(value) for key, value in struct.fields.items()}


def to_wire(properties: Mapping[str, Value]) -> struct_pb2.Struct:
    """The message for these properties; nulls are left out, as the provider library does."""
    return struct_pb2.Struct(fields={key: _write(value) for key, value in properties.items() if value is not None})


def _read(value: struct_pb2.Value) -> Value:
    match value.WhichOneof("kind"):
        case "bool_value":
            return bool(value.bool_value)
        case "number_value":
            return float(value.number_value)
        case "string_value":
            return UNKNOWN if value.string_value == _UNKNOWN else str(value.string_value)
        case "list_value":
            return [_read(item) for item in value.list_value.values]
        case "struct_value":
            fields = value.struct_value.fields
            if _SIGNATURE in fields and fields[_SIGNATURE].string_value == _SECRET:
                return Secret(_read(fields["value"]))
            return from_wire(value.struct_value)
        case _:
            return None


def _write(value: Value) -> struct_pb2.Value:
    match value:
        case None:
            return struct_pb2.Value(null_value=struct_pb2.NULL_VALUE)
        case bool():
            return struct_pb2.Value(bool_value=value)
        case int() | float():
            return struct_pb2.Value(number_value=value)
        case str():
            return struct_pb2.Value(string_value=value)
        case list():
            return struct_pb2.Value(list_value=struct_pb2.ListValue(values=[_write(item) for item in value]))
        case dict():
            return struct_pb2.Value(struct_value=to_wire(value))
        case Secret():
            fields = {_SIGNATURE: struct_pb2.Value(string_value=_SECRET), "value": _write(value.value)}
            return struct_pb2.Value(struct_value=struct_pb2.Struct(fields=fields))
        case Unknown.UNKNOWN:
            return struct_pb2.Value(string_value=_UNKNOWN)


def same(one: Value, other: Value) -> bool:
    """Deep equality in which a null equals an absent key, and a secret never equals a plain value."""
    if isinstance(one, dict) and isinstance(other, dict):
        return all(same(one.get(key), other.get(key)) for key in one.keys() | other.keys())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, Secret) and isinstance(other, Secret):
        return same(one.value, other.value)
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    return one == other


def is_unknown(value: Value) -> bool:
    """Whether the value itself, secret or not, is unknown; an unknown inside it does not count."""
    while isinstance(value, Secret):
        value = value.value
    return value is UNKNOWN


def plain(value: Value) -> Value:
    """The value without its secret wrappings, for use."""
    match value:
        case Secret():
            return plain(value.value)
        case list():
            return [plain(item) for item in value]
        case dict():
            return {key: plain(item) for key, item in value.items()}
        case _:
            return value


def as_secret(value: Value) -> Secret:
    """The value, secret once."""
    return value if isinstance(value, Secret) else Secret(value)


def text(properties: Mapping[str, Value], key: str) -> str | None:
    """A property that Check has found to be a string or absent; an unknown one cannot come here outside a preview."""
    return cast("str | None", plain(properties.get(key)))
