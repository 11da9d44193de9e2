"""The project as the provider's credentials reach it: its state in a file that several plugin processes share."""

from __future__ import annotations

import fcntl
import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab.base import folders

from ..cloud_plugin.kinds import CloudError
from . import catalogue
from .catalogue import State


@dataclass(frozen=True)
class Cloud:
    """A way into the project.

    `folder` holds the state, nothing is kept without one; `refusal` is what the identity service answers to the
    credentials, "" when it takes them. It is only asked once a service is used, as in the provider (delayed_auth).
    """

    folder: Path | None
    region: str
    refusal: str = ""

    @contextmanager
    def state(self, service: str, region: str | None = None) -> Iterator[State]:
        """All that is in the cloud, alone for the caller; what it changes is kept unless it fails.

        Args:
            service: whose client the provider makes: `compute`, `networking`, `block storage`…
            region: that the resource names, the provider's when None.

        Raises:
            CloudError: the credentials are refused, or the region has no such service.
        """
        if self.refusal:
            raise CloudError(f"Error creating OpenStack {service} client: {self.refusal}")
        if (region or self.region) != catalogue.REGION:
            words = "No suitable endpoint could be found in the service catalog."
            raise CloudError(f"Error creating OpenStack {service} client: {words}")
        if self.folder is None:
            nothing = catalogue.empty(public_key())
            yield nothing
            if nothing != catalogue.empty(public_key()):
                raise CloudError("the stand-in for OpenStack keeps things only where FORTRESS_CLOUDS names a folder")
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(self.folder / "openstack.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            file = self.folder / "openstack.json"
            state: State = json.loads(file.read_text()) if file.exists() else catalogue.empty(public_key())
            before = json.dumps(state, indent=1)
            yield state
            after = json.dumps(state, indent=1)
            if after != before:
                written = file.with_suffix(".new")
                written.write_text(after)
                written.rename(file)
        finally:
            os.close(lock)

    def image(self, volume: str) -> Path:
        """The file that holds a volume.

        Raises:
            CloudError: nothing is kept here.
        """
        if self.folder is None:
            raise CloudError("the stand-in for OpenStack keeps volumes only where FORTRESS_CLOUDS names a folder")
        return self.folder / "volumes" / volume


def clouds() -> Path | None:
    """The folder that holds the state of the clouds: FORTRESS_CLOUDS, else that of the lab that FORTRESS_LAB names."""
    if named := os.environ.get("FORTRESS_CLOUDS"):
        return Path(named)
    return folders.current().clouds if os.environ.get("FORTRESS_LAB") else None


def public_key() -> str:
    """That of the key pair that is there: the operator's in a lab."""
    folder = clouds()
    key = folders.current().key.with_suffix(".pub")
    if folder == folders.current().clouds and key.exists():
        return key.read_text().strip()
    return catalogue.PUBLIC_KEY


def new_id() -> str:
    """An id as OpenStack gives them."""
    return str(uuid.uuid4())
