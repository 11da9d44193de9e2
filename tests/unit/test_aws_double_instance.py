"""Instances of the stand-in for pulumi-resource-aws: what EC2 says, and what becomes of the machine underneath."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.doubles.cloud_plugin.kinds import CloudError
from tests.doubles.pulumi_resource_aws.catalogue import PUBLIC_KEY
from tests.doubles.pulumi_resource_aws.cloud import Cloud
from tests.doubles.pulumi_resource_aws.instance import end
from tests.doubles.pulumi_resource_aws.trial import NotedMachines, account
from tests.unit.test_aws_double import KINDS, Thing, refused

DEBIAN, DEBIAN_ARM = "ami-0deb12250601a0002", "ami-0deb12250601b0003"
UBUNTU = "ami-0ab24250610a00006"
CONFIG = "#cloud-config\nhostname: fra-1\n"


@dataclass
class Place:
    """Where instances can be launched."""

    cloud: Cloud
    machines: NotedMachines
    subnet: Thing
    group: Thing

    def launch(self, **inputs: Any) -> Thing:
        given = {
            "ami": DEBIAN,
            "instanceType": "c5.large",
            "keyName": "deploy_key_2020",
            "subnetId": self.subnet.id,
            "vpcSecurityGroupIds": [self.group.id],
            "associatePublicIpAddress": True,
            "metadataOptions": {"httpTokens": "required", "httpPutResponseHopLimit": 1},
            "rootBlockDevice": {"volumeType": "gp3", "volumeSize": 20, "encrypted": True},
            "userData": CONFIG,
            "userDataReplaceOnChange": True,
            "tags": {"Name": "worker-node-dr"},
            **inputs,
        }
        return Thing(self.cloud, "Instance", **{name: value for name, value in given.items() if value is not None})

    def running(self) -> list[dict[str, Any]]:
        running = [{"Name": "instance-state-name", "Values": ["running"]}]
        found: Any = self.cloud.ec2.describe_instances(Filters=running)["Reservations"]  # type: ignore[arg-type]
        return [instance for part in found for instance in part["Instances"]]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    machines = NotedMachines()
    with account(tmp_path / "clouds", machines, stack="test") as cloud:
        vpc = Thing(cloud, "Vpc", cidrBlock="10.30.0.0/16")
        subnet = Thing(cloud, "Subnet", vpcId=vpc.id, cidrBlock="10.30.0.0/20", availabilityZone="eu-central-1a")
        yield Place(cloud, machines, subnet, Thing(cloud, "SecurityGroup", name="workers", vpcId=vpc.id))


def test_an_instance_is_a_host_of_the_pool(place: Place) -> None:
    one = place.launch()
    (booted,) = place.machines.done
    assert booted == ("boot", "one", "admin", PUBLIC_KEY, "ip-10-30-0-4", CONFIG)
    assert one.outputs["publicIp"] == "203.0.113.31"
    assert one.outputs["publicDns"] == "ec2-203-0-113-31.eu-central-1.compute.amazonaws.com"
    (found,) = place.running()
    assert found["InstanceId"] == one.id
    assert found["MetadataOptions"]["HttpTokens"] == "required"
    assert {pair["Key"]: pair["Value"] for pair in found["Tags"]} == {"Name": "worker-node-dr", "stack": "test"}
    volume = found["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]
    (root,) = place.cloud.ec2.describe_volumes(VolumeIds=[volume])["Volumes"]
    assert (root["Size"], root["VolumeType"], root["Encrypted"]) == (20, "gp3", True)

    two = place.launch(ami=UBUNTU, userData=None)
    assert place.machines.done[-1:] == [("boot", "two", "ubuntu", PUBLIC_KEY, "ip-10-30-0-5", "")]
    one.delete()
    assert place.machines.done[-1:] == [("discard", "one")]
    assert one.read() is None
    one.delete()
    assert [item["InstanceId"] for item in place.running()] == [two.id]


def test_a_host_that_was_one_instance_is_the_last_to_be_another(place: Place) -> None:
    place.launch().delete()
    hosts = [place.launch().outputs["publicIp"][-2:] for _ in range(3)]
    assert hosts == ["32", "33", "31"]
    with refused(
        "InsufficientInstanceCapacity: We currently do not have sufficient c5.large capacity in the Availability Zone "
        "you requested (eu-central-1a)"
    ):
        place.launch()
    assert len(place.running()) == 3


def test_an_instance_lost_behind_the_engines_back_is_gone(place: Place) -> None:
    worker = place.launch()
    end(place.cloud, worker.id)
    assert place.machines.done[-1:] == [("discard", "one")]
    assert worker.read() is None
    worker.delete()
    assert place.machines.done.count(("discard", "one")) == 1


def test_tags_groups_and_the_root_volume_change_in_place(place: Place) -> None:
    worker = place.launch(volumeTags={"a": "b"}, instanceInitiatedShutdownBehavior="terminate")
    assert worker.outputs["metadataOptions"]["httpEndpoint"] == "enabled", "as the service filled in"
    assert worker.outputs["rootBlockDevice"]["deviceName"] == "/dev/xvda"
    group = Thing(place.cloud, "SecurityGroup", name="other", vpcId=place.group.inputs["vpcId"])
    changed = worker.update(
        tags={"Name": "other"},
        vpcSecurityGroupIds=[group.id, place.group.id],
        rootBlockDevice={"volumeType": "gp3", "volumeSize": 30, "encrypted": True, "deleteOnTermination": False},
        metadataOptions={"httpTokens": "required", "httpPutResponseHopLimit": 2},
        volumeTags={"c": "d"},
        instanceInitiatedShutdownBehavior="stop",
    )
    assert changed["vpcSecurityGroupIds"] == [group.id, place.group.id]
    assert changed["tagsAll"] == {"Name": "other", "stack": "test"}
    assert changed["rootBlockDevice"]["volumeSize"] == 30
    assert changed["rootBlockDevice"]["deleteOnTermination"] is False
    assert changed["metadataOptions"]["httpPutResponseHopLimit"] == 2
    assert changed["volumeTags"] == {"c": "d"}
    assert changed["instanceInitiatedShutdownBehavior"] == "stop"
    assert [what for what, *_ in place.machines.done] == ["boot"], "nothing stops for that"
    with refused("InvalidParameterValue: New size cannot be smaller than existing size"):
        worker.update(rootBlockDevice={"volumeType": "gp3", "volumeSize": 10, "encrypted": True})
    with refused(f"DependencyViolation: resource {group.id} has a dependent object"):
        group.delete()
    with refused(f"DependencyViolation: The subnet '{place.subnet.id}' has dependencies and cannot be deleted."):
        place.subnet.delete()


def test_a_removal_waits_for_what_is_about_to_go(place: Place) -> None:
    worker = place.launch()
    place.group.cloud = replace(place.cloud, patience=20)
    with ThreadPoolExecutor() as pool:
        removal = pool.submit(place.group.delete)
        time.sleep(0.5)
        assert not removal.done()
        worker.delete()
        removal.result()
    assert place.group.read() is None


def test_another_type_stops_and_starts_the_host_on_its_disk(place: Place) -> None:
    worker = place.launch()
    assert worker.update(instanceType="c5.xlarge")["instanceType"] == "c5.xlarge"
    assert place.machines.done[1:] == [("stop", "one"), ("start", "one")]
    assert worker.outputs["instanceState"] == "running"
    assert KINDS["Instance"].recomputed(frozenset({"instanceType"})) == {"publicIp", "publicDns"}
    with refused("VcpuLimitExceeded"):
        worker.update(instanceType="c5.18xlarge")
    with refused("InvalidParameterValue: Invalid value 'c5.huge' for InstanceType."):
        worker.update(instanceType="c5.huge")
    assert len(place.machines.done) == 3


def test_a_spot_instance_is_not_stopped(place: Place) -> None:
    worker = place.launch(instanceMarketOptions={"marketType": "spot", "spotOptions": {"spotInstanceType": "one-time"}})
    assert worker.outputs["instanceLifecycle"] == "spot"
    with refused(f"UnsupportedOperation: You can't stop the Spot Instance '{worker.id}'"):
        worker.update(instanceType="c5.xlarge")


def test_user_data_replaces_only_where_the_program_says_so(place: Place) -> None:
    kind = KINDS["Instance"]
    assert "userData" in kind.replacing({"userDataReplaceOnChange": True})
    assert "userData" not in kind.replacing({"userDataReplaceOnChange": False})
    assert {"ami", "keyName", "subnetId", "associatePublicIpAddress", "instanceMarketOptions"} < kind.replaces
    assert not {"instanceType", "tags", "vpcSecurityGroupIds", "metadataOptions"} & kind.replaces
    worker = place.launch(userDataReplaceOnChange=False)
    assert worker.update(userData="#cloud-config\n{}\n")["userData"] == "#cloud-config\n{}\n"
    assert place.machines.done[1:] == [("stop", "one"), ("start", "one")]


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        (
            {"ami": "ami-00000000000000000"},
            "InvalidAMIID.NotFound: The image id '[ami-00000000000000000]' does not exist",
        ),
        ({"ami": "debian"}, 'InvalidAMIID.Malformed: Invalid id: "debian" (expecting "ami-...")'),
        ({"keyName": "lost"}, "InvalidKeyPair.NotFound: The key pair 'lost' does not exist"),
        ({"instanceType": "c5.huge"}, "InvalidParameterValue: Invalid value 'c5.huge' for InstanceType."),
        (
            {"ami": DEBIAN_ARM},
            "InvalidParameterValue: The architecture 'x86_64' of the specified instance type does not match the "
            "architecture 'arm64' of the specified AMI.",
        ),
        (
            {"instanceType": "m5.metal"},
            "VcpuLimitExceeded: You have requested more vCPU capacity than your current vCPU",
        ),
        (
            {"instanceType": "m5.metal", "instanceMarketOptions": {"marketType": "spot"}},
            "MaxSpotInstanceCountExceeded: Max spot instance count exceeded",
        ),
        ({"subnetId": "subnet-0"}, "InvalidSubnetID.NotFound: The subnet ID 'subnet-0' does not exist"),
        ({"vpcSecurityGroupIds": ["sg-0"]}, "InvalidGroup.NotFound: The security group 'sg-0' does not exist"),
        (
            {"metadataOptions": {"httpTokens": "maybe"}},
            "InvalidParameterValue: Value (maybe) for parameter httpTokens is invalid.",
        ),
        ({"instanceMarketOptions": {"marketType": "sport"}}, "InvalidParameterValue: Value (sport) for parameter"),
    ],
)
def test_what_ec2_cannot_launch_is_refused_in_its_words(place: Place, inputs: dict[str, Any], words: str) -> None:
    with refused(words):
        place.launch(**inputs)
    assert place.running() == []
    assert place.machines.done == []


def test_a_type_that_a_zone_lacks_is_unsupported(place: Place) -> None:
    with refused(
        "Unsupported: Your requested instance type (f2.6xlarge) is not supported in your requested Availability Zone "
        "(eu-central-1a). Please retry your request by not specifying an Availability Zone or choosing eu-central-1b, "
        "eu-central-1c."
    ):
        place.launch(instanceType="f2.6xlarge")


def test_subnet_and_groups_are_of_one_network(place: Place) -> None:
    other = Thing(place.cloud, "Vpc", cidrBlock="10.40.0.0/16")
    group = Thing(place.cloud, "SecurityGroup", name="workers", vpcId=other.id)
    with refused(f"InvalidParameter: Security group {group.id} and subnet {place.subnet.id} belong to different"):
        place.launch(vpcSecurityGroupIds=[group.id])
    group.delete()
    other.delete()


def test_user_data_that_the_lab_cannot_follow_is_refused_before_a_launch(place: Place) -> None:
    with pytest.raises(CloudError, match="user data with 'packages' is not supported on hosts of the lab"):
        place.launch(userData="#cloud-config\npackages: [nginx]\n")
    assert place.running() == []


def test_a_host_that_does_not_boot_leaves_no_instance(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise CloudError("the lab: no base system")

    monkeypatch.setattr(place.machines, "boot", fail)
    with pytest.raises(CloudError, match="the lab: no base system"):
        place.launch()
    assert place.running() == []
    assert place.cloud.record is not None
    assert place.cloud.record.read().hosts == {}


def test_without_a_lab_nothing_is_launched(place: Place) -> None:
    alone = Place(replace(place.cloud, machines=None), place.machines, place.subnet, place.group)
    with pytest.raises(CloudError, match="boots instances as hosts of a lab, and none stands here"):
        alone.launch()
    assert place.running() == []


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"launchTemplate": {}}, "does not model 'launchTemplate' of aws:ec2/instance:Instance"),
        ({"rootBlockDevice": {"iops": 9000}}, "does not model 'rootBlockDevice.iops' of aws:ec2/instance:Instance"),
        ({"ami": None}, '"ami": one of `ami,launch_template` must be specified'),
        ({"keyName": None}, "wants 'subnetId' and 'keyName' of each instance"),
    ],
)
def test_inputs_of_an_instance_are_refused_before_anything_is_asked(changed: dict[str, Any], words: str) -> None:
    given = {"ami": DEBIAN, "instanceType": "c5.large", "keyName": "k", "subnetId": "s", **changed}
    (problem,) = KINDS["Instance"].problems({name: value for name, value in given.items() if value is not None})
    assert words in problem.reason
