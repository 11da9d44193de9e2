"""`fortress forget`: removes a lost host from the state of its stack, without contacting it."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fortress import push
from fortress import removal as in_sight
from fortress.cli.base.errors import CannotAskError
from fortress.cli.engine import run as engine
from fortress.cli.engine.state import COMMAND, COMMAND_HERE, HOST, STACK, Resource, name_of, of_cloud


class NotForgottenError(Exception):
    """The host stays in the state; the text says why and what to do. Exit status 1."""


@dataclass(frozen=True)
class Removal:
    """The resources that leave the state with a host, dependants first."""

    host: str
    resources: tuple[Resource, ...]

    @property
    def urns(self) -> frozenset[str]:
        return frozenset(resource["urn"] for resource in self.resources)

    @property
    def protected(self) -> list[str]:
        """URNs that somebody protected from deletion."""
        return [resource["urn"] for resource in self.resources if resource.get("protect")]

    @property
    def left_behind(self) -> list[Resource]:
        """Machines, volumes and the like: created by this stack, and still existing afterwards."""
        return [resource for resource in self.resources if of_cloud(resource)]


def removal_of(deployment: Mapping[str, Any], host: str) -> Removal:
    """Find what belongs to a host.

    That is its Host with all children, what is deleted with it, every command for its machine, and the components
    that have nothing but these: its part of the mesh, the services on it. Files that tell other hosts about it are
    for other machines, and the next `up`'s to remove.

    Raises:
        CannotAskError: the state does not know the host.
    """
    resources: list[Resource] = list(deployment.get("resources") or [])
    own = {r["urn"] for r in resources if r["type"] == HOST and name_of(r["urn"]) == host}
    if not own:
        known = sorted({name_of(r["urn"]) for r in resources if r["type"] == HOST})
        raise CannotAskError(f"the state has no host {host!r}; it has {', '.join(known) or 'none'}")
    own = _with_dependants(resources, own)
    machines = {machine for r in resources if r["urn"] in own and (machine := _machine(r))}
    found = own | {r["urn"] for r in resources if _machine(r) in machines}
    found = _with_dependants(resources, found)
    found = _with_empty_components(resources, found)
    # The state lists what others depend on first.
    return Removal(host, tuple(r for r in reversed(resources) if r["urn"] in found))


def _machine(resource: Resource) -> str | None:
    """Identity of the machine that a command is for, here or there, by its text: a connection is secret."""
    create = (resource.get("inputs") or {}).get("create")
    if resource["type"] not in (COMMAND, COMMAND_HERE) or not isinstance(create, str):
        return None
    return push.machine_of(create) or None


def _with_dependants(resources: list[Resource], found: set[str]) -> set[str]:
    """`found`, and all that depends on one of them: children, and what is deleted with it or uses it as provider."""
    found = set(found)
    for r in resources:  # a parent always comes before its children
        provider = r.get("provider", "").rpartition("::")[0]
        if found & {r.get("parent"), r.get("deletedWith"), provider}:
            found.add(r["urn"])
    return found


def _with_empty_components(resources: list[Resource], found: set[str]) -> set[str]:
    """`found`, and the components that lose all their children with it."""
    found = set(found)
    children: dict[str, set[str]] = {}
    for r in resources:
        children.setdefault(r.get("parent", ""), set()).add(r["urn"])
    for r in reversed(resources):
        urn = r["urn"]
        if not r.get("custom") and r["type"] != STACK and urn in children and children[urn] <= found:
            found.add(urn)
    return found


def without(exported: Mapping[str, Any], removal: Removal) -> dict[str, Any]:
    """An exported stack without these resources, and without any mention of them in those that stay."""
    urns = removal.urns
    stack: dict[str, Any] = copy.deepcopy(dict(exported))
    deployment = stack["deployment"]
    deployment["resources"] = [r for r in deployment["resources"] if r["urn"] not in urns]
    for resource in deployment["resources"]:
        _unmention(resource, "dependencies", urns)
        _unmention(resource, "replaceWith", urns)
        for name in resource.get("propertyDependencies") or {}:
            _unmention(resource["propertyDependencies"], name, urns)
        if resource["type"] == COMMAND_HERE:
            _out_of_sight(resource, removal.host)
    if "pending_operations" in deployment:
        pending = deployment["pending_operations"] or []
        deployment["pending_operations"] = [p for p in pending if p["resource"]["urn"] not in urns]
    return stack


def _unmention(holder: dict[str, Any], key: str, urns: frozenset[str]) -> None:
    if holder.get(key):
        holder[key] = [urn for urn in holder[key] if urn not in urns]


def _out_of_sight(command: dict[str, Any], host: str) -> None:
    """The look at hosts before anything is removed from them names the host no more, and so does not wait for it."""
    for values in (command.get("inputs") or {}, command.get("outputs") or {}):
        environment = values.get("environment") or {}
        if "HOSTS" not in environment:
            return
        environment["HOSTS"] = in_sight.without(environment["HOSTS"], host)
        if "stdout" in values:
            values["stdout"] = in_sight.without(values["stdout"], host)


def forget(stack: str, removal: Removal, exported: Mapping[str, Any]) -> None:
    """Write the state without the host, through the engine, which checks it once more.

    `exported` is the state that the removal was made from: if it has changed since, nothing is written.

    Raises:
        NotForgottenError: the state has changed, or the engine refuses it.
        CannotAskError: there is no engine.
    """
    if removal.protected:
        listed = "\n".join(f"  pulumi state unprotect --stack {stack} '{urn}'" for urn in removal.protected)
        raise NotForgottenError(f"some of these are protected; to forget them anyway, first run\n{listed}")
    if engine.export(stack) != exported:
        raise NotForgottenError("the state changed in the meantime; nothing was written, run this again")
    text = json.dumps(without(exported, removal))
    try:
        engine.run("stack", "import", stack=stack, text=text)
    except engine.EngineError as error:
        raise NotForgottenError(f"the engine refused the state without {removal.host}: {error}") from None


def listing(stack: str, removal: Removal) -> str:
    """The list of resources that leave the state, for confirmation."""
    lines = [f"{len(removal.resources)} resources of {removal.host} will leave the state of {stack}, in this order:"]
    lines += [
        f"  {r['type']}  {name_of(r['urn'])}{'  (protected)' if r.get('protect') else ''}" for r in removal.resources
    ]
    return "\n".join(lines) + "\n"


def farewell(stack: str, removal: Removal) -> str:
    """A summary of what was done and what remains to be done."""
    host = removal.host
    lines = [
        f"{host} was removed from the state of {stack}; it was not contacted, and the pushed files are still on it.",
        "Still to do:",
        f"  - remove {host} from hosts in Pulumi.{stack.rpartition('/')[2]}.yaml, or raise its incarnation when a new",
        "    machine takes the name; otherwise the next `pulumi up` contacts it again",
        f"  - pulumi up --stack {stack}: the other hosts drop it as a peer, the edge as a server",
    ]
    if removal.left_behind:
        lines.append("  - delete the resources that this stack created for it, which still exist and may cost money:")
        lines += [f"      {r['type']}  {name_of(r['urn'])}  {r.get('id', '')}" for r in removal.left_behind]
    return "\n".join(lines) + "\n"
