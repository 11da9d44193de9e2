"""Networks, groups, rules and key pairs of the stand-in for pulumi-resource-aws: what moto and its own checks make of
them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.doubles.cloud_plugin.kinds import CloudError, Kind
from tests.doubles.pulumi_resource_aws.catalogue import PUBLIC_KEY
from tests.doubles.pulumi_resource_aws.cloud import Cloud
from tests.doubles.pulumi_resource_aws.plugin import PLUGIN
from tests.doubles.pulumi_resource_aws.trial import NotedMachines, account
from tests.doubles.pulumi_resource_command.values import UNKNOWN

KINDS: dict[str, Kind[Cloud]] = {kind.token.split(":")[-1]: kind for kind in PLUGIN.kinds}
RULE = {"ipProtocol": "tcp", "fromPort": 22, "toPort": 22, "cidrIpv4": "192.0.2.0/24"}


class Thing:
    """A resource as the engine would keep it: made at once."""

    def __init__(self, cloud: Cloud, kind: str, **inputs: Any) -> None:
        self.cloud, self.kind = cloud, KINDS[kind]
        self.inputs = {**self.kind.defaults, **inputs}
        assert list(self.kind.problems(self.inputs)) == []
        self.id, made = self.kind.create(cloud, self.inputs, "thing")
        assert not self.kind.outputs - made.keys(), "what is unknown at preview comes with the create"
        self.outputs = {**self.inputs, **made}
        assert self.read() == self.outputs, "a read after a create finds no drift"

    def read(self) -> dict[str, Any] | None:
        found = self.kind.read(self.cloud, self.id, self.outputs)
        return None if found is None else {**self.inputs, **found}

    def update(self, **inputs: Any) -> dict[str, Any]:
        self.inputs = {name: value for name, value in {**self.inputs, **inputs}.items() if value is not None}
        self.outputs = {**self.inputs, **self.kind.update(self.cloud, self.id, self.outputs, self.inputs)}
        assert self.read() == self.outputs, "a read after an update finds no drift"
        return self.outputs

    def delete(self) -> None:
        self.kind.delete(self.cloud, self.id, self.outputs)


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    with account(tmp_path / "clouds", NotedMachines(), stack="test") as made:
        yield made


@pytest.fixture
def vpc(cloud: Cloud) -> Iterator[Thing]:
    made = Thing(cloud, "Vpc", cidrBlock="10.30.0.0/16", enableDnsHostnames=True, tags={"Name": "net"})
    yield made
    made.delete()


def subnet(vpc: Thing, **inputs: Any) -> Thing:
    return Thing(vpc.cloud, "Subnet", **{"vpcId": vpc.id, "cidrBlock": "10.30.0.0/20", **inputs})


def refused(words: str) -> Any:
    """The service's words, behind those of the provider."""
    return pytest.raises(CloudError, match=f"operation error EC2: .* api error {re.escape(words)}")


def test_a_network_is_what_ec2_has(cloud: Cloud, vpc: Thing) -> None:
    assert vpc.outputs["tagsAll"] == {"Name": "net", "stack": "test"}
    assert vpc.outputs["tags"] == {"Name": "net"}
    assert vpc.outputs["ipv6CidrBlock"] == ""
    changed = vpc.update(tags={"a": "b"}, enableDnsHostnames=False, assignGeneratedIpv6CidrBlock=True)
    assert changed["tagsAll"] == {"a": "b", "stack": "test"}
    (found,) = cloud.ec2.describe_vpcs(VpcIds=[vpc.id])["Vpcs"]
    assert found["CidrBlock"] == "10.30.0.0/16"
    assert found["Ipv6CidrBlockAssociationSet"][0]["Ipv6CidrBlock"] == changed["ipv6CidrBlock"]
    assert changed["ipv6CidrBlock"].endswith("/56")
    inside = subnet(vpc, ipv6CidrBlock=changed["ipv6CidrBlock"].replace("/56", "/64"), assignIpv6AddressOnCreation=True)
    assert inside.update(tags={"c": "d"}, mapPublicIpOnLaunch=True)["mapPublicIpOnLaunch"] is True
    inside.delete()
    assert vpc.update(assignGeneratedIpv6CidrBlock=False)["ipv6CidrBlock"] == ""


def test_a_default_tag_is_not_a_resources_own_unless_it_says_so(vpc: Thing) -> None:
    assert vpc.update(tags={"stack": "test"})["tags"] == {"stack": "test"}
    assert "tags" not in vpc.update(tags=None)


def test_a_tag_changed_by_hand_is_drift(cloud: Cloud, vpc: Thing) -> None:
    cloud.ec2.create_tags(Resources=[vpc.id], Tags=[{"Key": "stack", "Value": "other"}])
    read = vpc.read()
    assert read is not None
    assert read["tags"] == {"Name": "net", "stack": "other"}


