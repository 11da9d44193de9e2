"""An exported state as evidence for the rules."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from fortress.cli.engine import outputs
from fortress.cli.engine.project import project_folder
from fortress.cli.engine.state import is_secret
from fortress.sovereignty import toolchain
from fortress.sovereignty.evidence import Evidence, Resource, Toolchain, Withheld


def evidence(stack: str, exported: Mapping[str, Any], now: datetime) -> Evidence:
    """What a state shows.

    Raises:
        CannotAskError: the stack exports nothing for the rules, or another version's.
    """
    deployment = exported["deployment"]
    says = outputs.declared_of_state(exported, stack)
    states = [state for state in deployment["resources"] if not state.get("delete")]
    resources = [_resource(state) for state in states if state.get("custom")]
    folder = project_folder()
    return Evidence(
        now.date(),
        says,
        resources,
        {one.urn: one for one in resources if one.is_provider},
        Toolchain(
            toolchain.disabled_providers(folder, stack),
            toolchain.backend(folder, os.environ),
            secrets_provider(deployment),
            toolchain.environment(os.environ),
        ),
    )


def _resource(state: Mapping[str, Any]) -> Resource:
    depends = {urn for urns in (state.get("propertyDependencies") or {}).values() for urn in urns or ()}
    return Resource(
        type=state["type"],
        name=state["urn"].rpartition("::")[2],
        urn=state["urn"],
        properties={
            name: _value(value) for name, value in (state.get("inputs") or {}).items() if not name.startswith("__")
        },
        # A reference to a provider is its URN and its id.
        provider=(state.get("provider") or "").rpartition("::")[0],
        protect=bool(state.get("protect")),
        depends=frozenset(depends),
    )


def _value(value: Any) -> Any:
    if is_secret(value):
        return Withheld.SECRET
    if isinstance(value, dict):
        return {name: _value(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_value(part) for part in value]
    return value


def secrets_provider(deployment: Mapping[str, Any]) -> str | None:
    """As the state itself says: the kind, and for a key service its URL."""
    found = deployment.get("secrets_providers") or {}
    kind, url = found.get("type"), (found.get("state") or {}).get("url")
    return str(url) if kind == "cloud" and url else str(kind) if kind else None
