"""The state of each stack as it once stood, for tests of today's program against it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fortress import push

FOLDER = Path(__file__).parent
MASK = "[masked]"
_SECRET = "4dabf18193072939515e22adb298388d"
"""How the engine marks a secret in an exported state (sdk/go/common/resource, properties.go)."""
_OPEN = ("host", "port", "user", "hostKey", "dialErrorLimit", "perDialTimeout", "proxy")
"""What of a connection is no secret."""


def masked(exported: dict[str, Any]) -> dict[str, Any]:
    """An exported state, secrets shown, without any secret and without the texts of files.

    What files hold is no matter of the engine's plan: an update of a text is always an update.
    """
    deployment = exported["deployment"]
    return {
        "version": exported["version"],
        "deployment": {
            "manifest": {"time": "2026-01-01T00:00:00Z", "magic": "", "version": ""},
            "secrets_providers": deployment["secrets_providers"],
            "resources": [_resource(resource) for resource in deployment["resources"]],
        },
    }


def _resource(resource: dict[str, Any]) -> dict[str, Any]:
    kept = {key: _value(key, value) if key in ("inputs", "outputs") else value for key, value in resource.items()}
    return {
        key: value for key, value in kept.items() if key not in ("created", "modified", "sourcePosition", "stackTrace")
    }


def _value(key: str, value: Any) -> Any:
    if isinstance(value, dict) and _SECRET in value:
        shown = json.loads(value["plaintext"])
        return {**value, "plaintext": json.dumps(_hidden(key, shown))}
    if isinstance(value, dict):
        return {name: _value(name, item) for name, item in value.items()}
    if isinstance(value, list):
        return [_value(key, item) for item in value]
    return _masked(str(value)) if key == "stdin" and value is not None else value


def _masked(text: str) -> str:
    """A text without what it says; of several that are put together it stays how each is put."""
    files = push.apart(push.Files((), machine="", resource=""), text)
    return push.together((put, push.content(MASK)) for put, _ in files) if files else MASK


def _hidden(key: str, value: Any) -> Any:
    if key == "connection":
        return {name: item if name in _OPEN else MASK for name, item in value.items()}
    return MASK


def write(stack: str, exported: dict[str, Any]) -> Path:
    """Record a state, one resource a line, so that a change of it reads as one of resources."""
    state = masked(exported)
    resources = state["deployment"].pop("resources")
    head = json.dumps(state, indent=1)
    lines = ",\n".join(json.dumps(resource, sort_keys=True) for resource in resources)
    marker = '"deployment": {'
    path = FOLDER / f"{stack}.json"
    path.write_text(head.replace(marker, f'{marker}\n  "resources": [\n{lines}\n  ],', 1) + "\n")
    return path


def read(stack: str) -> dict[str, Any]:
    """A recorded state."""
    found: dict[str, Any] = json.loads((FOLDER / f"{stack}.json").read_text())
    return found
