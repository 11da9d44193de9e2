"""Security groups and their rules."""

# ruff: noqa: ARG002 - a type need not look at all that it is given

from __future__ import annotations

import pulumi_openstack

from ..cloud_plugin.kinds import Properties
from . import catalogue
from .catalogue import State
from .cloud import new_id
from .kind import Stored, tagged
from .words import neutron

_MATCH = ("direction", "ethertype", "protocol", "portRangeMin", "portRangeMax", "remoteIpPrefix", "remoteGroupId")


class SecGroup(Stored):
    token = "openstack:networking/secGroup:SecGroup"
    args = pulumi_openstack.networking.SecGroupArgs
    collection = "groups"
    replaces = frozenset({"deleteDefaultRules", "region", "tenantId"})
    outputs = frozenset({"allTags", "description", "region", "stateful", "tenantId"})

    def made(self, state: State, identity: str, inputs: Properties) -> Properties:
        if not inputs.get("deleteDefaultRules"):
            # a new group lets everything out
            for version in ("IPv4", "IPv6"):
                rule = {"direction": "egress", "ethertype": version, "securityGroupId": identity}
                if not any(same(rule, other) for other in state["rules"].values()):
                    state["rules"][new_id()] = rule
        filled = {"description": "", "stateful": True, "tenantId": catalogue.PROJECT_ID}
        return {**filled, **inputs, **tagged(inputs)}

    def removed(self, state: State, identity: str, entry: Properties) -> None:
        if any(identity in port["allSecurityGroupIds"] for port in state["ports"].values()):
            raise neutron(
                f"Error deleting openstack_networking_secgroup_v2 {identity}",
                f"DELETE /v2.0/security-groups/{identity}",
                409,
                "SecurityGroupInUse",
                f"Security Group {identity} in use.",
            )
        for rule in [name for name, item in state["rules"].items() if item["securityGroupId"] == identity]:
            del state["rules"][rule]


class SecGroupRule(Stored):
    token = "openstack:networking/secGroupRule:SecGroupRule"
    args = pulumi_openstack.networking.SecGroupRuleArgs
    collection = "rules"
    replaces = frozenset({*_MATCH, "description", "region", "remoteAddressGroupId", "securityGroupId", "tenantId"})
    outputs = frozenset(
        {"portRangeMax", "portRangeMin", "protocol", "region", "remoteGroupId", "remoteIpPrefix", "tenantId"}
    )

    def made(self, state: State, identity: str, inputs: Properties) -> Properties:
        doing, request = "Error creating openstack_networking_secgroup_rule_v2", "POST /v2.0/security-group-rules"
        group = inputs["securityGroupId"]
        if group not in state["groups"]:
            raise neutron(doing, request, 404, "SecurityGroupNotFound", f"Security group {group} does not exist")
        for name, other in state["rules"].items():
            if same(inputs, other):
                message = f"Security group rule already exists. Rule id is {name}."
                raise neutron(doing, request, 409, "SecurityGroupRuleExists", message)
        return {
            **{"protocol": "", "portRangeMin": 0, "portRangeMax": 0, "remoteIpPrefix": "", "remoteGroupId": ""},
            "tenantId": catalogue.PROJECT_ID,
            **inputs,
        }


def same(one: Properties, other: Properties) -> bool:
    """Whether two rules say the same; what they are described as does not count."""
    names = (*_MATCH, "securityGroupId")
    return all((one.get(name) or None) == (other.get(name) or None) for name in names)
