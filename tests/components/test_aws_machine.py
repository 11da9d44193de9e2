"""A machine on AWS."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi
import pytest
from pulumi_command import local

from components.aws_machine import AwsMachine, AwsMachineArgs
from tests.components.clouds import check_children, inputs, run_in_cloud, types, unknown
from tests.doubles.pulumi_mocks import Run, address_of, plain, secret_paths
from tests.doubles.pulumi_resource_command.values import UNKNOWN

INSTANCE = "aws:ec2/instance:Instance"
KNOWN: dict[str, Any] = {
    "ami": "ami-1",
    "key_pair": "deploy_key_2020",
    "subnet_id": "subnet-1",
    "group_ids": ["sg-1"],
}
LEAST: dict[str, Any] = {
    "ami": "ami-1",
    "instanceType": "c5.large",
    "keyName": "deploy_key_2020",
    "subnetId": "subnet-1",
    "vpcSecurityGroupIds": ["sg-1"],
    "associatePublicIpAddress": True,
    "metadataOptions": {"httpEndpoint": "enabled", "httpTokens": "required", "httpPutResponseHopLimit": 1},
    "rootBlockDevice": {"volumeType": "gp3", "volumeSize": 20, "encrypted": True, "deleteOnTermination": True},
    "instanceInitiatedShutdownBehavior": "terminate",
}


def arguments(**more: Any) -> AwsMachineArgs:
    return AwsMachineArgs(**{**KNOWN, **more})  # type: ignore[typeddict-item]


def machine(preview: bool = False, gated: bool = False, **more: Any) -> Run:
    def make(opts: pulumi.ResourceOptions) -> Mapping[str, Any]:
        made = AwsMachine("fra-1.2", arguments(**more), opts)
        return {"machine_id": made.machine_id, "address": made.address}

    return run_in_cloud(make, preview=preview, gated=gated)


def test_a_machine_with_the_least() -> None:
    """IMDSv2 alone, an encrypted disk that ends with the machine, no instance profile."""
    done = machine()
    assert done.resources["fra-1.2"].type == "fortress:index:AwsMachine"
    assert types(done.children("fra-1.2")) == {"fra-1.2-instance": INSTANCE}
    assert inputs(done.children("fra-1.2")) == {"fra-1.2-instance": LEAST}
    check_children(done, "fra-1.2", "aws", fra_1_2_instance={"ignore_changes": ("userData", "keyName", "ami")})


def test_a_machine_with_everything() -> None:
    done = machine(
        instance_type="c5.xlarge",
        disk_gb=40,
        spot=True,
        tags={"Name": "worker-node-dr"},
        user_data="#cloud-config\n",
        group_ids=["sg-1", "sg-2"],
    )
    assert inputs(done.children("fra-1.2")) == {
        "fra-1.2-instance": {
            **LEAST,
            "instanceType": "c5.xlarge",
            "vpcSecurityGroupIds": ["sg-1", "sg-2"],
            "rootBlockDevice": {"volumeType": "gp3", "volumeSize": 40, "encrypted": True, "deleteOnTermination": True},
            "instanceMarketOptions": {"marketType": "spot"},
            "tags": {"Name": "worker-node-dr"},
            "userData": "#cloud-config\n",
        }
    }
    # A spot instance cannot be stopped to become another type.
    special = {"ignore_changes": ("userData", "keyName", "ami"), "replace_on_changes": ("instanceType",)}
    check_children(done, "fra-1.2", "aws", fra_1_2_instance=special)


def test_no_spot_and_no_tags_are_left_out() -> None:
    assert inputs(machine(spot=False, tags={}).children("fra-1.2")) == {"fra-1.2-instance": LEAST}


def test_another_image_does_nothing_while_pinned() -> None:
    check_children(
        machine(image_pinned=True),
        "fra-1.2",
        "aws",
        fra_1_2_instance={"ignore_changes": ("userData", "keyName", "ami")},
    )
    unpinned = {"ignore_changes": ("userData", "keyName")}
    check_children(machine(image_pinned=False), "fra-1.2", "aws", fra_1_2_instance=unpinned)


def test_a_size_that_arrives_as_a_float_is_whole() -> None:
    found = machine(disk_gb=40.0).resources["fra-1.2-instance"].inputs["rootBlockDevice"]
    assert repr(plain(found)["volumeSize"]) == "40"


def test_outputs() -> None:
    done = machine()
    expected = {"machine_id": "fra-1.2-instance-id", "address": address_of("fra-1.2-instance")}
    assert {name: (seen.value, seen.secret) for name, seen in done.outputs.items()} == {
        name: (value, False) for name, value in expected.items()
    }
    assert plain(dict(done.registered["fra-1.2"])) == expected


def test_at_first_preview_nothing_is_known_of_the_machine_and_all_of_its_inputs_are() -> None:
    done = machine(preview=True)
    assert not any(seen.known for seen in done.outputs.values())
    assert unknown(done.children("fra-1.2")) == {}
    assert inputs(done.children("fra-1.2")) == {"fra-1.2-instance": LEAST}


def test_arguments_that_are_unknown_stay_unknown() -> None:
    def make(opts: pulumi.ResourceOptions) -> Mapping[str, Any]:
        later = local.Command("later", create="date").stdout
        more = dict.fromkeys(("ami", "key_pair", "subnet_id"), later)
        AwsMachine("fra", arguments(**{**more, "group_ids": ["sg-1", later]}), opts)
        return {}

    found = inputs(run_in_cloud(make, preview=True).children("fra"))["fra-instance"]
    unknowns = {"ami": UNKNOWN, "keyName": UNKNOWN, "subnetId": UNKNOWN, "vpcSecurityGroupIds": ["sg-1", UNKNOWN]}
    assert found == {**LEAST, **unknowns}


def test_a_secret_stays_one_and_hides_nothing_else() -> None:
    def make(opts: pulumi.ResourceOptions) -> Mapping[str, Any]:
        made = AwsMachine("fra", arguments(ami=pulumi.Output.secret("ami-1")), opts)
        return {"machine_id": made.machine_id, "address": made.address}

    done = run_in_cloud(make)
    assert secret_paths(done.resources["fra-instance"].inputs) == {"ami"}
    assert not any(seen.secret for seen in done.outputs.values())


def test_the_instance_is_there_to_be_waited_for() -> None:
    def make(opts: pulumi.ResourceOptions) -> Mapping[str, Any]:
        made = AwsMachine("fra", arguments(), opts)
        local.Command("first-contact", create="true", opts=pulumi.ResourceOptions(depends_on=[made.instance]))
        return {}

    assert run_in_cloud(make).resources["first-contact"].waits == {"fra-instance"}


def test_it_waits_for_what_the_component_waits_for() -> None:
    assert machine(gated=True).resources["fra-1.2-instance"].waits == {"gate"}


def test_a_machine_without_a_group_is_refused() -> None:
    with pytest.raises(ValueError, match=r"AwsMachine \"fra-1\.2\": group_ids: must not be empty"):
        machine(group_ids=[])
