"""A look at the hosts that are taken out, before anything is removed from them."""

from __future__ import annotations

from collections.abc import Iterable

import pulumi
from pulumi_command import local

from fortress import removal, text

from .host import Host


def look_before_removal(hosts: Iterable[Host], *on_them: pulumi.Resource) -> None:
    """Name the cure where a host that is taken out is dead: each removal would dial it and fail, naming none.

    It depends on all that stands on the hosts, so it comes last, and the engine removes afterwards what a program does
    not have any more; where all goes, it goes first. It runs on the engine's side. By no hook, since `pulumi destroy`
    does without the program. A machine that the stack makes takes all with it, and one behind a bastion is out of
    sight: there is no look at these.

    Args:
        hosts: all hosts of the program.
        on_them: what stands on them: the mesh and the services.
    """
    hosts = list(hosts)
    seen = [host.member for host in hosts if "host_urn" not in host.member and "bastion" not in host.member]

    def render(places: list[tuple[str, float]]) -> str:
        return removal.render(
            removal.HostInSight(member["name"], address, int(port), member["gone"])
            for member, (address, port) in zip(seen, places, strict=True)
        )

    if seen:
        places = pulumi.Output.all(*(pulumi.Output.all(member["address"], member["port"]) for member in seen))
        local.Command(
            "hosts-answer",
            create="sh -s remember",
            update="sh -s left",
            delete="sh -s all",
            stdin=text.script("host-answers"),
            environment={"HOSTS": places.apply(render)},
            logging=local.Logging.NONE,
            opts=pulumi.ResourceOptions(depends_on=[*hosts, *on_them]),
        )
