"""Whether the stack has come up before."""

from __future__ import annotations

import pulumi

from fortress.facts import OUTPUT


def has_come_up() -> bool:
    """Whether an `up` of this stack has come to its end, which exports facts: since then there is something to lose."""
    name = f"{pulumi.get_organization()}/{pulumi.get_project()}/{pulumi.get_stack()}"
    # What a StackReference asks, which would be a resource besides, and known too late to decide what waits for what.
    said = pulumi.runtime.invoke("pulumi:pulumi:readStackOutputs", {"name": name})
    return OUTPUT in (said.value or {}).get("outputs", {})
