"""Instances: hosts of the lab."""

# ruff: noqa: ARG002 - a type need not look at all that it is given

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

import pulumi_openstack

from ..cloud_plugin.kinds import CloudError, Problem, Properties
from . import catalogue, machines
from .catalogue import State
from .cloud import Cloud, new_id
from .floating import host_of
from .kind import Stored
from .network import addresses
from .words import refused

_SERVERS = "POST /v2.1/servers"
_CREATING = "Error creating OpenStack server"
_OWN = ("host", "ports", "group", "login")  # what only we note of a server


class Instance(Stored):
    """Changes in place as in the provider: another flavor restarts the machine, another image wipes its disk."""

    token = "openstack:compute/instance:Instance"
    args = pulumi_openstack.compute.InstanceArgs
    collection = "servers"
    service = "compute"
    replaces = frozenset(
        {
            *("availabilityZone", "availabilityZoneHints", "blockDevices", "configDrive", "hypervisorHostname"),
            *("keyPair", "networkMode", "networks", "region", "schedulerHints", "userData"),
        }
    )
    outputs = frozenset(
        {
            *("accessIpV4", "accessIpV6", "allMetadata", "allTags", "availabilityZone", "created", "flavorId"),
            *("flavorName", "hypervisorHostname", "imageId", "imageName", "region", "securityGroups", "updated"),
        }
    )
    defaults: ClassVar[Mapping[str, Any]] = {"forceDelete": False, "powerState": "active", "stopBeforeDestroy": False}

    def problems(self, inputs: Properties) -> Iterable[Problem]:
        for name in ("adminPass", "blockDevices", "networkMode", "personalities", "securityGroups", "vendorOptions"):
            if name in inputs:
                yield Problem(name, f"the stand-in for OpenStack does not model '{name}' of instances")
        if inputs.get("powerState", "active") != "active":
            yield Problem("powerState", "the stand-in for OpenStack knows instances that are active only")

    def recomputed(self, changed: frozenset[str]) -> frozenset[str]:
        pairs = {"flavorName": "flavorId", "flavorId": "flavorName", "imageId": "imageName", "imageName": "imageId"}
        metadata = {"allMetadata"} if "metadata" in changed else set()
        return frozenset({pairs[name] for name in changed & pairs.keys()} | metadata)

    def create(self, cloud: Cloud, inputs: Properties, name: str) -> tuple[str, Properties]:
        with cloud.state(self.service, inputs.get("region")) as state:
            identity = new_id()
            entry = self.made(state, identity, inputs)
            machines.check(cloud, inputs.get("userData", ""))
            _boot(state, entry, inputs)
            state["servers"][identity] = entry
            return identity, self.shown(state, identity, entry)

    def made(self, state: State, identity: str, inputs: Properties) -> Properties:
        flavor = _flavor(inputs)
        image = _image(inputs)
        if "keyPair" in inputs and inputs["keyPair"] not in state["keypairs"]:
            raise refused(_CREATING, _SERVERS, 400, "Invalid key_name provided.")
        if inputs.get("availabilityZone", catalogue.ZONE) != catalogue.ZONE:
            raise refused(_CREATING, _SERVERS, 400, "The requested availability zone is not available")
        ports = [str(item.get("port", "")) for item in inputs.get("networks", [])]
        if not ports or "" in ports:
            raise CloudError("the stand-in for OpenStack knows instances whose networks are ports only")
        for port in ports:
            if port not in state["ports"]:
                raise refused(_CREATING, _SERVERS, 400, f"Port id {port} could not be found.")
            if any(port in server["ports"] for server in state["servers"].values()):
                raise refused(_CREATING, _SERVERS, 409, f"Port {port} is still in use.")
        group = next((hint["group"] for hint in inputs.get("schedulerHints", []) if "group" in hint), "")
        if group and group not in state["server_groups"]:
            message = f"Invalid input for field/attribute group. Value: {group}. Server group not found."
            raise refused(_CREATING, _SERVERS, 400, message)
        _check_quota(state, flavor, _CREATING, _SERVERS)
        host = host_of(state, ports)
        if host is None:
            raise CloudError(
                f"Error waiting for instance ({identity}) to become ready: unexpected state 'ERROR', wanted target "
                "'ACTIVE'. last error: No valid host was found. There are not enough hosts available."
            )
        now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S +0000 UTC")
        return {
            "availabilityZone": catalogue.ZONE,
            "created": now,
            "updated": now,
            "hypervisorHostname": "",
            "securityGroups": [],
            **inputs,
            **_derived(flavor, image),
            "allTags": sorted(inputs.get("tags", [])),
            "host": host,
            "ports": ports,
            "group": group,
            "login": catalogue.IMAGES[image][1],
        }

    def shown(self, state: State, identity: str, entry: Properties) -> Properties:
        outputs = {name: value for name, value in entry.items() if name not in _OWN}
        networks, first = [], ""
        for given, port in zip(entry["networks"], entry["ports"], strict=True):
            held = state["ports"].get(port)
            fixed = next(iter(addresses(held).values()), "") if held else ""
            first = first or fixed
            known = {"uuid": held["networkId"], "fixedIpV4": fixed, "mac": held["macAddress"]} if held else {}
            networks.append({"accessNetwork": False, **known, **given})
        return super().shown(state, identity, outputs) | {
            "networks": networks,
            "accessIpV4": first,
            "accessIpV6": "",
            "allMetadata": entry.get("metadata", {}),
        }

    def update(self, cloud: Cloud, identity: str, olds: Properties, inputs: Properties) -> Properties:
        with cloud.state(self.service, inputs.get("region")) as state:
            before = state["servers"].get(identity)
            if before is None:
                raise CloudError(f"Error updating OpenStack server: Resource not found: server {identity}")
            flavor, image = _flavor(inputs), _image(inputs)
            others = {name: server for name, server in state["servers"].items() if name != identity}
            resized = catalogue.FLAVORS[flavor][0] != before["flavorId"]
            if resized:
                doing, request = "Error resizing OpenStack server", f"POST /v2.1/servers/{identity}/action"
                _check_quota({**state, "servers": others}, flavor, doing, request)
            own = {
                name: before[name] for name in (*_OWN, "availabilityZone", "created", "updated", "hypervisorHostname")
            }
            entry = {
                **own,
                "securityGroups": [],
                **inputs,
                **_derived(flavor, image),
                "allTags": sorted(inputs.get("tags", [])),
                "login": catalogue.IMAGES[image][1],
            }
            if image != before["imageId"]:
                _rebuild(cloud, state, identity, entry, inputs)
            elif resized:
                machines.restart(entry["host"])
            state["servers"][identity] = entry
            return self.shown(state, identity, entry)

    def delete(self, cloud: Cloud, identity: str, state: Properties) -> None:
        with cloud.state(self.service, state.get("region")) as found:
            server = found["servers"].get(identity)
            if server is None:
                return
            machines.check(cloud, "")
            machines.end(server["host"], bool(server.get("stopBeforeDestroy")))
            del found["servers"][identity]
            for name in [name for name, item in found["attachments"].items() if item["instanceId"] == identity]:
                del found["attachments"][name]