def test_routes_are_kept_in_the_programs_order(cloud: Cloud, vpc: Thing) -> None:
    inside, gateway = subnet(vpc), Thing(cloud, "InternetGateway", vpcId=vpc.id)
    out = [{"ipv6CidrBlock": "::/0", "gatewayId": gateway.id}, {"cidrBlock": "0.0.0.0/0", "gatewayId": gateway.id}]
    table = Thing(cloud, "RouteTable", vpcId=vpc.id, routes=out)
    link = Thing(cloud, "RouteTableAssociation", subnetId=inside.id, routeTableId=table.id)
    assert table.update(routes=out[1:])["routes"] == out[1:]
    (found,) = cloud.ec2.describe_route_tables(RouteTableIds=[table.id])["RouteTables"]
    assert [route["DestinationCidrBlock"] for route in found["Routes"]] == ["10.30.0.0/16", "0.0.0.0/0"]
    assert found["Associations"][0]["SubnetId"] == inside.id

    with refused(f"DependencyViolation: The routeTable '{table.id}' has dependencies and cannot be deleted."):
        table.delete()
    other = Thing(cloud, "RouteTable", vpcId=vpc.id)
    assert link.update(routeTableId=other.id)["routeTableId"] == other.id
    (found,) = cloud.ec2.describe_route_tables(RouteTableIds=[other.id])["RouteTables"]
    assert found["Associations"][0]["SubnetId"] == inside.id
    for thing in (link, table, other, gateway, inside):
        thing.delete()


def test_a_route_table_that_cannot_route_leaves_nothing(cloud: Cloud, vpc: Thing) -> None:
    nowhere = [{"cidrBlock": "0.0.0.0/0", "gatewayId": "igw-0123456789abcdef0"}]
    with refused("InvalidInternetGatewayID.NotFound"):
        Thing(cloud, "RouteTable", vpcId=vpc.id, routes=nowhere)
    tables = cloud.ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [vpc.id]}])["RouteTables"]
    assert [table["RouteTableId"] for table in tables] == [vpc.outputs["mainRouteTableId"]]


def test_a_group_lets_through_what_its_rules_say(cloud: Cloud, vpc: Thing) -> None:
    group = Thing(cloud, "SecurityGroup", name="workers", vpcId=vpc.id)
    rules = [
        Thing(cloud, "SecurityGroupIngressRule", securityGroupId=group.id, description="ssh", **RULE),
        Thing(
            cloud, "SecurityGroupIngressRule", securityGroupId=group.id, ipProtocol="icmp", fromPort=3, toPort=4,
            cidrIpv4="0.0.0.0/0",
        ),
        Thing(
            cloud, "SecurityGroupIngressRule", securityGroupId=group.id, ipProtocol="tcp", fromPort=1, toPort=2,
            referencedSecurityGroupId=group.id,
        ),
        Thing(cloud, "SecurityGroupEgressRule", securityGroupId=group.id, ipProtocol="-1", cidrIpv4="0.0.0.0/0"),
        Thing(cloud, "SecurityGroupEgressRule", securityGroupId=group.id, ipProtocol="-1", cidrIpv6="::/0"),
    ]  # fmt: skip

    def standing() -> set[tuple[object, ...]]:
        found = cloud.ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [group.id]}])
        return {
            (rule["IsEgress"], rule["IpProtocol"], rule["FromPort"], rule.get("CidrIpv4") or rule.get("CidrIpv6"))
            for rule in found["SecurityGroupRules"]
        }

    assert standing() == {
        (False, "tcp", 22, "192.0.2.0/24"),
        (False, "icmp", 3, "0.0.0.0/0"),
        (False, "tcp", 1, None),
        (True, "-1", -1, "0.0.0.0/0"),
        (True, "-1", -1, "::/0"),
    }, "and not the rule with which EC2 lets everything out"
    changed = rules[0].update(fromPort=2222, toPort=2222, cidrIpv4="198.51.100.0/24", description="other")
    assert (changed["fromPort"], changed["cidrIpv4"], changed["description"]) == (2222, "198.51.100.0/24", "other")
    with refused("InvalidPermission.Duplicate"):
        Thing(cloud, "SecurityGroupEgressRule", securityGroupId=group.id, ipProtocol="-1", cidrIpv6="::/0")
    for rule in rules:
        rule.delete()
    assert standing() == set()
    group.delete()


