"""Networks, subnets, routers and ports."""

# ruff: noqa: ARG002 - a type need not look at all that it is given

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import pulumi_openstack

from ..cloud_plugin.kinds import Problem, Properties
from . import catalogue
from .catalogue import State
from .kind import Stored, tagged
from .words import neutron

_FIRST = 10  # of the addresses in a subnet that are handed out; below are the gateway and the service's own


class Network(Stored):
    token = "openstack:networking/network:Network"
    args = pulumi_openstack.networking.NetworkArgs
    collection = "networks"
    replaces = frozenset({"availabilityZoneHints", "region", "segments", "tenantId", "valueSpecs"})
    outputs = frozenset({"adminStateUp", "allTags", "external", "mtu", "region", "shared", "tenantId"})

    def made(self, state: State, identity: str, inputs: Properties) -> Properties:
        filled = {
            "adminStateUp": True,
            "external": False,
            "shared": False,
            "mtu": 1450,
            "tenantId": catalogue.PROJECT_ID,
        }
        return {**filled, **inputs, **tagged(inputs)}

    def removed(self, state: State, identity: str, entry: Properties) -> None:
        if any(port["networkId"] == identity for port in state["ports"].values()):
            raise neutron(
                f"Error deleting openstack_networking_network_v2 {identity}",
                f"DELETE /v2.0/networks/{identity}",
                409,
                "NetworkInUse",
                f"Unable to complete operation on network {identity}. There are one or more ports still in use on "
                "the network.",
            )
        for subnet in [name for name, item in state["subnets"].items() if item["networkId"] == identity]:
            del state["subnets"][subnet]


class Subnet(Stored):
    token = "openstack:networking/subnet:Subnet"
    args = pulumi_openstack.networking.SubnetArgs
    collection = "subnets"
    replaces = frozenset(
        {
            *("cidr", "ipVersion", "ipv6AddressMode", "ipv6RaMode", "networkId", "prefixLength", "region"),
            *("subnetpoolId", "tenantId", "valueSpecs"),
        }
    )
    outputs = frozenset({"allTags", "allocationPools", "gatewayIp", "region", "tenantId"})
    defaults: ClassVar[Mapping[str, Any]] = {"enableDhcp": True, "ipVersion": 4, "noGateway": False}

    def problems(self, inputs: Properties) -> Iterable[Problem]:
        cidr = inputs.get("cidr")
        if isinstance(cidr, str) and not _is_range(cidr):
            yield Problem("cidr", f'expected "cidr" to be a valid CIDR Value, got {cidr}: invalid CIDR address: {cidr}')

    def made(self, state: State, identity: str, inputs: Properties) -> Properties:
        doing, network = "Error creating OpenStack subnet", inputs["networkId"]
        _check_network(state, network, doing, "POST /v2.0/subnets")
        cidr = ipaddress.ip_network(inputs["cidr"])
        for other, entry in state["subnets"].items():
            if entry["networkId"] == network and cidr.overlaps(ipaddress.ip_network(entry["cidr"])):
                raise neutron(
                    doing,
                    "POST /v2.0/subnets",
                    400,
                    "InvalidInput",
                    f"Invalid input for operation: Requested subnet with cidr: {cidr} for network: {network} overlaps "
                    f"with another subnet. Subnet with id: {other} has cidr: {entry['cidr']}.",
                )
        filled = {
            "gatewayIp": str(cidr[1]),
            "allocationPools": [{"start": str(cidr[2]), "end": str(cidr[-2])}],
            "tenantId": catalogue.PROJECT_ID,
        }
        return {**filled, **inputs, **tagged(inputs)}

    def removed(self, state: State, identity: str, entry: Properties) -> None:
        used = any(identity in addresses(port) for port in state["ports"].values())
        if used or any(link["subnetId"] == identity for link in state["interfaces"].values()):
            raise neutron(
                f"Error deleting openstack_networking_subnet_v2 {identity}",
                f"DELETE /v2.0/subnets/{identity}",
                409,
                "SubnetInUse",
                f"Unable to complete operation on subnet {identity}: One or more ports have an IP allocation from "
                "this subnet.",
            )


class Router(Stored):
    token = "openstack:networking/router:Router"
    args = pulumi_openstack.networking.RouterArgs
    collection = "routers"
    replaces = frozenset({"availabilityZoneHints", "distributed", "region", "tenantId", "valueSpecs"})
    outputs = frozenset({"adminStateUp", "allTags", "enableSnat", "externalFixedIps", "region", "tenantId"})

    def made(self, state: State, identity: str, inputs: Properties) -> Properties:
        if external := inputs.get("externalNetworkId"):
            doing = "Error creating openstack_networking_router_v2"
            _check_network(state, external, doing, "POST /v2.0/routers")
            if not state["networks"][external].get("external"):
                message = f"Bad router request: Network {external} is not an external network."
                raise neutron(doing, "POST /v2.0/routers", 400, "BadRequest", message)
        filled = {"adminStateUp": True, "enableSnat": True, "tenantId": catalogue.PROJECT_ID}
        return {**filled, **inputs, **tagged(inputs)}

    def removed(self, state: State, identity: str, entry: Properties) -> None:
        if any(link["routerId"] == identity for link in state["interfaces"].values()):
            raise neutron(
                f"Error deleting openstack_networking_router_v2 {identity}",
                f"DELETE /v2.0/routers/{identity}",
                409,
                "RouterInUse",
                f"Router {identity} still has ports",
            )


