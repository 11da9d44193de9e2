"""Route tables and what they are associated with; what replaces is as in internal/service/ec2/vpc_route_table*.go."""

# ruff: noqa: ARG002, RUF012 - methods and tables are as the kind declares them

from __future__ import annotations

from typing import Any

import pulumi_aws

from ..cloud_plugin.kinds import CloudError, Properties
from . import catalogue, tags
from .cloud import Cloud
from .kind import Ec2Kind, as_given, one, unless_gone, where
from .words import Refusal, doing

_ROUTE = {"cidrBlock": "DestinationCidrBlock", "ipv6CidrBlock": "DestinationIpv6CidrBlock", "gatewayId": "GatewayId"}


class RouteTable(Ec2Kind):
    token = "aws:ec2/routeTable:RouteTable"
    args = pulumi_aws.ec2.RouteTableArgs
    replaces = frozenset({"vpcId"})
    modelled = frozenset({"vpcId", "routes", "tags"})
    inside = {"routes": frozenset(_ROUTE)}
    outputs = frozenset({"arn", "ownerId", "propagatingVgws", "region", "routes", "tagsAll"})

    def create(self, cloud: Cloud, inputs: Properties, name: str) -> tuple[str, Properties]:
        request: dict[str, Any] = {
            "VpcId": inputs["vpcId"],
            "TagSpecifications": tags.specification(cloud, "route-table", inputs),
        }
        with doing("creating EC2 Route Table"):
            identity = cloud.ec2.create_route_table(**request)["RouteTable"]["RouteTableId"]
        try:
            self._route(cloud, identity, [], inputs.get("routes", []))
        except CloudError:
            cloud.ec2.delete_route_table(RouteTableId=identity)
            raise
        return identity, self.found(cloud, identity, inputs)

    def update(self, cloud: Cloud, identity: str, olds: Properties, inputs: Properties) -> Properties:
        # routes that the program says nothing of are left as they are: they are computed then
        if "routes" in inputs:
            self._route(cloud, identity, olds.get("routes", []), inputs["routes"])
        with doing(f"updating EC2 Route Table ({identity})"):
            tags.change(cloud, identity, olds["tagsAll"], inputs)
        return self.found(cloud, identity, inputs)

    def delete(self, cloud: Cloud, identity: str, state: Properties) -> None:
        with doing(f"deleting EC2 Route Table ({identity})"):
            unless_gone(lambda: cloud.ec2.delete_route_table(RouteTableId=identity))

    def _route(self, cloud: Cloud, identity: str, old: list[Properties], new: list[Properties]) -> None:
        for route in old:
            if route not in new:
                with doing(f"deleting Route in EC2 Route Table ({identity}) with destination ({_to(route)})"):
                    request = {_ROUTE[key]: value for key, value in route.items() if key != "gatewayId"}
                    cloud.ec2.delete_route(RouteTableId=identity, **request)
        for route in new:
            if route not in old:
                with doing(f"creating Route in EC2 Route Table ({identity}) with destination ({_to(route)})"):
                    request = {_ROUTE[key]: value for key, value in route.items()}
                    cloud.ec2.create_route(RouteTableId=identity, **request)

    def found(self, cloud: Cloud, identity: str, state: Properties) -> Properties:
        with doing(f"reading EC2 Route Table ({identity})"):
            table = one(cloud.ec2.describe_route_tables, "RouteTables", RouteTableIds=[identity])
        routes = [
            {ours: route[theirs] for ours, theirs in _ROUTE.items() if route.get(theirs)}
            for route in table["Routes"]
            if route.get("GatewayId") != "local"
        ]
        return {
            "arn": cloud.arn(f"route-table/{identity}"),
            "ownerId": catalogue.ACCOUNT,
            "propagatingVgws": [],
            "region": cloud.region,
            "routes": as_given(state.get("routes", []), routes),
            "vpcId": table["VpcId"],
            **tags.outputs(cloud, state, table.get("Tags", [])),
        }


def _to(route: Properties) -> str:
    return str(route.get("cidrBlock") or route.get("ipv6CidrBlock"))


class RouteTableAssociation(Ec2Kind):
    token = "aws:ec2/routeTableAssociation:RouteTableAssociation"
    args = pulumi_aws.ec2.RouteTableAssociationArgs
    replaces = frozenset({"subnetId"})
    modelled = frozenset({"subnetId", "routeTableId"})
    outputs = frozenset({"region"})
    required = ("subnetId",)

    def create(self, cloud: Cloud, inputs: Properties, name: str) -> tuple[str, Properties]:
        table, subnet = inputs["routeTableId"], inputs["subnetId"]
        with doing("creating EC2 Route Table Association"):
            if taken := self._standing(cloud, subnet):
                said = (
                    f"the specified association for route table {taken[0]} conflicts with an existing association "
                    f"for subnet {subnet}"
                )
                raise Refusal("AssociateRouteTable", "Resource.AlreadyAssociated", said)
            identity = cloud.ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)["AssociationId"]
        return identity, {"region": cloud.region}

    def found(self, cloud: Cloud, identity: str, state: Properties) -> Properties:
        with doing(f"reading EC2 Route Table Association ({identity})"):
            found = self._standing(cloud, state["subnetId"])
        if not found:
            raise LookupError(identity)
        return {"routeTableId": found[0], "subnetId": state["subnetId"], "region": cloud.region}

    def update(self, cloud: Cloud, identity: str, olds: Properties, inputs: Properties) -> Properties:
        with doing(f"updating EC2 Route Table Association ({identity})"):
            found = self._standing(cloud, olds["subnetId"])
            if found:
                cloud.ec2.replace_route_table_association(AssociationId=found[1], RouteTableId=inputs["routeTableId"])
        return {"region": cloud.region}

    def delete(self, cloud: Cloud, identity: str, state: Properties) -> None:
        with doing(f"deleting EC2 Route Table Association ({identity})"):
            if found := self._standing(cloud, state["subnetId"]):
                cloud.ec2.disassociate_route_table(AssociationId=found[1])

    def _standing(self, cloud: Cloud, subnet: str) -> tuple[str, str] | None:
        """Table and association of a subnet. Its id is not asked for: an update makes a new one, and a kind's id
        stays as it was."""
        tables = cloud.ec2.describe_route_tables(Filters=where("association.subnet-id", subnet))["RouteTables"]
        for table in tables:
            for association in table["Associations"]:
                if association.get("SubnetId") == subnet:
                    return table["RouteTableId"], association["RouteTableAssociationId"]
        return None
