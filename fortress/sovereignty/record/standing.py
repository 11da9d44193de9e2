"""What the record takes from a stack's state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fortress.facts import StackOutputs
from fortress.sovereignty.record.model import StateStamp

HOST = "fortress:index:Host"
MACHINES = ("openstack:compute/instance:Instance", "aws:ec2/instance:Instance")
DATABASE = "fortress:index:DataFortress"
VOLUME = "openstack:blockstorage/volume:Volume"
CONTAINER = "openstack:objectstorage/container:Container"


@dataclass(frozen=True)
class StandingResource:
    """One resource of the state."""

    urn: str
    type: str
    name: str
    host: str = ""
    """The host that it belongs to, as the mesh names it."""
    provider: str = ""
    """URN of its provider, empty for a component."""
    region: str | None = None
    """The region in effect, where the state has one."""
    properties: Mapping[str, object] = field(default_factory=dict)
    """Its inputs that are neither secret nor unknown."""


@dataclass(frozen=True)
class PushedFile:
    """A file on a host, as the state has it."""

    urn: str
    host: str
    text: str | None
    """None where it is secret."""


@dataclass(frozen=True)
class Standing:
    """A stack as its state describes it. Empty for one that is only planned."""

    stamp: StateStamp | None = None
    outputs: StackOutputs | None = None
    resources: Sequence[StandingResource] = ()
    files: Mapping[str, Sequence[PushedFile]] = field(default_factory=dict)
    """By path."""
    secrets_provider: str | None = None
    """What encrypts secrets in the state, as the engine names it."""

    def of_host(self, host: str) -> list[StandingResource]:
        """The component, the machine and the volumes of a host."""
        return [found for found in self.resources if found.host == host and found.type in (HOST, *MACHINES, VOLUME)]

    def container(self, site: str, name: str) -> list[StandingResource]:
        """An object container of a site; its provider has the site's name."""
        return [
            found
            for found in self.resources
            if found.type == CONTAINER
            and found.properties.get("name") == name
            and found.provider.rpartition("::")[2] == site
        ]
