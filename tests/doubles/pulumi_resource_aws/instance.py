"""EC2 instances: an instance at moto, and a host of the lab's pool under it.

What replaces and what stops and starts is as in hashicorp/terraform-provider-aws, internal/service/ec2/ec2_instance.go.
"""

# ruff: noqa: ARG002, RUF012 - methods and tables are as the kind declares them

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any

import pulumi_aws

from ..cloud_plugin.kinds import CloudError, Problem, Properties
from . import catalogue, launching, machines, record, tags
from .cloud import Cloud
from .kind import Ec2Kind, as_given, one, request_of
from .words import Refusal, doing, is_gone

_GP3 = {"iops": 3000, "throughput": 125}
_STOPPING = ("instanceType", "userData")
"""What the provider changes between a stop and a start."""


class Instance(Ec2Kind):
    token = "aws:ec2/instance:Instance"
    args = pulumi_aws.ec2.InstanceArgs
    replaces = frozenset({"ami", "associatePublicIpAddress", "instanceMarketOptions", "keyName", "subnetId"}) | {
        "rootBlockDevice.encrypted"
    }
    modelled = frozenset({"ami", "associatePublicIpAddress", "instanceInitiatedShutdownBehavior", "instanceType"}) | {
        *("instanceMarketOptions", "keyName", "metadataOptions", "rootBlockDevice", "subnetId", "tags", "userData"),
        *("userDataReplaceOnChange", "volumeTags", "vpcSecurityGroupIds"),
        *("forceDestroy", "getPasswordData", "sourceDestCheck"),
    }
    inside = {
        "instanceMarketOptions": frozenset({"marketType", "spotOptions"}),
        "metadataOptions": frozenset({"httpEndpoint", "httpPutResponseHopLimit", "httpTokens", "httpProtocolIpv6"})
        | {"instanceMetadataTags"},
        "rootBlockDevice": frozenset({"deleteOnTermination", "encrypted", "volumeSize", "volumeType"}),
    }
    outputs = frozenset({"arn", "availabilityZone", "disableApiStop", "disableApiTermination", "ebsOptimized"}) | {
        *("associatePublicIpAddress", "instanceInitiatedShutdownBehavior", "instanceLifecycle", "instanceState"),
        *("metadataOptions", "primaryNetworkInterfaceId", "privateDns", "privateIp", "publicDns", "publicIp"),
        *("region", "rootBlockDevice", "securityGroups", "tagsAll", "tenancy", "vpcSecurityGroupIds"),
    }
    defaults = {
        "forceDestroy": False,
        "getPasswordData": False,
        "sourceDestCheck": True,
        "userDataReplaceOnChange": False,
    }

    def replacing(self, inputs: Properties) -> frozenset[str]:
        return self.replaces | ({"userData"} if inputs.get("userDataReplaceOnChange") is True else set())

    def recomputed(self, changed: frozenset[str]) -> frozenset[str]:
        # a stopped instance loses its public address, and gets another when it starts
        return frozenset({"publicDns", "publicIp"}) if changed & {*_STOPPING} else frozenset()

    def problems(self, inputs: Properties) -> Iterable[Problem]:
        yield from super().problems(inputs)
        for name, snake in (("ami", "ami"), ("instanceType", "instance_type")):
            if name not in inputs:
                yield Problem(name, f'"{snake}": one of `{snake},launch_template` must be specified')
        if "subnetId" not in inputs or "keyName" not in inputs:
            yield Problem("", "the stand-in for pulumi-resource-aws wants 'subnetId' and 'keyName' of each instance")
        if inputs.get("sourceDestCheck") is False:
            yield Problem("sourceDestCheck", "the stand-in for pulumi-resource-aws does not model routers")

    def create(self, cloud: Cloud, inputs: Properties, name: str) -> tuple[str, Properties]:
        with doing("creating EC2 Instance"):
            picture = launching.image(cloud, inputs["ami"])
            public_key = launching.key(cloud, inputs["keyName"])
            launching.check_fit(picture, launching.kind_of(cloud, inputs["instanceType"]))
            subnet = launching.check_place(cloud, inputs)
            if cloud.machines is None or cloud.record is None:
                raise CloudError(machines.NONE)
            machines.check(inputs.get("userData", ""))
            with cloud.record.held() as content:  # nobody else counts, or takes a host, meanwhile
                launching.check_quota(cloud, inputs)
                made: Any = cloud.ec2.run_instances(**_request(cloud, inputs, picture, subnet))["Instances"][0]
                identity = str(made["InstanceId"])
                host = record.start(content, identity, list(cloud.machines.pool()))
            if host is None:
                cloud.ec2.terminate_instances(InstanceIds=[identity])
                raise _no_room(inputs["instanceType"], subnet["AvailabilityZone"])
        named = f"ip-{made['PrivateIpAddress'].replace('.', '-')}"
        login = catalogue.LOGINS.get(picture["OwnerId"], "ec2-user")
        try:
            cloud.machines.boot(host, login, public_key, named, inputs.get("userData", ""))
        except CloudError:
            self.delete(cloud, identity, {})
            raise
        return identity, self.found(cloud, identity, inputs)

    def update(self, cloud: Cloud, identity: str, olds: Properties, inputs: Properties) -> Properties:
        changed = {name for name in olds.keys() | inputs.keys() if olds.get(name) != inputs.get(name)}
        with doing(f"updating EC2 Instance ({identity})"):
            instance = self._instance(cloud, identity)
            if "vpcSecurityGroupIds" in changed & inputs.keys():
                interface = instance["NetworkInterfaces"][0]["NetworkInterfaceId"]
                cloud.ec2.modify_network_interface_attribute(
                    NetworkInterfaceId=interface, Groups=inputs["vpcSecurityGroupIds"]
                )
            if "metadataOptions" in changed & inputs.keys():
                options: dict[str, Any] = request_of(inputs["metadataOptions"])
                cloud.ec2.modify_instance_metadata_options(InstanceId=identity, **options)
            if "instanceInitiatedShutdownBehavior" in changed & inputs.keys():
                cloud.ec2.modify_instance_attribute(
                    InstanceId=identity,
                    Attribute="instanceInitiatedShutdownBehavior",
                    Value=inputs["instanceInitiatedShutdownBehavior"],
                )
            volume = _root(cloud, instance)
            if "rootBlockDevice" in changed & inputs.keys():
                _change_root(cloud, identity, volume, inputs["rootBlockDevice"])
            if changed & {*_STOPPING}:
                self._change_stopped(cloud, instance, olds, inputs)
            tags.change(cloud, identity, olds["tagsAll"], inputs)
            had = {pair["Key"]: pair["Value"] for pair in volume.get("Tags", [])}
            tags.put(cloud, volume["VolumeId"], had, inputs.get("volumeTags", had))
        return self.found(cloud, identity, inputs)

    def delete(self, cloud: Cloud, identity: str, state: Properties) -> None:
        with doing(f"terminating EC2 Instance ({identity})"):
            end(cloud, identity)

    def found(self, cloud: Cloud, identity: str, state: Properties) -> Properties:
        with doing(f"reading EC2 Instance ({identity})"):
            instance = self._instance(cloud, identity)
            volume = _root(cloud, instance)
            answer: Any = cloud.ec2.describe_instance_attribute(InstanceId=identity, Attribute="userData")
            behaviour: Any = cloud.ec2.describe_instance_attribute(
                InstanceId=identity, Attribute="instanceInitiatedShutdownBehavior"
            )
        groups = [group["GroupId"] for group in instance["NetworkInterfaces"][0]["Groups"]]
        address = _address(cloud, identity)
        text = launching.text_of(answer)
        return {
            "ami": instance["ImageId"],
            "arn": cloud.arn(f"instance/{identity}"),
            "associatePublicIpAddress": "PublicIpAddress" in instance,
            "availabilityZone": instance["Placement"]["AvailabilityZone"],
            "disableApiStop": False,
            "disableApiTermination": False,
            "ebsOptimized": instance.get("EbsOptimized", False),
            "instanceInitiatedShutdownBehavior": behaviour["InstanceInitiatedShutdownBehavior"]["Value"],
            "instanceLifecycle": instance.get("InstanceLifecycle", ""),
            "instanceState": instance["State"]["Name"],
            "instanceType": instance["InstanceType"],
            "keyName": instance["KeyName"],
            "metadataOptions": _options(instance),
            "primaryNetworkInterfaceId": instance["NetworkInterfaces"][0]["NetworkInterfaceId"],
            "privateDns": instance["PrivateDnsName"],
            "privateIp": instance["PrivateIpAddress"],
            "publicDns": f"ec2-{address.replace('.', '-')}.{cloud.region}.compute.amazonaws.com" if address else "",
            "publicIp": address,
            "region": cloud.region,
            "rootBlockDevice": _device(instance, volume),
            "securityGroups": [],
            "subnetId": instance["SubnetId"],
            "tenancy": "default",
            "vpcSecurityGroupIds": as_given(state.get("vpcSecurityGroupIds", []), groups),
            **({"userData": text} if text or "userData" in state else {}),
            **({"volumeTags": _tags(volume)} if "volumeTags" in state else {}),
            **tags.outputs(cloud, state, instance.get("Tags", [])),
        }

    def _instance(self, cloud: Cloud, identity: str) -> dict[str, Any]:
        reservation = one(cloud.ec2.describe_instances, "Reservations", InstanceIds=[identity])
        instance: dict[str, Any] = reservation["Instances"][0]
        if instance["State"]["Name"] in ("shutting-down", "terminated"):
            raise LookupError(identity)
        return instance

    def _change_stopped(self, cloud: Cloud, instance: dict[str, Any], olds: Properties, inputs: Properties) -> None:
        identity = instance["InstanceId"]
        kind = launching.kind_of(cloud, inputs["instanceType"], "ModifyInstanceAttribute")
        launching.check_fit(launching.image(cloud, instance["ImageId"]), kind)
        launching.check_quota(cloud, inputs, "StartInstances", but=identity)
        if instance.get("InstanceLifecycle") == "spot":
            said = (
                f"You can't stop the Spot Instance '{identity}' because it is associated with a one-time Spot Instance "
                "request. You can only stop Spot Instances associated with persistent Spot Instance requests."
            )
            raise Refusal("StopInstances", "UnsupportedOperation", said)
        if cloud.machines is None or cloud.record is None:
            raise CloudError(machines.NONE)
        host = cloud.record.read().hosts.get(identity)
        cloud.ec2.stop_instances(InstanceIds=[identity])
        if host:
            cloud.machines.stop(host)
        if olds["instanceType"] != inputs["instanceType"]:
            wanted: Any = {"Value": inputs["instanceType"]}
            cloud.ec2.modify_instance_attribute(InstanceId=identity, InstanceType=wanted)
        if olds.get("userData") != inputs.get("userData"):
            # encoded once more than for EC2: moto decodes it twice
            text: Any = {"Value": base64.b64encode(inputs.get("userData", "").encode())}
            cloud.ec2.modify_instance_attribute(InstanceId=identity, UserData=text)
        cloud.ec2.start_instances(InstanceIds=[identity])
        if host:
            cloud.machines.start(host)


