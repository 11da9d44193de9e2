"""The hosts that are looked at before anything is removed from them: what scripts/host-answers is told, and answers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

GONE = "gone"
"""What stands in place of an address for a host that nobody looks at any more."""


@dataclass(frozen=True)
class HostInSight:
    """A host that answers SSH at an address, as far as is known."""

    name: str
    address: str
    port: int
    gone: bool = False


def render(hosts: Iterable[HostInSight]) -> str:
    """One host a line: name, address and port, or name and `gone`."""
    return "\n".join(
        f"{host.name} {GONE}" if host.gone else f"{host.name} {host.address} {host.port}" for host in hosts
    )


def parse(text: str) -> list[HostInSight]:
    """The opposite of `render`, without where those are that are gone."""
    found = []
    for line in text.splitlines():
        name, address, *port = line.split(" ")
        found.append(HostInSight(name, address, int(port[0])) if port else HostInSight(name, "", 0, gone=True))
    return found


def without(text: str, name: str) -> str:
    """The same text without a host."""
    return render(host for host in parse(text) if host.name != name)
