"""The database's data on a volume of its own, which outlives the machine."""

from typing import NotRequired, TypedDict

import pulumi

from fortress import cloud, mariadb, push

from . import sdk
from .checking import Facts, check, wrong
from .host_file import put_script
from .remote import Target, command, with_depends_on

SERVICE = "mariadb"


class OpenStackVolumeArgs(TypedDict):
    """A volume that the cloud makes, attached to an instance."""

    size_gb: int
    """Size in GB (GiB). It can grow, in use, and never shrinks."""
    name_prefix: NotRequired[str | None]
    """Put before its name in the project, with a hyphen; none when not given."""
    type: NotRequired[str | None]
    """Volume type of the cloud, its default when not given."""
    availability_zone: NotRequired[str | None]
    """The cloud's choice when not given."""
    data_class: NotRequired[str | None]
    """What somebody who reads it has, written into its metadata as `data-class`; nothing is written when not given."""
    instance_id: pulumi.Input[str]
    """The instance that it is attached to: the host's."""


class VolumeArgs(TypedDict):
    """Where the data is; exactly one of `openstack` and `device`."""

    openstack: NotRequired[OpenStackVolumeArgs | None]
    """A volume that the cloud makes."""
    device: NotRequired[str | None]
    """A disk that the host has, such as /dev/nvme1n1."""
    encrypted: NotRequired[bool]
    """Whether it is encrypted (LUKS2); no when not given. It is decided before there is data on it."""
    key: NotRequired[pulumi.Input[str] | None]
    """The key, text of at least 20 characters; secret, needed when encrypted. Without it the data is lost."""


def check_volume(component: str, name: str, args: VolumeArgs) -> None:
    """Refuse a volume that cannot be.

    Raises:
        ValueError: an argument is wrong; the message names it.
    """
    made = args.get("openstack")
    values = {"size_gb": made["size_gb"] if made else None, "device": args.get("device")}
    prefix = {"name_prefix": made.get("name_prefix") if made else None}
    check(
        component,
        name,
        Facts(mariadb.DataDisk, values, {"": "volume", "size_gb": "volume.openstack.size_gb"}),
        Facts(cloud.Prefixed, prefix, {"": "volume.openstack"}),
    )
    if (made is None) == (args.get("device") is None):
        raise wrong(component, name, "volume", "set either openstack or device")
    if args.get("encrypted") and args.get("key") is None:
        raise wrong(component, name, "volume.key", "needed, since the volume is encrypted")


def mount(
    name: str, args: VolumeArgs, target: Target, opts: pulumi.ResourceOptions, *, keep_data: bool
) -> pulumi.Resource:
    """The volume, mounted where MariaDB keeps its data: what MariaDB's installation must wait for."""
    made, device = args.get("openstack"), args.get("device")
    encrypted = bool(args.get("encrypted", False))
    key = args.get("key")
    needed: list[pulumi.Resource] = [put_script(f"{name}-volume-tool", target, "data-volume", opts)]
    if encrypted:
        needed.append(
            command(
                f"{name}-cryptsetup",
                target,
                lambda machine: push.Packages(machine=machine, names=("cryptsetup-bin",)).render(),
                opts,
            )
        )
    options: list[str] = ["--encrypted"] if encrypted else []
    source: pulumi.Output[str]
    if made is None:
        source = pulumi.Output.from_input(f"device:{device}")
    else:
        size_gb = made["size_gb"]
        volume = sdk.openstack.blockstorage.Volume(
            f"{name}-data",
            name=cloud.prefixed(made.get("name_prefix"), f"{name}-data"),
            description="Data of the database",
            size=size_gb,
            volume_type=made.get("type"),
            availability_zone=made.get("availability_zone"),
            metadata=cloud.class_metadata(made.get("data_class")) or None,
            enable_online_resize=True,
            opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(protect=keep_data)),
        )
        needed.append(
            sdk.openstack.compute.VolumeAttach(
                f"{name}-data-attached",
                instance_id=made["instance_id"],
                volume_id=volume.id,
                # It cannot be attached twice.
                opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(delete_before_replace=True)),
            )
        )
        source = volume.id.apply(lambda known: f"volume:{known}")
        # A volume that has grown changes the text, so its file system grows too.
        options = ["--size", str(size_gb), *options]
    place = (mariadb.DATA_FOLDER, SERVICE)

    def mounting(machine: str) -> pulumi.Output[str]:
        return source.apply(
            lambda known: push.for_machine(machine, *push.script("data-volume", "mount", known, *place, *options))
        )

    return command(
        f"{name}-data-mounted",
        target,
        mounting,
        with_depends_on(opts, *needed),
        delete=lambda machine: push.for_machine(machine, *push.script("data-volume", "unmount", *place)),
        # As a file is sent: a key that was cut short would encrypt the volume.
        stdin=pulumi.Output.secret(key).apply(push.content) if encrypted and key is not None else None,
        # MariaDB is stopped and the volume unmounted on the old machine, by its own connection, before the volume is
        # detached and that machine ends; then the new one mounts it.
        replace_on=made["instance_id"] if made else None,
    )
