"""Lookups, credentials and the record of the stand-in for pulumi-resource-aws."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.doubles.cloud_plugin.kinds import CloudError, Function
from tests.doubles.pulumi_resource_aws import record
from tests.doubles.pulumi_resource_aws.catalogue import PUBLIC_KEY
from tests.doubles.pulumi_resource_aws.cloud import Cloud, client, connect
from tests.doubles.pulumi_resource_aws.credentials import Caller, caller
from tests.doubles.pulumi_resource_aws.plugin import PLUGIN
from tests.doubles.pulumi_resource_aws.record import Content, Record
from tests.doubles.pulumi_resource_aws.trial import NotedMachines, account
from tests.unit.test_aws_double import Thing

FUNCTIONS: dict[str, Function[Cloud]] = {item.token.split(":")[-1]: item for item in PLUGIN.functions}
REGION = {"region": "eu-central-1"}
KEYS = {"AWS_ACCESS_KEY_ID": "fortress", "AWS_SECRET_ACCESS_KEY": "lab"}


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    with account(tmp_path / "clouds", NotedMachines()) as made:
        yield made


def named(pattern: str) -> dict[str, Any]:
    return {"filters": [{"name": "name", "values": [pattern]}]}


def test_the_newest_image_of_an_owner_is_found(cloud: Cloud) -> None:
    found = FUNCTIONS["getAmi"].call(
        cloud, {"owners": ["136693071363"], "mostRecent": True, **named("debian-12-amd64-*")}
    )
    assert (found["id"], found["name"]) == ("ami-0deb12250601a0002", "debian-12-amd64-20250601-2000")
    found = FUNCTIONS["getAmi"].call(cloud, {"mostRecent": True, **named("ubuntu/images/*noble-24.04-amd64*")})
    assert found["ownerId"] == "099720109477"
    found = FUNCTIONS["getAmi"].call(cloud, {"nameRegex": "^debian-12.*20250101"})
    assert found["architecture"] == "x86_64"


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({**named("debian-11-*"), "mostRecent": True}, "Your query returned no results."),
        ({**named("debian-12-*"), "owners": ["amazon"]}, "Your query returned no results."),
        ({**named("debian-12-*"), "owners": ["136693071363"]}, "Your query returned more than one result."),
        ({"executableUsers": ["self"]}, "does not model 'executableUsers' of aws:ec2/getAmi:getAmi"),
    ],
)
def test_an_image_that_is_not_the_one_is_no_image(cloud: Cloud, inputs: dict[str, Any], words: str) -> None:
    with pytest.raises(CloudError) as caught:
        FUNCTIONS["getAmi"].call(cloud, inputs)
    assert words in str(caught.value)


def test_zones_keys_and_types_are_found(cloud: Cloud) -> None:
    zones = FUNCTIONS["getAvailabilityZones"].call(cloud, {"state": "available"})
    assert zones["names"] == ["eu-central-1a", "eu-central-1b", "eu-central-1c"]
    pair = FUNCTIONS["getKeyPair"].call(cloud, {"keyName": "deploy_key_2020", "includePublicKey": True})
    assert pair["publicKey"] == PUBLIC_KEY
    assert FUNCTIONS["getKeyPair"].call(cloud, {"keyName": "deploy_key_2020"})["publicKey"] == ""
    with pytest.raises(CloudError, match="no matching EC2 Key Pair found"):
        FUNCTIONS["getKeyPair"].call(cloud, {"keyName": "lost"})
    kind = FUNCTIONS["getInstanceType"].call(cloud, {"instanceType": "c5.large"})
    assert (kind["defaultVcpus"], kind["memorySize"]) == (2, 4096)
    with pytest.raises(CloudError, match=r"InvalidInstanceType: The following supplied .* do not exist: \[c5.huge\]"):
        FUNCTIONS["getInstanceType"].call(cloud, {"instanceType": "c5.huge"})


def test_networks_are_found(cloud: Cloud) -> None:
    vpc = Thing(cloud, "Vpc", cidrBlock="10.77.0.0/16", tags={"Name": "here"})
    subnets = [
        Thing(cloud, "Subnet", vpcId=vpc.id, cidrBlock=cidr, availabilityZone=zone)
        for cidr, zone in (("10.77.0.0/20", "eu-central-1a"), ("10.77.16.0/20", "eu-central-1b"))
    ]
    get_vpc, get_subnet, get_subnets = (FUNCTIONS[name] for name in ("getVpc", "getSubnet", "getSubnets"))
    assert get_vpc.call(cloud, {"tags": {"Name": "here"}})["id"] == vpc.id
    assert get_vpc.call(cloud, {"id": vpc.id})["cidrBlock"] == "10.77.0.0/16"
    assert get_vpc.call(cloud, {"default": True})["id"] != vpc.id
    with pytest.raises(CloudError, match="no matching EC2 VPC found"):
        get_vpc.call(cloud, {"cidrBlock": "10.78.0.0/16"})
    with pytest.raises(CloudError, match="multiple EC2 VPCs matched"):
        get_vpc.call(cloud, {})
    of_vpc = {"filters": [{"name": "vpc-id", "values": [vpc.id]}]}
    assert set(get_subnets.call(cloud, of_vpc)["ids"]) == {subnet.id for subnet in subnets}
    assert get_subnet.call(cloud, {"vpcId": vpc.id, "availabilityZone": "eu-central-1b"})["id"] == subnets[1].id
    assert get_subnet.call(cloud, {"id": subnets[0].id})["vpcId"] == vpc.id
    with pytest.raises(CloudError, match="multiple EC2 Subnets matched"):
        get_subnet.call(cloud, {"vpcId": vpc.id})
    for thing in (*subnets, vpc):
        thing.delete()


def test_credentials_come_from_the_provider_then_the_environment_then_files(tmp_path: Path) -> None:
    expected = Caller("eu-central-1", "fortress", "lab", {})
    given = {**REGION, "accessKey": "fortress", "secretKey": "lab"}
    assert caller(given, {"AWS_ACCESS_KEY_ID": "other", "AWS_SECRET_ACCESS_KEY": "other"}) == expected
    assert caller({}, {**KEYS, "AWS_REGION": "eu-central-1"}) == expected
    file = tmp_path / "credentials"
    file.write_text("[default]\naws_access_key_id = x\n[work]\naws_access_key_id=fortress\naws_secret_access_key=lab\n")
    shared = {"AWS_SHARED_CREDENTIALS_FILE": str(file)}
    assert caller({**REGION, "profile": "work"}, shared) == expected
    assert caller(REGION, {**shared, "AWS_PROFILE": "work"}) == expected
    assert caller({**REGION, "sharedCredentialsFiles": f'["{file}"]', "profile": "work"}, {}) == expected
    config = tmp_path / "config"
    config.write_text("[profile work]\nregion = eu-central-1\n")
    assert caller({}, {**shared, "AWS_CONFIG_FILE": str(config), "AWS_PROFILE": "work"}) == expected
    assert caller({**REGION, "defaultTags": {"tags": {"a": "b"}}}, KEYS).default_tags == {"a": "b"}


@pytest.mark.parametrize(
    ("given", "environment", "words"),
    [
        (REGION, {}, "No valid credential sources found.\nPlease see https://www.pulumi.com/"),
        (REGION, {"AWS_ACCESS_KEY_ID": "fortress"}, "No valid credential sources found."),
        ({}, KEYS, "Missing region information"),
        ({"region": "eu-central-9"}, KEYS, "lookup sts.eu-central-9.amazonaws.com: no such host"),
        ({"region": "eu-north-1"}, KEYS, "does not model region eu-north-1; it has eu-central-1 alone"),
        (REGION, {**KEYS, "AWS_ACCESS_KEY_ID": "x"}, "api error InvalidClientTokenId: The security token"),
        (REGION, {**KEYS, "AWS_SECRET_ACCESS_KEY": "x"}, "api error SignatureDoesNotMatch: The request signature"),
        ({**REGION, "profile": "lost"}, KEYS, "failed to get shared config profile, lost"),
        ({**REGION, "allowedAccountIds": ["1"]}, KEYS, "AWS account ID not allowed: 123456789012"),
        ({**REGION, "assumeRoles": [{}]}, KEYS, "does not model 'assumeRoles' of the provider"),
    ],
)
def test_a_caller_who_cannot_ask_is_told_why(given: dict[str, Any], environment: dict[str, str], words: str) -> None:
    with pytest.raises(CloudError) as caught:
        caller(given, environment)
    assert words in str(caught.value)


def test_an_account_recorded_in_a_folder_is_found_by_the_next_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cloud: Cloud
) -> None:
    monkeypatch.setenv("FORTRESS_CLOUDS", str(tmp_path))
    given = {**REGION, "accessKey": "fortress", "secretKey": "lab"}
    with Record(tmp_path).held() as content:
        content.endpoint = cloud.ec2.meta.endpoint_url
    vpc = Thing(cloud, "Vpc", cidrBlock="10.79.0.0/16")
    found = connect(given)
    assert found.machines is None, "no lab has this folder"
    assert found.ec2.describe_vpcs(VpcIds=[vpc.id])["Vpcs"][0]["CidrBlock"] == "10.79.0.0/16"
    vpc.delete()


def test_a_moto_that_has_ended_is_said_to_have_taken_everything_with_it() -> None:
    lost = Cloud(client("http://127.0.0.1:9"), "eu-central-1", {}, None, None)
    with pytest.raises(CloudError, match=r"moto no longer answers .* Fix: python -m lab down, and start again"):
        FUNCTIONS["getSubnets"].call(lost, {})


def test_hosts_are_handed_out_once_and_those_released_last_come_last() -> None:
    content, pool = Content(), ["one", "two", "three"]
    assert [record.start(content, name, pool) for name in ("i-1", "i-2")] == ["one", "two"]
    assert [record.end(content, name) for name in ("i-2", "i-1", "i-1")] == ["two", "one", None]
    assert [record.start(content, name, pool) for name in ("i-3", "i-4", "i-5", "i-6")] == ["three", "two", "one", None]
    assert content.hosts == {"i-3": "three", "i-4": "two", "i-5": "one"}


def test_a_record_is_kept_unless_an_error_comes_out(tmp_path: Path) -> None:
    kept = Record(tmp_path / "clouds")
    with kept.held() as content:
        content.hosts["i-1"] = "one"

    def fail() -> None:
        with kept.held() as content:
            content.hosts["i-2"] = "two"
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert Record(tmp_path / "clouds").read() == Content(hosts={"i-1": "one"})
