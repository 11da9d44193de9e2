"""A machine on AWS: one EC2 instance that may be thrown away."""

from collections.abc import Mapping
from typing import NotRequired, TypedDict

import pulumi

from fortress import cloud

from . import sdk
from .checking import arguments, check, facts_of, wrong
from .remote import child_options


class AwsMachineArgs(TypedDict):
    """A machine of an `AwsSite`; what it depends on there comes by `depends_on` of the component."""

    instance_type: NotRequired[pulumi.Input[str]]
    """`c5.large` when not given. Another one stops and starts the machine, and replaces a spot instance."""
    ami: pulumi.Input[str]
    """Image that a new machine is made from."""
    image_pinned: NotRequired[bool]
    """Whether the machine keeps its image; true when not given. When false, another image replaces the machine."""
    key_pair: pulumi.Input[str]
    """Name of the key pair for the first login; another one is for new machines only."""
    subnet_id: pulumi.Input[str]
    """Subnet, and with it the zone."""
    group_ids: list[pulumi.Input[str]]
    """Security groups, at least one: a machine without any is given the VPC's `default`."""
    disk_gb: NotRequired[int]
    """Size of its disk in GiB; 20 when not given."""
    spot: NotRequired[bool]
    """Whether it is a spot instance: cheaper, and ended when AWS wants it back."""
    tags: NotRequired[Mapping[str, pulumi.Input[str]] | None]
    """Its tags, besides the provider's."""
    user_data: NotRequired[pulumi.Input[str] | None]
    """For cloud-init, nothing secret; another text is for new machines only."""


class AwsMachine(pulumi.ComponentResource):
    """An instance with nothing on it that is missed: its disk ends with it, and it ends when it shuts down."""

    machine_id: pulumi.Output[str]
    """The instance's id."""
    address: pulumi.Output[str]
    """Its public IPv4 address."""

    def __init__(self, name: str, args: AwsMachineArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """Make the machine.

        Raises:
            ValueError: no security group is given.
        """
        args = arguments("AwsMachine", name, AwsMachineArgs, args)
        check("AwsMachine", name, facts_of(cloud.AwsDisk, args))
        if not args["group_ids"]:
            raise wrong("AwsMachine", name, "group_ids", "must not be empty: a machine without any gets `default`")
        super().__init__("fortress:index:AwsMachine", name, {}, opts)
        pinned, spot = bool(args.get("image_pinned", True)), bool(args.get("spot", False))
        self.instance = sdk.aws.ec2.Instance(
            f"{name}-instance",
            ami=args["ami"],
            instance_type=args.get("instance_type", "c5.large"),
            key_name=args["key_pair"],
            subnet_id=args["subnet_id"],
            vpc_security_group_ids=args["group_ids"],
            associate_public_ip_address=True,
            user_data=args.get("user_data"),
            # IMDSv2 alone, and no answer passes a second hop.
            metadata_options=sdk.aws.ec2.InstanceMetadataOptionsArgs(
                http_endpoint="enabled", http_tokens="required", http_put_response_hop_limit=1
            ),
            # The provider's default tags reach the disk too; `volume_tags` beside them would differ from them.
            root_block_device=sdk.aws.ec2.InstanceRootBlockDeviceArgs(
                volume_type="gp3",
                volume_size=args.get("disk_gb", 20),
                encrypted=True,
                delete_on_termination=True,
            ),
            instance_initiated_shutdown_behavior="terminate",
            # One request, and the end when interrupted, are what EC2 takes without further options.
            instance_market_options=sdk.aws.ec2.InstanceInstanceMarketOptionsArgs(market_type="spot") if spot else None,
            tags=args.get("tags") or None,
            opts=pulumi.ResourceOptions.merge(
                child_options(self, opts),
                pulumi.ResourceOptions(
                    # What is read at the first boot alone is no reason to end a machine.
                    ignore_changes=["userData", "keyName", *(["ami"] if pinned else [])],
                    # EC2 does not stop the instance of a one-time request, which another type in place needs.
                    replace_on_changes=["instanceType"] if spot else None,
                ),
            ),
        )
        """The instance itself: what the first contact waits for."""
        self.machine_id = self.instance.id
        self.address = self.instance.public_ip
        self.register_outputs({"machine_id": self.machine_id, "address": self.address})
