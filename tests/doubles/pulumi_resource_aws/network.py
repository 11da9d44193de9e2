"""Networks: VPC, subnet, internet gateway.

What replaces is ForceNew in hashicorp/terraform-provider-aws, internal/service/ec2/vpc_*.go.
"""

# ruff: noqa: ARG002, RUF012 - methods and tables are as the kind declares them

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import pulumi_aws

from ..cloud_plugin.kinds import Problem, Properties
from . import catalogue, tags
from .cloud import Cloud
from .kind import Ec2Kind, one, unless_gone, when_free, where
from .words import Refusal, doing


class Vpc(Ec2Kind):
    token = "aws:ec2/vpc:Vpc"
    args = pulumi_aws.ec2.VpcArgs
    replaces = frozenset({"cidrBlock"})
    modelled = frozenset({"cidrBlock", "enableDnsHostnames", "enableDnsSupport", "instanceTenancy", "tags"}) | {
        "assignGeneratedIpv6CidrBlock"
    }
    outputs = frozenset({"arn", "defaultNetworkAclId", "defaultRouteTableId", "defaultSecurityGroupId"}) | {
        *("dhcpOptionsId", "enableDnsHostnames", "ipv6AssociationId", "ipv6CidrBlock", "mainRouteTableId"),
        *("ownerId", "region", "tagsAll"),
    }
    defaults = {"enableDnsSupport": True, "instanceTenancy": "default"}

    def problems(self, inputs: Properties) -> Iterable[Problem]:
        yield from super().problems(inputs)
        if "cidrBlock" not in inputs:
            yield Problem("cidrBlock", "one of `cidr_block,ipv4_ipam_pool_id` must be specified")

    def create(self, cloud: Cloud, inputs: Properties, name: str) -> tuple[str, Properties]:
        request: dict[str, Any] = {
            "CidrBlock": inputs["cidrBlock"],
            "InstanceTenancy": inputs["instanceTenancy"],
            "AmazonProvidedIpv6CidrBlock": inputs.get("assignGeneratedIpv6CidrBlock", False),
            "TagSpecifications": tags.specification(cloud, "vpc", inputs),
        }
        with doing("creating EC2 VPC"):
            identity = cloud.ec2.create_vpc(**request)["Vpc"]["VpcId"]
            self._set_dns(cloud, identity, inputs)
        return identity, self.found(cloud, identity, inputs)

    def update(self, cloud: Cloud, identity: str, olds: Properties, inputs: Properties) -> Properties:
        with doing(f"updating EC2 VPC ({identity})"):
            self._set_dns(cloud, identity, inputs)
            wants, had = inputs.get("assignGeneratedIpv6CidrBlock", False), bool(olds.get("ipv6AssociationId"))
            if wants and not had:
                cloud.ec2.associate_vpc_cidr_block(VpcId=identity, AmazonProvidedIpv6CidrBlock=True)
            if had and not wants:
                cloud.ec2.disassociate_vpc_cidr_block(AssociationId=olds["ipv6AssociationId"])
            tags.change(cloud, identity, olds["tagsAll"], inputs)
        return self.found(cloud, identity, inputs)

    def delete(self, cloud: Cloud, identity: str, state: Properties) -> None:
        with doing(f"deleting EC2 VPC ({identity})"):
            when_free(cloud, lambda: self._remove(cloud, identity))

    def _remove(self, cloud: Cloud, identity: str) -> None:
        gateways = cloud.ec2.describe_internet_gateways(Filters=where("attachment.vpc-id", identity))
        groups = cloud.ec2.describe_security_groups(Filters=where("vpc-id", identity))["SecurityGroups"]
        if gateways["InternetGateways"] or any(group["GroupName"] != "default" for group in groups):
            said = f"The vpc '{identity}' has dependencies and cannot be deleted."
            raise Refusal("DeleteVpc", "DependencyViolation", said)
        unless_gone(lambda: cloud.ec2.delete_vpc(VpcId=identity))

    def _set_dns(self, cloud: Cloud, identity: str, inputs: Properties) -> None:
        ec2 = cloud.ec2
        ec2.modify_vpc_attribute(VpcId=identity, EnableDnsSupport={"Value": inputs["enableDnsSupport"]})
        if "enableDnsHostnames" in inputs:
            ec2.modify_vpc_attribute(VpcId=identity, EnableDnsHostnames={"Value": inputs["enableDnsHostnames"]})

    def found(self, cloud: Cloud, identity: str, state: Properties) -> Properties:
        with doing(f"reading EC2 VPC ({identity})"):
            vpc = one(cloud.ec2.describe_vpcs, "Vpcs", VpcIds=[identity])
            filters = where("vpc-id", identity)
            tables = cloud.ec2.describe_route_tables(Filters=[*filters, *where("association.main", "true")])
            groups = cloud.ec2.describe_security_groups(Filters=[*filters, *where("group-name", "default")])
            acls = cloud.ec2.describe_network_acls(Filters=[*filters, *where("default", "true")])
            dns = {
                name: cloud.ec2.describe_vpc_attribute(VpcId=identity, Attribute=cast("Any", name))
                for name in ("enableDnsSupport", "enableDnsHostnames")
            }
        main = next((table["RouteTableId"] for table in tables["RouteTables"]), "")
        ranges = vpc.get("Ipv6CidrBlockAssociationSet", [])
        ranges = [item for item in ranges if item["Ipv6CidrBlockState"]["State"] in ("associating", "associated")]
        return {
            "arn": cloud.arn(f"vpc/{identity}"),
            "cidrBlock": vpc["CidrBlock"],
            "defaultNetworkAclId": next((acl["NetworkAclId"] for acl in acls["NetworkAcls"]), ""),
            "defaultRouteTableId": main,
            "defaultSecurityGroupId": next((group["GroupId"] for group in groups["SecurityGroups"]), ""),
            "dhcpOptionsId": vpc.get("DhcpOptionsId", ""),
            "enableDnsSupport": dns["enableDnsSupport"]["EnableDnsSupport"]["Value"],
            "enableDnsHostnames": dns["enableDnsHostnames"]["EnableDnsHostnames"]["Value"],
            "instanceTenancy": vpc["InstanceTenancy"],
            "ipv6AssociationId": ranges[0]["AssociationId"] if ranges else "",
            "ipv6CidrBlock": ranges[0]["Ipv6CidrBlock"] if ranges else "",
            "mainRouteTableId": main,
            "ownerId": catalogue.ACCOUNT,
            "region": cloud.region,
            **tags.outputs(cloud, state, vpc.get("Tags", [])),
        }


