"""The account that the kinds work on: a client of EC2, what the provider adds, and the machines underneath."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import botocore.session
from botocore.config import Config

from lab.base import cgroups, folders, processes
from lab.base.errors import LabError
from lab.net import network

from ..cloud_plugin.kinds import CloudError
from . import catalogue, moto_server
from .credentials import Caller, caller
from .enumerations import enforce
from .machines import LabMachines, Machines
from .record import Record

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

ROOT = Path(__file__).parents[3]
_PART = "aws"  # the control group of the lab's moto
_START_SECONDS = 60.0  # importing moto takes 2 s on an idle machine


@dataclass(frozen=True)
class Cloud:
    """One provider's view of the account. `record` is None where nothing outlives this process, `machines` where no lab
    stands."""

    ec2: EC2Client
    region: str
    default_tags: dict[str, str]
    machines: Machines | None
    record: Record | None
    patience: float = 60.0
    """Seconds that a removal waits while something is still used; the provider's are 5 to 20 minutes."""

    def arn(self, resource: str) -> str:
        """The name of a thing of EC2: of `vpc/vpc-1` say."""
        return f"arn:aws:ec2:{self.region}:{catalogue.ACCOUNT}:{resource}"


def connect(configuration: Mapping[str, Any]) -> Cloud:
    """The account as a provider of this configuration sees it.

    Raises:
        CloudError: the provider cannot work with it, or moto does not answer any more.
    """
    who = caller(configuration)
    named = os.environ.get("FORTRESS_CLOUDS")
    if not named:
        return Cloud(_client(own_endpoint(), who), who.region, who.default_tags, None, None)
    folder = Path(named)
    record = Record(folder)
    lab = _lab_of(folder)
    endpoint = record.read().endpoint
    if endpoint is None and lab is not None:
        try:
            with record.held() as content:
                content.endpoint = endpoint = content.endpoint or _start(lab, folder)
        except LabError as error:
            raise CloudError(f"the lab: {error}") from None
    machines = LabMachines() if lab else None
    return Cloud(_client(endpoint or own_endpoint(), who), who.region, who.default_tags, machines, record)


def _lab_of(folder: Path) -> folders.Lab | None:
    """The lab whose clouds these are, if it stands: another lab that stands here by chance must not get our hosts."""
    lab = folders.current()
    if folder != lab.clouds or not processes.alive(lab.pid_file("net-operator")):
        return None
    return lab


def _start(lab: folders.Lab, folder: Path) -> str:
    address = folder / "aws" / "address"
    address.unlink(missing_ok=True)
    command = [
        *cgroups.inside(lab, _PART),
        *network.enter(lab, "operator"),
        *("env", f"PYTHONPATH={ROOT}", sys.executable, "-P", "-m", moto_server.__name__),
        *(str(address), f"{lab.key}.pub"),
    ]
    processes.spawn(command, lab.pid_file(_PART), lab.log(_PART))
    processes.until(f"moto, see {lab.log(_PART)}", _START_SECONDS, address.exists, every=0.05)
    return address.read_text()


_own: list[str] = []
_owning = threading.Lock()


def own_endpoint() -> str:
    """The address of a moto in this process, with which it ends."""
    with _owning:
        if not _own:
            _own.append(moto_server.in_thread(catalogue.PUBLIC_KEY))
        return _own[0]


def client(endpoint: str) -> EC2Client:
    """A client of the moto there, whatever the environment says of AWS."""
    return _client(endpoint, Caller(catalogue.REGION, catalogue.ACCESS_KEY, catalogue.SECRET_KEY, {}))


def _client(endpoint: str, who: Caller) -> EC2Client:
    nowhere = (None, None, os.devnull, None)
    core = botocore.session.Session(
        session_vars={
            "profile": (None, None, None, None),
            "config_file": nowhere,
            "credentials_file": nowhere,
        }
    )
    session = boto3.Session(who.access_key, who.secret_key, region_name=who.region, botocore_session=core)
    settings = Config(proxies={}, retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=60)
    made = session.client("ec2", endpoint_url=endpoint, config=settings)
    enforce(made)
    return made
