"""Plans as `pulumi preview --json` prints them, for tests of the comment."""

from __future__ import annotations

from typing import Any

from fortress import push
from fortress.cli.preview.plan import Plan, parse

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"


def urn(kind: str, name: str) -> str:
    return f"urn:pulumi:lab::data-fortress::{kind}::{name}"


HOST = urn("fortress:index:Host", "a")
RETAINED = {"retainOnDelete": True}


def step(op: str, kind: str, name: str, old: Any = None, new: Any = None, **more: Any) -> dict[str, Any]:
    """A step as `pulumi preview --json` has it, with inputs before and after."""
    common = {"urn": urn(kind, name), "custom": True, "parent": more.pop("parent", "")}
    old_more, new_more = more.pop("old_more", {}), more.pop("new_more", {})
    return {
        "op": op,
        "urn": urn(kind, name),
        **({"oldState": {**common, "inputs": old, **old_more}} if old is not None else {}),
        **({"newState": {**common, "inputs": new, **new_more}} if new is not None else {}),
        **more,
    }


def file(text: str, path: str = "/etc/x", apply: str = "systemctl restart app") -> dict[str, str]:
    """The inputs of a pushed file."""
    command = "sudo " + push.Put(path, machine="a.1", resource="x", apply=apply).render()
    return {"create": command, "stdin": push.content(text), "connection": "[secret]"}


def pushed(op: str, old: Any = None, new: Any = None, name: str = "x", **more: Any) -> dict[str, Any]:
    return step(op, "fortress:index:Host$command:remote:Command", name, old, new, parent=HOST, **more)


def plan(*steps: dict[str, Any], status: int = 0, diagnostics: Any = ()) -> Plan:
    host = {"op": "same", "urn": HOST, "newState": {"urn": HOST, "custom": False}}
    return parse({"steps": [host, *steps], "diagnostics": list(diagnostics)}, status)
