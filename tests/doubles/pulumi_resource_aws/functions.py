"""Lookups, in the words of the provider's data sources."""

from __future__ import annotations

import re
from typing import Any

import pulumi_aws

from ..cloud_plugin.kinds import CloudError, Function, Properties
from . import catalogue
from .cloud import Cloud
from .kind import one, where
from .words import NOT_MODELLED, Refusal, doing


class _Lookup(Function[Cloud]):
    known: frozenset[str]

    def _check(self, inputs: Properties) -> None:
        for name in sorted(inputs.keys() - self.known):
            raise CloudError(f"{NOT_MODELLED} '{name}' of {self.token}")


def _filters(inputs: Properties) -> list[Any]:
    given = [item for part in inputs.get("filters", []) for item in where(part["name"], *part["values"])]
    return given + [item for key, value in inputs.get("tags", {}).items() for item in where(f"tag:{key}", value)]


def _the(what: str, found: list[Any]) -> dict[str, Any]:
    if len(found) == 1:
        result: dict[str, Any] = found[0]
        return result
    if found:
        raise CloudError(f"multiple {what}s matched; use additional constraints to reduce matches to a single {what}")
    raise CloudError(f"no matching {what} found")


def _tags(found: dict[str, Any]) -> dict[str, str]:
    return {pair["Key"]: pair["Value"] for pair in found.get("Tags", [])}


class GetAvailabilityZones(_Lookup):
    token = "aws:index/getAvailabilityZones:getAvailabilityZones"
    args = staticmethod(pulumi_aws.get_availability_zones)
    known = frozenset({"state", "filters"})

    def call(self, cloud: Cloud, inputs: Properties) -> Properties:
        self._check(inputs)
        filters = [*_filters(inputs), *(where("state", inputs["state"]) if "state" in inputs else [])]
        with doing("reading EC2 Availability Zones"):
            found: Any = cloud.ec2.describe_availability_zones(Filters=filters)["AvailabilityZones"]
        zones = sorted((zone["ZoneName"], zone["ZoneId"]) for zone in found)
        return {
            "id": cloud.region,
            "groupNames": [cloud.region],
            "names": [name for name, _ in zones],
            "zoneIds": [identity for _, identity in zones],
            "region": cloud.region,
            **inputs,
        }


class GetAmi(_Lookup):
    token = "aws:ec2/getAmi:getAmi"
    args = staticmethod(pulumi_aws.ec2.get_ami)
    known = frozenset({"filters", "includeDeprecated", "mostRecent", "nameRegex", "owners"})

    def call(self, cloud: Cloud, inputs: Properties) -> Properties:
        self._check(inputs)
        owners = [catalogue.ACCOUNT if owner == "self" else owner for owner in inputs.get("owners", [])]
        with doing("reading EC2 AMIs"):
            found: Any = cloud.ec2.describe_images(Filters=_filters(inputs))["Images"]
        # by ourselves: to moto every image is also one of `amazon`
        found = [image for image in found if not owners or image["OwnerId"] in owners]
        found = [image for image in found if re.search(inputs.get("nameRegex", ""), image["Name"])]
        if not found:
            raise CloudError("Your query returned no results. Please change your search criteria and try again.")
        if len(found) > 1 and not inputs.get("mostRecent"):
            raise CloudError(
                "Your query returned more than one result. Please try a more specific search criteria, or set "
                "`most_recent` attribute to true."
            )
        image = max(found, key=lambda image: str(image["CreationDate"]))
        return {
            "architecture": image["Architecture"],
            "arn": f"arn:aws:ec2:{cloud.region}::image/{image['ImageId']}",
            "creationDate": image["CreationDate"],
            "description": image["Description"],
            "hypervisor": image["Hypervisor"],
            "id": image["ImageId"],
            "imageId": image["ImageId"],
            "imageLocation": image["ImageLocation"],
            "imageType": image["ImageType"],
            "name": image["Name"],
            "ownerId": image["OwnerId"],
            "public": image["Public"],
            "region": cloud.region,
            "rootDeviceName": image["RootDeviceName"],
            "rootDeviceType": image["RootDeviceType"],
            "state": image["State"],
            "tags": _tags(image),
            "virtualizationType": image["VirtualizationType"],
            **inputs,
        }


class GetKeyPair(_Lookup):
    token = "aws:ec2/getKeyPair:getKeyPair"
    args = staticmethod(pulumi_aws.ec2.get_key_pair)
    known = frozenset({"includePublicKey", "keyName"})

    def call(self, cloud: Cloud, inputs: Properties) -> Properties:
        self._check(inputs)
        with doing("reading EC2 Key Pair"):
            try:
                pair = one(
                    cloud.ec2.describe_key_pairs,
                    "KeyPairs",
                    KeyNames=[inputs["keyName"]] if "keyName" in inputs else [],
                    IncludePublicKey=True,
                )
            except LookupError:
                raise CloudError("no matching EC2 Key Pair found") from None
        return {
            "arn": cloud.arn(f"key-pair/{pair['KeyName']}"),
            "fingerprint": pair["KeyFingerprint"],
            "id": pair["KeyPairId"],
            "keyName": pair["KeyName"],
            "keyPairId": pair["KeyPairId"],
            "keyType": pair["KeyType"],
            "publicKey": pair["PublicKey"] if inputs.get("includePublicKey") else "",
            "region": cloud.region,
            "tags": _tags(pair),
            **inputs,
        }