def test_a_key_pair_is_known_by_its_name(cloud: Cloud) -> None:
    pair = Thing(cloud, "KeyPair", keyName="mine", publicKey=PUBLIC_KEY)
    assert pair.id == "mine"
    assert pair.outputs["keyType"] == "ed25519"
    assert pair.update(tags={"a": "b"})["tagsAll"] == {"a": "b", "stack": "test"}
    with refused("InvalidKeyPair.Duplicate"):
        Thing(cloud, "KeyPair", keyName="mine", publicKey=PUBLIC_KEY)
    pair.delete()
    with refused("InvalidKey.Format: Key is not in valid OpenSSH public key format"):
        Thing(cloud, "KeyPair", keyName="mine", publicKey="no key")


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        (
            {"cidrBlock": "10.30.8.0/24"},
            "InvalidSubnet.Conflict: The CIDR '10.30.8.0/24' conflicts with another subnet",
        ),
        ({"cidrBlock": "10.31.0.0/24"}, "InvalidSubnet.Range: The CIDR '10.31.0.0/24' is invalid."),
        (
            {"cidrBlock": "10.30.32.0/20", "availabilityZone": "eu-central-1z"},
            "InvalidParameterValue: Value (eu-central-1z) for parameter availabilityZone is invalid. Subnets can "
            "currently only be created in the following availability zones: eu-central-1a, eu-central-1b, "
            "eu-central-1c.",
        ),
        ({"cidrBlock": "10.30.32.0/20", "vpcId": "vpc-0123456789abcdef0"}, "InvalidVpcID.NotFound"),
    ],
)
def test_a_subnet_that_cannot_be_is_refused(vpc: Thing, inputs: dict[str, str], words: str) -> None:
    first = subnet(vpc)
    with refused(words):
        subnet(vpc, **inputs)
    first.delete()


def test_what_is_used_is_not_deleted(cloud: Cloud, vpc: Thing) -> None:
    gateway = Thing(cloud, "InternetGateway", vpcId=vpc.id)
    with refused(f"InvalidParameterValue: Network {vpc.id} already has an internet gateway attached"):
        Thing(cloud, "InternetGateway", vpcId=vpc.id)
    with refused(f"DependencyViolation: The vpc '{vpc.id}' has dependencies and cannot be deleted."):
        vpc.delete()
    gateway.delete()
    group, other = (Thing(cloud, "SecurityGroup", name=name, vpcId=vpc.id) for name in ("one", "two"))
    rule = {**RULE, "cidrIpv4": None, "referencedSecurityGroupId": group.id}
    rule = {name: value for name, value in rule.items() if value is not None}
    allowed = Thing(cloud, "SecurityGroupIngressRule", securityGroupId=other.id, **rule)
    with refused(f"DependencyViolation: resource {group.id} has a dependent object"):
        group.delete()
    with refused(f"DependencyViolation: The vpc '{vpc.id}' has dependencies and cannot be deleted."):
        vpc.delete()
    for thing in (allowed, group, other):
        thing.delete()


def test_what_is_gone_is_read_as_gone_and_deleted_again(cloud: Cloud, vpc: Thing) -> None:
    inside, gateway = subnet(vpc), Thing(cloud, "InternetGateway", vpcId=vpc.id)
    table = Thing(cloud, "RouteTable", vpcId=vpc.id)
    group = Thing(cloud, "SecurityGroup", name="workers", vpcId=vpc.id)
    pair = Thing(cloud, "KeyPair", keyName="mine", publicKey=PUBLIC_KEY)
    things = [
        Thing(cloud, "RouteTableAssociation", subnetId=inside.id, routeTableId=table.id),
        Thing(cloud, "SecurityGroupIngressRule", securityGroupId=group.id, **RULE),
        *(table, gateway, inside, group, pair),
    ]
    for thing in things:
        thing.delete()
        assert thing.read() is None, thing.kind.token
        thing.delete()


@pytest.mark.parametrize(
    ("kind", "inputs", "path", "words"),
    [
        ("Vpc", {}, "cidrBlock", "one of `cidr_block,ipv4_ipam_pool_id` must be specified"),
        ("Subnet", {"vpcId": "v"}, "cidrBlock", 'The argument "cidr_block" is required'),
        (
            "RouteTable",
            {"routes": [{"cidrBlock": "::/0", "vpcEndpointId": "x"}]},
            "routes[0].vpcEndpointId",
            "not model",
        ),
        (
            "SecurityGroup",
            {"ingress": []},
            "ingress",
            "does not model 'ingress' of aws:ec2/securityGroup:SecurityGroup",
        ),
        ("SecurityGroupEgressRule", {}, "", "Exactly one of these attributes must be configured"),
        ("SecurityGroupEgressRule", {**RULE, "cidrIpv6": UNKNOWN}, "", "Exactly one of these attributes"),
        (
            "SecurityGroupIngressRule",
            {**RULE, "cidrIpv4": "192.0.2.7/24"},
            "cidrIpv4",
            "must be a valid IPv4 CIDR that represents a network address, got: 192.0.2.7/24",
        ),
        ("SecurityGroupIngressRule", {**RULE, "cidrIpv4": "::/0"}, "cidrIpv4", "must be a valid IPv4 CIDR"),
    ],
)
def test_inputs_are_refused_before_anything_is_asked(kind: str, inputs: dict[str, Any], path: str, words: str) -> None:
    (problem,) = KINDS[kind].problems(inputs)
    assert problem.property == path
    assert words in problem.reason


def test_inputs_that_are_not_known_yet_are_not_refused() -> None:
    inputs = {**RULE, "securityGroupId": UNKNOWN, "cidrIpv4": UNKNOWN, "tags": UNKNOWN}
    assert list(KINDS["SecurityGroupIngressRule"].problems(inputs)) == []
    assert list(KINDS["RouteTable"].problems({"vpcId": UNKNOWN, "routes": UNKNOWN})) == []