class RouterInterface(Stored):
    token = "openstack:networking/routerInterface:RouterInterface"
    args = pulumi_openstack.networking.RouterInterfaceArgs
    collection = "interfaces"
    replaces = frozenset({"portId", "region", "routerId", "subnetId"})
    outputs = frozenset({"portId", "region"})
    defaults: ClassVar[Mapping[str, Any]] = {"forceDestroy": False}

    def made(self, state: State, identity: str, inputs: Properties) -> Properties:
        subnet, router = inputs.get("subnetId"), inputs["routerId"]
        doing = "Error creating openstack_networking_router_interface_v2"
        request = f"PUT /v2.0/routers/{router}/add_router_interface"
        if subnet not in state["subnets"]:
            raise neutron(doing, request, 404, "SubnetNotFound", f"Subnet {subnet} could not be found.")
        if router not in state["routers"]:
            raise neutron(doing, request, 404, "RouterNotFound", f"Router {router} could not be found.")
        if any(link["subnetId"] == subnet for link in state["interfaces"].values()):
            gateway = state["subnets"][subnet]["gatewayIp"]
            message = f"IP address {gateway} already allocated in subnet {subnet}"
            raise neutron(doing, request, 409, "IpAddressAlreadyAllocated", message)
        return {**inputs, "portId": identity}

    def removed(self, state: State, identity: str, entry: Properties) -> None:
        behind = {name for name, port in state["ports"].items() if entry["subnetId"] in addresses(port)}
        if any(floating.get("portId") in behind for floating in state["floating"].values()):
            raise neutron(
                "Error deleting openstack_networking_router_interface_v2",
                f"PUT /v2.0/routers/{entry['routerId']}/remove_router_interface",
                409,
                "RouterInterfaceInUseByFloatingIP",
                f"Router interface for subnet {entry['subnetId']} on router {entry['routerId']} cannot be deleted, as "
                "it is required by one or more floating IPs.",
            )


class Port(Stored):
    token = "openstack:networking/port:Port"
    args = pulumi_openstack.networking.PortArgs
    collection = "ports"
    replaces = frozenset({"deviceId", "deviceOwner", "macAddress", "networkId", "region", "tenantId", "valueSpecs"})
    outputs = frozenset(
        {"adminStateUp", "allFixedIps", "allSecurityGroupIds", "allTags", "macAddress", "region", "tenantId"}
    )

    def made(self, state: State, identity: str, inputs: Properties) -> Properties:
        doing, request = "Error creating openstack_networking_port_v2", "POST /v2.0/ports"
        _check_network(state, inputs["networkId"], doing, request)
        groups = inputs.get("securityGroupIds") or ([] if inputs.get("noSecurityGroups") else [catalogue.DEFAULT_GROUP])
        for group in groups:
            if group not in state["groups"]:
                message = f"Security group {group} does not exist"
                raise neutron(doing, request, 404, "SecurityGroupNotFound", message)
        wanted = (
            inputs.get("fixedIps")
            or [
                {"subnetId": name}
                for name, subnet in state["subnets"].items()
                if subnet["networkId"] == inputs["networkId"]
            ][:1]
        )
        given = [{**item, "ipAddress": _address(state, item, doing, request)} for item in wanted]
        filled = {
            "adminStateUp": True,
            "macAddress": "fa:16:3e:" + ":".join(identity[place : place + 2] for place in (0, 2, 4)),
            "tenantId": catalogue.PROJECT_ID,
        }
        return {
            **filled,
            **inputs,
            **tagged(inputs),
            "given": given,
            "allFixedIps": [item["ipAddress"] for item in given],
            "allSecurityGroupIds": sorted(groups),
        }

    def changed(self, state: State, identity: str, olds: Properties, inputs: Properties) -> Properties:
        wanted = inputs.get("fixedIps", [])
        same = wanted == olds.get("fixedIps", [])
        entry = super().changed(state, identity, olds, {**inputs, "fixedIps": olds["given"] if same else wanted})
        return {**entry, "fixedIps": wanted}

    def shown(self, state: State, identity: str, entry: Properties) -> Properties:
        outputs = super().shown(state, identity, entry)
        del outputs["given"]
        return outputs

    def removed(self, state: State, identity: str, entry: Properties) -> None:
        for floating in state["floating"].values():
            if floating.get("portId") == identity:
                floating["portId"] = ""


def addresses(port: Mapping[str, Any]) -> dict[str, str]:
    """The fixed addresses of a port, by subnet."""
    return {item["subnetId"]: item["ipAddress"] for item in port["given"]}


def _is_range(text: str) -> bool:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return False
    return "/" in text


def _check_network(state: State, network: str, doing: str, request: str) -> None:
    if network not in state["networks"]:
        raise neutron(doing, request, 404, "NetworkNotFound", f"Network {network} could not be found.")


def _address(state: State, wanted: Mapping[str, Any], doing: str, request: str) -> str:
    identity = wanted.get("subnetId", "")
    subnet = state["subnets"].get(identity)
    if subnet is None:
        raise neutron(doing, request, 404, "SubnetNotFound", f"Subnet {identity} could not be found.")
    cidr = ipaddress.ip_network(subnet["cidr"])
    taken = {subnet["gatewayIp"], *(addresses(port).get(identity) for port in state["ports"].values())}
    if address := wanted.get("ipAddress"):
        if ipaddress.ip_address(address) not in cidr:
            message = f"IP address {address} is not a valid IP for the specified subnet."
            raise neutron(doing, request, 400, "InvalidIpForSubnet", message)
        if address in taken:
            message = f"IP address {address} already allocated in subnet {identity}"
            raise neutron(doing, request, 409, "IpAddressAlreadyAllocated", message)
        return str(address)
    for number in range(_FIRST, cidr.num_addresses - 1):
        if str(cidr[number]) not in taken:
            return str(cidr[number])
    message = f"No more IP addresses available on network {subnet['networkId']}."
    raise neutron(doing, request, 409, "IpAddressGenerationFailure", message)
