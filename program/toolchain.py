"""The engine's surroundings, as far as a program sees them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pulumi
from pulumi.runtime import config as runtime_config

from fortress.sovereignty import toolchain as surroundings
from fortress.sovereignty.evidence import Toolchain


def toolchain(project: Path) -> Toolchain:
    """Of the run that this program is part of. `project` is the folder of Pulumi.yaml."""
    return Toolchain(
        _disabled_providers(),
        surroundings.backend(project, os.environ),
        surroundings.secrets_provider(project, pulumi.get_stack()),
    )


def _disabled_providers() -> tuple[str, ...]:
    found = runtime_config.CONFIG.get().get("pulumi:disable-default-providers", "[]")
    try:
        named = json.loads(found)
    except ValueError:
        named = found
    return tuple(map(str, named)) if isinstance(named, list) else (str(named),)
