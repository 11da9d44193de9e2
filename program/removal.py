"""A look at a host that is taken out, before anything is removed from it."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi
from pulumi_command import local

from fortress import push, text
from fortress.machine import Incarnation
from fortress.settings.model import Settings


def look_first(s: Settings, name: str, on_it: Sequence[pulumi.Resource]) -> None:
    """Names the cure where a host that is taken out is dead: each removal would dial it and fail, naming none.

    It depends on all that stands on the host, so it is removed before; and it runs on the engine's side. By no hook,
    since `pulumi destroy` does without the program. A machine that the stack makes takes all with it, and one behind a
    bastion is out of sight.
    """
    host = s.members[name]
    if host.address is None or s.ssh.bastion:
        return
    local.Command(
        f"{name}-answers",
        create=push.for_machine(str(Incarnation(name, host.incarnation)), *push.READY),
        delete="sh -s",
        stdin=text.script("host-answers"),
        environment={"HOST": name, "ADDRESS": host.address, "PORT": str(s.ssh.port)},
        logging=local.Logging.NONE,
        opts=pulumi.ResourceOptions(
            depends_on=on_it,
            ignore_changes=["create", "stdin", "environment"] if host.gone else None,
            retain_on_delete=True if host.gone else None,
        ),
    )