def end(cloud: Cloud, identity: str) -> None:
    """Terminates an instance and pulls its host's plug; what is gone already is fine."""
    try:
        cloud.ec2.terminate_instances(InstanceIds=[identity])
    except cloud.ec2.exceptions.ClientError as error:
        if not is_gone(error):  # moto misses the network interface of one that is terminated already
            raise
    if cloud.record is None:
        return
    host = cloud.record.read().hosts.get(identity)
    if host and cloud.machines:
        cloud.machines.discard(host)
    with cloud.record.held() as content:
        record.end(content, identity)


def _request(cloud: Cloud, inputs: Properties, picture: dict[str, Any], subnet: dict[str, Any]) -> dict[str, Any]:
    device = {"DeviceName": picture["RootDeviceName"], "Ebs": {"VolumeSize": 8, "DeleteOnTermination": True}}
    device["Ebs"] |= request_of(inputs.get("rootBlockDevice", {}))
    interface = {
        "DeleteOnTermination": True,
        "DeviceIndex": 0,
        "SubnetId": inputs["subnetId"],
        "AssociatePublicIpAddress": inputs.get("associatePublicIpAddress", subnet["MapPublicIpOnLaunch"]),
        "Groups": inputs.get("vpcSecurityGroupIds", []),
    }
    request = {
        "BlockDeviceMappings": [device],
        "ImageId": inputs["ami"],
        "InstanceType": inputs["instanceType"],
        "KeyName": inputs["keyName"],
        "MaxCount": 1,
        "MinCount": 1,
        "NetworkInterfaces": [interface],
        "TagSpecifications": [
            *tags.specification(cloud, "instance", inputs),
            *([{"ResourceType": "volume", "Tags": _pairs(inputs["volumeTags"])}] if inputs.get("volumeTags") else []),
        ],
    }
    if "instanceInitiatedShutdownBehavior" in inputs:
        request["InstanceInitiatedShutdownBehavior"] = inputs["instanceInitiatedShutdownBehavior"]
    if "metadataOptions" in inputs:
        request["MetadataOptions"] = request_of(inputs["metadataOptions"])
    if "instanceMarketOptions" in inputs:
        market = request_of(inputs["instanceMarketOptions"])
        if "SpotOptions" in market:
            market["SpotOptions"] = request_of(market["SpotOptions"])
        request["InstanceMarketOptions"] = market
    if "userData" in inputs:
        request["UserData"] = inputs["userData"]
    return request


