"""Hosts of the lab under the project's instances and volumes: the one place that talks to the lab."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lab import api
from lab.base import folders
from lab.base.errors import LabError
from lab.host import cloud_config
from lab.net import network

from ..cloud_plugin.kinds import CloudError
from .cloud import Cloud

_NONE = (
    "the stand-in for pulumi-resource-openstack boots instances as hosts of a lab, and none stands here. "
    "Fix: python -m lab up, then run the engine by python -m lab run"
)


def check(cloud: Cloud, user_data: str) -> None:
    """Finds before anything is made whether an instance can be booted here.

    Another lab that stands by chance must not get the machines of this cloud.

    Raises: CloudError.
    """
    with _told():
        lab = folders.current()
        if cloud.folder != lab.clouds:
            raise CloudError(_NONE)
        try:
            network.holder(lab, "operator")
        except LabError:
            raise CloudError(_NONE) from None
        cloud_config.hostname(user_data, "any")


def boot(host: str, login: str, public_key: str, hostname: str, user_data: str, addresses: Sequence[str]) -> None:
    """Starts a host on a new disk; nobody waits until it is up."""
    with _told():
        api.boot(host, login, public_key, hostname, user_data, addresses)


def restart(host: str) -> None:
    """Shuts a host down and starts it again."""
    with _told():
        api.shut_down(host)
        api.start(host)


def end(host: str, in_order: bool) -> None:
    """Removes a host, shut down in order or not; its volumes stay."""
    with _told():
        if in_order and host in api.hosts():
            api.shut_down(host)
        api.discard(host)


def attach(host: str, image: Path, volume: str) -> str:
    """Gives a host a volume; its name there."""
    with _told():
        return api.attach(host, image, volume)


def detach(host: str, volume: str) -> None:
    """Takes a volume out of a host."""
    with _told():
        api.detach(host, volume)


def grow(volume: str) -> None:
    """Shows a host that its volume has become larger."""
    with _told():
        api.grow(volume)


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except LabError as error:
        raise CloudError(f"the lab: {error}") from None