class Subnet(Ec2Kind):
    token = "aws:ec2/subnet:Subnet"
    args = pulumi_aws.ec2.SubnetArgs
    # `ipv6CidrBlock` too: the provider changes it in place, which moto cannot
    replaces = frozenset({"availabilityZone", "cidrBlock", "vpcId", "ipv6CidrBlock"})
    modelled = frozenset({"availabilityZone", "cidrBlock", "vpcId", "ipv6CidrBlock", "tags"}) | {
        *("assignIpv6AddressOnCreation", "mapPublicIpOnLaunch"),
    }
    outputs = frozenset({"arn", "availabilityZone", "availabilityZoneId", "ipv6CidrBlockAssociationId"}) | {
        *("ownerId", "privateDnsHostnameTypeOnLaunch", "region", "tagsAll"),
    }
    defaults = {
        "assignIpv6AddressOnCreation": False,
        "mapPublicIpOnLaunch": False,
    }
    required = ("cidrBlock",)

    def create(self, cloud: Cloud, inputs: Properties, name: str) -> tuple[str, Properties]:
        request: dict[str, Any] = {
            "VpcId": inputs["vpcId"],
            "CidrBlock": inputs["cidrBlock"],
            "TagSpecifications": tags.specification(cloud, "subnet", inputs),
        }
        for key, given in (("AvailabilityZone", "availabilityZone"), ("Ipv6CidrBlock", "ipv6CidrBlock")):
            if given in inputs:
                request[key] = inputs[given]
        with doing("creating EC2 Subnet"):
            zone = inputs.get("availabilityZone")
            if zone and zone not in catalogue.ZONES:
                said = (
                    f"Value ({zone}) for parameter availabilityZone is invalid. Subnets can currently only be created "
                    f"in the following availability zones: {', '.join(catalogue.ZONES)}."
                )
                raise Refusal("CreateSubnet", "InvalidParameterValue", said)
            identity = cloud.ec2.create_subnet(**request)["Subnet"]["SubnetId"]
            self._set(cloud, identity, inputs)
        return identity, self.found(cloud, identity, inputs)

    def update(self, cloud: Cloud, identity: str, olds: Properties, inputs: Properties) -> Properties:
        with doing(f"updating EC2 Subnet ({identity})"):
            self._set(cloud, identity, inputs)
            tags.change(cloud, identity, olds["tagsAll"], inputs)
        return self.found(cloud, identity, inputs)

    def delete(self, cloud: Cloud, identity: str, state: Properties) -> None:
        with doing(f"deleting EC2 Subnet ({identity})"):
            when_free(cloud, lambda: self._remove(cloud, identity))

    def _remove(self, cloud: Cloud, identity: str) -> None:
        if cloud.ec2.describe_network_interfaces(Filters=where("subnet-id", identity))["NetworkInterfaces"]:
            said = f"The subnet '{identity}' has dependencies and cannot be deleted."
            raise Refusal("DeleteSubnet", "DependencyViolation", said)
        unless_gone(lambda: cloud.ec2.delete_subnet(SubnetId=identity))

    def _set(self, cloud: Cloud, identity: str, inputs: Properties) -> None:
        ec2 = cloud.ec2
        ec2.modify_subnet_attribute(SubnetId=identity, MapPublicIpOnLaunch={"Value": inputs["mapPublicIpOnLaunch"]})
        ec2.modify_subnet_attribute(
            SubnetId=identity, AssignIpv6AddressOnCreation={"Value": inputs["assignIpv6AddressOnCreation"]}
        )

    def found(self, cloud: Cloud, identity: str, state: Properties) -> Properties:
        with doing(f"reading EC2 Subnet ({identity})"):
            subnet = one(cloud.ec2.describe_subnets, "Subnets", SubnetIds=[identity])
        ranges = subnet.get("Ipv6CidrBlockAssociationSet", [])
        return {
            "arn": cloud.arn(f"subnet/{identity}"),
            "assignIpv6AddressOnCreation": subnet["AssignIpv6AddressOnCreation"],
            "availabilityZone": subnet["AvailabilityZone"],
            "availabilityZoneId": subnet["AvailabilityZoneId"],
            "cidrBlock": subnet["CidrBlock"],
            "ipv6CidrBlockAssociationId": ranges[0]["AssociationId"] if ranges else "",
            **({"ipv6CidrBlock": ranges[0]["Ipv6CidrBlock"]} if ranges else {}),
            "mapPublicIpOnLaunch": subnet["MapPublicIpOnLaunch"],
            "ownerId": catalogue.ACCOUNT,
            "privateDnsHostnameTypeOnLaunch": "ip-name",
            "region": cloud.region,
            "vpcId": subnet["VpcId"],
            **tags.outputs(cloud, state, subnet.get("Tags", [])),
        }


