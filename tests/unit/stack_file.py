"""The stack files as settings, to change."""

from __future__ import annotations

import base64
import copy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from fortress.settings.secrets import SECRETS
from fortress.settings.types import PROJECT

ROOT = Path(__file__).parents[2]
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB"
"""A host key."""
RSA_KEY = f"ssh-rsa {base64.b64encode(bytes([0, 0, 0, 7]) + b'ssh-rsa' + bytes(400)).decode()}"
"""Of a kind that opens machines, and that no host is known by any more."""
GONE: Any = object()
"""For `changed`: leave this setting out."""

_LAB, _OSLO = (yaml.safe_load((ROOT / f"Pulumi.{stack}.yaml").read_text())["config"] for stack in ("lab", "oslo"))


def lab() -> dict[str, Any]:
    """The lab's settings, to change."""
    return _settings(_LAB)


def oslo() -> dict[str, Any]:
    """The settings of the stack on two clouds, to change."""
    return _settings(_OSLO)


def _settings(config: Mapping[str, Any]) -> dict[str, Any]:
    prefix = f"{PROJECT}:"
    found = {key.removeprefix(prefix): value for key, value in config.items() if key.startswith(prefix)}
    return copy.deepcopy({key: value for key, value in found.items() if key not in SECRETS})


def changed(changes: Mapping[str, Any], stack: Callable[[], dict[str, Any]] = lab) -> dict[str, Any]:
    """A stack's settings with some changed: `/`-separated path to value, or `GONE` to leave one out."""
    found = stack()
    for path, value in changes.items():
        *above, last = path.split("/")
        place: Any = found
        for part in above:
            place = place[int(part)] if isinstance(place, list) else place.setdefault(part, {})
        if value is GONE:
            del place[last]
        else:
            place[int(last) if isinstance(place, list) else last] = copy.deepcopy(value)
    return found


def with_key_files(folder: Path, content: bytes) -> dict[str, Any]:
    """The stack `oslo`, whose key pairs are made from this file; `folder` becomes a project that it fits."""
    (folder / "examples/app").mkdir(parents=True)
    (folder / "examples/app/app.py").touch()
    (folder / "deploy.pub").write_bytes(content)
    clouds = ("oslo/openstack", "frankfurt/aws")
    return changed({f"sites/{cloud}/key_pair/public_key": "deploy.pub" for cloud in clouds}, oslo)
