"""The stand-in for pulumi-resource-aws under the real engine, with a moto that outlives the engine's runs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.doubles.pulumi_resource_aws.cloud import client
from tests.doubles.pulumi_resource_aws.trial import standing
from tests.engine.command_stack import ENDS_WITH_ITS_HOST, Stack

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "fortress", "AWS_SECRET_ACCESS_KEY": "lab"}

PROGRAM = (
    ENDS_WITH_ITS_HOST
    + """
import json
from pathlib import Path

import pulumi
import pulumi_aws as aws

given = json.loads(Path("settings.json").read_text())
asked = {"region": "eu-central-1", "default_tags": {"tags": {"stack": "dev"}}, **given["provider"]}
provider = aws.Provider("frankfurt", **asked)
opts = pulumi.ResourceOptions(provider=provider)
vpc = aws.ec2.Vpc("net", cidr_block=given["cidr"], enable_dns_hostnames=True, tags=given["tags"], opts=opts)
subnets = [
    aws.ec2.Subnet(f"net-{zone}", vpc_id=vpc.id, availability_zone=zone, cidr_block=cidr, opts=opts)
    for zone, cidr in given["subnets"].items()
]
gateway = aws.ec2.InternetGateway("net", vpc_id=vpc.id, opts=opts)
routes = [{"cidr_block": "0.0.0.0/0", "gateway_id": gateway.id}]
table = aws.ec2.RouteTable("net", vpc_id=vpc.id, routes=routes, opts=opts)
for zone, subnet in zip(given["subnets"], subnets):
    aws.ec2.RouteTableAssociation(f"net-{zone}", subnet_id=subnet.id, route_table_id=table.id, opts=opts)
group = aws.ec2.SecurityGroup("workers", vpc_id=vpc.id, description="workers", opts=opts)
aws.vpc.SecurityGroupIngressRule(
    "ssh", security_group_id=group.id, ip_protocol="tcp", from_port=22, to_port=22, cidr_ipv4="192.0.2.0/24", opts=opts
)
if given["worker"]:
    image = aws.ec2.get_ami(
        owners=["136693071363"],
        filters=[{"name": "name", "values": ["debian-12-amd64-*"]}],
        most_recent=True,
        opts=pulumi.InvokeOptions(provider=provider),
    )
    worker = aws.ec2.Instance(
        "worker",
        ami=image.id,
        instance_type="c5.large",
        key_name="deploy_key_2020",
        subnet_id=subnets[0].id,
        vpc_security_group_ids=[group.id],
        associate_public_ip_address=True,
        metadata_options=given["metadata"],
        root_block_device={"volume_type": "gp3", "volume_size": 20, "encrypted": True},
        user_data="#cloud-config\\nhostname: worker\\n",
        user_data_replace_on_change=True,
        opts=opts,
    )
    pulumi.export("address", worker.public_ip)
    pulumi.export("image", image.name)
    pulumi.export("type", worker.instance_type)
