"""Hosts of the lab as the machines under EC2's instances: the one place that talks to the lab."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from lab import api
from lab.base import topology
from lab.base.errors import LabError
from lab.host import cloud_config

from ..cloud_plugin.kinds import CloudError

NONE = (
    "the stand-in for pulumi-resource-aws boots instances as hosts of a lab, and none stands here. "
    "Fix: python -m lab up, then run the engine by python -m lab run"
)
_PREFIX = "cloud-f"  # the pool's hosts in Frankfurt


class Machines(Protocol):
    """What an instance needs of the machines under it; each may raise CloudError."""

    def pool(self) -> dict[str, str]:
        """Name and public address of each host that can be an instance."""

    def boot(self, host: str, login: str, public_key: str, hostname: str, user_data: str) -> None:
        """Starts a host from a new disk; nobody waits until it is up."""

    def discard(self, host: str) -> None:
        """Pulls a host's plug and removes its disk."""

    def stop(self, host: str) -> None:
        """Shuts a host down; its disk stays."""

    def start(self, host: str) -> None:
        """Starts a host on the disk that it has."""


def check(user_data: str) -> None:
    """Finds before anything is made whether the lab can do what an instance's user data says.

    Raises:
        CloudError: it cannot.
    """
    with _told():
        cloud_config.hostname(user_data, "any")


class LabMachines:
    """The hosts of the current lab."""

    def pool(self) -> dict[str, str]:
        return {name: str(host.address) for name, host in topology.CLOUD.items() if name.startswith(_PREFIX)}

    def boot(self, host: str, login: str, public_key: str, hostname: str, user_data: str) -> None:
        with _told():
            api.boot(host, login, public_key, hostname, user_data)

    def discard(self, host: str) -> None:
        with _told():
            api.discard(host)

    def stop(self, host: str) -> None:
        with _told():
            api.shut_down(host)

    def start(self, host: str) -> None:
        with _told():
            api.start(host)


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except LabError as error:
        raise CloudError(f"the lab: {error}") from None
