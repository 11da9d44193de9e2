"""Security groups, their rules, and key pairs.

What replaces is ForceNew in hashicorp/terraform-provider-aws, internal/service/ec2/vpc_security_group*.go and
ec2_key_pair.go. A group has no rules but those that are resources of their own.
"""

# ruff: noqa: ARG002, RUF012 - methods and tables are as the kind declares them

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Any, ClassVar

import pulumi_aws
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from ..cloud_plugin.kinds import Problem, Properties
from ..pulumi_resource_command.values import UNKNOWN
from . import catalogue, tags
from .cloud import Cloud
from .kind import Ec2Kind, one, request_of, unless_gone, when_free, where
from .words import NOT_MODELLED, Refusal, doing


class SecurityGroup(Ec2Kind):
    token = "aws:ec2/securityGroup:SecurityGroup"
    args = pulumi_aws.ec2.SecurityGroupArgs
    replaces = frozenset({"description", "name", "vpcId"})
    modelled = frozenset({"description", "name", "vpcId", "revokeRulesOnDelete", "tags"})
    outputs = frozenset({"arn", "namePrefix", "ownerId", "region", "tagsAll", "vpcId"})
    defaults = {"description": "Managed by Pulumi", "revokeRulesOnDelete": False}

    def create(self, cloud: Cloud, inputs: Properties, name: str) -> tuple[str, Properties]:
        request: dict[str, Any] = {
            "Description": inputs["description"],
            "GroupName": inputs["name"],
            "TagSpecifications": tags.specification(cloud, "security-group", inputs),
        }
        if "vpcId" in inputs:
            request["VpcId"] = inputs["vpcId"]
        with doing(f"creating Security Group ({inputs['name']})"):
            identity = cloud.ec2.create_security_group(**request)["GroupId"]
            # the provider takes away what lets everything out
            rules = cloud.ec2.describe_security_group_rules(Filters=where("group-id", identity))["SecurityGroupRules"]
            given = [rule["SecurityGroupRuleId"] for rule in rules if rule["IsEgress"]]
            if given:
                cloud.ec2.revoke_security_group_egress(GroupId=identity, SecurityGroupRuleIds=given)
        return identity, self.found(cloud, identity, inputs)

    def update(self, cloud: Cloud, identity: str, olds: Properties, inputs: Properties) -> Properties:
        with doing(f"updating Security Group ({identity})"):
            tags.change(cloud, identity, olds["tagsAll"], inputs)
        return self.found(cloud, identity, inputs)

    def delete(self, cloud: Cloud, identity: str, state: Properties) -> None:
        with doing(f"deleting Security Group ({identity})"):
            when_free(cloud, lambda: self._remove(cloud, identity))

    def _remove(self, cloud: Cloud, identity: str) -> None:
        rules = cloud.ec2.describe_security_group_rules()["SecurityGroupRules"]
        named = any(
            rule.get("ReferencedGroupInfo", {}).get("GroupId") == identity and rule["GroupId"] != identity
            for rule in rules
        )
        used = cloud.ec2.describe_network_interfaces(Filters=where("group-id", identity))["NetworkInterfaces"]
        if used or named:
            said = f"resource {identity} has a dependent object"
            raise Refusal("DeleteSecurityGroup", "DependencyViolation", said)
        unless_gone(lambda: cloud.ec2.delete_security_group(GroupId=identity))

    def found(self, cloud: Cloud, identity: str, state: Properties) -> Properties:
        with doing(f"reading Security Group ({identity})"):
            group = one(cloud.ec2.describe_security_groups, "SecurityGroups", GroupIds=[identity])
        return {
            "arn": cloud.arn(f"security-group/{identity}"),
            "description": group["Description"],
            "name": group["GroupName"],
            "namePrefix": "",
            "ownerId": catalogue.ACCOUNT,
            "region": cloud.region,
            "vpcId": group["VpcId"],
            **tags.outputs(cloud, state, group.get("Tags", [])),
        }


_SOURCES = ("cidrIpv4", "cidrIpv6", "referencedSecurityGroupId")
_RULE = {
    "cidrIpv4": "CidrIpv4",
    "cidrIpv6": "CidrIpv6",
    "description": "Description",
    "fromPort": "FromPort",
    "ipProtocol": "IpProtocol",
    "toPort": "ToPort",
}


