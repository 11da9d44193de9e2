"""Volumes, which outlive instances, what attaches them, and containers of objects."""

# ruff: noqa: ARG002 - a type need not look at all that it is given

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import pulumi_openstack

from ..cloud_plugin.kinds import CloudError, Problem, Properties
from . import catalogue, machines
from .catalogue import State
from .cloud import Cloud, new_id
from .kind import Stored
from .words import refused

_GB = 1024**3  # bytes of what OpenStack calls a gigabyte


class Volume(Stored):
    token = "openstack:blockstorage/volume:Volume"
    args = pulumi_openstack.blockstorage.VolumeArgs
    collection = "volumes"
    service = "block storage"
    replaces = frozenset(
        {
            *("availabilityZone", "backupId", "consistencyGroupId", "imageId", "region", "schedulerHints"),
            *("snapshotId", "sourceReplica", "sourceVolId"),
        }
    )
    outputs = frozenset({"attachments", "availabilityZone", "metadata", "region", "volumeType"})
    defaults: ClassVar[Mapping[str, Any]] = {"volumeRetypePolicy": "never"}

    def problems(self, inputs: Properties) -> Iterable[Problem]:
        for name in ("backupId", "imageId", "snapshotId", "sourceVolId", "schedulerHints"):
            if name in inputs:
                yield Problem(name, f"the stand-in for OpenStack does not model '{name}' of volumes")

    def create(self, cloud: Cloud, inputs: Properties, name: str) -> tuple[str, Properties]:
        identity, outputs = super().create(cloud, inputs, name)
        self._sized(cloud, identity, inputs["size"])
        return identity, outputs

    def made(self, state: State, identity: str, inputs: Properties) -> Properties:
        doing, request = "Error creating OpenStack volume", "POST /v3/volumes"
        _check_type(inputs, doing, request)
        if inputs.get("availabilityZone", catalogue.ZONE) != catalogue.ZONE:
            zone = inputs["availabilityZone"]
            raise refused(doing, request, 400, f"Invalid input received: Availability zone '{zone}' is invalid.")
        most = state["quota"]["volumes"]
        if len(state["volumes"]) >= most:
            message = f"VolumeLimitExceeded: Maximum number of volumes allowed ({most}) exceeded for quota 'volumes'."
            raise refused(doing, request, 413, message)
        filled = {"availabilityZone": catalogue.ZONE, "metadata": {}, "volumeType": catalogue.VOLUME_TYPES[0]}
        return {**filled, **inputs}

    def shown(self, state: State, identity: str, entry: Properties) -> Properties:
        attached = [
            {"id": name, "instanceId": item["instanceId"], "device": item["device"]}
            for name, item in state["attachments"].items()
            if item["volumeId"] == identity
        ]
        return {**super().shown(state, identity, entry), "attachments": attached}

    def update(self, cloud: Cloud, identity: str, olds: Properties, inputs: Properties) -> Properties:
        outputs = super().update(cloud, identity, olds, inputs)
        self._sized(cloud, identity, inputs["size"])
        if outputs["attachments"]:
            machines.grow(identity)
        return outputs

    def changed(self, state: State, identity: str, olds: Properties, inputs: Properties) -> Properties:
        size, before = inputs["size"], olds["size"]
        doing, request = f"Error extending volume ({identity}) size", f"POST /v3/volumes/{identity}/action"
        if size < before:
            message = (
                f"Invalid input received: New size for extend must be greater than current size. (current: {before}"
            )
            raise refused(doing, request, 400, f"{message}, extended: {size}).")
        attached = any(item["volumeId"] == identity for item in state["attachments"].values())
        if size > before and attached and not inputs.get("enableOnlineResize"):
            raise CloudError(
                f"Error extending volume ({identity}), volume is attached to the instance and resizing online is "
                "disabled, see enable_online_resize option"
            )
        doing = f"Error changing volume {identity} type"
        _check_type(inputs, doing, request)
        kind = inputs.get("volumeType", olds["volumeType"])
        if kind != olds["volumeType"] and inputs.get("volumeRetypePolicy") != "on-demand":
            message = "Invalid input received: Retype needs volume to be migrated, and migration_policy is never."
            raise refused(doing, request, 400, message)
        return {"availabilityZone": olds["availabilityZone"], "metadata": {}, **inputs, "volumeType": kind}

    def delete(self, cloud: Cloud, identity: str, state: Properties) -> None:
        with cloud.state(self.service, state.get("region")) as found:
            for name in [name for name, item in found["attachments"].items() if item["volumeId"] == identity]:
                _detach(found, name)
            found["volumes"].pop(identity, None)
        if cloud.folder:
            cloud.image(identity).unlink(missing_ok=True)

    def _sized(self, cloud: Cloud, identity: str, size: int) -> None:
        if cloud.folder is None:
            return
        image = cloud.image(identity)
        image.parent.mkdir(exist_ok=True)
        with image.open("ab") as file:
            file.truncate(size * _GB)