"""
)

SETTINGS: dict[str, Any] = {
    "provider": {},
    "cidr": "10.30.0.0/16",
    "tags": {"Name": "net"},
    "subnets": {"eu-central-1a": "10.30.0.0/20", "eu-central-1b": "10.30.16.0/20"},
    "worker": False,
    "metadata": {"http_tokens": "required"},
}


class AwsStack(Stack):
    """A network of the program above."""

    def __init__(self, folder: Path, **environment: str) -> None:
        super().__init__(folder, AWS_EC2_METADATA_DISABLED="true", **environment)
        (self.project / "__main__.py").write_text(PROGRAM)
        self.settings()

    def settings(self, **changed: Any) -> None:
        """Sets what the program makes."""
        (self.project / "settings.json").write_text(json.dumps(SETTINGS | changed))

    def steps(self) -> dict[str, str]:
        """What a preview would do to each resource of AWS that it touches, by type and name."""
        log = self.run("preview", "--json")
        steps = json.loads(log[log.index("{") :]).get("steps", [])
        return {name: step["op"] for step in steps if (name := _name(step["urn"])) and step["op"] in _OPERATIONS}

    def state(self) -> dict[str, dict[str, Any]]:
        """What stands of AWS, by type and name."""
        return {name: item for item in self.resources() if (name := _name(item["urn"]))}


_OPERATIONS = ("create", "delete", "update", "replace")


def _name(urn: str) -> str | None:
    _, _, kind, name = urn.split("::")
    return f"{kind.split(':')[-1]} {name}" if kind.startswith("aws:") else None


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    folder = tmp_path_factory.mktemp("clouds") / "here"
    with standing(folder) as address:
        yield folder, address


@pytest.fixture
def stack(tmp_path: Path, endpoint: tuple[Path, str]) -> AwsStack:
    return AwsStack(tmp_path / "stack", FORTRESS_CLOUDS=str(endpoint[0]), **CREDENTIALS)


NETWORK = {
    "Vpc net",
    "Subnet net-eu-central-1a",
    "Subnet net-eu-central-1b",
    "InternetGateway net",
    "RouteTable net",
    "RouteTableAssociation net-eu-central-1a",
    "RouteTableAssociation net-eu-central-1b",
    "SecurityGroup workers",
    "SecurityGroupIngressRule ssh",
}


def test_a_preview_knows_what_is_given_and_nothing_that_ec2_makes(tmp_path: Path) -> None:
    alone = AwsStack(tmp_path / "stack", **CREDENTIALS)  # no lab, no cloud: the catalogue answers the lookup
    alone.settings(worker=True)
    log = alone.run("preview", "--json")
    steps = json.loads(log[log.index("{") :])["steps"]
    made = {name: step["newState"]["inputs"] for step in steps if (name := _name(step["urn"]))}
    assert made.keys() == {*NETWORK, "Instance worker"}
    assert made["Instance worker"]["ami"] == "ami-0deb12250601a0002"
    assert made["Instance worker"]["subnetId"] == "04da6b54-80e4-46f7-96ec-b56ff0331ba9", (
        "unknown, as the engine has it"
    )
    assert made["Vpc net"]["enableDnsSupport"] is True
    assert made["SecurityGroup workers"]["name"].startswith("workers-")
    said = alone.preview()
    assert "is the stand-in of tests/doubles" in said
    assert re.search(r"address: \[unknown\]", said)
    assert re.search(r'image *: "debian-12-amd64-20250601-2000"', said)
    assert re.search(r'type *: "c5.large"', said)

    assert "boots instances as hosts of a lab, and none stands here" in alone.up(fails=True)


def test_a_misspelt_property_is_refused(stack: AwsStack) -> None:
    stack.settings(worker=True, metadata={"http_token": "required"})
    said = stack.preview(fails=True)
    assert "Invalid or unknown key. Examine values at 'worker.metadataOptions.http_token'." in said


def test_a_network_lives_through_runs_of_the_engine(stack: AwsStack, endpoint: tuple[Path, str]) -> None:
    ec2 = client(endpoint[1])
    stack.up()
    assert stack.state().keys() == NETWORK
    vpc = stack.state()["Vpc net"]
    assert vpc["outputs"]["tagsAll"] == {"Name": "net", "stack": "dev"}
    (found,) = ec2.describe_vpcs(VpcIds=[vpc["id"]])["Vpcs"]
    assert {pair["Key"]: pair["Value"] for pair in found["Tags"]} == {"Name": "net", "stack": "dev"}

    stack.run("up", "--yes", "--skip-preview", "--expect-no-changes")
    stack.run("refresh", "--yes", "--skip-preview", "--expect-no-changes")
    assert stack.steps() == {}

    stack.settings(tags={"Name": "other"})
    assert stack.steps() == {"Vpc net": "update"}
    stack.up()
    assert stack.state()["Vpc net"]["id"] == vpc["id"]
    (found,) = ec2.describe_vpcs(VpcIds=[vpc["id"]])["Vpcs"]
    assert {"Key": "Name", "Value": "other"} in found["Tags"]

    moved = {"cidr": "10.31.0.0/16", "subnets": {"eu-central-1a": "10.31.0.0/20"}, "tags": {"Name": "other"}}
    stack.settings(**moved)
    assert stack.steps() == {
        **dict.fromkeys(NETWORK, "replace"),
        "InternetGateway net": "update",
        "RouteTableAssociation net-eu-central-1b": "delete",
        "Subnet net-eu-central-1b": "delete",
    }
    stack.up()
    assert not ec2.describe_vpcs(Filters=[{"Name": "vpc-id", "Values": [vpc["id"]]}])["Vpcs"]

    vpc = stack.state()["Vpc net"]
    identity = stack.state()["SecurityGroupIngressRule ssh"]["id"]
    group = stack.state()["SecurityGroup workers"]["id"]
    ec2.revoke_security_group_ingress(GroupId=group, SecurityGroupRuleIds=[identity])
    ec2.create_tags(Resources=[vpc["id"]], Tags=[{"Key": "by", "Value": "hand"}])
    stack.run("refresh", "--yes", "--skip-preview")
    assert "SecurityGroupIngressRule ssh" not in stack.state()
    assert stack.steps() == {"SecurityGroupIngressRule ssh": "create", "Vpc net": "update"}
    stack.up()
    assert stack.state()["Vpc net"]["outputs"]["tagsAll"] == {"Name": "other", "stack": "dev"}

    stack.destroy()
    assert not ec2.describe_vpcs(Filters=[{"Name": "vpc-id", "Values": [vpc["id"]]}])["Vpcs"]


@pytest.mark.parametrize(
    ("environment", "provider", "words"),
    [
        ({}, {}, "No valid credential sources found."),
        ({"AWS_ACCESS_KEY_ID": "somebody", "AWS_SECRET_ACCESS_KEY": "else"}, {}, "Invalid credentials configured."),
        (CREDENTIALS, {"region": "eu-central-9"}, "lookup sts.eu-central-9.amazonaws.com: no such host"),
    ],
)
def test_a_provider_that_cannot_ask_says_why(
    tmp_path: Path, environment: dict[str, str], provider: dict[str, str], words: str
) -> None:
    alone = AwsStack(tmp_path / "stack", **environment)
    alone.settings(provider=provider)
    assert words in alone.preview(fails=True)
