"""What an AWS account holds for one site."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_network
from typing import Any

import pulumi
import pytest
from hypothesis import given, settings
from pulumi_command import local

from components.aws_site import AwsSite, AwsSiteArgs
from tests.components.clouds import OPERATOR_LISTS, OPERATORS, check_children, inputs, run_in_cloud, types, unknown
from tests.components.engine import ssh_key, waits
from tests.doubles.pulumi_mocks import Run, plain
from tests.doubles.pulumi_resource_command.values import UNKNOWN

VPC, SUBNET = "aws:ec2/vpc:Vpc", "aws:ec2/subnet:Subnet"
GATEWAY = "aws:ec2/internetGateway:InternetGateway"
TABLE, ASSOCIATION = "aws:ec2/routeTable:RouteTable", "aws:ec2/routeTableAssociation:RouteTableAssociation"
GROUP, KEY_PAIR = "aws:ec2/securityGroup:SecurityGroup", "aws:ec2/keyPair:KeyPair"
INGRESS = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
EGRESS = "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule"

MADE: dict[str, Any] = {"network": {"cidr": "10.30.0.0/16"}}
DUAL: dict[str, Any] = {"network": {"cidr": "10.30.0.0/16", "ipv6": True}}
EXISTING: dict[str, Any] = {
    "existing": {
        "vpc_id": "vpc-1",
        "subnets": {"eu-central-1a": "sub-a", "eu-central-1b": "sub-b", "eu-central-1c": ""},
    }
}
KEY = ssh_key(7)


def site(preview: bool = False, gated: bool = False, network: Mapping[str, Any] = MADE, **more: Any) -> Run:
    known: dict[str, Any] = {
        "zones": ["eu-central-1b", "eu-central-1a"],
        "operators": OPERATORS,
        "key_pair": "deploy_key_2020",
        **network,
    }

    def make(opts: pulumi.ResourceOptions) -> Mapping[str, Any]:
        made = AwsSite("fra", AwsSiteArgs(**{**known, **more}), opts)  # type: ignore[typeddict-item]
        assert isinstance(made.subnet_ids, dict)
        leaves = {leaf: getattr(made, leaf) for leaf in ("vpc_id", "key_pair", "group_id")}
        return leaves | {f"subnet of {zone}": subnet for zone, subnet in made.subnet_ids.items()}

    return run_in_cloud(make, preview=preview, gated=gated)


def ssh(**source: str) -> dict[str, Any]:
    return {
        "securityGroupId": "fra-group-id",
        "description": "SSH from operators",
        "ipProtocol": "tcp",
        "fromPort": 22,
        "toPort": 22,
        **source,
    }


NETWORKS: dict[str, Any] = {
    "fra-vpc": {"cidrBlock": "10.30.0.0/16", "tags": {"Name": "fra-vpc"}},
    "fra-gateway": {"vpcId": "fra-vpc-id", "tags": {"Name": "fra-gateway"}},
    "fra-routes": {
        "vpcId": "fra-vpc-id",
        "routes": [{"cidrBlock": "0.0.0.0/0", "gatewayId": "fra-gateway-id"}],
        "tags": {"Name": "fra-routes"},
    },
    "fra-subnet-eu-central-1a": {
        "vpcId": "fra-vpc-id",
        "availabilityZone": "eu-central-1a",
        "cidrBlock": "10.30.0.0/19",
        "tags": {"Name": "fra-eu-central-1a"},
    },
    "fra-subnet-eu-central-1b": {
        "vpcId": "fra-vpc-id",
        "availabilityZone": "eu-central-1b",
        "cidrBlock": "10.30.32.0/19",
        "tags": {"Name": "fra-eu-central-1b"},
    },
    "fra-routes-eu-central-1a": {"routeTableId": "fra-routes-id", "subnetId": "fra-subnet-eu-central-1a-id"},
    "fra-routes-eu-central-1b": {"routeTableId": "fra-routes-id", "subnetId": "fra-subnet-eu-central-1b-id"},
}
MACHINES: dict[str, Any] = {
    "name": "fra-machines",
    "description": "Every machine: SSH from operators",
    "vpcId": "fra-vpc-id",
}
RULES: dict[str, dict[str, Any]] = {
    "fra-ssh-192-0-2-10-32": ssh(cidrIpv4="192.0.2.10/32"),
    "fra-ssh-198-51-100-0-24": ssh(cidrIpv4="198.51.100.0/24"),
    "fra-ssh-2001-db8---64": ssh(cidrIpv6="2001:db8::/64"),
    "fra-too-big-ipv4": {
        "securityGroupId": "fra-group-id",
        "description": "Fragmentation needed",
        "ipProtocol": "icmp",
        "fromPort": 3,
        "toPort": 4,
        "cidrIpv4": "0.0.0.0/0",
    },
    "fra-out-ipv4": {
        "securityGroupId": "fra-group-id",
        "description": "The way out",
        "ipProtocol": "-1",
        "cidrIpv4": "0.0.0.0/0",
    },
}


def test_a_site_with_a_vpc_of_its_own() -> None:
    done = site()
    assert done.resources["fra"].type == "fortress:index:AwsSite"
    assert types(done.children("fra")) == {
        **{"fra-vpc": VPC, "fra-gateway": GATEWAY, "fra-routes": TABLE, "fra-group": GROUP},
        **{f"fra-subnet-eu-central-1{letter}": SUBNET for letter in "ab"},
        **{f"fra-routes-eu-central-1{letter}": ASSOCIATION for letter in "ab"},
        **{name: EGRESS if "-out-" in name else INGRESS for name in RULES},
    }
    assert inputs(done.children("fra")) == {**NETWORKS, "fra-group": MACHINES, **RULES}
    check_children(done, "fra", "aws")


def test_ipv6_throughout() -> None:
    done, single = inputs(site(network=DUAL).children("fra")), inputs(site().children("fra"))
    changed = {name: found for name, found in done.items() if single.get(name) != found}
    assert changed == {
        "fra-vpc": {**NETWORKS["fra-vpc"], "assignGeneratedIpv6CidrBlock": True},
        "fra-routes": {
            **NETWORKS["fra-routes"],
            "routes": [
                {"cidrBlock": "0.0.0.0/0", "gatewayId": "fra-gateway-id"},
                {"ipv6CidrBlock": "::/0", "gatewayId": "fra-gateway-id"},
            ],
        },
        **{
            f"fra-subnet-eu-central-1{letter}": {
                **NETWORKS[f"fra-subnet-eu-central-1{letter}"],
                "ipv6CidrBlock": f"2001:db8:0:ab0{position}::/64",
                "assignIpv6AddressOnCreation": True,
            }
            for position, letter in enumerate("ab")
        },
        "fra-too-big-ipv6": {
            "securityGroupId": "fra-group-id",
            "description": "Packet too big",
            "ipProtocol": "icmpv6",
            "fromPort": 2,
            "toPort": 0,
            "cidrIpv6": "::/0",
        },
        "fra-out-ipv6": {
            "securityGroupId": "fra-group-id",
            "description": "The way out",
            "ipProtocol": "-1",
            "cidrIpv6": "::/0",
        },
    }
    check_children(site(network=DUAL), "fra", "aws")


def test_a_zone_more_moves_no_other() -> None:
    more = inputs(site(zones=["eu-central-1a", "eu-central-1b", "eu-central-1c"]).children("fra"))
    assert {name for name in more if name not in NETWORKS and name not in RULES} == {
        *("fra-group", "fra-subnet-eu-central-1c", "fra-routes-eu-central-1c")
    }
    assert {name: more[name] for name in NETWORKS} == NETWORKS


def test_a_site_in_a_vpc_that_is_there() -> None:
    done = site(network=EXISTING)
    assert inputs(done.children("fra")) == {"fra-group": {**MACHINES, "vpcId": "vpc-1"}, **RULES}
    check_children(done, "fra", "aws")
    found = {name: seen.value for name, seen in done.outputs.items()}
    assert found == {
        "vpc_id": "vpc-1",
        "key_pair": "deploy_key_2020",
        "group_id": "fra-group-id",
        "subnet of eu-central-1b": "sub-b",
        "subnet of eu-central-1a": "sub-a",
    }


def test_a_zone_without_a_subnet_is_named() -> None:
    with pytest.raises(ValueError, match=r"AwsSite \"fra\": existing\.subnets: none for eu-central-1d"):
        site(network=EXISTING, zones=["eu-central-1a", "eu-central-1d"])


def test_a_key_pair_that_is_made() -> None:
    done = site(public_key=KEY)
    assert set(done.resources) - set(site().resources) == {"fra-key"}
    assert done.resources["fra-key"].type == KEY_PAIR
    assert inputs(done.children("fra"))["fra-key"] == {"keyName": "deploy_key_2020", "publicKey": KEY}
    # Its successor has the same name.
    check_children(done, "fra", "aws", fra_key={"delete_before_replace": True})


def test_a_machine_that_takes_the_key_pairs_name_is_not_replaced_with_the_pair() -> None:
    """The engine replaces what has a value of something that is replaced; order alone does not."""

    def make(opts: pulumi.ResourceOptions) -> Mapping[str, Any]:
        args = AwsSiteArgs(
            network={"cidr": "10.30.0.0/16"}, zones=[], operators=OPERATORS, key_pair="deploy_key_2020", public_key=KEY
        )
        made = AwsSite("fra", args, opts)
        local.Command("takes", create=made.key_pair)
        local.Command("waits", create="true", opts=pulumi.ResourceOptions(depends_on=[made]))
        return {}

    found = run_in_cloud(make).resources
    assert found["takes"].waits == frozenset()
    assert "fra-key" in found["waits"].waits


def test_outputs() -> None:
    done = site()
    found = {name: (seen.value, seen.secret) for name, seen in done.outputs.items()}
    assert found == {
        "vpc_id": ("fra-vpc-id", False),
        "key_pair": ("deploy_key_2020", False),
        "group_id": ("fra-group-id", False),
        "subnet of eu-central-1a": ("fra-subnet-eu-central-1a-id", False),
        "subnet of eu-central-1b": ("fra-subnet-eu-central-1b-id", False),
    }
    assert plain(dict(done.registered["fra"])) == {
        "vpc_id": "fra-vpc-id",
        "subnet_ids": {f"eu-central-1{letter}": f"fra-subnet-eu-central-1{letter}-id" for letter in "ab"},
        "key_pair": "deploy_key_2020",
        "group_id": "fra-group-id",
    }


def test_order() -> None:
    subnets = {f"fra-subnet-eu-central-1{letter}": {"fra-vpc"} for letter in "ab"}
    assert waits(site(network=DUAL, public_key=KEY).children("fra")) == {
        "fra-vpc": set(),
        "fra-gateway": {"fra-vpc"},
        "fra-routes": {"fra-vpc", "fra-gateway"},
        "fra-group": {"fra-vpc"},
        "fra-key": set(),
        **subnets,
        **{name.replace("subnet", "routes"): {"fra-routes", name} for name in subnets},
        **{name: {"fra-group"} for name in (*RULES, "fra-too-big-ipv6", "fra-out-ipv6")},
    }


def test_children_wait_for_what_the_component_waits_for() -> None:
    done = site(gated=True, public_key=KEY)
    assert all("gate" in found.waits for found in done.children("fra").values())


def test_at_first_preview_what_aws_decides_stays_unknown_and_all_else_is_read() -> None:
    done = site(preview=True, network=DUAL, public_key=KEY)
    subnets = [f"fra-subnet-eu-central-1{letter}" for letter in "ab"]
    assert unknown(done.children("fra")) == {
        "fra-gateway": {"vpcId"},
        "fra-routes": {"vpcId", "routes"},
        "fra-group": {"vpcId"},
        **{name: {"vpcId", "ipv6CidrBlock"} for name in subnets},
        **{name.replace("subnet", "routes"): {"routeTableId", "subnetId"} for name in subnets},
        **{name: {"securityGroupId"} for name in (*RULES, "fra-too-big-ipv6", "fra-out-ipv6")},
    }
    found = inputs(done.children("fra"))
    assert {name: found[name] for name in RULES} == {
        name: {**inputs_, "securityGroupId": UNKNOWN} for name, inputs_ in RULES.items()
    }
    assert found["fra-subnet-eu-central-1b"]["cidrBlock"] == "10.30.32.0/19"
    assert {name for name, seen in done.outputs.items() if seen.known} == {"key_pair"}


def test_unknown_ids_that_are_given_stay_unknown() -> None:
    def make(opts: pulumi.ResourceOptions) -> Mapping[str, Any]:
        later = local.Command("later", create="date").stdout
        args = AwsSiteArgs(
            existing={"vpc_id": later, "subnets": {"eu-central-1a": later}},
            zones=["eu-central-1a"],
            operators=OPERATORS,
            key_pair="deploy_key_2020",
            public_key=later,
        )
        return {"subnet": AwsSite("fra", args, opts).subnet_ids["eu-central-1a"]}

    done = run_in_cloud(make, preview=True)
    assert done.resources["fra-group"].inputs["vpcId"] is UNKNOWN
    assert done.resources["fra-key"].inputs["publicKey"] is UNKNOWN
    assert not done.outputs["subnet"].known


def test_the_port_of_ssh_is_the_settings_and_whole_where_it_arrives_as_a_float() -> None:
    whole = site(ssh_port=2222)
    found = inputs(whole.children("fra"))["fra-ssh-192-0-2-10-32"]
    assert found == {**RULES["fra-ssh-192-0-2-10-32"], "fromPort": 2222, "toPort": 2222}
    assert site(ssh_port=2222.0).resources == whole.resources


@settings(max_examples=30, deadline=None)
@given(OPERATOR_LISTS)
def test_ssh_is_open_to_the_operators_and_nothing_else_to_anybody(operators: list[str]) -> None:
    done = site(operators=operators, network=DUAL)
    opened = inputs({name: found for name, found in done.resources.items() if found.type == INGRESS}).values()
    connections = [found for found in opened if found["ipProtocol"] not in ("icmp", "icmpv6")]
    ranges = {
        found.get("cidrIpv4", found.get("cidrIpv6")): (found["ipProtocol"], found["fromPort"], found["toPort"])
        for found in connections
    }
    assert ranges == dict.fromkeys(operators, ("tcp", 22, 22))
    assert len(connections) == len(ranges)
    for found in connections:
        version = 4 if "cidrIpv4" in found else 6
        assert ip_network(found[f"cidrIpv{version}"]).version == version
    group = done.resources["fra-group"].inputs
    assert "ingress" not in group
    assert "egress" not in group


@pytest.mark.parametrize("world", [["0.0.0.0/0"], ["::/0"], ["0.0.0.0/1", "128.0.0.0/1"]])
def test_the_world_is_refused(world: list[str]) -> None:
    with pytest.raises(ValueError, match="the whole world"):
        site(operators=[*OPERATORS, *world])


@pytest.mark.parametrize("network", [{}, {**MADE, **EXISTING}])
def test_a_site_has_exactly_one_network(network: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"AwsSite \"fra\": network: set either network"):
        site(network=network)
