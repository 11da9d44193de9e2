"""A machine on OpenStack: its port, an address from outside where asked for, and the instance."""

from collections.abc import Mapping
from typing import NotRequired, TypedDict

import pulumi

from fortress import cloud

from . import sdk
from .checking import arguments, check, facts_of, wrong
from .remote import child_options, with_depends_on


class OpenStackMachineArgs(TypedDict):
    """A machine of an `OpenStackSite`; what it depends on there comes by `depends_on` of the component."""

    instance_name: NotRequired[str]
    """The instance's name in the cloud; the component's when not given."""
    flavor: pulumi.Input[str]
    """Name of its flavor. Another one resizes the machine, which restarts it."""
    image_id: pulumi.Input[str]
    """Image that a new machine is made from."""
    image_pinned: NotRequired[bool]
    """Whether the machine keeps its image; true when not given. When false, another image replaces the machine."""
    key_pair: pulumi.Input[str]
    """Name of the key pair for the first login; another one is for new machines only."""
    network_id: pulumi.Input[str]
    """Network of its port."""
    subnet_id: pulumi.Input[str]
    """Subnet of its port."""
    fixed_address: NotRequired[str | None]
    """IPv4 address inside the subnet; the cloud's choice when not given."""
    group_ids: list[pulumi.Input[str]]
    """Security groups of its port, at least one: a port without any is given the project's `default`."""
    floating_pool: NotRequired[str | None]
    """Name of the external network that gives it a floating address; none when not given."""
    metadata: NotRequired[Mapping[str, pulumi.Input[str]] | None]
    """Metadata of the instance, which everything on the machine can read."""
    server_group_id: NotRequired[pulumi.Input[str] | None]
    """Server group that keeps it apart from others."""
    availability_zone: NotRequired[pulumi.Input[str] | None]
    """The cloud's choice when not given."""
    user_data: NotRequired[pulumi.Input[str] | None]
    """For cloud-init, nothing secret; another text is for new machines only."""


class OpenStackMachine(pulumi.ComponentResource):
    """An instance that is never rebuilt in place: a rebuild would wipe its disk."""

    machine_id: pulumi.Output[str]
    """The instance's id."""
    address: pulumi.Output[str]
    """Where it answers: its floating address, else its fixed one. It may be known before there is a machine."""
    fixed_address: pulumi.Output[str]
    """Its address inside the subnet."""

    def __init__(self, name: str, args: OpenStackMachineArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """Make the machine, its port and its addresses.

        Raises:
            ValueError: no security group is given.
        """
        args = arguments("OpenStackMachine", name, OpenStackMachineArgs, args)
        check("OpenStackMachine", name, facts_of(cloud.OpenStackAddress, args))
        if not args["group_ids"]:
            raise wrong("OpenStackMachine", name, "group_ids", "must not be empty: a port without any gets `default`")
        super().__init__("fortress:index:OpenStackMachine", name, {}, opts)
        options = child_options(self, opts)
        instance_name = args.get("instance_name", name)
        fixed = args.get("fixed_address")
        port = sdk.openstack.networking.Port(
            f"{name}-port",
            name=instance_name,
            network_id=args["network_id"],
            fixed_ips=[sdk.openstack.networking.PortFixedIpArgs(subnet_id=args["subnet_id"], ip_address=fixed)],
            security_group_ids=args["group_ids"],
            admin_state_up=True,
            tags=cloud.TAGS,
            # The port before it holds the address until it is gone.
            opts=pulumi.ResourceOptions.merge(
                options, pulumi.ResourceOptions(delete_before_replace=True if fixed else None)
            ),
        )
        reachable: list[pulumi.Resource] = []
        floating = None
        if pool := args.get("floating_pool"):
            floating = sdk.openstack.networking.FloatingIp(
                f"{name}-address", pool=pool, description=instance_name, tags=cloud.TAGS, opts=options
            )
            reachable = [
                sdk.openstack.networking.FloatingIpAssociate(
                    f"{name}-association", floating_ip=floating.address, port_id=port.id, opts=options
                )
            ]
        pinned = bool(args.get("image_pinned", True))
        group = args.get("server_group_id")
        self.instance = sdk.openstack.compute.Instance(
            f"{name}-instance",
            name=instance_name,
            flavor_name=args["flavor"],
            image_id=args["image_id"],
            key_pair=args["key_pair"],
            metadata=args.get("metadata") or None,
            networks=[sdk.openstack.compute.InstanceNetworkArgs(port=port.id)],
            scheduler_hints=[sdk.openstack.compute.InstanceSchedulerHintArgs(group=group)]
            if group is not None
            else None,
            user_data=args.get("user_data"),
            availability_zone=args.get("availability_zone"),
            stop_before_destroy=True,
            opts=pulumi.ResourceOptions.merge(
                # cloud-init and the first login find the address in place.
                with_depends_on(options, *reachable),
                pulumi.ResourceOptions(
                    # Its volumes and its port are in use until it is gone.
                    delete_before_replace=True,
                    # What is read at the first boot alone is no reason to end a machine.
                    ignore_changes=["userData", "keyPair", *(["imageId"] if pinned else [])],
                    replace_on_changes=None if pinned else ["imageId"],
                ),
            ),
        )
        """The instance itself: what its volumes attach to, and what the first contact waits for."""
        self.machine_id = self.instance.id
        self.fixed_address = (
            pulumi.Output.from_input(fixed) if fixed else port.all_fixed_ips.apply(lambda addresses: addresses[0])
        )
        self.address = floating.address if floating else self.fixed_address
        self.register_outputs(
            {"machine_id": self.machine_id, "address": self.address, "fixed_address": self.fixed_address}
        )
