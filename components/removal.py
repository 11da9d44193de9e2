"""A look at a host that is taken out, before anything is removed from it."""

from __future__ import annotations

import pulumi
from pulumi_command import local

from fortress import push, text

from .host import Host


def look_before_removal(host: Host, *on_it: pulumi.Resource) -> None:
    """Name the cure where a host that is taken out is dead: each removal would dial it and fail, naming none.

    It depends on all that stands on the host, so it is removed before; and it runs on the engine's side. By no hook,
    since `pulumi destroy` does without the program. A machine that the stack makes takes all with it, and one behind a
    bastion is out of sight: there is no look at these.

    Args:
        host: the host.
        on_it: what stands on it: its part of the mesh (`mesh.parts[name]`) and its services.
    """
    member = host.member
    if "host_urn" in member or "bastion" in member:
        return
    name, gone = member["name"], member["gone"]
    local.Command(
        f"{name}-answers",
        create=pulumi.Output.from_input(member["machine_id"]).apply(
            lambda machine: push.for_machine(machine, *push.READY)
        ),
        delete="sh -s",
        stdin=text.script("host-answers"),
        environment={
            "HOST": name,
            "ADDRESS": member["address"],
            "PORT": pulumi.Output.from_input(member["port"]).apply(str),
        },
        logging=local.Logging.NONE,
        opts=pulumi.ResourceOptions(
            depends_on=[host, *on_it],
            ignore_changes=["create", "stdin", "environment"] if gone else None,
            retain_on_delete=True if gone else None,
        ),
    )
