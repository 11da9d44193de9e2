"""What EC2 checks before it launches an instance, and moto does not."""

from __future__ import annotations

import base64
from typing import Any

from ..cloud_plugin.kinds import Properties
from . import catalogue
from .cloud import Cloud
from .kind import one, where
from .words import Refusal

_RUN = "RunInstances"


def image(cloud: Cloud, ami: str) -> dict[str, Any]:
    """The image of that id.

    Raises:
        Refusal: there is none.
    """
    if not ami.startswith("ami-"):
        raise Refusal(_RUN, "InvalidAMIID.Malformed", f'Invalid id: "{ami}" (expecting "ami-...")')
    try:
        return one(cloud.ec2.describe_images, "Images", ImageIds=[ami])
    except LookupError:
        raise Refusal(_RUN, "InvalidAMIID.NotFound", f"The image id '[{ami}]' does not exist") from None


def key(cloud: Cloud, name: str) -> str:
    """The public key of the key pair of that name.

    Raises:
        Refusal: there is none.
    """
    try:
        found = one(cloud.ec2.describe_key_pairs, "KeyPairs", KeyNames=[name], IncludePublicKey=True)
    except LookupError:
        raise Refusal(_RUN, "InvalidKeyPair.NotFound", f"The key pair '{name}' does not exist") from None
    return str(found["PublicKey"]).strip()


def kind_of(cloud: Cloud, name: str, operation: str = _RUN) -> dict[str, Any]:
    """The instance type of that name.

    Raises:
        Refusal: there is none.
    """
    known: list[Any] = cloud.ec2.describe_instance_types(Filters=where("instance-type", name))["InstanceTypes"]
    if not known:
        raise Refusal(operation, "InvalidParameterValue", f"Invalid value '{name}' for InstanceType.")
    kind: dict[str, Any] = known[0]
    return kind


def check_fit(picture: dict[str, Any], kind: dict[str, Any]) -> None:
    """Image and type must be of one architecture."""
    known = kind["ProcessorInfo"]["SupportedArchitectures"]
    if picture["Architecture"] not in known:
        said = (
            f"The architecture '{known[0]}' of the specified instance type does not match the architecture "
            f"'{picture['Architecture']}' of the specified AMI. Specify an instance type and an AMI that have matching "
            "architectures, and try again. You can use 'describe-instance-types' or 'describe-images' to discover the "
            "architecture of the instance type or AMI."
        )
        raise Refusal(_RUN, "InvalidParameterValue", said)


def check_place(cloud: Cloud, inputs: Properties) -> dict[str, Any]:
    """Subnet and groups must be of one network, and the subnet's zone must have the type; the subnet."""
    subnet_id = inputs["subnetId"]
    try:
        subnet = one(cloud.ec2.describe_subnets, "Subnets", SubnetIds=[subnet_id])
    except LookupError:
        said = f"The subnet ID '{subnet_id}' does not exist"
        raise Refusal(_RUN, "InvalidSubnetID.NotFound", said) from None
    for group_id in inputs.get("vpcSecurityGroupIds", []):
        try:
            group = one(cloud.ec2.describe_security_groups, "SecurityGroups", GroupIds=[group_id])
        except LookupError:
            said = f"The security group '{group_id}' does not exist"
            raise Refusal(_RUN, "InvalidGroup.NotFound", said) from None
        if group["VpcId"] != subnet["VpcId"]:
            said = f"Security group {group_id} and subnet {subnet_id} belong to different networks."
            raise Refusal(_RUN, "InvalidParameter", said)
    offers: Any = cloud.ec2.describe_instance_type_offerings(
        LocationType="availability-zone", Filters=where("instance-type", inputs["instanceType"])
    )["InstanceTypeOfferings"]
    zones = sorted(offer["Location"] for offer in offers)
    if subnet["AvailabilityZone"] not in zones:
        said = (
            f"Your requested instance type ({inputs['instanceType']}) is not supported in your requested Availability "
            f"Zone ({subnet['AvailabilityZone']}). Please retry your request by not specifying an Availability Zone or "
            f"choosing {', '.join(zones)}."
        )
        raise Refusal(_RUN, "Unsupported", said)
    return subnet


def check_quota(cloud: Cloud, inputs: Properties, operation: str = _RUN, but: str = "") -> None:
    """The account's vCPUs must suffice for the type wanted; `but` is an instance that does not count."""
    spot = _is_spot(inputs)
    running = [
        instance
        for reservation in cloud.ec2.describe_instances(Filters=where("instance-state-name", "running", "pending"))[
            "Reservations"
        ]
        for instance in reservation["Instances"]
        if instance["InstanceId"] != but and (instance.get("InstanceLifecycle") == "spot") is spot
    ]
    names = [*(instance["InstanceType"] for instance in running), inputs["instanceType"]]
    if sum(kind_of(cloud, name)["VCpuInfo"]["DefaultVCpus"] for name in names) <= catalogue.VCPU_LIMIT:
        return
    if spot:
        raise Refusal(operation, "MaxSpotInstanceCountExceeded", "Max spot instance count exceeded")
    said = (
        f"You have requested more vCPU capacity than your current vCPU limit of {catalogue.VCPU_LIMIT} allows for the "
        "instance bucket that the specified instance type belongs to. Please visit "
        "http://aws.amazon.com/contact-us/ec2-request to request an adjustment to this limit."
    )
    raise Refusal(operation, "VcpuLimitExceeded", said)


def _is_spot(inputs: Properties) -> bool:
    return bool(inputs.get("instanceMarketOptions", {}).get("marketType") == "spot")


def text_of(attribute: dict[str, Any]) -> str:
    """The user data in what DescribeInstanceAttribute answers."""
    return base64.b64decode(attribute.get("UserData", {}).get("Value", "")).decode()