class VolumeAttach(Stored):
    token = "openstack:compute/volumeAttach:VolumeAttach"
    args = pulumi_openstack.compute.VolumeAttachArgs
    collection = "attachments"
    service = "compute"
    replaces = frozenset({"instanceId", "multiattach", "region", "tag", "volumeId"})
    outputs = frozenset({"device", "region"})

    def problems(self, inputs: Properties) -> Iterable[Problem]:
        for name in ("device", "multiattach", "tag", "vendorOptions"):
            if name in inputs:
                yield Problem(name, f"the stand-in for OpenStack does not model '{name}' of attachments")

    def create(self, cloud: Cloud, inputs: Properties, name: str) -> tuple[str, Properties]:
        instance, volume = inputs["instanceId"], inputs["volumeId"]
        doing = f"Error creating openstack_compute_volume_attach_v2 {instance}"
        request = f"POST /v2.1/servers/{instance}/os-volume_attachments"
        with cloud.state(self.service, inputs.get("region")) as state:
            server = state["servers"].get(instance)
            if server is None:
                raise refused(doing, request, 404, f"Instance {instance} could not be found.")
            if volume not in state["volumes"]:
                raise refused(doing, request, 404, f"Volume {volume} could not be found.")
            if any(item["volumeId"] == volume for item in state["attachments"].values()):
                message = f"Invalid volume: volume {volume} status must be available or downloading to reserve, but "
                raise refused(doing, request, 400, f"{message}the current status is in-use.")
            device = machines.attach(server["host"], cloud.image(volume), volume)
            identity = new_id()
            state["attachments"][identity] = {**inputs, "device": device}
            return f"{instance}/{identity}", {"region": catalogue.REGION, **inputs, "device": device}

    def read(self, cloud: Cloud, identity: str, state: Properties) -> Properties | None:
        return super().read(cloud, identity.split("/")[-1], state)

    def delete(self, cloud: Cloud, identity: str, state: Properties) -> None:
        with cloud.state(self.service, state.get("region")) as found:
            name = identity.split("/")[-1]
            if name in found["attachments"]:
                _detach(found, name)


class Container(Stored):
    token = "openstack:objectstorage/container:Container"
    args = pulumi_openstack.objectstorage.ContainerArgs
    collection = "containers"
    service = "object storage"
    replaces = frozenset({"name", "region", "storageClass", "storagePolicy"})
    outputs = frozenset({"region", "storagePolicy"})
    defaults: ClassVar[Mapping[str, Any]] = {"forceDestroy": False, "versioning": False}

    def identity(self, inputs: Properties) -> str:
        return str(inputs["name"])

    def made(self, state: State, identity: str, inputs: Properties) -> Properties:
        # a container that is there already is taken as it is: Swift's PUT makes or changes
        return {"storagePolicy": "default", **inputs}

    def removed(self, state: State, identity: str, entry: Properties) -> None:
        if entry.get("objects") and not entry.get("forceDestroy"):
            words = "There was a conflict when trying to complete your request."
            raise CloudError(
                f"Error deleting objectstorage_container_v1 '{identity}': Expected HTTP response code [202 204] when "
                f"accessing [DELETE https://api.coolvds.com/v1/AUTH_{catalogue.PROJECT_ID}/{identity}], but got 409 "
                f"instead: {words}"
            )


def _check_type(inputs: Properties, doing: str, request: str) -> None:
    kind = inputs.get("volumeType", catalogue.VOLUME_TYPES[0])
    if kind not in catalogue.VOLUME_TYPES:
        raise refused(doing, request, 404, f"Volume type {kind} could not be found.")


def _detach(state: State, name: str) -> None:
    item = state["attachments"][name]
    server = state["servers"].get(item["instanceId"])
    if server:
        machines.detach(server["host"], item["volumeId"])
    del state["attachments"][name]