class _Rule(Ec2Kind):
    replaces = frozenset({"securityGroupId"})
    modelled = frozenset({*_RULE, "referencedSecurityGroupId", "securityGroupId", "tags"})
    outputs = frozenset({"arn", "region", "securityGroupRuleId", "tagsAll"})
    direction: ClassVar[str]

    def problems(self, inputs: Properties) -> Iterable[Problem]:
        yield from super().problems(inputs)
        if len([name for name in _SOURCES if name in inputs]) != 1:
            yield Problem(
                "",
                "Invalid Attribute Combination: Exactly one of these attributes must be configured: "
                "[cidr_ipv4,cidr_ipv6,prefix_list_id,referenced_security_group_id]",
            )
        for name, version, kind in (("cidrIpv4", "cidr_ipv4", "IPv4"), ("cidrIpv6", "cidr_ipv6", "IPv6")):
            given = inputs.get(name, UNKNOWN)
            if given is not UNKNOWN and not _is_network(given, 4 if kind == "IPv4" else 6):
                said = f"Attribute {version} value must be a valid {kind} CIDR that represents a network address"
                yield Problem(name, f"Invalid Attribute Value: {said}, got: {given}")

    def create(self, cloud: Cloud, inputs: Properties, name: str) -> tuple[str, Properties]:
        request: dict[str, Any] = {
            "GroupId": inputs["securityGroupId"],
            "IpPermissions": [_permission(inputs)],
            "TagSpecifications": tags.specification(cloud, "security-group-rule", inputs),
        }
        authorize: Any = getattr(cloud.ec2, f"authorize_security_group_{self.direction}")
        with doing(f"creating VPC Security Group Rule ({inputs['securityGroupId']})"):
            identity = authorize(**request)["SecurityGroupRules"][0]["SecurityGroupRuleId"]
        return identity, self.found(cloud, identity, inputs)

    def update(self, cloud: Cloud, identity: str, olds: Properties, inputs: Properties) -> Properties:
        with doing(f"updating VPC Security Group Rule ({identity})"):
            if any(olds.get(name) != inputs.get(name) for name in (*_RULE, *_SOURCES)):
                rule = {_RULE[name]: value for name, value in inputs.items() if name in _RULE}
                rule = {"FromPort": -1, "ToPort": -1, **rule}
                if "referencedSecurityGroupId" in inputs:
                    rule["ReferencedGroupId"] = inputs["referencedSecurityGroupId"]
                change: list[Any] = [{"SecurityGroupRuleId": identity, "SecurityGroupRule": rule}]
                cloud.ec2.modify_security_group_rules(GroupId=inputs["securityGroupId"], SecurityGroupRules=change)
            tags.change(cloud, identity, olds["tagsAll"], inputs)
        outputs = self.found(cloud, identity, inputs)
        for name in (*_SOURCES, "description"):
            if outputs.get(name) != inputs.get(name):  # moto takes no notice of some
                raise AssertionError(f"{NOT_MODELLED} a change of '{name}' of {self.token}")
        return outputs

    def delete(self, cloud: Cloud, identity: str, state: Properties) -> None:
        revoke: Any = getattr(cloud.ec2, f"revoke_security_group_{self.direction}")
        with doing(f"deleting VPC Security Group Rule ({identity})"):
            try:
                self.found(cloud, identity, state)
            except LookupError:
                return
            unless_gone(lambda: revoke(GroupId=state["securityGroupId"], SecurityGroupRuleIds=[identity]))

    def found(self, cloud: Cloud, identity: str, state: Properties) -> Properties:
        with doing(f"reading VPC Security Group Rule ({identity})"):
            rule = one(cloud.ec2.describe_security_group_rules, "SecurityGroupRules", SecurityGroupRuleIds=[identity])
        outputs: dict[str, Any] = {ours: rule[theirs] for ours, theirs in _RULE.items() if theirs in rule}
        for port in ("fromPort", "toPort"):
            if outputs.get(port) == -1 and port not in state:
                del outputs[port]
        if "ReferencedGroupInfo" in rule:
            outputs["referencedSecurityGroupId"] = rule["ReferencedGroupInfo"]["GroupId"]
        return {
            **outputs,
            "arn": cloud.arn(f"security-group-rule/{identity}"),
            "region": cloud.region,
            "securityGroupId": rule["GroupId"],
            "securityGroupRuleId": identity,
            **tags.outputs(cloud, state, rule.get("Tags", [])),
        }


