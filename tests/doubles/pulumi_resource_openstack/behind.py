"""What happens in the project behind the program's back; for tests."""

from __future__ import annotations

from typing import Any

from lab.base import folders

from . import catalogue, machines
from .cloud import Cloud


def project() -> Cloud:
    """The project of the lab that FORTRESS_LAB names."""
    return Cloud(folders.current().clouds, catalogue.REGION)


def lose(name: str) -> None:
    """Ends an instance without a word, as when its hypervisor burns: its plug is pulled, its volumes are free."""
    with project().state("compute") as state:
        identity = _named(state, "servers", name)
        machines.end(state["servers"][identity]["host"], in_order=False)
        del state["servers"][identity]
        for attachment in [key for key, item in state["attachments"].items() if item["instanceId"] == identity]:
            del state["attachments"][attachment]


def change(collection: str, name: str, **values: Any) -> None:
    """Changes what an entry holds, as another person in the project might."""
    with project().state("compute") as state:
        state[collection][_named(state, collection, name)] |= values


def quota(**values: int) -> None:
    """Sets what the project may have: `instances`, `cores`, `ram` in MB, `volumes`."""
    with project().state("compute") as state:
        state["quota"] |= values


def look() -> catalogue.State:
    """All that is in the project."""
    with project().state("compute") as state:
        return state


def _named(state: catalogue.State, collection: str, name: str) -> str:
    return next(identity for identity, entry in state[collection].items() if entry["name"] == name)
