"""The engine's state as it exports it: resources, their names, types and hosts, and what is secret in them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from fortress import push
from fortress.machine import incarnation

STACK = "pulumi:pulumi:Stack"
COMMAND = "command:remote:Command"
COMMAND_HERE = "command:local:Command"
HOST = "fortress:index:Host"
DATABASE = "fortress:index:DataFortress"

_SIGNATURE = "4dabf18193072939515e22adb298388d"
"""The key by which an exported state marks a value that is not plain (sdk/go/common/resource, SigKey)."""
SECRET = {_SIGNATURE: "1b47061264138c4ac30d75fd1eb44270"}

Resource = Mapping[str, Any]
"""One resource as `pulumi stack export` writes it."""
State = Mapping[str, Any]
"""One as `pulumi preview` prints it, before or after."""


def name_of(urn: str) -> str:
    """The name at the end of a URN."""
    return urn.split("::", 3)[-1]


def type_of(urn: str) -> str:
    """The type in a URN, without those of its parents."""
    parts = urn.split("::")
    return parts[2].rpartition("$")[2] if len(parts) > 2 else ""


def of_cloud(resource: Resource) -> bool:
    """Whether a cloud made it: no command, component or provider."""
    return bool(resource.get("custom")) and not type_of(resource["urn"]).startswith(("command:", "pulumi:"))


def parents(urn: str, states: Mapping[str, State]) -> Iterator[str]:
    """A resource, its parent, and so on."""
    seen = set()
    while urn and urn not in seen:
        yield urn
        seen.add(urn)
        urn = states.get(urn, {}).get("parent") or ""


def host_of(urn: str, states: Mapping[str, State]) -> str:
    """The host that a resource is for.

    It is part of one, or its connection needs one's key; a command of a host that is gone says at least which machine.
    """
    state = states.get(urn, {})
    connected = (state.get("propertyDependencies") or {}).get("connection") or []
    for start in (urn, *sorted(connected)):
        for up in parents(start, states):
            if type_of(up) == HOST:
                return name_of(up)
    named = incarnation(push.machine_of(str((state.get("inputs") or {}).get("create", ""))))
    return named.host if named else ""


def is_secret(value: Any) -> bool:
    """Whether a value of a state is wrapped as a secret, readable or not."""
    return isinstance(value, dict) and value.get(_SIGNATURE) == SECRET[_SIGNATURE]


def plain(value: Any) -> tuple[Any, bool]:
    """A value of a state without its wrapping, and whether it is a secret."""
    if is_secret(value):
        text = value.get("plaintext")
        return (json.loads(text) if text is not None else None), True
    return value, False


def interrupted(exported: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What the engine began and never heard the end of: URN and kind of each operation."""
    for pending in (exported.get("deployment") or {}).get("pending_operations") or []:
        yield pending["resource"]["urn"], str(pending.get("type", "change"))