class GetVpc(_Lookup):
    token = "aws:ec2/getVpc:getVpc"
    args = staticmethod(pulumi_aws.ec2.get_vpc)
    known = frozenset({"cidrBlock", "default", "filters", "id", "tags"})

    def call(self, cloud: Cloud, inputs: Properties) -> Properties:
        self._check(inputs)
        filters = _filters(inputs)
        filters += where("vpc-id", inputs["id"]) if "id" in inputs else []
        filters += where("cidr", inputs["cidrBlock"]) if "cidrBlock" in inputs else []
        filters += where("is-default", "true") if inputs.get("default") else []
        with doing("reading EC2 VPC"):
            vpc = _the("EC2 VPC", list(cloud.ec2.describe_vpcs(Filters=filters)["Vpcs"]))
        return {
            **inputs,
            "arn": cloud.arn(f"vpc/{vpc['VpcId']}"),
            "cidrBlock": vpc["CidrBlock"],
            "default": vpc["IsDefault"],
            "id": vpc["VpcId"],
            "instanceTenancy": vpc["InstanceTenancy"],
            "ownerId": catalogue.ACCOUNT,
            "region": cloud.region,
            "state": vpc["State"],
            "tags": _tags(vpc),
        }


class GetSubnet(_Lookup):
    token = "aws:ec2/getSubnet:getSubnet"
    args = staticmethod(pulumi_aws.ec2.get_subnet)
    known = frozenset({"availabilityZone", "cidrBlock", "filters", "id", "tags", "vpcId"})

    def call(self, cloud: Cloud, inputs: Properties) -> Properties:
        self._check(inputs)
        filters = _filters(inputs)
        for name, ours in (
            ("availability-zone", "availabilityZone"),
            ("cidr-block", "cidrBlock"),
            ("subnet-id", "id"),
            ("vpc-id", "vpcId"),
        ):
            filters += where(name, inputs[ours]) if ours in inputs else []
        with doing("reading EC2 Subnet"):
            subnet = _the("EC2 Subnet", list(cloud.ec2.describe_subnets(Filters=filters)["Subnets"]))
        return {
            **inputs,
            "arn": cloud.arn(f"subnet/{subnet['SubnetId']}"),
            "assignIpv6AddressOnCreation": subnet["AssignIpv6AddressOnCreation"],
            "availabilityZone": subnet["AvailabilityZone"],
            "availabilityZoneId": subnet["AvailabilityZoneId"],
            "availableIpAddressCount": subnet["AvailableIpAddressCount"],
            "cidrBlock": subnet["CidrBlock"],
            "defaultForAz": subnet["DefaultForAz"],
            "id": subnet["SubnetId"],
            "mapPublicIpOnLaunch": subnet["MapPublicIpOnLaunch"],
            "ownerId": catalogue.ACCOUNT,
            "region": cloud.region,
            "state": subnet["State"],
            "tags": _tags(subnet),
            "vpcId": subnet["VpcId"],
        }


class GetSubnets(_Lookup):
    token = "aws:ec2/getSubnets:getSubnets"
    args = staticmethod(pulumi_aws.ec2.get_subnets)
    known = frozenset({"filters", "tags"})

    def call(self, cloud: Cloud, inputs: Properties) -> Properties:
        self._check(inputs)
        with doing("reading EC2 Subnets"):
            found = cloud.ec2.describe_subnets(Filters=_filters(inputs))["Subnets"]
        return {
            **inputs,
            "id": cloud.region,
            "ids": [subnet["SubnetId"] for subnet in found],
            "region": cloud.region,
        }


class GetInstanceType(_Lookup):
    token = "aws:ec2/getInstanceType:getInstanceType"
    args = staticmethod(pulumi_aws.ec2.get_instance_type)
    known = frozenset({"instanceType"})

    def call(self, cloud: Cloud, inputs: Properties) -> Properties:
        self._check(inputs)
        name = inputs["instanceType"]
        with doing(f"reading EC2 Instance Type ({name})"):
            kinds: Any = cloud.ec2.describe_instance_types(Filters=where("instance-type", name))["InstanceTypes"]
            if not kinds:
                said = f"The following supplied instance types do not exist: [{name}]"
                raise Refusal("DescribeInstanceTypes", "InvalidInstanceType", said)
        found = kinds[0]
        return {
            "currentGeneration": found["CurrentGeneration"],
            "defaultVcpus": found["VCpuInfo"]["DefaultVCpus"],
            "id": name,
            "instanceType": name,
            "memorySize": found["MemoryInfo"]["SizeInMiB"],
            "region": cloud.region,
            "supportedArchitectures": found["ProcessorInfo"]["SupportedArchitectures"],
            "supportedUsagesClasses": found["SupportedUsageClasses"],
        }