def _derived(flavor: str, image: str) -> Properties:
    return {
        "flavorName": flavor,
        "flavorId": catalogue.FLAVORS[flavor][0],
        "imageId": image,
        "imageName": catalogue.IMAGES[image][0],
    }


def _flavor(inputs: Properties) -> str:
    if name := inputs.get("flavorName"):
        if name not in catalogue.FLAVORS:
            raise CloudError(f"Unable to find flavor with name {name}")
        return str(name)
    for found, (identity, *_) in catalogue.FLAVORS.items():
        if inputs.get("flavorId") == identity:
            return found
    if "flavorId" in inputs:
        raise refused(_CREATING, _SERVERS, 404, f"Flavor {inputs['flavorId']} could not be found.")
    raise CloudError("One of `flavor_id` or `flavor_name` must be set.")


def _image(inputs: Properties) -> str:
    if identity := inputs.get("imageId"):
        if identity not in catalogue.IMAGES:
            raise refused(_CREATING, _SERVERS, 400, "Can not find requested image")
        return str(identity)
    for found, (name, *_) in catalogue.IMAGES.items():
        if inputs.get("imageName") == name:
            return found
    if "imageName" in inputs:
        raise CloudError(f"Unable to find image with name {inputs['imageName']}")
    raise CloudError("Neither a boot device, image ID, or image name were able to be determined.")


def used(state: State) -> dict[str, int]:
    """What of its quota the project uses."""
    flavors = [catalogue.FLAVORS[server["flavorName"]] for server in state["servers"].values()]
    return {
        "instances": len(flavors),
        "cores": sum(cores for _, cores, _, _ in flavors),
        "ram": sum(memory for _, _, memory, _ in flavors),
    }


def _check_quota(state: State, flavor: str, doing: str, request: str) -> None:
    _, cores, memory, _ = catalogue.FLAVORS[flavor]
    have, wanted = used(state), {"instances": 1, "cores": cores, "ram": memory}
    over = [name for name in wanted if have[name] + wanted[name] > state["quota"][name]]
    if over:
        # nova names all that is over, and then the numbers of each in this order
        names = ", ".join(over)
        more = ", ".join(str(wanted[name]) for name in over)
        now = ", ".join(str(have[name]) for name in over)
        most = ", ".join(str(state["quota"][name]) for name in over)
        message = f"Quota exceeded for {names}: Requested {more}, but already used {now} of {most} {names}"
        raise refused(doing, request, 403, message)


def _boot(state: State, entry: Properties, inputs: Properties) -> None:
    given = [
        f"{address}/{ipaddress.ip_network(state['subnets'][subnet]['cidr']).prefixlen}"
        for port in entry["ports"]
        for subnet, address in addresses(state["ports"][port]).items()
    ]
    key = state["keypairs"].get(inputs.get("keyPair", ""), {}).get("publicKey", "")
    hostname = re.sub(r"[^a-z0-9-]+", "-", inputs["name"].lower()).strip("-")[:63]
    machines.boot(entry["host"], entry["login"], key, hostname, inputs.get("userData", ""), given)


def _rebuild(cloud: Cloud, state: State, identity: str, entry: Properties, inputs: Properties) -> None:
    machines.check(cloud, inputs.get("userData", ""))
    machines.end(entry["host"], in_order=True)
    _boot(state, entry, inputs)
    for item in state["attachments"].values():
        if item["instanceId"] == identity:
            item["device"] = machines.attach(entry["host"], cloud.image(item["volumeId"]), item["volumeId"])
