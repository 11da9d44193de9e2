"""Floating addresses: those of the lab's hosts in Oslo, so that whoever has one is reached there."""

# ruff: noqa: ARG002 - a type need not look at all that it is given

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi_openstack

from lab.base.topology import CLOUD, OSLO

from ..cloud_plugin.kinds import CloudError, Properties
from . import catalogue
from .catalogue import State
from .cloud import Cloud
from .kind import Stored, named, tagged
from .network import addresses
from .words import neutron

POOL = {str(host.address): name for name, host in CLOUD.items() if host.site == OSLO}
"""The addresses that are handed out, and the host behind each."""


class FloatingIp(Stored):
    token = "openstack:networking/floatingIp:FloatingIp"
    args = pulumi_openstack.networking.FloatingIpArgs
    collection = "floating"
    replaces = frozenset(
        {"address", "dnsDomain", "dnsName", "pool", "region", "subnetId", "subnetIds", "tenantId", "valueSpecs"}
    )
    outputs = frozenset({"address", "allTags", "fixedIp", "portId", "region", "tenantId"})

    def made(self, state: State, identity: str, inputs: Properties) -> Properties:
        networks = named(state, "networks", inputs["pool"])
        if not networks:
            raise CloudError(f"Error retrieving floating IP pool name: No Network found with name: {inputs['pool']}")
        address = inputs.get("address") or _free(state)
        if address is None:
            raise neutron(
                "Error creating openstack_networking_floatingip_v2",
                "POST /v2.0/floatingips",
                409,
                "IpAddressGenerationFailure",
                f"No more IP addresses available on network {networks[0]}.",
            )
        return {"fixedIp": "", "portId": "", "tenantId": catalogue.PROJECT_ID, **inputs, "address": address} | tagged(
            inputs
        )

    def changed(self, state: State, identity: str, olds: Properties, inputs: Properties) -> Properties:
        return {**olds, **inputs, **tagged(inputs)}


class FloatingIpAssociate(Stored):
    """An entry of its own beside the address's, as long as the address has that port."""

    token = "openstack:networking/floatingIpAssociate:FloatingIpAssociate"
    args = pulumi_openstack.networking.FloatingIpAssociateArgs
    collection = "floating"
    replaces = frozenset({"floatingIp", "region"})
    outputs = frozenset({"fixedIp", "region"})

    def create(self, cloud: Cloud, inputs: Properties, name: str) -> tuple[str, Properties]:
        with cloud.state(self.service, inputs.get("region")) as state:
            identity = next(
                (name for name, entry in state["floating"].items() if entry["address"] == inputs["floatingIp"]), None
            )
            if identity is None:
                words = f"floating IP {inputs['floatingIp']} not found"
                raise CloudError(
                    f"Unable to get ID of openstack_networking_floatingip_associate_v2 floating_ip: {words}"
                )
            associate(state, identity, inputs["portId"])
            return identity, _shown(state["floating"][identity])

    def read(self, cloud: Cloud, identity: str, state: Properties) -> Properties | None:
        with cloud.state(self.service, state.get("region")) as found:
            entry = found["floating"].get(identity)
            return _shown(entry) if entry and entry["portId"] else None

    def update(self, cloud: Cloud, identity: str, olds: Properties, inputs: Properties) -> Properties:
        with cloud.state(self.service, inputs.get("region")) as state:
            associate(state, identity, inputs["portId"])
            return _shown(state["floating"][identity])

    def delete(self, cloud: Cloud, identity: str, state: Properties) -> None:
        with cloud.state(self.service, state.get("region")) as found:
            if entry := found["floating"].get(identity):
                entry |= {"portId": "", "fixedIp": ""}


def associate(state: State, identity: str, port: str) -> None:
    """Gives a port a floating address.

    Raises: CloudError when the port cannot be reached from outside, or a machine has booted at it without.
    """
    entry = state["floating"][identity]
    doing = f"Error associating openstack_networking_floatingip_associate_v2 floating_ip {identity} with port {port}"
    request = f"PUT /v2.0/floatingips/{identity}"
    if port not in state["ports"]:
        raise neutron(doing, request, 404, "PortNotFound", f"Port {port} could not be found.")
    network = named(state, "networks", entry["pool"])[0]
    routers = {name for name, router in state["routers"].items() if router.get("externalNetworkId") == network}
    routed = {link["subnetId"] for link in state["interfaces"].values() if link["routerId"] in routers}
    subnet, fixed = next(iter(addresses(state["ports"][port]).items()))
    if subnet not in routed:
        raise neutron(
            doing,
            request,
            404,
            "ExternalGatewayForFloatingIPNotFound",
            f"External network {network} is not reachable from subnet {subnet}. Therefore, cannot associate Port "
            f"{port} with a Floating IP.",
        )
    for server in state["servers"].values():
        if port in server["ports"] and server["host"] not in ("", POOL[entry["address"]]):
            raise CloudError(
                "the stand-in for OpenStack cannot give a machine that runs another address: a host of the lab keeps "
                "the one that it has booted at"
            )
    entry |= {"portId": port, "fixedIp": fixed}


def host_of(state: State, ports: list[str]) -> str | None:
    """The lab's host for a machine at these ports: that of its floating address, else a free one; None without."""
    for entry in state["floating"].values():
        if entry["portId"] in ports:
            return POOL[entry["address"]]
    free = _free(state)
    return None if free is None else POOL[free]


def _free(state: State) -> str | None:
    taken = {entry["address"] for entry in state["floating"].values()}
    hosts = {server["host"] for server in state["servers"].values()}
    return next((address for address, host in POOL.items() if address not in taken and host not in hosts), None)


def _shown(entry: Mapping[str, Any]) -> Properties:
    return {
        "region": catalogue.REGION,
        "floatingIp": entry["address"],
        "portId": entry["portId"],
        "fixedIp": entry["fixedIp"],
    }
