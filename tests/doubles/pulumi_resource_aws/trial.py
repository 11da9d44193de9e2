"""An account for tests, without the engine or without a lab."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from lab.base import processes

from . import catalogue, moto_server
from .cloud import ROOT, Cloud, client, own_endpoint
from .kind import where
from .record import Content, Record

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client


@dataclass
class NotedMachines:
    """Machines that only note what is done to them."""

    names: tuple[str, ...] = ("one", "two", "three")
    done: list[tuple[str, ...]] = field(default_factory=list)

    def pool(self) -> dict[str, str]:
        return {name: f"203.0.113.{31 + index}" for index, name in enumerate(self.names)}

    def boot(self, host: str, login: str, public_key: str, hostname: str, user_data: str) -> None:
        self.done.append(("boot", host, login, public_key, hostname, user_data))

    def discard(self, host: str) -> None:
        self.done.append(("discard", host))

    def stop(self, host: str) -> None:
        self.done.append(("stop", host))

    def start(self, host: str) -> None:
        self.done.append(("start", host))


@cache
def _shared() -> EC2Client:
    return client(own_endpoint())  # reading the service's model takes a second


@contextmanager
def account(folder: Path, machines: NotedMachines, **default_tags: str) -> Iterator[Cloud]:
    """The account of a moto in this process, which all tests share; no instance stays in it."""
    ec2 = _shared()
    yield Cloud(ec2, catalogue.REGION, default_tags, machines, Record(folder), patience=0)
    found = ec2.describe_instances(Filters=where("instance-state-name", "running"))["Reservations"]
    if found:
        ec2.terminate_instances(InstanceIds=[item["InstanceId"] for part in found for item in part["Instances"]])


@contextmanager
def standing(folder: Path) -> Iterator[str]:
    """An empty account that outlives the plugin, to be found by FORTRESS_CLOUDS=folder; the address of its moto."""
    folder.mkdir(parents=True)
    address = folder / "address"
    command = [sys.executable, "-P", "-m", moto_server.__name__, str(address)]
    with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)}) as process:
        try:
            processes.until("moto", 60, address.exists)
            Record(folder).file.write_text(json.dumps(asdict(Content(address.read_text()))))
            yield address.read_text()
        finally:
            process.terminate()