class InternetGateway(Ec2Kind):
    token = "aws:ec2/internetGateway:InternetGateway"
    args = pulumi_aws.ec2.InternetGatewayArgs
    modelled = frozenset({"vpcId", "tags"})
    outputs = frozenset({"arn", "ownerId", "region", "tagsAll"})

    def create(self, cloud: Cloud, inputs: Properties, name: str) -> tuple[str, Properties]:
        request: dict[str, Any] = {"TagSpecifications": tags.specification(cloud, "internet-gateway", inputs)}
        with doing("creating EC2 Internet Gateway"):
            if "vpcId" in inputs:
                self._check_alone(cloud, inputs["vpcId"])
            identity = cloud.ec2.create_internet_gateway(**request)["InternetGateway"]["InternetGatewayId"]
            if "vpcId" in inputs:
                cloud.ec2.attach_internet_gateway(InternetGatewayId=identity, VpcId=inputs["vpcId"])
        return identity, self.found(cloud, identity, inputs)

    def update(self, cloud: Cloud, identity: str, olds: Properties, inputs: Properties) -> Properties:
        with doing(f"updating EC2 Internet Gateway ({identity})"):
            if olds.get("vpcId") != inputs.get("vpcId"):
                if "vpcId" in olds:
                    self._detach(cloud, identity, olds["vpcId"])
                if "vpcId" in inputs:
                    self._check_alone(cloud, inputs["vpcId"])
                    cloud.ec2.attach_internet_gateway(InternetGatewayId=identity, VpcId=inputs["vpcId"])
            tags.change(cloud, identity, olds["tagsAll"], inputs)
        return self.found(cloud, identity, inputs)

    def delete(self, cloud: Cloud, identity: str, state: Properties) -> None:
        with doing(f"deleting EC2 Internet Gateway ({identity})"):
            if "vpcId" in state:
                when_free(cloud, lambda: unless_gone(lambda: self._detach(cloud, identity, state["vpcId"])))
            unless_gone(lambda: cloud.ec2.delete_internet_gateway(InternetGatewayId=identity))

    def _check_alone(self, cloud: Cloud, vpc: str) -> None:
        cloud.ec2.describe_vpcs(VpcIds=[vpc])
        other = cloud.ec2.describe_internet_gateways(Filters=where("attachment.vpc-id", vpc))["InternetGateways"]
        if other:
            said = f"Network {vpc} already has an internet gateway attached"
            raise Refusal("AttachInternetGateway", "InvalidParameterValue", said)

    def _detach(self, cloud: Cloud, identity: str, vpc: str) -> None:
        used = cloud.ec2.describe_network_interfaces(Filters=where("vpc-id", vpc))["NetworkInterfaces"]
        if any("PublicIp" in interface.get("Association", {}) for interface in used):
            raise Refusal(
                "DetachInternetGateway",
                "DependencyViolation",
                f"Network {vpc} has some mapped public address(es). Please unmap those public address(es) before "
                "detaching the gateway.",
            )
        cloud.ec2.detach_internet_gateway(InternetGatewayId=identity, VpcId=vpc)

    def found(self, cloud: Cloud, identity: str, state: Properties) -> Properties:
        with doing(f"reading EC2 Internet Gateway ({identity})"):
            gateway = one(cloud.ec2.describe_internet_gateways, "InternetGateways", InternetGatewayIds=[identity])
        attached = [item["VpcId"] for item in gateway.get("Attachments", []) if "VpcId" in item]
        return {
            "arn": cloud.arn(f"internet-gateway/{identity}"),
            "ownerId": catalogue.ACCOUNT,
            "region": cloud.region,
            **({"vpcId": attached[0]} if attached else {}),
            **tags.outputs(cloud, state, gateway.get("Tags", [])),
        }
