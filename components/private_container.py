"""An object container on OpenStack that only its project reads and writes."""

from typing import NotRequired, TypedDict

import pulumi

from fortress import cloud

from . import sdk
from .checking import arguments, check, facts_of
from .remote import child_options


class PrivateContainerArgs(TypedDict):
    """A container for personal data or backups."""

    container: pulumi.Input[str]
    """Its name in the project."""
    versioning: bool
    """Whether an object that is overwritten or deleted stays as an older version."""
    data_class: NotRequired[str | None]
    """What somebody who reads it has, written into its metadata as `data-class`; nothing is written when not given."""
    expire_days: NotRequired[int | None]
    """After how many days objects end. Swift knows no expiry of a container, so this is written into its metadata
    (`expire-days`) for those who upload: they send it with each object as `X-Delete-After`, in seconds."""
    protect: NotRequired[bool]
    """Whether the engine refuses to delete it; true when not given."""


class PrivateContainer(pulumi.ComponentResource):
    """A container without an access list, which leaves it to its project."""

    container: pulumi.Output[str]
    """Its name."""

    def __init__(self, name: str, args: PrivateContainerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        args = arguments("PrivateContainer", name, PrivateContainerArgs, args)
        check("PrivateContainer", name, facts_of(cloud.ContainerFacts, args))
        super().__init__("fortress:index:PrivateContainer", name, {}, opts)
        days = args.get("expire_days")
        made = sdk.openstack.objectstorage.Container(
            f"{name}-container",
            name=args["container"],
            versioning=args["versioning"],
            metadata={
                **({} if days is None else {"expire-days": str(days)}),
                **cloud.class_metadata(args.get("data_class")),
            }
            or None,
            # Objects are somebody's data: only an empty container can be deleted.
            force_destroy=False,
            opts=pulumi.ResourceOptions.merge(
                child_options(self, opts), pulumi.ResourceOptions(protect=args.get("protect", True))
            ),
        )
        self.container = made.name
        self.register_outputs({"container": self.container})
