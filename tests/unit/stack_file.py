"""The lab's stack file as settings, to change."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from fortress.settings import PROJECT, SECRETS

ROOT = Path(__file__).parents[2]
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB"
"""A host key."""
GONE: Any = object()
"""For `changed`: leave this setting out."""

_LAB = yaml.safe_load((ROOT / "Pulumi.lab.yaml").read_text())["config"]


def lab() -> dict[str, Any]:
    """The lab's settings, to change."""
    found = {key.removeprefix(f"{PROJECT}:"): value for key, value in copy.deepcopy(_LAB).items()}
    return {key: value for key, value in found.items() if key not in SECRETS}


def changed(changes: Mapping[str, Any]) -> dict[str, Any]:
    """The lab's settings with some changed: `/`-separated path to value, or `GONE` to leave one out."""
    found = lab()
    for path, value in changes.items():
        *above, last = path.split("/")
        place: Any = found
        for part in above:
            place = place[int(part)] if isinstance(place, list) else place.setdefault(part, {})
        if value is GONE:
            del place[last]
        else:
            place[int(last) if isinstance(place, list) else last] = value
    return found
