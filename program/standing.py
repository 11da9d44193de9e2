"""Whether the stack has come up before."""

from __future__ import annotations

import pulumi

from fortress.facts import OUTPUT


def has_come_up() -> bool:
    """Whether an `up` of this stack has come to its end, which exports facts: since then there is something to lose.

    To be asked before any resource is made: a backend of files can be read while nothing is written to it. What cannot
    be read counts as something to lose.
    """
    name = f"{pulumi.get_organization()}/{pulumi.get_project()}/{pulumi.get_stack()}"
    try:
        # What a StackReference asks, which would be a resource, and known too late to decide what waits for what.
        said = pulumi.runtime.invoke("pulumi:pulumi:readStackOutputs", {"name": name})
    except Exception as error:  # noqa: BLE001 - the SDK raises nothing narrower
        pulumi.log.debug(f"the outputs of {name} cannot be read: {error}")
        return True
    return OUTPUT in (said.value or {}).get("outputs", {})