def _is_network(text: Any, version: int) -> bool:
    try:
        return ipaddress.ip_network(str(text)).version == version and "/" in str(text)
    except ValueError:
        return False


def _permission(inputs: Properties) -> dict[str, Any]:
    permission = request_of({name: inputs[name] for name in ("ipProtocol", "fromPort", "toPort") if name in inputs})
    said = {"Description": inputs["description"]} if "description" in inputs else {}
    if "cidrIpv4" in inputs:
        permission["IpRanges"] = [{"CidrIp": inputs["cidrIpv4"], **said}]
    elif "cidrIpv6" in inputs:
        permission["Ipv6Ranges"] = [{"CidrIpv6": inputs["cidrIpv6"], **said}]
    else:
        permission["UserIdGroupPairs"] = [{"GroupId": inputs["referencedSecurityGroupId"], **said}]
    return permission


class IngressRule(_Rule):
    token = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
    args = pulumi_aws.vpc.SecurityGroupIngressRuleArgs
    direction = "ingress"


class EgressRule(_Rule):
    token = "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule"
    args = pulumi_aws.vpc.SecurityGroupEgressRuleArgs
    direction = "egress"


class KeyPair(Ec2Kind):
    """Its id is its name, as the provider has it."""

    token = "aws:ec2/keyPair:KeyPair"
    args = pulumi_aws.ec2.KeyPairArgs
    replaces = frozenset({"keyName", "publicKey"})
    modelled = frozenset({"keyName", "publicKey", "tags"})
    outputs = frozenset({"arn", "fingerprint", "keyNamePrefix", "keyPairId", "keyType", "region", "tagsAll"})
    named = "keyName"

    def create(self, cloud: Cloud, inputs: Properties, name: str) -> tuple[str, Properties]:
        request: dict[str, Any] = {
            "KeyName": inputs["keyName"],
            "PublicKeyMaterial": inputs["publicKey"].encode(),
            "TagSpecifications": tags.specification(cloud, "key-pair", inputs),
        }
        with doing(f"importing EC2 Key Pair ({inputs['keyName']})"):
            _check_key(inputs["publicKey"])
            identity = cloud.ec2.import_key_pair(**request)["KeyName"]
        return identity, self.found(cloud, identity, inputs)

    def update(self, cloud: Cloud, identity: str, olds: Properties, inputs: Properties) -> Properties:
        with doing(f"updating EC2 Key Pair ({identity})"):
            tags.change(cloud, olds["keyPairId"], olds["tagsAll"], inputs)
        return self.found(cloud, identity, inputs)

    def delete(self, cloud: Cloud, identity: str, state: Properties) -> None:
        with doing(f"deleting EC2 Key Pair ({identity})"):
            unless_gone(lambda: cloud.ec2.delete_key_pair(KeyName=identity))

    def found(self, cloud: Cloud, identity: str, state: Properties) -> Properties:
        with doing(f"reading EC2 Key Pair ({identity})"):
            pair = one(cloud.ec2.describe_key_pairs, "KeyPairs", KeyNames=[identity])
        return {
            "arn": cloud.arn(f"key-pair/{identity}"),
            "fingerprint": pair["KeyFingerprint"],
            "keyName": pair["KeyName"],
            "keyNamePrefix": "",
            "keyPairId": pair["KeyPairId"],
            "keyType": pair["KeyType"],
            "region": cloud.region,
            **tags.outputs(cloud, state, pair.get("Tags", [])),
        }


def _check_key(text: str) -> None:
    try:
        key = serialization.load_ssh_public_key(text.encode())
    except (UnsupportedAlgorithm, ValueError):
        key = None
    if not isinstance(key, rsa.RSAPublicKey | ed25519.Ed25519PublicKey):
        raise Refusal("ImportKeyPair", "InvalidKey.Format", "Key is not in valid OpenSSH public key format")