def _no_room(kind: str, zone: str) -> Refusal:
    said = (
        f"We currently do not have sufficient {kind} capacity in the Availability Zone you requested ({zone}). Our "
        "system will be working on provisioning additional capacity."
    )
    return Refusal("RunInstances", "InsufficientInstanceCapacity", said)


def _root(cloud: Cloud, instance: dict[str, Any]) -> dict[str, Any]:
    return one(cloud.ec2.describe_volumes, "Volumes", VolumeIds=[_mapping(instance)["VolumeId"]])


def _mapping(instance: dict[str, Any]) -> dict[str, Any]:
    """How the root volume hangs in an instance."""
    found = (item for item in instance["BlockDeviceMappings"] if item["DeviceName"] == instance["RootDeviceName"])
    mapping: dict[str, Any] = next(found)["Ebs"]
    return mapping


def _change_root(cloud: Cloud, identity: str, volume: dict[str, Any], wanted: Properties) -> None:
    if wanted.get("encrypted", volume["Encrypted"]) != volume["Encrypted"]:
        raise CloudError("rootBlockDevice.encrypted replaces an instance, and was asked for in place")
    size = wanted.get("volumeSize", volume["Size"])
    if size < volume["Size"]:
        said = f"New size cannot be smaller than existing size (current: {volume['Size']} GiB, wanted: {size} GiB)"
        raise Refusal("ModifyVolume", "InvalidParameterValue", said)
    if (size, wanted.get("volumeType", volume["VolumeType"])) != (volume["Size"], volume["VolumeType"]):
        kind: Any = wanted.get("volumeType", volume["VolumeType"])
        cloud.ec2.modify_volume(VolumeId=volume["VolumeId"], Size=size, VolumeType=kind)
    if "deleteOnTermination" in wanted:
        device = volume["Attachments"][0]["Device"]
        change: list[Any] = [{"DeviceName": device, "Ebs": {"DeleteOnTermination": wanted["deleteOnTermination"]}}]
        cloud.ec2.modify_instance_attribute(InstanceId=identity, BlockDeviceMappings=change)


def _address(cloud: Cloud, identity: str) -> str:
    """The public address: that of the host that the instance is."""
    host = cloud.record.read().hosts.get(identity) if cloud.record else None
    return cloud.machines.pool().get(host, "") if host and cloud.machines else ""


def _options(instance: dict[str, Any]) -> dict[str, Any]:
    options = instance["MetadataOptions"]
    return {key[0].lower() + key[1:]: value for key, value in options.items() if key != "State"}


def _device(instance: dict[str, Any], volume: dict[str, Any]) -> dict[str, Any]:
    return {
        "deleteOnTermination": _mapping(instance)["DeleteOnTermination"],
        "deviceName": instance["RootDeviceName"],
        "encrypted": volume["Encrypted"],
        "volumeId": volume["VolumeId"],
        "volumeSize": volume["Size"],
        "volumeType": volume["VolumeType"],
        **(_GP3 if volume["VolumeType"] == "gp3" else {}),
    }


def _tags(volume: dict[str, Any]) -> dict[str, str]:
    return {pair["Key"]: pair["Value"] for pair in volume.get("Tags", [])}


def _pairs(found: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in found.items()]
